//! Failures of calls that were sent. The hint depends on the status and on its source.
//! `docs/errors.md` lists them all.

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

#[derive(Debug, Clone)]
pub(crate) struct RpcError {
    pub(crate) source: StatusSource,
    /// Never OK.
    pub(crate) status: Status,
}

/// Origin of a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(test, derive(strum::EnumCount))]
pub(crate) enum StatusSource {
    /// `grpc-status` in the reply.
    Server,
    /// UNIMPLEMENTED in the reply of grpc.health.v1, or of one of its methods that is often missing.
    NoHealthService,
    NoHealthWatch,
    NoHealthList,
    /// The deadline of this program.
    Deadline,
    /// An HTTP reply other than gRPC.
    NotGrpc,
    /// An HTTP reply of a proxy that requires another client certificate.
    ClientCertificate,
    /// An HTTP reply to headers over the limit of the server (HTTP 431).
    HeadersTooLarge,
    /// A gRPC reply without `grpc-status`.
    NoStatus,
    /// A reply with status OK and not exactly one valid message.
    BadReply,
    /// RST_STREAM, or a protocol error of the peer.
    Reset,
    /// The end of the connection.
    ConnectionLost,
}

impl RpcError {
    pub(crate) fn new(source: StatusSource, status: Status) -> RpcError {
        RpcError { source, status }
    }

    pub(crate) fn undecodable(problem: &str) -> RpcError {
        let message = format!("the reply cannot be decoded: {problem}");
        RpcError::new(StatusSource::BadReply, Status::internal(message))
    }

    /// Returns what most likely helps.
    pub(crate) fn hint(&self) -> String {
        let hint = match (self.source, self.status.code()) {
            (StatusSource::Server, code) => return self.hint_for_status(code),
            (StatusSource::NoHealthService, _) => {
                "the server does not implement grpc.health.v1: check it with call or diagnose"
            }
            (StatusSource::NoHealthWatch, _) => {
                "the server does not implement grpc.health.v1.Health/Watch: use health without --watch"
            }
            (StatusSource::NoHealthList, _) => {
                "the server does not implement grpc.health.v1.Health/List: use health without --all"
            }
            (StatusSource::Deadline, _) => DEADLINE_HINT,
            (StatusSource::NotGrpc, code) => hint_for_http(code),
            (StatusSource::ClientCertificate, _) => {
                "the proxy requires a client certificate that it trusts: pass --cert and --key"
            }
            (StatusSource::HeadersTooLarge, _) => {
                "send less metadata with -H; diagnose shows the server's max_header_list_size"
            }
            (StatusSource::NoStatus, _) => "a proxy drops HTTP/2 trailers: configure it for gRPC",
            (StatusSource::BadReply, _) => {
                "check that the server has the same .proto, and that no proxy changes replies"
            }
            (StatusSource::Reset, _) => "the server or a proxy cancelled the call: see its log",
            (StatusSource::ConnectionLost, _) => {
                "the server or a proxy closed the connection; the call may have been executed"
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
            return format!("correct {} and retry", fields.collect::<Vec<_>>().join(", "));
        }
        hint_for_code(code).to_owned()
    }

    /// Returns an example of each source, then of each status.
    pub(crate) fn examples() -> Vec<RpcError> {
        use StatusSource::{
            BadReply, ClientCertificate, ConnectionLost, Deadline, HeadersTooLarge, NoHealthList,
            NoHealthService, NoHealthWatch, NoStatus, NotGrpc, Reset, Server,
        };
        let timeout = "no reply within 5s: dns 9us, tcp 85us, http2 1.2ms, rpc 5s";
        let certificate = "\"400 No required SSL certificate was sent\"";
        let bad_request = &format!("400 Bad Request (server: nginx), {certificate}");
        let not_grpc = [
            (NotGrpc, Code::Unavailable, "502 Bad Gateway (server: nginx), \"502 Bad Gateway\""),
            (NotGrpc, Code::Unauthenticated, "401 Unauthorized (www-authenticate: Bearer)"),
            (NotGrpc, Code::Unimplemented, "404 Not Found"),
            (NotGrpc, Code::Unknown, "302 Found (location: https://login.example/)"),
            (ClientCertificate, Code::Internal, bad_request),
            (HeadersTooLarge, Code::Unknown, "431 Request Header Fields Too Large"),
        ];
        let not_grpc = not_grpc.map(|(source, code, reply)| {
            (source, Status::new(code, format!("the reply is not gRPC: HTTP {reply}")))
        });
        let others = [
            (NoStatus, Status::unknown("the reply ended without grpc-status")),
            (BadReply, RpcError::undecodable("PROBLEM").status),
            (Reset, Status::internal("the server reset the call: REASON")),
            (ConnectionLost, Status::unavailable("the connection was lost before the reply")),
        ];
        let no_health = [NoHealthService, NoHealthWatch, NoHealthList]
            .map(|source| (source, Status::unimplemented("MESSAGE")));
        let statuses = (1..=16).map(|code| (Server, Status::new(code.into(), "MESSAGE")));
        let deadline = std::iter::once((Deadline, Status::deadline_exceeded(timeout)));
        let examples = deadline.chain(not_grpc).chain(others).chain(no_health).chain(statuses);
        examples.map(|(source, status)| RpcError::new(source, status)).collect()
    }
}

const DEADLINE_HINT: &str = "raise --timeout, or check what delays the server";

fn hint_for_http(code: Code) -> &'static str {
    match code {
        Code::Unavailable => "a proxy answered: check that it reaches the gRPC server behind it",
        Code::Unauthenticated | Code::PermissionDenied => {
            "a proxy requires credentials, such as -H 'authorization: Bearer …'"
        }
        Code::Unimplemented => {
            "there is no route to this method: check the host and the port in --target"
        }
        _ => "an HTTP server or a proxy answered: check --target, and HTTP/2 behind the proxy",
    }
}

fn hint_for_code(code: Code) -> &'static str {
    match code {
        Code::InvalidArgument => "the server rejected the request: see the message",
        Code::DeadlineExceeded => DEADLINE_HINT,
        Code::Unimplemented => "the server does not implement the method: check --target",
        Code::Unavailable => {
            "the server is shutting down or overloaded: retry later, or with both --retries N and \
             --retry-on UNAVAILABLE"
        }
        Code::ResourceExhausted => {
            "a limit was reached: see the message; send less at a time, or retry later"
        }
        Code::Unauthenticated | Code::PermissionDenied => {
            "send credentials, such as -H 'authorization: Bearer …'"
        }
        Code::NotFound => "the server does not know this name: check its spelling and case",
        Code::Internal | Code::Unknown | Code::DataLoss => {
            "the server or a proxy failed: see its log"
        }
        Code::Ok
        | Code::Cancelled
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange => "the server defines this status: see its documentation",
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
