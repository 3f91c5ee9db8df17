//! Sends calls on a connection (gRPC over HTTP/2). The generated client would hide the facts that
//! identify a failure: headers, trailers, a missing status, and whether the request was sent.

use std::task::{Context, Waker};
use std::time::Duration;

use bytes::Bytes;
use greet_flags::product;
use h2::RecvStream;
use h2::client::{ResponseFuture, SendRequest};
use http::header::{CONTENT_TYPE, TE, USER_AGENT};
use http::response::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Uri};
use tokio::time::timeout;

use super::metadata::{Metadata, is_secret, redacted};
use super::response_stream::ResponseStream;
use super::status::{from_http, from_stream_error, is_grpc, was_not_processed};
use super::trace::{TRACEPARENT, Trace};
use crate::error::RpcError;

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const TRAILERS: HeaderValue = HeaderValue::from_static("trailers");
const PRODUCT: HeaderValue =
    HeaderValue::from_static(concat!(product!("-cli/"), env!("CARGO_PKG_VERSION")));
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// The number of attempts that were sent before (gRFC A6).
const PREVIOUS_ATTEMPTS: HeaderName = HeaderName::from_static("grpc-previous-rpc-attempts");

/// Enough for the title of an error page.
const MAX_ERROR_PAGE_BYTES: usize = 4 * 1024;
/// Time for the error page after its headers.
const ERROR_PAGE_TIMEOUT: Duration = Duration::from_millis(200);

/// A call before it is sent.
#[derive(Debug)]
pub(crate) struct OutgoingCall<'a> {
    pub(crate) uri: &'a Uri,
    pub(crate) headers: &'a CommonHeaders,
    pub(crate) trace: Option<Trace>,
    /// The value of `grpc-timeout`; the caller enforces the deadline.
    pub(crate) timeout: Option<Duration>,
    pub(crate) previous_attempts: u32,
}

/// The headers of all calls: the user's, those of the protocol, and the `grpc-timeout` of a call on
/// an open connection.
#[derive(Debug, Clone)]
pub(crate) struct CommonHeaders {
    headers: HeaderMap,
    /// The keys whose values come from a file.
    from_files: Vec<HeaderName>,
    timeout: GrpcTimeout,
}

/// The names and values of the headers of a request, in the order in which they are sent, without
/// credentials.
pub(crate) type SentHeaders = Vec<(String, String)>;

impl CommonHeaders {
    pub(crate) fn new(metadata: Metadata, timeout: Duration) -> CommonHeaders {
        let Metadata { mut headers, from_files } = metadata;
        // A call has passed some nanoseconds of its time when it is sent.
        let timeout = GrpcTimeout::new(timeout.saturating_sub(Duration::from_nanos(1)));
        headers.insert(CONTENT_TYPE, GRPC);
        headers.insert(TE, TRAILERS);
        headers.insert(USER_AGENT, PRODUCT);
        headers.insert(GRPC_TIMEOUT, timeout.header());
        CommonHeaders { headers, from_files, timeout }
    }

    /// Returns the headers of a request as `--verbose` prints them.
    pub(crate) fn shown(&self, request: &Request<()>) -> SentHeaders {
        let uri = request.uri();
        let pseudo_headers = [
            (":method", request.method().as_str()),
            (":scheme", uri.scheme_str().unwrap_or_default()),
            (":authority", uri.authority().map_or("", |authority| authority.as_str())),
            (":path", uri.path()),
        ];
        let pseudo_headers =
            pseudo_headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter();
        let headers = request.headers().iter().map(|(name, value)| {
            let is_secret = is_secret(name.as_str()) || self.from_files.contains(name);
            let value = String::from_utf8_lossy(value.as_bytes());
            let value = if is_secret { redacted(&value) } else { value.into_owned() };
            (name.to_string(), value)
        });
        pseudo_headers.chain(headers).collect()
    }
}

/// The server did not process the call: it was never sent, or the server reported that it ignored
/// it. It may be sent again on another connection.
#[derive(Debug)]
pub(crate) struct NotAccepted {
    /// The HTTP/2 error.
    pub(crate) reason: String,
}

impl From<h2::Error> for NotAccepted {
    fn from(error: h2::Error) -> NotAccepted {
        let reason = error.reason();
        let reason = reason.map_or_else(|| error.to_string(), |reason| format!("{reason:?}"));
        NotAccepted { reason }
    }
}

/// Sends the headers of a call, and its message with the prefix.
pub(crate) fn send(
    sender: &mut SendRequest<Bytes>,
    request: Request<()>,
    body: &Bytes,
) -> Result<ResponseFuture, NotAccepted> {
    // If either fails, the connection accepts no more calls, and the message was not sent.
    let (response, mut stream) = sender.send_request(request, false)?;
    stream.send_data(body.clone(), true)?;
    Ok(response)
}

