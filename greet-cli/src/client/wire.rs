//! Calls on a connection: gRPC over HTTP/2, as the protocol document has it.
//!
//! The generated client would hide what a failure is to be told from: which headers came and which
//! trailers, whether there was a status at all, whether the request was ever sent.

use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use h2::client::SendRequest;
use http::header::{CONTENT_TYPE, TE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri};
use prost::Message;
use tokio::time::timeout;
use tonic::Status;

use super::response_stream::ResponseStream;
use super::status::{from_http, from_stream_error, is_grpc, was_not_processed};
use super::trace::{TRACEPARENT, Trace};
use crate::error::{RpcError, StatusSource};

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const TRAILERS: HeaderValue = HeaderValue::from_static("trailers");
const PRODUCT: HeaderValue =
    HeaderValue::from_static(concat!("greet-cli/", env!("CARGO_PKG_VERSION")));
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// How often this call was sent before (gRFC A6).
const PREVIOUS_ATTEMPTS: HeaderName = HeaderName::from_static("grpc-previous-rpc-attempts");

/// Of an error page the title is of interest, not the pictures.
const MAX_ERROR_PAGE_BYTES: usize = 4 * 1024;
/// A page that does not come with its headers is not worth more.
const ERROR_PAGE_TIMEOUT: Duration = Duration::from_millis(200);

/// A call before it is sent.
#[derive(Debug)]
pub(crate) struct OutgoingCall<'a> {
    pub(crate) uri: Uri,
    /// Those that all calls have: [`headers`].
    pub(crate) headers: &'a HeaderMap,
    pub(crate) trace: Option<Trace>,
    /// What the server is told of the deadline; the caller keeps its own.
    pub(crate) timeout: Option<Duration>,
    /// The message with its prefix.
    pub(crate) body: Bytes,
    pub(crate) previous_attempts: u32,
}

/// How a call ended.
#[derive(Debug)]
pub(crate) struct UnaryResponse<Reply> {
    pub(crate) result: Result<Reply, RpcError>,
    pub(crate) headers: HeaderMap,
    pub(crate) trailers: HeaderMap,
    /// Whether the reply was more than a status alone.
    pub(crate) has_started: bool,
}

/// The server took no part in the call: it was never sent, or the server has said that it did nothing
/// with it. On another connection it may be sent as if new.
#[derive(Debug)]
pub(crate) struct NotAccepted {
    /// The HTTP/2 error that said so.
    pub(crate) reason: String,
}

impl NotAccepted {
    fn new(error: &h2::Error) -> NotAccepted {
        let reason =
            error.reason().map_or_else(|| error.to_string(), |reason| format!("{reason:?}"));
        NotAccepted { reason }
    }
}

/// Calls a method that has one reply.
pub(crate) async fn unary<Reply: Message + Default>(
    sender: &mut SendRequest<Bytes>,
    outgoing: &OutgoingCall<'_>,
) -> Result<UnaryResponse<Reply>, NotAccepted> {
    let mut replies = match open::<Reply>(sender, outgoing).await? {
        Ok(replies) => replies,
        Err(ended) => return Ok(ended),
    };
    let mut first = None;
    let mut count = 0;
    while let Some(reply) = replies.next().await {
        count += 1;
        first.get_or_insert(reply);
    }
    let result = match (replies.status(), first) {
        (Err(failed), _) => Err(failed),
        (Ok(()), Some(reply)) if count == 1 => reply,
        (Ok(()), reply) => {
            let number = if reply.is_some() { "more than one" } else { "no" };
            let problem = Status::unimplemented(format!("the reply has {number} message"));
            Err(RpcError::new(StatusSource::BadReply, problem))
        }
    };
    let has_started = replies.has_started();
    Ok(UnaryResponse { result, headers: replies.headers, trailers: replies.trailers, has_started })
}

