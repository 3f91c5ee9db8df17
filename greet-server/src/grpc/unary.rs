//! Answers a unary call without compression on the fast path: one message in, one message out.
//!
//! A generated service handles streams and compression, with a buffer of 8 KiB for each direction
//! and about twenty allocations a call. A greeting is 17 bytes. A test compares the responses of
//! both paths.

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

/// Headers of the protocol, which a handler must not set.
const RESERVED: [HeaderName; 4] = [
    HeaderName::from_static("te"),
    HeaderName::from_static("grpc-message"),
    HeaderName::from_static("grpc-message-type"),
    HeaderName::from_static("grpc-status"),
];

/// Reads the request, calls `handler` and returns the whole response.
///
/// # Errors
/// The status of the handler, or of an invalid request. A panic fails this call only; the
/// connection and its other calls go on.
pub(super) async fn call<Req, Res, H, F>(
    request: Request<RequestBody>,
    in_flight: &InFlight,
    handler: H,
) -> Result<Response<ResponseBody>, Status>
where
    Req: Message + Default,
    Res: Message,
    H: FnOnce(tonic::Request<Req>) -> F,
    F: Future<Output = Result<tonic::Response<Res>, Status>>,
{
    let (head, mut body) = request.into_parts();
    let message = read(&mut body, in_flight).await?;
    drop(body);
    let metadata = MetadataMap::from_headers(head.headers);
    let request = tonic::Request::from_parts(metadata, head.extensions, message);
    let handler = AssertUnwindSafe(async { handler(request).await }).catch_unwind();
    let (metadata, message, extensions) = handler.await.map_err(panicked)??.into_parts();
    let mut response = Response::new(ResponseBody::unary(framing::frame(&message).into()));
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

/// Returns INTERNAL; the panic hook logs the payload.
pub(super) fn panicked(_payload: Box<dyn Any + Send>) -> Status {
    Status::internal("the handler failed")
}

/// Returns the only message of the request; the body fails if there are more or none.
async fn read<Req: Message + Default>(
    body: &mut RequestBody,
    in_flight: &InFlight,
) -> Result<Req, Status> {
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
    Req::decode(message).map_err(|error| Status::internal(error.to_string()))
}