/// Returns whether the call that was sent last still waits in h2, because the server allows no more
/// concurrent streams. h2 does not say so of calls that were queued together before any of them was
/// sent; they count as sent, which is the cautious answer.
pub(crate) fn awaits_stream(sender: &mut SendRequest<Bytes>) -> bool {
    sender.poll_ready(&mut Context::from_waker(Waker::noop())).is_pending()
}

/// Returns the reply of a unary method, with the stream that has its headers and trailers.
pub(crate) async fn unary(
    response: ResponseFuture,
) -> Result<(Result<Bytes, RpcError>, ResponseStream), NotAccepted> {
    let mut replies = open(response).await?;
    Ok((replies.only().await, replies))
}

/// Returns when the reply starts, or fails.
pub(crate) async fn open(response: ResponseFuture) -> Result<ResponseStream, NotAccepted> {
    let response = match response.await {
        Ok(response) => response,
        Err(error) if was_not_processed(&error) => return Err(error.into()),
        Err(error) => {
            let failed = Err(from_stream_error(&error));
            return Ok(ResponseStream::new(StatusCode::OK, HeaderMap::new(), failed));
        }
    };
    let (Parts { status, headers, .. }, body) = response.into_parts();
    let body = if is_grpc(&headers) {
        Ok(body)
    } else {
        let page = Box::pin(error_page(body)).await; // boxed because it is large, and rare
        Err(from_http(status, &headers, &page))
    };
    Ok(ResponseStream::new(status, headers, body))
}

/// Returns the headers of a call.
pub(crate) fn request(outgoing: &OutgoingCall<'_>) -> Request<()> {
    let mut request = Request::new(());
    *request.method_mut() = http::Method::POST;
    *request.version_mut() = http::Version::HTTP_2;
    request.uri_mut().clone_from(outgoing.uri);
    let headers = request.headers_mut();
    headers.clone_from(&outgoing.headers.headers);
    match outgoing.timeout.map(GrpcTimeout::new) {
        Some(timeout) if timeout == outgoing.headers.timeout => {}
        Some(timeout) => drop(headers.insert(GRPC_TIMEOUT, timeout.header())),
        None => drop(headers.remove(GRPC_TIMEOUT)),
    }
    if let Some(trace) = outgoing.trace {
        headers.insert(TRACEPARENT, trace.parent());
    }
    if outgoing.previous_attempts > 0 {
        headers.insert(PREVIOUS_ATTEMPTS, outgoing.previous_attempts.into());
    }
    request
}

/// The value of `grpc-timeout`: at most 8 digits and a unit, rounded up so that the server does not
/// give up first. Steps of 10 ms, from a second on, give successive calls a value that HPACK sends as
/// one byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct GrpcTimeout {
    value: u64,
    unit: char,
}

impl GrpcTimeout {
    fn new(timeout: Duration) -> GrpcTimeout {
        const MAX_VALUE: u64 = 99_999_999;
        let micros = u64::try_from(timeout.as_micros()).unwrap_or(u64::MAX).saturating_add(1);
        match micros {
            ..=999_999 => GrpcTimeout { value: micros, unit: 'u' },
            _ => {
                let millis = micros.div_ceil(10_000).saturating_mul(10);
                GrpcTimeout { value: millis.min(MAX_VALUE), unit: 'm' }
            }
        }
    }

    fn header(self) -> HeaderValue {
        let text = format!("{}{}", self.value, self.unit);
        HeaderValue::try_from(text).expect("digits and a letter")
    }
}

/// Reads the beginning of a reply that is not gRPC.
async fn error_page(mut body: RecvStream) -> Vec<u8> {
    let mut page = Vec::new();
    let reading = async {
        while page.len() < MAX_ERROR_PAGE_BYTES
            && let Some(Ok(data)) = body.data().await
        {
            page.extend_from_slice(&data);
        }
    };
    let _complete_or_not = timeout(ERROR_PAGE_TIMEOUT, reading).await;
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_timeout_has_eight_digits_and_is_rounded_up() {
        let header = |timeout| GrpcTimeout::new(timeout).header();
        assert_eq!(header(Duration::from_millis(300)), "300001u");
        assert_eq!(header(Duration::from_secs(1)), "1010m");
        assert_eq!(header(Duration::from_micros(4_999_980)), "5000m");
        assert_eq!(header(Duration::from_secs(24 * 3_600)), "86400010m");
        assert_eq!(header(Duration::MAX), "99999999m");
    }
}
