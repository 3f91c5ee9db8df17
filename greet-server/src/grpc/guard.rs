//! Admits or rejects a call by its headers, before either path of the service sees it.

use std::rc::Rc;
use std::sync::Arc;

use http::HeaderMap;
use rustls::pki_types::CertificateDer;
use tokio::time::Instant;
use tonic::Status;

use super::connection_state::Peer;
use super::method::Method;
use crate::telemetry::trace_context::TraceId;

/// Decides on a call: an error is its status. A worker has its own guard, so the guard's state, such
/// as a rate limiter, belongs to one worker unless an `Arc` shares it. A guard must not block.
pub type Guard = Rc<dyn Fn(&Caller, &Method, &HeaderMap) -> Result<(), Status>>;

/// What is known of a call besides its message.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The other side of the connection: a client or a proxy.
    pub peer: Peer,
    /// The verified client certificate of the connection.
    pub client_certificate: Option<Arc<CertificateDer<'static>>>,
    /// The end of the time for the call, from `grpc-timeout` or `--request-timeout`.
    pub deadline: Option<Instant>,
    /// The trace that the client started (W3C Trace Context).
    pub trace_id: Option<TraceId>,
}
