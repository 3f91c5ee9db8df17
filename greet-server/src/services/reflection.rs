//! Implements server reflection, v1 and v1alpha: clients read the descriptors from the server.
//!
//! The service of `tonic-reflection` is not used: it ends the stream at an unknown symbol, where the
//! protocol answers that request with an error and continues.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use futures_util::stream::StreamExt as _;
use greet_proto::grpc::reflection::v1::server_reflection_request::MessageRequest;
use greet_proto::grpc::reflection::v1::server_reflection_response::MessageResponse;
use greet_proto::grpc::reflection::v1::server_reflection_server as v1_server;
use greet_proto::grpc::reflection::v1::{
    ErrorResponse, ExtensionNumberResponse, FileDescriptorResponse, ListServiceResponse,
    ServerReflectionRequest, ServerReflectionResponse, ServiceResponse,
};
use greet_proto::grpc::reflection::v1alpha;
use greet_proto::grpc::reflection::v1alpha::server_reflection_server as v1alpha_server;
use prost::Message;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto,
    FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto, OneofDescriptorProto,
};
use tonic::codegen::BoxStream;
use tonic::{Code, Request, Response, Status, Streaming};

/// The service in both versions of the protocol, over one index; `None` if it is off.
pub(super) struct Reflection(Option<Arc<DescriptorIndex>>);

impl Reflection {
    /// Answers every call with UNIMPLEMENTED.
    pub(super) fn off() -> Reflection {
        Reflection(None)
    }

    /// Lists the services of `served`, each a full name and an encoded `FileDescriptorSet`, and
    /// serves every file of these sets.
    pub(super) fn new(served: &[(&'static str, &'static [u8])]) -> Reflection {
        Reflection(Some(Arc::new(DescriptorIndex::new(served))))
    }

    fn index(&self) -> Result<Arc<DescriptorIndex>, Status> {
        self.0.clone().ok_or_else(|| Status::unimplemented("reflection is off (--no-reflection)"))
    }
}

#[tonic::async_trait]
impl v1_server::ServerReflection for Reflection {
    async fn server_reflection_info(
        &self,
        requests: Request<Streaming<ServerReflectionRequest>>,
    ) -> Result<Response<BoxStream<ServerReflectionResponse>>, Status> {
        let index = self.index()?;
        let responses = requests.into_inner().map(move |request| Ok(index.respond(request?)));
        Ok(Response::new(Box::pin(responses)))
    }
}

#[tonic::async_trait]
impl v1alpha_server::ServerReflection for Reflection {
    async fn server_reflection_info(
        &self,
        requests: Request<Streaming<v1alpha::ServerReflectionRequest>>,
    ) -> Result<Response<BoxStream<v1alpha::ServerReflectionResponse>>, Status> {
        let index = self.index()?;
        let responses = requests
            .into_inner()
            .map(move |request| Ok(transcode(&index.respond(transcode(&request?)))));
        Ok(Response::new(Box::pin(responses)))
    }
}

/// Converts between v1 and v1alpha, which are the same on the wire.
fn transcode<From: Message, To: Message + Default>(from: &From) -> To {
    To::decode(&from.encode_to_vec()[..]).expect("both versions have the same fields")
}

/// The served services and their descriptors, by every key that a request can name.
struct DescriptorIndex {
    services: BTreeSet<&'static str>,
    files: HashMap<String, File>,
    /// File names by the full name of each symbol.
    file_of_symbol: HashMap<String, String>,
    messages: BTreeSet<String>,
}

/// An encoded `FileDescriptorProto`, and the names of the files that it imports.
struct File {
    encoded: Vec<u8>,
    imports: Vec<String>,
}

impl DescriptorIndex {
    fn new(served: &[(&'static str, &'static [u8])]) -> DescriptorIndex {
        let mut index = DescriptorIndex {
            services: served.iter().map(|(name, _)| *name).collect(),
            files: HashMap::new(),
            file_of_symbol: HashMap::new(),
            messages: BTreeSet::new(),
        };
        // Services of one crate have the same set.
        let sets: BTreeSet<_> = served.iter().map(|(_, set)| *set).collect();
        for set in sets {
            let set = FileDescriptorSet::decode(set).expect("generated descriptors are valid");
            set.file.into_iter().for_each(|file| index.add(file));
        }
        index
    }

    fn add(&mut self, file: FileDescriptorProto) {
        let mut symbols = Symbols::default();
        symbols.add_file(&file);
        let names = symbols.names.into_iter();
        self.file_of_symbol.extend(names.map(|symbol| (symbol, file.name().to_owned())));
        self.messages.extend(symbols.messages);
        let encoded = file.encode_to_vec();
        let imports = file.dependency;
        self.files.insert(file.name.unwrap_or_default(), File { encoded, imports });
    }

