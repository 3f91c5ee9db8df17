//! Decodes the details of a status (`grpc-status-details-bin`, a `google.rpc.Status`): the standard
//! messages of `google/rpc/error_details.proto` in the JSON mapping of protobuf, which other clients
//! print, and as lines of text. Of other types only the URL and the size are known.

use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage};
use prost_types::Any;
use serde_json::{Value, json};
use tonic::Status;
use tonic_types::pb;

use crate::format::truncated;
use crate::json::to_json;

/// Maximum lines in a message, which a server could fill with thousands.
const MAX_LINES: usize = 20;
/// Maximum characters of a value in a line.
const MAX_VALUE_CHARS: usize = 200;

/// The package of the standard messages.
const PACKAGE: &str = "google.rpc.";

/// Returns each detail as an object with its `@type`, or nothing if they are not a `google.rpc.Status`.
pub(super) fn objects(status: &Status) -> Vec<Value> {
    let details = pb::Status::decode(status.details()).map(|status| status.details);
    let details = details.unwrap_or_default();
    if details.is_empty() {
        return Vec::new(); // the usual case needs no descriptors
    }
    let pool = DescriptorPool::decode(pb::FILE_DESCRIPTOR_SET).expect("tonic-types contains it");
    let object = |Any { type_url, value }: Any| {
        let size = json!({ "valueBytes": value.len() });
        let fields = standard(&pool, &type_url, &value).unwrap_or(size);
        let name = [("@type".to_owned(), Value::String(type_url))];
        Value::Object(
            name.into_iter().chain(fields.as_object().cloned().unwrap_or_default()).collect(),
        )
    };
    details.into_iter().map(object).collect()
}

/// Decodes a message of google.rpc; `None` if it is another one, or malformed.
fn standard(pool: &DescriptorPool, url: &str, value: &[u8]) -> Option<Value> {
    let (_, name) = url.rsplit_once('/')?;
    let descriptor = pool.get_message_by_name(name).filter(|_| name.starts_with(PACKAGE))?;
    to_json(&DynamicMessage::decode(descriptor, value).ok()?).ok()
}

/// Returns the details as lines: `BadRequest field="name" description="too long"`. A list has a line
/// for each element.
pub(crate) fn lines(details: &[Value]) -> Vec<String> {
    let mut lines = Vec::new();
    for detail in details.iter().filter_map(Value::as_object) {
        let url = detail["@type"].as_str().unwrap_or_default();
        let (_, name) = url.rsplit_once('/').unwrap_or(("", url));
        let name = truncated(name.strip_prefix(PACKAGE).unwrap_or(url), MAX_VALUE_CHARS);
        let (lists, scalars): (Vec<_>, Vec<_>) =
            detail.iter().filter(|(key, _)| *key != "@type").partition(|(_, it)| it.is_array());
        let mut of_detail = Vec::new();
        if !scalars.is_empty() {
            of_detail.push(pairs(scalars.into_iter()));
        }
        for (key, list) in lists {
            of_detail.extend(list.as_array().into_iter().flatten().map(|element| match element {
                Value::Object(fields) => pairs(fields.iter()),
                element => pair(key, element),
            }));
        }
        match &of_detail[..] {
            [] => lines.push(name),
            rows => lines.extend(rows.iter().map(|row| format!("{name} {row}"))),
        }
    }
    if lines.len() > MAX_LINES {
        let more = lines.len() - MAX_LINES;
        lines.truncate(MAX_LINES);
        lines.push(format!("… and {more} more; --output json prints all"));
    }
    lines
}

fn pairs<'a>(fields: impl Iterator<Item = (&'a String, &'a Value)>) -> String {
    fields.map(|(key, value)| pair(key, value)).collect::<Vec<_>>().join(" ")
}

fn pair(key: &str, value: &Value) -> String {
    match value {
        Value::Object(fields) => pairs(fields.iter()),
        Value::String(text) => {
            let (key, text) = (truncated(key, MAX_VALUE_CHARS), truncated(text, MAX_VALUE_CHARS));
            format!("{key}={}", json!(text))
        }
        value => format!("{key}={value}"),
    }
}
