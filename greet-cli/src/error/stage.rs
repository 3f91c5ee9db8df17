//! The stages of a call: name lookup, three stages of connecting, and the call itself.

/// A stage, in order. Before `Rpc` nothing of the call is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// Resolves the host name.
    Dns,
    /// Connects to an address or a Unix socket.
    Tcp,
    /// Agrees on keys, verifies certificates and negotiates HTTP/2.
    Tls,
    /// Waits for the server's SETTINGS; other gRPC libraries call this state READY.
    Http2,
    /// Sends the call.
    Rpc,
}

impl Stage {
    pub(crate) const ALL: [Stage; 5] =
        [Stage::Dns, Stage::Tcp, Stage::Tls, Stage::Http2, Stage::Rpc];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Stage::Dns => "dns",
            Stage::Tcp => "tcp",
            Stage::Tls => "tls",
            Stage::Http2 => "http2",
            Stage::Rpc => "rpc",
        }
    }
}
