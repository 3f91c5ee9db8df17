//! Implements server reflection, v1 and v1alpha: clients read the descriptors from the server.
//!
//! The service of `tonic-reflection` is not used: it ends the stream at an unknown symbol, where the
//! protocol answers that request with an error and continues.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::stream::{Stream, StreamExt as _};
use greet_proto::grpc::reflection::v1::server_reflection_request::MessageRequest;
use greet_proto::grpc::reflection::v1::server_reflection_response::MessageResponse;
use greet_proto::grpc::reflection::v1::server_reflection_server::ServerReflectionServer;
use greet_proto::grpc::reflection::v1::{
    ErrorResponse, ExtensionNumberResponse, FileDescriptorResponse, ListServiceResponse,
    ServerReflectionRequest, ServerReflectionResponse, ServiceResponse,
};
use greet_proto::grpc::reflection::v1alpha::server_reflection_server as v1alpha_server;
use greet_proto::grpc::reflection::{v1, v1alpha};
use prost::Message;
use prost_types::{FileDescriptorProto, FileDescriptorSet};
use tonic::{Code, Request, Response, Status, Streaming};

type ResponseStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Returns the service in both versions, over one index of `descriptor_sets`.
pub(super) fn services(
    descriptor_sets: &[&[u8]],
) -> (ServerReflectionServer<Reflection>, v1alpha_server::ServerReflectionServer<Reflection>) {
    let reflection = Reflection(Arc::new(DescriptorIndex::new(descriptor_sets)));
    let v1alpha = v1alpha_server::ServerReflectionServer::new(reflection.clone());
    (ServerReflectionServer::new(reflection), v1alpha)
}

#[derive(Clone)]
pub(super) struct Reflection(Arc<DescriptorIndex>);

#[tonic::async_trait]
impl v1::server_reflection_server::ServerReflection for Reflection {
    async fn server_reflection_info(
        &self,
        requests: Request<Streaming<ServerReflectionRequest>>,
    ) -> Result<Response<ResponseStream<ServerReflectionResponse>>, Status> {
        let index = self.0.clone();
        let responses = requests.into_inner().map(move |request| Ok(index.respond(request?)));
        Ok(Response::new(Box::pin(responses)))
    }
}

#[tonic::async_trait]
impl v1alpha_server::ServerReflection for Reflection {
    async fn server_reflection_info(
        &self,
        requests: Request<Streaming<v1alpha::ServerReflectionRequest>>,
    ) -> Result<Response<ResponseStream<v1alpha::ServerReflectionResponse>>, Status> {
        let index = self.0.clone();
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

/// The descriptors of all services, by every key that a request can name.
#[derive(Debug, Default)]
struct DescriptorIndex {
    services: Vec<String>,
    /// Encoded `FileDescriptorProto`s by file name.
    files: HashMap<String, Vec<u8>>,
    /// File names by the full name of a service, method, message, enum or field.
    file_of_symbol: HashMap<String, String>,
    messages: Vec<String>,
}

impl DescriptorIndex {
    fn new(descriptor_sets: &[&[u8]]) -> DescriptorIndex {
        let mut index = DescriptorIndex::default();
        for set in descriptor_sets {
            let set = FileDescriptorSet::decode(*set).expect("generated descriptors are valid");
            set.file.iter().for_each(|file| index.add(file));
        }
        index
    }

    fn add(&mut self, file: &FileDescriptorProto) {
        let name = |parent: &str, name: &str| format!("{parent}.{name}");
        let mut symbols = Vec::new();
        for service in &file.service {
            let full = name(file.package(), service.name());
            symbols.extend(service.method.iter().map(|method| name(&full, method.name())));
            self.services.push(full.clone());
            symbols.push(full);
        }
        let mut messages: Vec<_> =
            file.message_type.iter().map(|message| (file.package().to_owned(), message)).collect();
        while let Some((parent, message)) = messages.pop() {
            let full = name(&parent, message.name());
            symbols.extend(message.field.iter().map(|field| name(&full, field.name())));
            symbols.extend(message.oneof_decl.iter().map(|oneof| name(&full, oneof.name())));
            symbols.extend(message.enum_type.iter().map(|kind| name(&full, kind.name())));
            messages.extend(message.nested_type.iter().map(|nested| (full.clone(), nested)));
            self.messages.push(full.clone());
            symbols.push(full);
        }
        symbols.extend(file.enum_type.iter().map(|kind| name(file.package(), kind.name())));
        let file_name = file.name().to_owned();
        self.file_of_symbol.extend(symbols.into_iter().map(|symbol| (symbol, file_name.clone())));
        self.files.insert(file_name, file.encode_to_vec());
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
        let service = self.services.iter().map(|name| ServiceResponse { name: name.clone() });
        MessageResponse::ListServicesResponse(ListServiceResponse { service: service.collect() })
    }

    fn file(&self, name: &str) -> Result<MessageResponse, (Code, String)> {
        let file = self.files.get(name).ok_or_else(|| not_found("file", name))?;
        Ok(MessageResponse::FileDescriptorResponse(FileDescriptorResponse {
            file_descriptor_proto: vec![file.clone()],
        }))
    }

    /// Returns an empty list for a known message: proto3 has no extensions.
    fn extensions(&self, message: &str) -> Result<MessageResponse, (Code, String)> {
        if !self.messages.iter().any(|known| known == message) {
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
