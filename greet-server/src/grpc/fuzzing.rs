//! The properties of what parses a request: messages, compression, gRPC-Web text, headers.

use std::io::Write as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::{FutureExt as _, stream};
use greet_proto::framing::{PREFIX_BYTES, Prefix};
use http::HeaderValue;
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, StreamBody};
use tokio::time::Instant;
use tonic::{Code, Status};

use super::deadline::{self, Deadline};
use super::memory::MemoryLimit;
use super::message_scanner::MessageScanner;
use super::request_body::RequestBody;
use super::web::{self, DecodedBody};
use super::{gzip, reject};
use crate::fuzzing::READ_SIZES;

/// The request body of a method that takes one message, or any number of them: it arrives in whole
/// messages, none over the limit, or ends with the same status however it is split.
pub fn grpc_messages(data: &[u8]) {
    let Some(([kind, limit], data)) = data.split_first_chunk::<2>() else {
        return;
    };
    let (is_client_streaming, limit) = (kind & 1 == 1, usize::from(*limit));
    let results = READ_SIZES.map(|size| {
        let scanner = MessageScanner::new(is_client_streaming, limit);
        let memory = MemoryLimit::new(u64::MAX, 1);
        let body = RequestBody::new(
            in_chunks(data, size),
            scanner,
            None,
            None,
            &memory.lease().connection().0,
        );
        let read = read(body, |messages| {
            split_messages(messages); // a frame has whole messages
            assert!(
                memory.held() <= 2 * data.len() as u64 + 64,
                "{} bytes are held",
                memory.held()
            );
        });
        assert_eq!(memory.held(), 0, "a body that is dropped holds nothing");
        read
    });
    assert_all_equal(&results);
    let [result, ..] = results;
    if let Ok(messages) = result {
        assert_eq!(messages, data, "a valid request arrives unchanged");
        let messages = split_messages(&messages);
        assert!(is_client_streaming || messages.len() == 1);
        for (prefix, payload) in messages {
            assert!(payload.len() <= limit, "a message of {} bytes", payload.len());
            assert_eq!(Prefix::decode(prefix.encode()), prefix);
        }
    }
}

/// Compressed messages: each becomes one that is not compressed, within the limit. All members of a
/// gzip stream are decompressed.
pub fn gzip_messages(data: &[u8]) {
    let Some((limit, data)) = data.split_first() else {
        return;
    };
    let limit = usize::from(*limit) * 8;
    let results = READ_SIZES.map(|size| {
        let scanner = MessageScanner::new(true, data.len());
        let memory = MemoryLimit::new(u64::MAX, 1).lease().connection().0;
        let body = RequestBody::new(in_chunks(data, size), scanner, Some(limit), None, &memory);
        // Of two messages that are not valid, the first to arrive as a whole decides on the status.
        read(body, |messages| drop(split_messages(messages))).ok()
    });
    assert_all_equal(&results);
    let [result, ..] = results;
    if let Some(decompressed) = result {
        let (sent, received) = (split_messages(data), split_messages(&decompressed));
        assert_eq!(received.len(), sent.len());
        for ((sent, sent_payload), (received, payload)) in sent.into_iter().zip(received) {
            if sent.flags == 1 {
                assert_eq!(received.flags, 0);
                assert!(payload.len() <= limit, "a message of {} bytes", payload.len());
            } else {
                assert_eq!((received, payload), (sent, sent_payload));
            }
        }
    }

    let (first, second) = data.split_at(data.len() / 2);
    let members = [compressed(first), compressed(second)].concat();
    let length = u32::try_from(members.len()).expect("an input is far below 4 GiB");
    let message = [&Prefix { flags: 1, length }.encode()[..], &members].concat();
    let at = |limit| gzip::decompress(message.clone().into(), limit).map_err(|it| it.code());
    let decompressed = at(data.len()).expect("it is within the limit");
    assert_eq!(split_messages(&decompressed)[0].1, data, "both members are decompressed");
    if let Some(below) = data.len().checked_sub(1) {
        assert_eq!(at(below), Err(Code::ResourceExhausted));
    }
}

/// The text form of gRPC-Web: what is encoded in parts is decoded to the same bytes.
pub fn grpc_web_text(data: &[u8]) {
    let decode = |text: &[u8], size| read(DecodedBody::new(in_chunks(text, size), true), |_| ());
    let results = READ_SIZES.map(|size| decode(data, size));
    assert_all_equal(&results);
    match &results[0] {
        Ok(decoded) => assert!(decoded.len() <= data.len() / 4 * 3),
        Err(code) => assert_eq!(*code, Code::Internal),
    }

    let (first, second) = data.split_at(data.len() / 3);
    let text = [STANDARD.encode(first), STANDARD.encode(second)].concat();
    for size in READ_SIZES {
        assert_eq!(decode(text.as_bytes(), size).as_deref(), Ok(data), "in chunks of {size}");
    }
}

