//! Any unary method of the workspace, with requests and replies in the JSON mapping of protobuf.
//!
//! The descriptors are those of every file in `proto/`. They are decoded when a command names a method,
//! because that takes longer than the start of the program.

use bytes::Bytes;
use greet_flags::method_name;
use greet_proto::FILE_DESCRIPTOR_SET;
use greet_proto::escape::is_unsafe;
use greet_proto::framing::frame;
use http::uri::PathAndQuery;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor};
use serde_json::{Deserializer, Error, Map, Value};

use super::{Method, name};
use crate::json::to_json;

/// What `load`, `diagnose` and `ping` call by default.
const DEFAULT_METHOD: &str = "greet.Greeter/SayHello";

/// A method with its descriptor.
#[derive(Debug, Clone)]
pub(crate) struct JsonMethod {
    path: PathAndQuery,
    descriptor: MethodDescriptor,
}

impl JsonMethod {
    /// Finds a method by `package.Service/Method`, with or without a leading `/`, or by an end of that
    /// which is unique. Fails with the reason and a suggestion.
    pub(crate) fn find(given: &str) -> Result<JsonMethod, String> {
        let methods = all_methods();
        let names: Vec<_> = methods.iter().map(full_name).collect();
        let name = method_name::find(given, &names, &unary_methods())?;
        let method = methods.iter().find(|method| full_name(method) == name);
        let method = method.expect("the name is that of a method");
        if !is_unary(method) {
            return Err(format!("{name} is a streaming method; only unary methods can be called"));
        }
        Ok(JsonMethod::new(method.clone()))
    }

    /// Returns the method of `load`, `diagnose` and `ping` if none is named.
    pub(crate) fn default_method() -> JsonMethod {
        JsonMethod::find(DEFAULT_METHOD).expect("the product has this method")
    }

    fn new(descriptor: MethodDescriptor) -> JsonMethod {
        let path = PathAndQuery::try_from(format!("/{}", full_name(&descriptor)));
        let path = path.expect("names of protobuf consist of letters, digits, _ and .");
        JsonMethod { path, descriptor }
    }
}

impl Method for JsonMethod {
    fn path(&self) -> &PathAndQuery {
        &self.path
    }

    fn schema(&self) -> &'static str {
        "greet.call/v1"
    }

    fn encode(&self, json: &str) -> Result<Bytes, String> {
        let mut deserializer = Deserializer::from_str(json);
        let request = DynamicMessage::deserialize(self.descriptor.input(), &mut deserializer);
        let request = request.and_then(|request| deserializer.end().map(|()| request));
        Ok(frame(&request.map_err(|error| reason(&error))?).into())
    }

    fn decode(&self, reply: Bytes) -> Result<Value, String> {
        let reply = DynamicMessage::decode(self.descriptor.output(), reply);
        let reply = reply.map_err(|error| error.to_string())?;
        to_json(&reply)
    }

    /// The line stays valid JSON, and `jq` accepts it.
    fn line(&self, reply: &Value) -> String {
        escaped(&reply.to_string())
    }

    fn facts(&self, json: &str, reply: Option<&Value>) -> Map<String, Value> {
        let request = serde_json::from_str::<Value>(json).ok();
        let facts = [
            ("method", Value::from(name(self))),
            ("request", request.into()),
            ("reply", reply.cloned().into()),
        ];
        facts.map(|(key, value)| (key.to_owned(), value)).into_iter().collect()
    }
}

/// Returns the names of all unary methods.
pub(crate) fn unary_methods() -> Vec<String> {
    all_methods().iter().filter(|method| is_unary(method)).map(full_name).collect()
}

fn is_unary(method: &MethodDescriptor) -> bool {
    !method.is_client_streaming() && !method.is_server_streaming()
}

fn all_methods() -> Vec<MethodDescriptor> {
    let pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET).expect("the build wrote it");
    pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()).collect()
}

/// Returns `package.Service/Method`.
fn full_name(method: &MethodDescriptor) -> String {
    format!("{}/{}", method.parent_service().full_name(), method.name())
}

