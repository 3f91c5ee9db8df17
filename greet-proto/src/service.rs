//! Describes generated services: what a dispatcher needs to serve one without naming its methods.
//!
//! The build script implements [`GeneratedService`] for every generated server, from the same
//! descriptors as the server itself. So the table of methods cannot differ from the `.proto`.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;

use tonic::body::Body;
use tonic::codegen::{BoxFuture, http};
use tonic::server::NamedService;
use tonic::{Request, Response, Status};

/// One method of a service, as its `.proto` declares it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MethodDescriptor {
    /// `/package.Service/Method`.
    pub path: &'static str,
    /// Whether the request is a stream of messages.
    pub is_client_streaming: bool,
    /// Whether the reply is a stream of messages.
    pub is_server_streaming: bool,
}

/// The future of a handler, as `async_trait` returns it.
pub type HandlerFuture<'a, Res> =
    Pin<Box<dyn Future<Output = Result<Response<Res>, Status>> + Send + 'a>>;

/// A generated server, such as [`HealthServer`](crate::grpc::health::v1::health_server::HealthServer).
pub trait GeneratedService: NamedService + 'static {
    /// What implements the service's generated trait.
    type Implementation: Send + Sync + 'static;

    /// Encoded `google.protobuf.FileDescriptorSet` with the file of the service and its imports.
    const DESCRIPTOR_SET: &'static [u8];

    /// Creates the server: it accepts gzip and decodes messages of up to `max_message_bytes`.
    fn from_shared(implementation: Arc<Self::Implementation>, max_message_bytes: usize) -> Self;

    /// Answers a call with the generated server, whose codec handles streams and compression.
    fn serve(&self, request: http::Request<Body>) -> BoxFuture<http::Response<Body>, Infallible>;

    /// Calls `visitor` once for every method, in the order of the `.proto`.
    fn visit_methods<V: MethodVisitor<Self::Implementation>>(visitor: &mut V);
}

/// Receives the methods of a service that `T` implements.
pub trait MethodVisitor<T> {
    /// Visits a unary method. `call` runs its handler without the codec of the generated server.
    fn unary<Req, Res>(
        &mut self,
        method: MethodDescriptor,
        call: for<'a> fn(&'a T, Request<Req>) -> HandlerFuture<'a, Res>,
    ) where
        Req: prost::Message + Default + 'static,
        Res: prost::Message + 'static;

    /// Visits a method with a stream on either side.
    fn streaming(&mut self, method: MethodDescriptor);
}
