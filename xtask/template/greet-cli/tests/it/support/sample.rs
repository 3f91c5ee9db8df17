//! The call of the tests that are about any call: its arguments, its reply, and the service that
//! answers it. If the messages of the method change, this is the place to adapt.

use greet_proto::greet::greeter_server::{Greeter, GreeterServer};
pub(crate) use greet_proto::greet::{HelloReply as Reply, HelloRequest as Request};
use greet_server::Service;
use greet_server::config::Config;
use serde_json::{Value, json};
use tonic::{Response, Status};

/// The path of the method, and the name of its service.
pub(crate) const PATH: &str = "/greet.Greeter/SayHello";
pub(crate) const SERVICE: &str = "greet.Greeter";

/// A call.
pub(crate) const CALL: &[&str] = &["call", "SayHello", "--json={\"name\":\"Ada\"}"];
/// The line and the message of its reply.
pub(crate) const LINE: &str = "{\"message\":\"Hello Ada\"}\n";
pub(crate) const MESSAGE: &str = "Hello Ada";
/// The message of the reply to an empty request, which `diagnose` sends.
pub(crate) const DIAGNOSED: &str = "Hello ";

/// Calls whose requests are lines of standard input, and that flag alone.
pub(crate) const CALL_LINES: &[&str] = &["call", "SayHello", LINES];
pub(crate) const LINES: &str = "--json-from=-";

/// Returns the flag that sends `text`.
pub(crate) fn flag(text: &str) -> String {
    format!("--json={}", json!({ "name": text }))
}

/// Returns `flags`, then the arguments of a call for each text.
pub(crate) fn calls(flags: &[&str], texts: &[&str]) -> Vec<String> {
    let flags = flags.iter().chain(&CALL[..2]).map(|flag| (*flag).to_owned());
    flags.chain(texts.iter().map(|text| flag(text))).collect()
}

/// Returns the lines of input that send the texts.
pub(crate) fn input(texts: &[&str]) -> String {
    texts.iter().map(|text| format!("{}\n", json!({ "name": text }))).collect()
}

/// Returns the lines of the replies to the texts.
pub(crate) fn lines(texts: &[&str]) -> String {
    let line = |text: &&str| format!("{}\n", json!({ "message": reply(text).message }));
    texts.iter().map(line).collect()
}

/// Returns the message of the reply in a JSON object of a call or of `diagnose`.
pub(crate) fn message(object: &Value) -> &Value {
    &object["reply"]["message"]
}

/// Returns the reply to `text`.
pub(crate) fn reply(text: &str) -> Reply {
    Reply { message: format!("Hello {text}") }
}

/// The result of the method.
pub(crate) type Result = std::result::Result<Response<Reply>, Status>;

/// Returns the service with `handler` as the implementation of the method.
pub(crate) fn service<F, R>(config: &Config, handler: F) -> Service
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