    fn respond(&self, request: ServerReflectionRequest) -> ServerReflectionResponse {
        let result = match &request.message_request {
            Some(MessageRequest::ListServices(_)) => Ok(self.services()),
            Some(MessageRequest::FileByFilename(name)) => self.file(name),
            Some(MessageRequest::FileContainingSymbol(symbol)) => {
                let file = self.file_of_symbol.get(symbol);
                file.map_or_else(|| Err(not_found("symbol", symbol)), |file| self.file(file))
            }
            Some(MessageRequest::AllExtensionNumbersOfType(message)) => self.extensions(message),
            Some(MessageRequest::FileContainingExtension(extension)) => {
                Err(not_found("extension of", &extension.containing_type))
            }
            None => Err((Code::InvalidArgument, "the request has no message_request".to_owned())),
        };
        let response = result.unwrap_or_else(|(code, message)| {
            let error = ErrorResponse { error_code: code.into(), error_message: message };
            MessageResponse::ErrorResponse(error)
        });
        ServerReflectionResponse {
            valid_host: request.host.clone(),
            original_request: Some(request),
            message_response: Some(response),
        }
    }

    fn services(&self) -> MessageResponse {
        let service = self.services.iter().map(|name| ServiceResponse { name: name.to_string() });
        MessageResponse::ListServicesResponse(ListServiceResponse { service: service.collect() })
    }

    /// Returns the file, followed by its imports and theirs, each once.
    fn file(&self, name: &str) -> Result<MessageResponse, (Code, String)> {
        let mut names = vec![name];
        let mut file_descriptor_proto = Vec::new();
        let mut position = 0;
        while let Some(&next) = names.get(position) {
            let file = self.files.get(next).ok_or_else(|| not_found("file", next))?;
            file_descriptor_proto.push(file.encoded.clone());
            for import in &file.imports {
                if !names.contains(&import.as_str()) {
                    names.push(import);
                }
            }
            position += 1;
        }
        let response = FileDescriptorResponse { file_descriptor_proto };
        Ok(MessageResponse::FileDescriptorResponse(response))
    }

    /// Returns an empty list for a known message: messages of proto3 have no extensions.
    fn extensions(&self, message: &str) -> Result<MessageResponse, (Code, String)> {
        if !self.messages.contains(message) {
            return Err(not_found("message", message));
        }
        Ok(MessageResponse::AllExtensionNumbersResponse(ExtensionNumberResponse {
            base_type_name: message.to_owned(),
            extension_number: Vec::new(),
        }))
    }
}

fn not_found(kind: &str, name: &str) -> (Code, String) {
    (Code::NotFound, format!("{kind} {name} not found"))
}

/// The full names that a file declares.
#[derive(Default)]
struct Symbols {
    names: Vec<String>,
    messages: Vec<String>,
}

impl Symbols {
    fn add_file(&mut self, file: &FileDescriptorProto) {
        let package = file.package();
        for service in &file.service {
            let service_name = full_name(package, service.name());
            self.add_all(&service_name, service.method.iter().map(MethodDescriptorProto::name));
            self.names.push(service_name);
        }
        file.message_type.iter().for_each(|message| self.add_message(package, message));
        file.enum_type.iter().for_each(|kind| self.add_enum(package, kind));
    }

    fn add_message(&mut self, parent: &str, message: &DescriptorProto) {
        let name = full_name(parent, message.name());
        self.add_all(&name, message.field.iter().map(FieldDescriptorProto::name));
        self.add_all(&name, message.oneof_decl.iter().map(OneofDescriptorProto::name));
        message.nested_type.iter().for_each(|nested| self.add_message(&name, nested));
        message.enum_type.iter().for_each(|kind| self.add_enum(&name, kind));
        self.names.push(name.clone());
        self.messages.push(name);
    }

    /// The values of an enum are its siblings, as in C++.
    fn add_enum(&mut self, parent: &str, kind: &EnumDescriptorProto) {
        self.names.push(full_name(parent, kind.name()));
        self.add_all(parent, kind.value.iter().map(EnumValueDescriptorProto::name));
    }

    fn add_all<'a>(&mut self, parent: &str, names: impl Iterator<Item = &'a str>) {
        self.names.extend(names.map(|name| full_name(parent, name)));
    }
}

/// A file without a package declares `Name`, not `.Name`.
fn full_name(parent: &str, name: &str) -> String {
    if parent.is_empty() { name.to_owned() } else { format!("{parent}.{name}") }
}

#[cfg(test)]
mod tests {
    use prost_types::ServiceDescriptorProto;

    use super::*;

    /// Builds the descriptors of `shop/order.proto`, which imports
    /// `shop/item.proto`, which imports `base.proto`, which has no package.
    fn shop() -> &'static [u8] {
        let some = |name: &str| Some(name.to_owned());
        let file = |name: &str, package: Option<&str>, imports: &[&str]| FileDescriptorProto {
            name: some(name),
            package: package.map(str::to_owned),
            dependency: imports.iter().map(ToString::to_string).collect(),
            ..Default::default()
        };
        let message = |name: &str| DescriptorProto { name: some(name), ..Default::default() };
        let kind = |name: &str, value: &str| EnumDescriptorProto {
            name: some(name),
            value: vec![EnumValueDescriptorProto { name: some(value), ..Default::default() }],
            ..Default::default()
        };
        let service = |name: &str, method: &str| ServiceDescriptorProto {
            name: some(name),
            method: vec![MethodDescriptorProto { name: some(method), ..Default::default() }],
            ..Default::default()
        };

