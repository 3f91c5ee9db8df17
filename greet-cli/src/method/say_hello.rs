//! SayHello with its generated types: a line of input is a name, and a line of output a greeting.

use bytes::Bytes;
use greet_proto::escape::Escaped;
use greet_proto::framing::frame;
use greet_proto::greet::{HelloReply, HelloRequest};
use http::uri::PathAndQuery;
use prost::Message as _;
use serde_json::{Map, Value};

use super::Method;

const PATH: &str = "/greet.Greeter/SayHello";

#[derive(Debug)]
pub(crate) struct SayHello {
    path: PathAndQuery,
}

impl SayHello {
    pub(crate) fn new() -> SayHello {
        SayHello { path: PathAndQuery::from_static(PATH) }
    }
}

impl Method for SayHello {
    fn path(&self) -> &PathAndQuery {
        &self.path
    }

    fn schema(&self) -> &'static str {
        "greet.hello/v1"
    }

    fn encode(&self, name: &str) -> Result<Bytes, String> {
        Ok(frame(&HelloRequest { name: name.to_owned() }).into())
    }

    fn decode(&self, reply: Bytes) -> Result<Value, String> {
        let reply = HelloReply::decode(reply).map_err(|error| error.to_string())?;
        Ok(Value::String(reply.message))
    }

    /// A line end in a name does not split its reply.
    fn line(&self, reply: &Value) -> String {
        Escaped(reply.as_str().unwrap_or_default()).to_string()
    }

    fn facts(&self, name: &str, reply: Option<&Value>) -> Map<String, Value> {
        let facts = [("name", Value::from(name)), ("message", reply.cloned().into())];
        facts.map(|(key, value)| (key.to_owned(), value)).into_iter().collect()
    }
}
