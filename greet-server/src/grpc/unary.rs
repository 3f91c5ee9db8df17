//! A unary call without compression, the short way: one message in, one out.
//!
//! What is generated for a method serves streams of any encoding, through a codec with buffers to
//! match: 8 KiB for each direction, some twenty allocations a call. A greeting is 17 bytes. The
//! generated way stays for all else, and a test holds the two to the same answers.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use bytes::{Buf as _, Bytes};
use futures_util::FutureExt as _;
use greet_proto::framing::{self, PREFIX_BYTES};
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Request, Response};
use http_body_util::BodyExt as _;
use prost::Message;
use tonic::Status;
use tonic::metadata::MetadataMap;

use super::in_flight::InFlight;
use super::request_body::RequestBody;
use super::response_body::ResponseBody;

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

/// What the protocol says in a reply, no handler may say.
const RESERVED: [HeaderName; 4] = [
    HeaderName::from_static("te"),
    HeaderName::from_static("grpc-message"),
    HeaderName::from_static("grpc-message-type"),
    HeaderName::from_static("grpc-status"),
];

/// Reads the request, asks `handler`, and has the whole reply at hand.
///
/// # Errors
/// The handler's status, or what is wrong with the request. A handler that panics costs its own call;
/// the connection and its other calls go on.
pub(super) async fn call<Asked, Answered, H, F>(
    request: Request<RequestBody>,
    in_flight: &InFlight,
    handler: H,
) -> Result<Response<ResponseBody>, Status>
where
    Asked: Message + Default,
    Answered: Message,
    H: FnOnce(tonic::Request<Asked>) -> F,
    F: Future<Output = Result<tonic::Response<Answered>, Status>>,
{
    let (head, mut body) = request.into_parts();
    let message = read(&mut body, in_flight).await?;
    drop(body);
    let metadata = MetadataMap::from_headers(head.headers);
    let request = tonic::Request::from_parts(metadata, head.extensions, message);
    let handler = AssertUnwindSafe(async { handler(request).await }).catch_unwind();
    let (metadata, message, extensions) = handler.await.map_err(panicked)??.into_parts();
    let mut response = Response::new(ResponseBody::whole(framing::frame(&message).into()));
    *response.headers_mut() = metadata.into_headers();
    if !response.headers().is_empty() {
        for name in &RESERVED {
            response.headers_mut().remove(name);
        }
    }
    response.headers_mut().insert(CONTENT_TYPE, GRPC);
    *response.extensions_mut() = extensions;
    Ok(response)
}

/// INTERNAL: what happened is in the log, by the panic hook.
pub(super) fn panicked(_payload: Box<dyn Any + Send>) -> Status {
    Status::internal("the handler failed")
}

/// The one message of the request, which its body has checked to be one.
async fn read<Asked: Message + Default>(
    body: &mut RequestBody,
    in_flight: &InFlight,
) -> Result<Asked, Status> {
    let mut message = Bytes::new();
    while let Some(frame) = body.frame().await {
        match frame?.into_data() {
            Ok(data) if !data.is_empty() => message = data,
            Ok(_) | Err(_) => {}
        }
        if body.is_complete() {
            break;
        }
    }
    if let Some(record) = in_flight.record() {
        record.received(message.len() - PREFIX_BYTES);
    }
    match message.get_u8() {
        0 => {}
        1 => {
            return Err(Status::internal(
                "protocol error: received message with compressed-flag but no grpc-encoding was specified",
            ));
        }
        flag => {
            return Err(Status::internal(format!(
                "protocol error: received message with invalid compression flag: {flag} (valid flags are 0 and 1), while sending request"
            )));
        }
    }
    message.advance(PREFIX_BYTES - 1);
    Asked::decode(message).map_err(|error| Status::internal(error.to_string()))
}
