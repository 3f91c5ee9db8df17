//! The methods that commands call by name: their paths, and the form of their requests and replies.

mod json;
// <greeter>
mod say_hello;
// </greeter>

use std::fmt::Debug;

use bytes::Bytes;
use http::uri::PathAndQuery;
use serde_json::{Map, Value};

pub(crate) use self::json::{JsonMethod, unary_methods};
// <greeter>
pub(crate) use self::say_hello::SayHello;
// </greeter>

/// A unary method, which turns a line of input into a request, and a reply into a line of output.
pub(crate) trait Method: Debug + Send + Sync {
    fn path(&self) -> &PathAndQuery;

    /// The identifier of the schema of a call in JSON.
    fn schema(&self) -> &'static str;

    /// Encodes a request with its prefix, or returns the reason that the input is not one.
    fn encode(&self, input: &str) -> Result<Bytes, String>;

    /// Decodes a reply, or returns the problem.
    fn decode(&self, reply: Bytes) -> Result<Value, String>;

    /// Returns a reply as a line that is safe for a terminal.
    fn line(&self, reply: &Value) -> String;

    /// Returns the keys of a call in JSON that differ between methods.
    fn facts(&self, input: &str, reply: Option<&Value>) -> Map<String, Value>;
}

/// Returns `package.Service/Method`.
pub(crate) fn name(method: &dyn Method) -> &str {
    method.path().path().trim_start_matches('/')
}