/// Calls a method, and returns once its reply begins.
pub(crate) async fn open<Reply: Message + Default>(
    sender: &mut SendRequest<Bytes>,
    outgoing: &OutgoingCall<'_>,
) -> Result<Result<ResponseStream<Reply>, UnaryResponse<Reply>>, NotAccepted> {
    // An error: the connection takes no more. Without its message it is no call.
    let sent = sender.send_request(request(outgoing), false);
    let (response, mut stream) = sent.map_err(|error| NotAccepted::new(&error))?;
    let sent = stream.send_data(outgoing.body.clone(), true);
    sent.map_err(|error| NotAccepted::new(&error))?;
    let response = match response.await {
        Ok(response) => response,
        Err(error) if was_not_processed(&error) => return Err(NotAccepted::new(&error)),
        Err(error) => {
            let failed = from_stream_error(&error);
            return Ok(Err(UnaryResponse::without_trailers(failed, HeaderMap::new())));
        }
    };
    let (head, body) = response.into_parts();
    if !is_grpc(&head.headers) {
        let failed = from_http(head.status, &head.headers, &error_page(body).await);
        return Ok(Err(UnaryResponse::without_trailers(failed, head.headers)));
    }
    Ok(Ok(ResponseStream::new(head, body)))
}

impl<Reply> UnaryResponse<Reply> {
    fn without_trailers(failed: RpcError, headers: HeaderMap) -> UnaryResponse<Reply> {
        UnaryResponse {
            result: Err(failed),
            headers,
            trailers: HeaderMap::new(),
            has_started: false,
        }
    }
}

/// The headers of a call: the protocol's own, and the user's.
pub(crate) fn headers(metadata: HeaderMap) -> HeaderMap {
    let mut headers = metadata;
    headers.insert(CONTENT_TYPE, GRPC);
    headers.insert(TE, TRAILERS);
    headers.insert(USER_AGENT, PRODUCT);
    headers
}

fn request(outgoing: &OutgoingCall<'_>) -> Request<()> {
    let mut request = Request::new(());
    *request.method_mut() = http::Method::POST;
    *request.version_mut() = http::Version::HTTP_2;
    request.uri_mut().clone_from(&outgoing.uri);
    let headers = request.headers_mut();
    headers.clone_from(outgoing.headers);
    if let Some(timeout) = outgoing.timeout {
        headers.insert(GRPC_TIMEOUT, grpc_timeout(timeout));
    }
    if let Some(trace) = outgoing.trace {
        headers.insert(TRACEPARENT, trace.parent());
    }
    if outgoing.previous_attempts > 0 {
        headers.insert(PREVIOUS_ATTEMPTS, outgoing.previous_attempts.into());
    }
    request
}

/// At most 8 digits and a unit, rounded up: the server must not give up before we do. Of a second or
/// more, to ten milliseconds: calls that follow each other then say the same, and HPACK sends a byte.
fn grpc_timeout(timeout: Duration) -> HeaderValue {
    const MAX_TIMEOUT_VALUE: u128 = 99_999_999;
    let micros = timeout.as_micros() + 1;
    let text = match micros {
        ..=999_999 => format!("{micros}u"),
        _ => format!("{}m", (micros.div_ceil(10_000) * 10).min(MAX_TIMEOUT_VALUE)),
    };
    HeaderValue::try_from(text).expect("digits and a letter")
}

/// The beginning of a reply that is not gRPC.
async fn error_page(mut body: RecvStream) -> Vec<u8> {
    let mut error_page = Vec::new();
    let reading = async {
        while let Some(Ok(data)) = body.data().await {
            error_page.extend_from_slice(&data);
            if error_page.len() >= MAX_ERROR_PAGE_BYTES {
                break;
            }
        }
    };
    let _whole_or_not = timeout(ERROR_PAGE_TIMEOUT, reading).await;
    error_page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_timeout_has_eight_digits_and_is_rounded_up() {
        assert_eq!(grpc_timeout(Duration::from_millis(300)), "300001u");
        assert_eq!(grpc_timeout(Duration::from_secs(1)), "1010m");
        assert_eq!(grpc_timeout(Duration::from_micros(4_999_980)), "5000m");
        assert_eq!(grpc_timeout(Duration::from_secs(24 * 3_600)), "86400010m");
        assert_eq!(grpc_timeout(Duration::MAX), "99999999m");
    }
}