/// `grpc-timeout`: up to eight digits and a unit, and nothing else. No timeout is above the limit of
/// the method.
pub fn grpc_timeout(data: &[u8]) {
    let parsed = deadline::parse(data);
    let (digits, unit) = data.split_at(data.len().saturating_sub(1));
    let nanos_a_unit: Option<u128> = match unit {
        b"H" => Some(3_600_000_000_000),
        b"M" => Some(60_000_000_000),
        b"S" => Some(1_000_000_000),
        b"m" => Some(1_000_000),
        b"u" => Some(1_000),
        b"n" => Some(1),
        _ => None,
    };
    let is_number = matches!(digits.len(), 1..=8) && digits.iter().all(u8::is_ascii_digit);
    let number = || digits.iter().fold(0, |sum, digit| sum * 10 + u128::from(digit & 0xf));
    let expected = nanos_a_unit.filter(|_| is_number).map(|nanos| number() * nanos);
    assert_eq!(parsed.map(|timeout| timeout.as_nanos()), expected);

    let limit = Duration::from_secs(30);
    if let Ok(header) = HeaderValue::from_bytes(data) {
        let (now, has_header) = (Instant::now(), Some(&header));
        match Deadline::resolve(has_header, Some(limit), now).map_err(|status| status.code()) {
            Ok(deadline) => {
                let at = deadline.at().expect("there is a limit");
                assert_eq!(Some(at - now), parsed.map(|timeout| timeout.min(limit)));
            }
            Err(Code::DeadlineExceeded) => assert_eq!(parsed, Some(Duration::ZERO)),
            Err(code) => assert_eq!((code, parsed), (Code::Internal, None)),
        }
        let unlimited = Deadline::resolve(has_header, None, now);
        assert_eq!(unlimited.is_ok(), parsed.is_some_and(|timeout| !timeout.is_zero()));
    }
}

/// `content-type`: gRPC, gRPC-Web or neither, whatever the case of its letters, and never both.
pub fn content_type(data: &[u8]) {
    let Ok(header) = HeaderValue::from_bytes(data) else {
        return;
    };
    let (is_grpc, encoding) = (reject::is_grpc(data), web::encoding(&header));
    let media_type = data.to_ascii_lowercase();
    assert!(!is_grpc || encoding.is_none());
    assert!(!is_grpc || media_type.starts_with(b"application/grpc"));
    assert!(encoding.is_none() || media_type.trim_ascii().starts_with(b"application/grpc-web"));
    let upper_case = HeaderValue::from_bytes(&data.to_ascii_uppercase()).expect("as valid");
    assert_eq!(web::encoding(&upper_case), encoding);
}

/// Returns a body that arrives in chunks of this size.
fn in_chunks(data: &[u8], size: usize) -> impl Body<Data = Bytes, Error = Status> + Unpin {
    let chunks: Vec<_> = data.chunks(size).map(Bytes::copy_from_slice).collect();
    StreamBody::new(stream::iter(chunks.into_iter().map(|chunk| Ok(Frame::data(chunk)))))
}

/// Reads a body to its end and calls `check` with each frame. Returns all bytes, or the status.
fn read(
    mut body: impl Body<Data = Bytes, Error = Status> + Unpin,
    check: impl Fn(&[u8]),
) -> Result<Vec<u8>, Code> {
    let mut bytes = Vec::new();
    loop {
        let frame = body.frame().now_or_never().expect("the whole request has arrived");
        let Some(frame) = frame else {
            return Ok(bytes);
        };
        let data = frame.map_err(|status| status.code())?.into_data();
        let data = data.expect("the request has no trailers");
        check(&data);
        bytes.extend_from_slice(&data);
    }
}

/// Splits whole messages by their prefixes.
#[track_caller]
fn split_messages(mut bytes: &[u8]) -> Vec<(Prefix, &[u8])> {
    let mut messages = Vec::new();
    while !bytes.is_empty() {
        let (prefix, rest) = bytes.split_first_chunk::<PREFIX_BYTES>().expect("a whole prefix");
        let prefix = Prefix::decode(*prefix);
        let (payload, rest) =
            rest.split_at_checked(prefix.length as usize).expect("a whole message");
        messages.push((prefix, payload));
        bytes = rest;
    }
    messages
}

fn compressed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("a vector takes every byte");
    encoder.finish().expect("a vector takes every byte")
}

#[track_caller]
fn assert_all_equal<T: PartialEq + std::fmt::Debug>(results: &[T]) {
    assert!(results.windows(2).all(|pair| pair[0] == pair[1]), "{results:?}");
}
