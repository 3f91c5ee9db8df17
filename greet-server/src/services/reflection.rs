//! Reflection, v1 and v1alpha: a client without the .proto asks the daemon for it.
//!
//! The generated types are tonic-reflection's. Its service is not used: it ends the whole stream when
//! a symbol is unknown, where the protocol answers that one request with an error and goes on.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::stream::{Stream, StreamExt as _};
use prost::Message;
use prost_types::{FileDescriptorProto, FileDescriptorSet};
use tonic::codec::CompressionEncoding;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::server_reflection_server::ServerReflectionServer;
use tonic_reflection::pb::v1::{
    ErrorResponse, ExtensionNumberResponse, FileDescriptorResponse, ListServiceResponse,
    ServerReflectionRequest, ServerReflectionResponse, ServiceResponse,
};
use tonic_reflection::pb::{v1, v1alpha};

use super::handler::{Handler, handler};

const GZIP: CompressionEncoding = CompressionEncoding::Gzip;

pub(super) const OFF: &str = "reflection is off (--no-reflection)";

/// Both versions, answered from the same index.
pub(super) struct Reflection {
    pub(super) v1: Handler,
    pub(super) v1alpha: Handler,
}

impl Reflection {
    pub(super) fn new(max_message_bytes: usize) -> Reflection {
        let reflector = Reflector(Arc::new(Index::of_what_is_served()));
        let v1 = ServerReflectionServer::new(reflector.clone());
        let v1alpha = v1alpha::server_reflection_server::ServerReflectionServer::new(reflector);
        Reflection {
            v1: handler(v1.accept_compressed(GZIP).max_decoding_message_size(max_message_bytes)),
            v1alpha: handler(
                v1alpha.accept_compressed(GZIP).max_decoding_message_size(max_message_bytes),
            ),
        }
    }
}

#[derive(Clone)]
struct Reflector(Arc<Index>);

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl v1::server_reflection_server::ServerReflection for Reflector {
    type ServerReflectionInfoStream = Answers<ServerReflectionResponse>;

    async fn server_reflection_info(
        &self,
        requests: Request<Streaming<ServerReflectionRequest>>,
    ) -> Result<Response<Self::ServerReflectionInfoStream>, Status> {
        let index = self.0.clone();
        let answers = requests.into_inner().map(move |request| Ok(index.answer(request?)));
        Ok(Response::new(Box::pin(answers)))
    }
}

#[tonic::async_trait]
impl v1alpha::server_reflection_server::ServerReflection for Reflector {
    type ServerReflectionInfoStream = Answers<v1alpha::ServerReflectionResponse>;

    async fn server_reflection_info(
        &self,
        requests: Request<Streaming<v1alpha::ServerReflectionRequest>>,
    ) -> Result<Response<Self::ServerReflectionInfoStream>, Status> {
        let index = self.0.clone();
        let answers = requests.into_inner().map(move |request| {
            let answer = index.answer(same_bytes(&request?));
            Ok(same_bytes(&answer))
        });
        Ok(Response::new(Box::pin(answers)))
    }
}

/// v1 is v1alpha under another name: the messages are the same on the wire.
fn same_bytes<From: Message, To: Message + Default>(from: &From) -> To {
    To::decode(&from.encode_to_vec()[..]).expect("both versions have the same fields")
}

/// Everything that can be asked for.
#[derive(Debug, Default)]
struct Index {
    services: Vec<String>,
    /// Encoded `FileDescriptorProto`s by the name of the file.
    files: HashMap<String, Vec<u8>>,
    /// Services, methods, messages, enums and fields, by their full name.
    file_of_symbol: HashMap<String, String>,
    messages: Vec<String>,
}

impl Index {
    fn of_what_is_served() -> Index {
        let sets = [
            greet_proto::FILE_DESCRIPTOR_SET,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            v1::FILE_DESCRIPTOR_SET,
            v1alpha::FILE_DESCRIPTOR_SET,
        ];
        let mut index = Index::default();
        for set in sets {
            let set = FileDescriptorSet::decode(set);
            for file in set.expect("it is generated with the code that serves it").file {
                index.add(&file);
            }
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
            symbols.extend(message.enum_type.iter().map(|it| name(&full, it.name())));
            messages.extend(message.nested_type.iter().map(|nested| (full.clone(), nested)));
            self.messages.push(full.clone());
            symbols.push(full);
        }
        symbols.extend(file.enum_type.iter().map(|it| name(file.package(), it.name())));
        let file_name = file.name().to_owned();
        self.file_of_symbol.extend(symbols.into_iter().map(|symbol| (symbol, file_name.clone())));
        self.files.insert(file_name, file.encode_to_vec());
    }

    fn answer(&self, request: ServerReflectionRequest) -> ServerReflectionResponse {
        let answer = match &request.message_request {
            Some(MessageRequest::ListServices(_)) => Ok(self.list()),
            Some(MessageRequest::FileByFilename(name)) => self.file(name),
            Some(MessageRequest::FileContainingSymbol(symbol)) => {
                let file = self.file_of_symbol.get(symbol);
                file.map_or_else(|| Err(not_found("symbol", symbol)), |file| self.file(file))
            }
            Some(MessageRequest::AllExtensionNumbersOfType(message)) => self.extensions(message),
            Some(MessageRequest::FileContainingExtension(extension)) => {
                Err(not_found("extension of", &extension.containing_type))
            }
            None => Err((Code::InvalidArgument, "the request asks for nothing".to_owned())),
        };
        let answer = answer.unwrap_or_else(|(code, message)| {
            let error = ErrorResponse { error_code: code.into(), error_message: message };
            MessageResponse::ErrorResponse(error)
        });
        ServerReflectionResponse {
            valid_host: request.host.clone(),
            original_request: Some(request),
            message_response: Some(answer),
        }
    }

    fn list(&self) -> MessageResponse {
        let service = self.services.iter().map(|name| ServiceResponse { name: name.clone() });
        MessageResponse::ListServicesResponse(ListServiceResponse { service: service.collect() })
    }

    fn file(&self, name: &str) -> Result<MessageResponse, (Code, String)> {
        let file = self.files.get(name).ok_or_else(|| not_found("file", name))?;
        Ok(MessageResponse::FileDescriptorResponse(FileDescriptorResponse {
            file_descriptor_proto: vec![file.clone()],
        }))
    }

    /// Nothing here is extended (proto3 has no extensions); but only a known message has none.
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
    (Code::NotFound, format!("no {kind} {name} here"))
}
