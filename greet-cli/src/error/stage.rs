//! The stages of a call: the name look-up, three stages of connecting, and the call itself.

/// The steps of a call, in order. Until `Rpc` nothing of the call was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// The host's name to its addresses.
    Dns,
    /// A connection to one of them (or to a Unix socket).
    Tcp,
    /// Both sides agree on keys, on who they are, and on HTTP/2.
    Tls,
    /// The server's SETTINGS: what other gRPC libraries call READY.
    Http2,
    /// The call itself.
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
