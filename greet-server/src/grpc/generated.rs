//! Answers a call with the generated service: streams, compression and gRPC-Web, over HTTP/2 and
//! HTTP/1.1.

use std::panic::AssertUnwindSafe;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Request, Response};
use http_body::Body as _;
use tonic::Status;
use tonic::body::Body;

use super::call::{Call, Route};
use super::reply::Reply;
use super::request_body::RequestBody;
use super::response_body::{ResponseBody, StreamEnd, stream_end};
use super::response_headers::strip_connection_headers;
use super::unary::panicked;
use super::web::{DecodedBody, Encoding};

/// Runs the handler, and returns its response or that of its failure.
pub(super) async fn respond<B>(
    call: &Call,
    route: Route,
    request: Request<B>,
) -> Response<ResponseBody>
where
    B: http_body::Body<Data = Bytes, Error = Status> + Send + Unpin + 'static,
{
    let is_base64 = call.web.as_ref().is_some_and(|web| web.request_encoding == Encoding::Text);
    let read_counter = call.record().and_then(|record| record.read_counter(call.state()));
    let (head, body) = request.into_parts();
    let body = DecodedBody::new(body, is_base64);
    // The generated service rejects other encodings.
    let encoding = head.headers.get("grpc-encoding");
    let is_gzip = encoding.is_some_and(|encoding| encoding.as_bytes() == b"gzip");
    let gzip_limit = is_gzip.then_some(call.state().limits.max_message_bytes);
    let scanner = call.scanner(&route);
    let mut body = RequestBody::new(body, scanner, gzip_limit, read_counter, call.memory());
    if let Err(status) = admit(call, &route, &mut body).await {
        return whole(call, Reply::status(status));
    }
    if let Some(faults) = &call.faults {
        let injected = faults.inject(call.in_flight.clone());
        if let Err(status) = route.head.timeout(injected).await.flatten() {
            return whole(call, Reply::status(status));
        }
    }
    let request = Request::from_parts(head, Body::new(body));
    // A panic fails this call only; the connection and its other calls continue.
    let handler = call.served(&route).generated.clone();
    let handler = AssertUnwindSafe(async move { handler(request).await }).catch_unwind();
    let response = route.head.timeout(handler).await;
    match response.and_then(|result| result.map_err(panicked)) {
        Ok(Ok(response)) => finish(
            call,
            response,
            route.stream.map(|deadline| {
                stream_end(deadline, route.method.at_drain, call.state().phase.clone())
            }),
        ),
        Err(status) => whole(call, Reply::status(status)),
    }
}

/// Waits for the request of a call whose client does not stream, and admits the call: a call with a
/// stream at once, a unary call when its request has arrived.
///
/// This runs in the task of the call, after those of the calls that its client has cancelled before.
async fn admit<B>(call: &Call, route: &Route, body: &mut RequestBody<B>) -> Result<(), Status>
where
    B: http_body::Body<Data = Bytes, Error = Status> + Unpin,
{
    let is_streaming = route.is_streaming();
    if is_streaming {
        call.admit(route)?;
    }
    if !route.method.descriptor.is_client_streaming {
        call.arrived(route, body.arrived()).await??;
    }
    if is_streaming { Ok(()) } else { call.admit(route) }
}

/// Returns a whole reply as a response.
pub(super) fn whole(call: &Call, reply: Reply) -> Response<ResponseBody> {
    finish(call, reply.into_response(), None)
}

fn finish(call: &Call, response: Response<Body>, end: Option<StreamEnd>) -> Response<ResponseBody> {
    let (mut head, body) = response.into_parts();
    strip_connection_headers(&mut head.headers);
    call.add_headers(&mut head.headers);
    if let Some(record) = call.record()
        && body.is_end_stream()
    {
        record.set_status(&head.headers);
    }
    let encoding = call.web.as_ref().map(|web| web.response_encoding);
    Response::from_parts(head, ResponseBody::new(body, call, encoding, end))
}
