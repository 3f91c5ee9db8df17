//! The properties that every input of a peer must keep, one function for each parser: for the fuzz
//! targets in `xtask/fuzz`, and for the tests of this crate.

use std::net::IpAddr;

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, HeaderValue, Version};

use crate::admin::{Access, access};
use crate::telemetry::trace_context::{SpanId, TraceContext};

pub use crate::grpc::fuzzing::{
    content_type, grpc_messages, grpc_timeout, grpc_web_text, gzip_messages,
};
pub use crate::net::fuzzing::{connection, frame_heads, preface};

/// The sizes of the reads in which an input arrives: no result may depend on them.
pub(crate) const READ_SIZES: [usize; 4] = [usize::MAX, 1, 4, 11];

/// `traceparent`: an accepted value has ids that are not zero, and is read the same when it is written
/// again.
pub fn traceparent(data: &[u8]) {
    let parse = |value: &[u8]| {
        let value = HeaderValue::from_bytes(value).ok()?;
        TraceContext::from_headers(&HeaderMap::from_iter([("traceparent".parse().ok()?, value)]))
    };
    let Some(context) = parse(data) else {
        return;
    };
    assert!(context.trace_id.0 != [0; 16] && context.parent_id != [0; 8]);
    let TraceContext { trace_id, parent_id, flags } = context;
    let written = format!("00-{trace_id}-{}-{flags:02x}", SpanId(parent_id));
    assert_eq!(parse(written.as_bytes()), Some(context));
    assert_eq!(data[2..written.len()], written.as_bytes()[2..]);
    assert!(data[..2] != *b"00" || data.len() == written.len(), "version 0 has no more fields");
}

/// The Host and the Origin of a request to the admin port, on a line each: a change is accepted only with
/// a host that no name server can resolve.
pub fn admin_host(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let mut headers = HeaderMap::new();
    for name in [HOST, ORIGIN] {
        if let Some(Ok(value)) = lines.next().map(HeaderValue::from_bytes) {
            headers.append(name, value);
        }
    }
    for version in [Version::HTTP_10, Version::HTTP_11] {
        let Ok(host) = access::host(&headers, version) else {
            continue;
        };
        let Some(host) = host else {
            assert!(!headers.contains_key(ORIGIN), "a page's request has a Host");
            continue;
        };
        assert_eq!(host.as_str().as_bytes(), headers[HOST].as_bytes());
        if let Some(origin) = headers.get(ORIGIN) {
            let origin = origin.as_bytes().to_ascii_lowercase();
            assert!(origin.ends_with(host.as_str().to_ascii_lowercase().as_bytes()));
        }
        if Access::default().check_change(Some(&host), false).is_ok() {
            let name = host.as_str().to_ascii_lowercase();
            let (name, port) = match name.rsplit_once(':') {
                Some((name, port)) if !port.ends_with(']') => (name, port),
                _ => (&name[..], ""),
            };
            let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
            assert!(address.is_ok() || name == "localhost", "{host} is a name");
            assert!(port.bytes().all(|byte| byte.is_ascii_digit()), "{host} has no valid port");
        }
    }
}

#[cfg(test)]
mod tests {
    use greet_testkit::fuzz::check;

    use super::*;

    #[test]
    fn every_input_keeps_the_properties_of_its_parser() {
        check("admin_host", admin_host);
        check("connection", connection);
        check("content_type", content_type);
        check("frame_heads", frame_heads);
        check("grpc_messages", grpc_messages);
        check("grpc_timeout", grpc_timeout);
        check("grpc_web_text", grpc_web_text);
        check("gzip_messages", gzip_messages);
        check("preface", preface);
        check("traceparent", traceparent);
    }
}
