//! The properties of what parses a reply: its messages and its status.

use base64::Engine as _;
use greet_proto::framing::{PREFIX_BYTES, Prefix};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use tonic::{Code, Status};

use super::metadata::BASE64;
use super::response_stream::{MAX_REPLY_BYTES, first_message};
use super::status::from_reply;

/// The trailers with a status.
const NAMES: [HeaderName; 3] =
    [Status::GRPC_STATUS, Status::GRPC_MESSAGE, Status::GRPC_STATUS_DETAILS];

/// The messages of a reply: each is found once its last byte has arrived, and not before.
pub fn reply_messages(mut data: &[u8]) {
    while let Ok(Some(message)) = first_message(data) {
        let end = PREFIX_BYTES + message.len();
        assert!(message.len() <= MAX_REPLY_BYTES);
        assert_eq!(&data[PREFIX_BYTES..end], message);
        let length = u32::try_from(message.len()).expect("within the limit");
        assert_eq!(data[..PREFIX_BYTES], Prefix { flags: 0, length }.encode());
        for incomplete in 0..end {
            let found = first_message(&data[..incomplete]);
            assert!(matches!(found, Ok(None)), "after {incomplete} of {end} bytes");
        }
        data = &data[end..];
    }
}

/// The status of a reply, of which each line is a trailer: `grpc-status`, `grpc-message`,
/// `grpc-status-details-bin`. What a server encodes is decoded to the same.
pub fn grpc_status(data: &[u8]) {
    let mut trailers = HeaderMap::new();
    for (name, line) in NAMES.into_iter().zip(data.split(|byte| *byte == b'\n')) {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            trailers.append(name, value);
        }
    }
    let received = result(&trailers);
    let number = trailers.get(Status::GRPC_STATUS).map(HeaderValue::as_bytes);
    let known = (0..=16).find(|code: &i32| number == Some(code.to_string().as_bytes()));
    match &received {
        Ok(()) => assert_eq!(known, Some(0)),
        Err(status) => assert_eq!(status.code(), known.map_or(Code::Unknown, Code::from)),
    }

    let text = String::from_utf8_lossy(data);
    let message = percent_encode(text.as_bytes(), NON_ALPHANUMERIC).to_string();
    let value = |text: String| HeaderValue::try_from(text).expect("it is ASCII");
    let values = [value("13".to_owned()), value(message), value(BASE64.encode(data))];
    let trailers = NAMES.into_iter().zip(values).collect();
    let status = result(&trailers).expect_err("13 is INTERNAL");
    assert_eq!((status.message(), status.details()), (&*text, data));
}

fn result(trailers: &HeaderMap) -> Result<(), Status> {
    from_reply(StatusCode::OK, &HeaderMap::new(), trailers).map_err(|error| error.status)
}
