//! The service of the tests that are about any call: its method calls a function.

use greet_proto::greet::greeter_server::{Greeter, GreeterServer};
pub(crate) use greet_proto::greet::{HelloReply as Reply, HelloRequest as Request};
use greet_server::Service;
use greet_server::config::Config;
use tonic::{Response, Status};

/// The path of the method, and the name of its service.
pub(crate) const PATH: &str = "/greet.Greeter/SayHello";
pub(crate) const SERVICE: &str = "greet.Greeter";

/// Returns the reply to `text`.
pub(crate) fn reply(text: &str) -> Reply {
    Reply { message: format!("Hello {text}") }
}

/// The result of the method.
pub(crate) type Result = std::result::Result<Response<Reply>, Status>;

/// Returns the service with `handler` as the implementation of the method.
pub(crate) fn of_handler<F, R>(config: &Config, handler: F) -> Service
where
    F: Fn(tonic::Request<Request>) -> R + Send + Sync + 'static,
    R: Future<Output = Result> + Send + 'static,
{
    Service::of::<GreeterServer<_>>(config, Handler(handler))
}

/// A service that calls a function.
struct Handler<F>(F);

#[tonic::async_trait]
impl<F, R> Greeter for Handler<F>
where
    F: Fn(tonic::Request<Request>) -> R + Send + Sync + 'static,
    R: Future<Output = Result> + Send + 'static,
{
    async fn say_hello(&self, request: tonic::Request<Request>) -> Result {
        (self.0)(request).await
    }
}
