//! Every way in which a call that was sent is known to fail. The status says how it ended; how we came
//! to know decides what to do about it. `docs/errors.md` shows each.

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// A call that was sent and brought no reply.
#[derive(Debug, Clone)]
pub(crate) struct RpcError {
    pub(crate) source: StatusSource,
    /// Never OK.
    pub(crate) status: Status,
}

/// What the status was told from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(test, derive(strum::EnumCount))]
pub(crate) enum StatusSource {
    /// `grpc-status` of the server.
    Server,
    /// Our patience.
    Deadline,
    /// An HTTP reply that is not gRPC.
    NotGrpc,
    /// One of those: a proxy wants a client certificate, or another one.
    ClientCertificate,
    /// One of those: the headers are too large for the server (HTTP 431).
    HeadersTooLarge,
    /// A gRPC reply without `grpc-status`.
    NoStatus,
    /// A reply with OK that is not the one message of a unary call.
    BadReply,
    /// RST_STREAM, or HTTP/2 broken by the peer.
    Reset,
    /// The connection was lost.
    ConnectionLost,
}

impl RpcError {
    pub(crate) fn new(source: StatusSource, status: Status) -> RpcError {
        RpcError { source, status }
    }

    /// What most likely helps.
    pub(crate) fn hint(&self) -> String {
        let hint = match (self.source, self.status.code()) {
            (StatusSource::Server, code) => return self.hint_for_status(code),
            (StatusSource::Deadline, _) => DEADLINE_HINT,
            (StatusSource::NotGrpc, code) => hint_for_http(code),
            (StatusSource::ClientCertificate, _) => {
                "what ends TLS there wants a client certificate that it trusts: --cert and --key"
            }
            (StatusSource::HeadersTooLarge, _) => {
                "send less with -H; `diagnose` shows the server's max_header_list_size"
            }
            (StatusSource::NoStatus, _) => {
                "something on the way drops HTTP/2 trailers: a proxy has to be told that this is gRPC"
            }
            (StatusSource::BadReply, _) => {
                "is it a Greeter of this contract? or something on the way that changes replies"
            }
            (StatusSource::Reset, _) => {
                "the server, or something before it, gave this call up; its log says more"
            }
            (StatusSource::ConnectionLost, _) => {
                "the server is gone, or something before it; it may have executed the call"
            }
        };
        hint.to_owned()
    }

    fn hint_for_status(&self, code: Code) -> String {
        if code == Code::InvalidArgument
            && let Some(details) = self.status.get_details_bad_request()
            && !details.field_violations.is_empty()
        {
            let fields = details.field_violations.iter();
            let fields = fields.map(|field| format!("`{}`", field.field));
            return format!("change {} and call again", fields.collect::<Vec<_>>().join(", "));
        }
        hint_for_code(code).to_owned()
    }

    /// One of each, as a document shows it: first those of our own finding, then each status.
    pub(crate) fn examples() -> Vec<RpcError> {
        let found = [
            (
                StatusSource::Deadline,
                Status::deadline_exceeded(
                    "no reply within 5s: dns 9us, tcp 85us, http2 1.2ms, rpc 5s",
                ),
            ),
            (
                StatusSource::NotGrpc,
                Status::unavailable(
                    "the reply is not gRPC: HTTP 502 Bad Gateway (server: nginx), \"502 Bad Gateway\"",
                ),
            ),
            (
                StatusSource::NotGrpc,
                Status::unauthenticated(
                    "the reply is not gRPC: HTTP 401 Unauthorized (www-authenticate: Bearer)",
                ),
            ),
            (
                StatusSource::NotGrpc,
                Status::unimplemented("the reply is not gRPC: HTTP 404 Not Found"),
            ),
            (
                StatusSource::NotGrpc,
                Status::unknown(
                    "the reply is not gRPC: HTTP 302 Found (location: https://login.example/)",
                ),
            ),
            (
                StatusSource::ClientCertificate,
                Status::internal(
                    "the reply is not gRPC: HTTP 400 Bad Request (server: nginx), \
                     \"400 No required SSL certificate was sent\"",
                ),
            ),
            (
                StatusSource::HeadersTooLarge,
                Status::unknown("the reply is not gRPC: HTTP 431 Request Header Fields Too Large"),
            ),
            (StatusSource::NoStatus, Status::unknown("the reply ended without grpc-status")),
            (StatusSource::BadReply, Status::internal("the reply cannot be decoded: PROBLEM")),
            (StatusSource::Reset, Status::internal("the server reset the call: REASON")),
            (
                StatusSource::ConnectionLost,
                Status::unavailable("the connection was lost before the reply"),
            ),
        ];
        let found = found.map(|(source, status)| RpcError::new(source, status));
        let statuses = (1..=16).map(|code| Status::new(code.into(), "MESSAGE"));
        let statuses = statuses.map(|status| RpcError::new(StatusSource::Server, status));
        found.into_iter().chain(statuses).collect()
    }
}

const DEADLINE_HINT: &str = "allow more with --timeout, or find out what the server waits for";

fn hint_for_http(code: Code) -> &'static str {
    match code {
        Code::Unavailable => {
            "a proxy answered for the server: can it reach a gRPC server behind it?"
        }
        Code::Unauthenticated | Code::PermissionDenied => {
            "something before the server wants credentials, as in -H 'authorization: Bearer …'"
        }
        Code::Unimplemented => "nothing is routed to this path: is it the right host and port?",
        _ => {
            "an HTTP server or a proxy answered, not a gRPC server: is it the right host and port?"
        }
    }
}

fn hint_for_code(code: Code) -> &'static str {
    match code {
        Code::InvalidArgument => "the server refuses what was sent; its message says why",
        Code::DeadlineExceeded => DEADLINE_HINT,
        Code::Unimplemented => "the server has no such method: is it the right one?",
        Code::Unavailable => "the server is leaving, or something before it is; try again",
        Code::ResourceExhausted => {
            "a limit was reached, as the message says; less at a time, or later"
        }
        Code::Unauthenticated | Code::PermissionDenied => {
            "send credentials, as in -H 'authorization: Bearer …'"
        }
        Code::NotFound => "nothing of that name is there; its spelling counts, capitals too",
        Code::Internal | Code::Unknown | Code::DataLoss => {
            "the server, or something before it, failed at this; its log says more"
        }
        Code::Ok
        | Code::Cancelled
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange => "the status is the server's own; its documentation says more",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::mem::discriminant;

    use strum::EnumCount as _;

    use super::*;

    #[test]
    fn every_source_and_every_status_has_an_example() {
        let examples = RpcError::examples();
        let sources: HashSet<_> =
            examples.iter().map(|failed| discriminant(&failed.source)).collect();
        assert_eq!(sources.len(), StatusSource::COUNT);
        let statuses = examples.iter().filter(|failed| failed.source == StatusSource::Server);
        let codes: HashSet<i32> = statuses.map(|failed| failed.status.code().into()).collect();
        assert_eq!(codes, (1..=16).collect());
    }
}
