//! One unary call on a connection: gRPC over HTTP/2, as the protocol document has it.
//!
//! The generated client would hide what a failure is to be told from: which headers came and which
//! trailers, whether there was a status at all, whether the request was ever sent.

use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, TE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use prost::Message;
use tonic::{Code, Status};

use crate::connection::Connection;

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

/// The server took no part in the call: it was never sent, or the server's GOAWAY says that it came
/// too late (gRFC A6, "transparent retries"). On another connection it may be sent as if new.
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
        Err(failed) if failed.message().is_some() || is_told_to_go(failed.error()) => {
            return Err(NotAccepted);
        }
        Err(failed) => return Ok(Ended::early(broken(&failed.into_error()))),
    };
    let (head, body) = response.into_parts();
    let body = Limited::new(body, MOST_REPLY_BYTES + PREFIX_BYTES);
    let (result, trailers) = match body.collect().await {
        Ok(body) => {
            let trailers = body.trailers().cloned().unwrap_or_default();
            let result = match status(head.status, &head.headers, &trailers) {
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

/// The status of a reply that arrived whole: `grpc-status`, from the trailers or from headers that
/// are the whole reply; without it, what the HTTP status stands for (grpc `http-grpc-status-mapping.md`).
fn status(http: StatusCode, headers: &HeaderMap, trailers: &HeaderMap) -> Status {
    let grpc = Status::from_header_map(trailers).or_else(|| Status::from_header_map(headers));
    if let Some(status) = grpc {
        return status;
    }
    let code = match http {
        StatusCode::BAD_REQUEST => Code::Internal,
        StatusCode::UNAUTHORIZED => Code::Unauthenticated,
        StatusCode::FORBIDDEN => Code::PermissionDenied,
        StatusCode::NOT_FOUND => Code::Unimplemented,
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Code::Unavailable,
        _ => Code::Unknown,
    };
    Status::new(code, format!("the reply has no grpc-status; its HTTP status is {http}"))
}

fn decode<Reply: Message + Default>(body: &[u8]) -> Result<Reply, Status> {
    let Some((&[compressed, ref length @ ..], message)) = body.split_first_chunk::<PREFIX_BYTES>()
    else {
        return Err(Status::internal("the reply has no message"));
    };
    if compressed != 0 {
        return Err(Status::internal("the reply is compressed, which was not asked for"));
    }
    if u32::from_be_bytes(*length) as usize != message.len() {
        return Err(Status::internal("the reply is not exactly one message"));
    }
    Reply::decode(message).map_err(|error| Status::internal(format!("the reply is no {error}")))
}

fn broken_body(error: &(dyn std::error::Error + Send + Sync + 'static)) -> Status {
    match error.downcast_ref::<hyper::Error>() {
        Some(error) => broken(error),
        None => Status::resource_exhausted(format!("the reply is over {MOST_REPLY_BYTES} bytes")),
    }
}

/// Whether the stream was beyond the last one that the server's GOAWAY lets live.
fn is_told_to_go(error: &hyper::Error) -> bool {
    http2_error(error).is_some_and(|error| error.is_go_away() && error.is_remote())
}

fn http2_error(error: &hyper::Error) -> Option<&h2::Error> {
    std::error::Error::source(error)?.downcast_ref()
}

/// The stream ended without a reply. What a reset means is in "gRPC over HTTP2", section Errors.
fn broken(error: &hyper::Error) -> Status {
    let reset = http2_error(error).filter(|error| error.is_reset());
    let Some(reason) = reset.and_then(h2::Error::reason) else {
        return Status::unavailable("the connection was lost before the reply");
    };
    let code = match reason {
        h2::Reason::REFUSED_STREAM => Code::Unavailable,
        h2::Reason::CANCEL => Code::Cancelled,
        h2::Reason::ENHANCE_YOUR_CALM => Code::ResourceExhausted,
        h2::Reason::INADEQUATE_SECURITY => Code::PermissionDenied,
        _ => Code::Internal,
    };
    Status::new(code, format!("the server reset the call: {}", reason.description()))
}
