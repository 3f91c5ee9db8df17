//! Decodes the details of a status (`grpc-status-details-bin`, a `google.rpc.Status`): the standard
//! messages of `google/rpc/error_details.proto` in the JSON mapping of protobuf, which other clients
//! print, and as lines of text. Of other types only the URL and the size are known.

use std::collections::BTreeMap;

use prost::Message;
use serde_json::{Map, Value, json};
use tonic::Status;
use tonic_types::pb;

/// Maximum lines in a message, which a server could fill with thousands.
const MAX_LINES: usize = 20;
/// Maximum characters of a value in a line.
const MAX_VALUE_CHARS: usize = 200;

/// The limit of `google.protobuf.Duration`; prost-types formats no longer one.
const MAX_DURATION_SECONDS: u64 = 315_576_000_000;

/// Returns each detail as an object with its `@type`, or nothing if they are not a `google.rpc.Status`.
pub(super) fn objects(status: &Status) -> Vec<Value> {
    let details = pb::Status::decode(status.details()).map(|status| status.details);
    let object = |url: String, value: &[u8]| {
        let unknown = || json!({ "valueBytes": value.len() });
        let fields = without_empty(standard(&url, value).unwrap_or_else(unknown));
        let fields = fields.and_then(|fields| fields.as_object().cloned()).unwrap_or_default();
        let name = [("@type".to_owned(), Value::String(url))];
        Value::Object(name.into_iter().chain(fields).collect())
    };
    let details = details.unwrap_or_default().into_iter();
    details.map(|detail| object(detail.type_url, &detail.value)).collect()
}

/// Decodes a message of google.rpc; `None` if it is another one, or malformed.
fn standard(url: &str, value: &[u8]) -> Option<Value> {
    let (_, name) = url.rsplit_once('/')?;
    Some(match name.strip_prefix("google.rpc.")? {
        "BadRequest" => {
            let violations = decode::<pb::BadRequest>(value)?.field_violations.into_iter();
            let violations = violations.map(|violation| {
                json!({
                    "field": violation.field,
                    "description": violation.description,
                    "reason": violation.reason,
                    "localizedMessage": violation.localized_message.map(localized_message),
                })
            });
            json!({ "fieldViolations": violations.collect::<Vec<_>>() })
        }
        "ErrorInfo" => {
            let pb::ErrorInfo { reason, domain, metadata } = decode(value)?;
            json!({ "reason": reason, "domain": domain, "metadata": BTreeMap::from_iter(metadata) })
        }
        "RetryInfo" => {
            let delay = decode::<pb::RetryInfo>(value)?.retry_delay;
            if delay.is_some_and(|delay| delay.seconds.unsigned_abs() > MAX_DURATION_SECONDS) {
                return None;
            }
            json!({ "retryDelay": delay.map(|delay| delay.to_string()) })
        }
        "QuotaFailure" => {
            let violations = decode::<pb::QuotaFailure>(value)?.violations.into_iter();
            let violations = violations.map(|violation| {
                json!({
                    "subject": violation.subject,
                    "description": violation.description,
                    "apiService": violation.api_service,
                    "quotaMetric": violation.quota_metric,
                    "quotaId": violation.quota_id,
                    "quotaDimensions": BTreeMap::from_iter(violation.quota_dimensions),
                    "quotaValue": non_zero(violation.quota_value),
                    "futureQuotaValue": violation.future_quota_value.map(|value| value.to_string()),
                })
            });
            json!({ "violations": violations.collect::<Vec<_>>() })
        }
        "PreconditionFailure" => {
            let violations = decode::<pb::PreconditionFailure>(value)?.violations.into_iter();
            let violations = violations.map(|violation| {
                json!({
                    "type": violation.r#type,
                    "subject": violation.subject,
                    "description": violation.description,
                })
            });
            json!({ "violations": violations.collect::<Vec<_>>() })
        }
        "ResourceInfo" => {
            let info: pb::ResourceInfo = decode(value)?;
            json!({
                "resourceType": info.resource_type,
                "resourceName": info.resource_name,
                "owner": info.owner,
                "description": info.description,
            })
        }
        "Help" => {
            let links = decode::<pb::Help>(value)?.links.into_iter();
            let links =
                links.map(|link| json!({ "description": link.description, "url": link.url }));
            json!({ "links": links.collect::<Vec<_>>() })
        }
        "LocalizedMessage" => localized_message(decode(value)?),
        "RequestInfo" => {
            let pb::RequestInfo { request_id, serving_data } = decode(value)?;
            json!({ "requestId": request_id, "servingData": serving_data })
        }
        "DebugInfo" => {
            let pb::DebugInfo { stack_entries, detail } = decode(value)?;
            json!({ "detail": detail, "stackEntries": stack_entries })
        }
        _ => return None,
    })
}

fn decode<M: Message + Default>(value: &[u8]) -> Option<M> {
    M::decode(value).ok()
}

fn localized_message(message: pb::LocalizedMessage) -> Value {
    json!({ "locale": message.locale, "message": message.message })
}

/// Formats an int64, which JSON has no exact number for.
fn non_zero(number: i64) -> Option<String> {
    (number != 0).then(|| number.to_string())
}

/// Removes fields without a value, as the JSON mapping does.
fn without_empty(value: Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::String(text) => (!text.is_empty()).then_some(Value::String(text)),
        Value::Array(elements) => {
            let elements: Vec<_> = elements
                .into_iter()
                .map(|element| without_empty(element).unwrap_or(Value::Object(Map::new())))
                .collect();
            (!elements.is_empty()).then_some(Value::Array(elements))
        }
        Value::Object(fields) => {
            let fields = fields.into_iter();
            let fields: Map<_, _> =
                fields.filter_map(|(key, value)| Some((key, without_empty(value)?))).collect();
            (!fields.is_empty()).then_some(Value::Object(fields))
        }
        value => Some(value),
    }
}

/// Returns the details as lines: `BadRequest field="name" description="too long"`. A list has a line
/// for each element.
pub(crate) fn lines(details: &[Value]) -> Vec<String> {
    let mut lines = Vec::new();
    for detail in details.iter().filter_map(Value::as_object) {
        let url = detail["@type"].as_str().unwrap_or_default();
        let (_, name) = url.rsplit_once('/').unwrap_or(("", url));
        let name = truncated(name.strip_prefix("google.rpc.").unwrap_or(url));
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
        Value::String(text) => format!("{}={}", truncated(key), json!(truncated(text))),
        value => format!("{key}={value}"),
    }
}

fn truncated(text: &str) -> String {
    match text.char_indices().nth(MAX_VALUE_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
