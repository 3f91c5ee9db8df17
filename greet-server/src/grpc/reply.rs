//! A reply that is complete when it is sent: that of a unary call, a status alone, or an HTTP response
//! that is not gRPC.

use std::rc::Rc;

use bytes::Bytes;
use h2::SendStream;
use h2::server::SendResponse;
use http::{HeaderMap, Response, StatusCode};
use http_body_util::Full;
use tonic::body::Body;
use tonic::{Code, Status};

use super::call_record::CallRecord;
use super::in_flight::InFlight;
use super::response_headers::{ReplyTemplate, strip_connection_headers};
use super::sent_replies::ReplyBytes;
use super::web::WebCall;
use super::worker_state::WorkerState;

/// A reply without parts that are yet to come.
pub(crate) struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    kind: ReplyKind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ReplyKind {
    /// The only message of a unary call with the status OK. The body has its prefix.
    Message,
    /// The headers are the whole reply (Trailers-Only), or it is not gRPC.
    Whole,
}

impl Reply {
    /// Creates the reply of a unary call with the status OK; `message` includes the prefix.
    pub(super) fn message(metadata: HeaderMap, message: Bytes) -> Reply {
        let (status, kind) = (StatusCode::OK, ReplyKind::Message);
        Reply { status, headers: metadata, body: message, kind }
    }

    /// Creates the reply of a failed call (Trailers-Only).
    pub(super) fn status(status: Status) -> Reply {
        let (head, ()) = status.into_http::<()>().into_parts();
        let mut headers = head.headers;
        strip_connection_headers(&mut headers);
        Reply { status: head.status, headers, body: Bytes::new(), kind: ReplyKind::Whole }
    }

    /// Creates an HTTP response that is not gRPC.
    pub(super) fn http(status: StatusCode, headers: HeaderMap, text: &'static str) -> Reply {
        let body = Bytes::from_static(text.as_bytes());
        Reply { status, headers, body, kind: ReplyKind::Whole }
    }

    /// Records the status and the message.
    pub(super) fn record(&self, record: &CallRecord, state: &WorkerState) {
        match self.kind {
            ReplyKind::Message => {
                record.set_code(Code::Ok);
                record.sent(state, &self.body);
            }
            ReplyKind::Whole => record.set_status(&self.headers),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.body.len()
    }

    /// Returns the reply of a call that does not reach its method, as a response with a body.
    pub(super) fn into_response(self) -> Response<Body> {
        let body =
            if self.body.is_empty() { Body::empty() } else { Body::new(Full::new(self.body)) };
        head(self.status, self.headers).map(|()| body)
    }

    /// Passes the reply to HTTP/2, which sends it when its connection is polled. Returns the stream
    /// if the peer has to open its window first.
    ///
    /// # Errors
    /// The peer has reset the stream.
    pub(super) fn send(
        self,
        template: &ReplyTemplate,
        web: Option<&WebCall>,
        respond: &mut SendResponse<ReplyBytes>,
        call: &Rc<InFlight>,
    ) -> Result<Option<SendStream<ReplyBytes>>, h2::Error> {
        let Reply { status, mut headers, body, kind } = self;
        let is_message = kind == ReplyKind::Message;
        if is_message {
            headers = template.headers(headers);
        } else {
            template.add_instance(&mut headers);
            web.inspect(|web| web.add_headers(&mut headers));
        }
        let is_end = body.is_empty() && !is_message;
        let mut stream = respond.send_response(head(status, headers), is_end)?;
        let mut has_room = true;
        if !body.is_empty() {
            stream.reserve_capacity(body.len());
            has_room = stream.capacity() >= body.len();
            stream.send_data(ReplyBytes::new(body, call), !is_message)?;
        }
        if is_message {
            stream.send_trailers(template.trailers())?;
        }
        Ok((!has_room).then_some(stream))
    }
}

fn head(status: StatusCode, headers: HeaderMap) -> Response<()> {
    let mut head = Response::new(());
    *head.status_mut() = status;
    *head.headers_mut() = headers;
    head
}
