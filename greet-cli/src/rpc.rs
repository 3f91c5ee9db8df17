//! One unary call on a connection: gRPC over HTTP/2, as the protocol document has it.
//!
//! The generated client would hide what a failure is to be told from: which headers came and which
//! trailers, whether there was a status at all, whether the request was ever sent.

use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, TE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use prost::Message;
use tonic::{Code, Status};

use crate::connection::Connection;
use crate::status::{of_broken_stream, of_reply, was_not_accepted};

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const TRAILERS: HeaderValue = HeaderValue::from_static("trailers");
const OURSELVES: HeaderValue =
    HeaderValue::from_static(concat!("greet-cli/", env!("CARGO_PKG_VERSION")));

/// One byte of flags, four of length.
const PREFIX_BYTES: usize = 5;
/// The limit that other gRPC clients have for a reply.
const MOST_REPLY_BYTES: usize = 4 * 1024 * 1024;

/// How a call ended.
#[derive(Debug)]
pub(crate) struct Ended<Reply> {
    pub(crate) result: Result<Reply, Status>,
    pub(crate) headers: HeaderMap,
    pub(crate) trailers: HeaderMap,
}

/// The server took no part in the call: it was never sent, or the server has said that it did nothing
/// with it. On another connection it may be sent as if new.
#[derive(Debug)]
pub(crate) struct NotAccepted;

/// Calls the method at `uri` with `timeout` as its deadline there; the caller keeps its own.
pub(crate) async fn unary<Reply: Message + Default>(
    connection: &mut Connection,
    uri: Uri,
    metadata: &HeaderMap,
    timeout: Duration,
    message: &impl Message,
) -> Result<Ended<Reply>, NotAccepted> {
    let request = request(uri, metadata, timeout, message);
    let response = match connection.sender.try_send_request(request).await {
        Ok(response) => response,
        Err(failed) if failed.message().is_some() || was_not_accepted(failed.error()) => {
            return Err(NotAccepted);
        }
        Err(failed) => return Ok(Ended::early(of_broken_stream(&failed.into_error()))),
    };
    let (head, body) = response.into_parts();
    let body = Limited::new(body, MOST_REPLY_BYTES + PREFIX_BYTES);
    let (result, trailers) = match body.collect().await {
        Ok(body) => {
            let trailers = body.trailers().cloned().unwrap_or_default();
            let result = match of_reply(head.status, &head.headers, &trailers) {
                status if status.code() == Code::Ok => decode(&body.to_bytes()),
                status => Err(status),
            };
            (result, trailers)
        }
        Err(error) => (Err(broken_body(&*error)), HeaderMap::new()),
    };
    Ok(Ended { result, headers: head.headers, trailers })
}

impl<Reply> Ended<Reply> {
    /// Before any header came.
    pub(crate) fn early(status: Status) -> Ended<Reply> {
        Ended { result: Err(status), headers: HeaderMap::new(), trailers: HeaderMap::new() }
    }
}

fn request(
    uri: Uri,
    metadata: &HeaderMap,
    timeout: Duration,
    message: &impl Message,
) -> Request<Full<Bytes>> {
    let mut body = BytesMut::with_capacity(PREFIX_BYTES + message.encoded_len());
    let length = u32::try_from(message.encoded_len());
    body.put_u8(0);
    body.put_u32(length.expect("an argument is shorter than 4 GiB"));
    message.encode(&mut body).expect("the buffer was made for it");

    let mut request = Request::new(Full::new(body.freeze()));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    headers.clone_from(metadata);
    headers.insert(CONTENT_TYPE, GRPC);
    headers.insert(TE, TRAILERS);
    headers.insert(USER_AGENT, OURSELVES);
    headers.insert("grpc-timeout", grpc_timeout(timeout));
    request
}

/// At most 8 digits and a unit, rounded up: the server must not give up before we do.
fn grpc_timeout(timeout: Duration) -> HeaderValue {
    const MOST_NUMBER: u128 = 99_999_999;
    let micros = timeout.as_micros() + 1;
    let text = match micros {
        ..=MOST_NUMBER => format!("{micros}u"),
        _ => format!("{}m", (micros.div_ceil(1_000)).min(MOST_NUMBER)),
    };
    HeaderValue::try_from(text).expect("digits and a letter")
}

/// The one message of a unary reply. Another number of them is UNIMPLEMENTED, as published.
fn decode<Reply: Message + Default>(body: &[u8]) -> Result<Reply, Status> {
    let Some((&[compressed, ref length @ ..], rest)) = body.split_first_chunk::<PREFIX_BYTES>()
    else {
        return Err(match body.is_empty() {
            true => Status::unimplemented("the reply has no message"),
            false => Status::internal("the reply ends within its message"),
        });
    };
    if compressed != 0 {
        return Err(Status::internal("the reply is compressed, which was not asked for"));
    }
    let Some((message, rest)) = rest.split_at_checked(u32::from_be_bytes(*length) as usize) else {
        return Err(Status::internal("the reply ends within its message"));
    };
    if !rest.is_empty() {
        return Err(Status::unimplemented("the reply has more than one message"));
    }
    Reply::decode(message)
        .map_err(|error| Status::internal(format!("the reply cannot be decoded: {error}")))
}

fn broken_body(error: &(dyn std::error::Error + Send + Sync + 'static)) -> Status {
    match error.downcast_ref::<hyper::Error>() {
        Some(error) => of_broken_stream(error),
        None => Status::resource_exhausted(format!("the reply is over {MOST_REPLY_BYTES} bytes")),
    }
}

#[cfg(test)]
mod tests {
    use greet_proto::HelloReply;

    use super::*;

    fn decoded(body: &[u8]) -> Result<String, Code> {
        decode::<HelloReply>(body).map(|reply| reply.message).map_err(|status| status.code())
    }

    #[test]
    fn a_unary_reply_is_exactly_one_message() {
        assert_eq!(decoded(b"\0\0\0\0\x03\x0a\x01A"), Ok("A".to_owned()));
        assert_eq!(decoded(b"\0\0\0\0\0"), Ok(String::new()));
        assert_eq!(decoded(b""), Err(Code::Unimplemented), "none");
        assert_eq!(decoded(b"\0\0\0\0\0\0\0\0\0\0"), Err(Code::Unimplemented), "two");
        assert_eq!(decoded(b"\0\0\0"), Err(Code::Internal), "a part of its prefix");
        assert_eq!(decoded(b"\0\0\0\0\x03\x0a"), Err(Code::Internal), "a part of it");
        assert_eq!(decoded(b"\x01\0\0\0\0"), Err(Code::Internal), "compressed");
        assert_eq!(decoded(b"\0\0\0\0\x02\x0a\x05"), Err(Code::Internal), "no protobuf");
    }

    #[test]
    fn a_timeout_has_at_most_eight_digits_and_is_never_rounded_down() {
        assert_eq!(grpc_timeout(Duration::from_millis(300)), "300001u");
        assert_eq!(grpc_timeout(Duration::from_secs(99)), "99000001u");
        assert_eq!(grpc_timeout(Duration::from_secs(100)), "100001m");
        assert_eq!(grpc_timeout(Duration::from_secs(24 * 3_600)), "86400001m");
        assert_eq!(grpc_timeout(Duration::MAX), "99999999m");
    }
}