/// Escapes characters that a terminal acts on, inside of the strings of JSON.
fn escaped(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        if is_unsafe(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            escaped.push(character);
        }
    }
    escaped
}

/// Returns the text of an error. The line number is left out if the JSON is one line, as in a file of
/// requests.
fn reason(error: &Error) -> String {
    let text = error.to_string();
    let place = match (error.line(), error.column()) {
        (0 | 1, column) => format!("column {column}"),
        (line, column) => format!("line {line} column {column}"),
    };
    let position = format!(" at line {} column {}", error.line(), error.column());
    let problem = text.strip_suffix(&position).unwrap_or(&text);
    match error.column() {
        0 if error.is_eof() => "the JSON is empty".to_owned(),
        0 => problem.to_owned(), // the value as a whole
        _ if error.is_syntax() || error.is_eof() => format!("not valid JSON at {place}: {problem}"),
        _ => format!("{problem} at {place}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHECK: &str = "grpc.health.v1.Health/Check";

    fn found(given: &str) -> Result<String, String> {
        JsonMethod::find(given).map(|method| name(&method).to_owned())
    }

    #[test]
    fn method_is_found_by_unique_end_of_its_name() {
        for name in
            [CHECK, "/grpc.health.v1.Health/Check", "v1.Health/Check", "Health/Check", "Check"]
        {
            assert_eq!(found(name).as_deref(), Ok(CHECK), "{name}");
        }
        for name in ["", "heck", "ealth/Check", "Health", "Health/", "check"] {
            assert!(found(name).is_err(), "{name}");
        }
    }

    #[test]
    fn unknown_method_is_answered_by_nearest_or_by_all() {
        let nearest = format!("did you mean {CHECK}?");
        for name in ["Chek", "health/check", "grpc.health.v1.Health/Checks"] {
            assert!(found(name).unwrap_err().ends_with(&nearest), "{name}: {:?}", found(name));
        }
        let all = found("xyz").unwrap_err();
        assert!(all.contains("; the methods are ") && all.contains(CHECK), "{all}");
        assert!(!all.contains("Health/Watch"), "{all}");
    }

    #[test]
    fn streaming_and_ambiguous_methods_are_rejected() {
        assert_eq!(
            found("Health/Watch").unwrap_err(),
            "grpc.health.v1.Health/Watch is a streaming method; only unary methods can be called"
        );
        let ambiguous = found("ServerReflectionInfo").unwrap_err();
        assert!(ambiguous.starts_with("\"ServerReflectionInfo\" is not unique: "), "{ambiguous}");
    }

    #[test]
    fn invalid_json_is_named_by_position() {
        let check = JsonMethod::find(CHECK).unwrap();
        let problem = |json: &str| check.encode(json).unwrap_err();
        assert_eq!(problem("{\"x\": 1}"), "unrecognized field name 'x' at column 4");
        assert_eq!(problem("{\n\"x\": 1}"), "unrecognized field name 'x' at line 2 column 3");
        assert!(problem("{\"service\": 1}").contains("expected a string at column 13"));
        assert_eq!(problem("{} {}"), "not valid JSON at column 4: trailing characters");
        assert_eq!(problem("[]"), "invalid type: sequence, expected a map");
        assert_eq!(problem(""), "the JSON is empty");
        assert_eq!(check.encode("{\"service\":\"a\"}").unwrap()[..], *b"\0\0\0\0\x03\x0a\x01a");
    }

    #[test]
    fn line_is_json_that_a_terminal_shows() {
        let check = JsonMethod::find(CHECK).unwrap();
        let reply = Value::from("a\n\u{1b}\u{9b}\u{202e}\u{e0001}é");
        let line = check.line(&reply);
        assert_eq!(line, "\"a\\n\\u001b\\u009b\\u202e\\udb40\\udc01é\"");
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), reply);
    }

    #[test]
    fn reply_is_decoded_to_json() {
        let check = JsonMethod::find(CHECK).unwrap();
        assert_eq!(
            check.line(&check.decode(Bytes::from_static(b"\x08\x01")).unwrap()),
            "{\"status\":\"SERVING\"}"
        );
        assert!(check.decode(Bytes::from_static(b"\x08")).is_err());
    }
}