        let mut order = file("shop/order.proto", Some("shop"), &["shop/item.proto"]);
        order.service = vec![service("Shop", "Buy"), service("Depot", "Fill")];
        order.message_type = vec![DescriptorProto {
            field: vec![FieldDescriptorProto { name: some("number"), ..Default::default() }],
            oneof_decl: vec![OneofDescriptorProto { name: some("payment"), ..Default::default() }],
            nested_type: vec![DescriptorProto {
                nested_type: vec![message("Part")],
                enum_type: vec![kind("Size", "SMALL")],
                ..message("Line")
            }],
            ..message("Order")
        }];
        order.enum_type = vec![kind("State", "OPEN")];
        let mut item = file("shop/item.proto", Some("shop"), &["base.proto"]);
        item.message_type = vec![message("Item")];
        let mut base = file("base.proto", None, &[]);
        base.message_type = vec![message("Id")];
        base.service = vec![service("Base", "Get")];

        FileDescriptorSet { file: vec![base, item, order] }.encode_to_vec().leak()
    }

    const HEALTH: &str = "grpc.health.v1.Health";

    fn index() -> DescriptorIndex {
        let health = greet_proto::FILE_DESCRIPTOR_SET;
        let shop = shop();
        DescriptorIndex::new(&[("shop.Shop", shop), (HEALTH, health), ("Base", shop)])
    }

    fn respond(request: MessageRequest) -> MessageResponse {
        let request =
            ServerReflectionRequest { host: String::new(), message_request: Some(request) };
        index().respond(request).message_response.unwrap()
    }

    /// Returns the names of the files in the response, or `None` for an error.
    fn files(request: MessageRequest) -> Option<Vec<String>> {
        match respond(request) {
            MessageResponse::FileDescriptorResponse(response) => {
                let files = response.file_descriptor_proto.iter();
                let name = |file: &Vec<u8>| FileDescriptorProto::decode(&file[..]).unwrap().name;
                Some(files.filter_map(name).collect())
            }
            MessageResponse::ErrorResponse(error) => {
                assert_eq!(error.error_code, Code::NotFound as i32);
                None
            }
            other => panic!("neither files nor an error: {other:?}"),
        }
    }

    #[test]
    fn exactly_the_served_services_are_listed_in_order() {
        let MessageResponse::ListServicesResponse(list) =
            respond(MessageRequest::ListServices(String::new()))
        else {
            panic!("no list");
        };
        let names: Vec<_> = list.service.iter().map(|service| service.name.as_str()).collect();
        assert_eq!(names, ["Base", HEALTH, "shop.Shop"]);
    }

    #[test]
    fn file_is_followed_by_its_imports() {
        let by_name = |name: &str| files(MessageRequest::FileByFilename(name.into()));
        assert_eq!(
            by_name("shop/order.proto").unwrap(),
            ["shop/order.proto", "shop/item.proto", "base.proto"]
        );
        assert_eq!(by_name("base.proto").unwrap(), ["base.proto"]);
        let health = "grpc/health/v1/health.proto";
        assert_eq!(by_name(health).unwrap(), [health]);
        assert_eq!(by_name("order.proto"), None);
    }

    #[test]
    fn every_kind_of_symbol_resolves_to_its_file() {
        let of_symbol = |name: &str| files(MessageRequest::FileContainingSymbol(name.into()));
        let of_order = [
            "shop.Shop",
            "shop.Shop.Buy",
            "shop.Depot", // described, although not served
            "shop.Order",
            "shop.Order.number",
            "shop.Order.payment",
            "shop.Order.Line",
            "shop.Order.Line.Part",
            "shop.Order.Line.Size",
            "shop.Order.Line.SMALL",
            "shop.State",
            "shop.OPEN",
        ];
        for symbol in of_order {
            assert_eq!(of_symbol(symbol).expect(symbol)[0], "shop/order.proto", "{symbol}");
        }
        for symbol in ["Id", "Base", "Base.Get"] {
            assert_eq!(of_symbol(symbol).expect(symbol), ["base.proto"], "{symbol}");
        }
        for symbol in [".Base", "shop", "shop.Order.Line.Size.SMALL", "Order", ""] {
            assert_eq!(of_symbol(symbol), None, "{symbol}");
        }
    }

    #[test]
    fn nested_message_has_an_empty_list_of_extensions() {
        let name = "shop.Order.Line.Part".to_owned();
        let response = respond(MessageRequest::AllExtensionNumbersOfType(name.clone()));
        let expected = ExtensionNumberResponse { base_type_name: name, extension_number: vec![] };
        assert_eq!(response, MessageResponse::AllExtensionNumbersResponse(expected));
    }
}
