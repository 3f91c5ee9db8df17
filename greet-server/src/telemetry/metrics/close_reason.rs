//! The reasons for which the daemon refuses or closes a connection. Each has a counter, a name in
//! the log (the field `cause`) and a row in `docs/limits.md`.

macro_rules! close_reasons {
    ($($reason:ident $name:literal $meaning:literal => $peer_sees:literal;)*) => {
        /// A reason.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum CloseReason {
            $(#[doc = $meaning] $reason,)*
        }

        impl CloseReason {
            /// Every reason, in the order of their numbers.
            pub const ALL: [CloseReason; [$($name),*].len()] = [$(CloseReason::$reason),*];

            fn row(self) -> [&'static str; 3] {
                match self {
                    $(CloseReason::$reason => [$name, $meaning, $peer_sees],)*
                }
            }
        }
    };
}

close_reasons! {
    OverMaxConnections "over_max_connections"
        "over `--max-connections`" => "closed on accept";
    OverMaxConnectionsPerIp "over_max_connections_per_ip"
        "over `--max-connections-per-ip`" => "closed on accept";
    HandshakeTimeout "handshake_timeout"
        "no TLS, preface and SETTINGS within `--handshake-timeout`" => "closed";
    NotHttp2 "not_http2"
        "the first bytes are not the HTTP/2 preface"
        => "SETTINGS and GOAWAY (PROTOCOL_ERROR), or for HTTP/1 a 505 that names the protocol; then closed";
    TlsFailed "tls_failed"
        "TLS handshake failed: not TLS, an old version, or an invalid or missing certificate"
        => "the TLS alert, then closed";
    NoAlpn "no_alpn"
        "TLS without `h2` by ALPN" => "close_notify";
    ProtocolError "protocol_error"
        "a violation of HTTP/2 (for gRPC-Web, of HTTP/1.1), or a flood that h2 counts"
        => "GOAWAY with the code of RFC 9113 (PROTOCOL_ERROR, ENHANCE_YOUR_CALM, …); over HTTP/1.1 a 400 or 431";
    KeepaliveTimeout "keepalive_timeout"
        "a PING was not acknowledged within `--keepalive-timeout`" => "GOAWAY, closed";
    MaxConnectionAge "max_connection_age"
        "`--max-connection-age` was reached, and the connection ended within the grace"
        => "GOAWAY, its calls answered";
    MaxConnectionIdle "max_connection_idle"
        "no call for `--max-connection-idle`, and the connection ended within the grace"
        => "GOAWAY";
    FaultInjected "fault_injected"
        "a fault rule hit a call: `goaway`, and the connection ended within the grace; or over HTTP/1.1 `reset`"
        => "GOAWAY, its calls answered; for `reset`, closed";
    AgeGraceExceeded "age_grace_exceeded"
        "still open `--max-connection-age-grace` after GOAWAY" => "GOAWAY, then closed";
    AbandonedCalls "abandoned_calls"
        "too many calls started and cancelled: 200 in a burst, or one every 150 ms, beyond one per 4 answered calls"
        => "GOAWAY (ENHANCE_YOUR_CALM), closed";
    RejectedRequests "rejected_requests"
        "too many requests that HTTP/2 rejects: 1000 in a burst, or one every 150 ms"
        => "GOAWAY (ENHANCE_YOUR_CALM), closed";
    MemoryLimit "memory_limit"
        "`--memory-limit` was exceeded, and the connection held most"
        => "GOAWAY (ENHANCE_YOUR_CALM), closed";
    ControlFrames "control_frames"
        "too many frames that are neither headers nor data, beyond those that calls and replies need"
        => "GOAWAY (ENHANCE_YOUR_CALM), closed";
    Drained "drained"
        "the drain sent GOAWAY, and the connection ended" => "GOAWAY, its calls answered";
    DrainedInHandshake "drained_in_handshake"
        "the handshake was not complete 0.5 s after the drain began" => "closed";
    GoawayUnanswered "goaway_unanswered"
        "no call in flight and no frame for 5 s after GOAWAY" => "GOAWAY, closed";
    Http1Idle "http1_idle"
        "over HTTP/1.1, no complete request head within `--handshake-timeout`" => "closed";
    ReplyNotTaken "reply_not_taken"
        "the peer did not read the reply of a call whose deadline passed"
        => "closed; over HTTP/2 without flow-control window only the stream is reset";
    Panic "panic"
        "the connection's task panicked: a bug" => "closed";
    Cut "cut"
        "still open at `--drain-timeout`, or at the second signal" => "GOAWAY, then closed";
}

impl CloseReason {
    /// Returns the name in logs and metrics.
    pub fn name(self) -> &'static str {
        self.row()[0]
    }

    /// Returns the description.
    pub fn meaning(self) -> &'static str {
        self.row()[1]
    }

    /// Returns what the peer receives.
    pub fn peer_sees(self) -> &'static str {
        self.row()[2]
    }

    /// Returns whether the connection was refused on accept.
    pub(crate) fn is_refusal(self) -> bool {
        matches!(self, CloseReason::OverMaxConnections | CloseReason::OverMaxConnectionsPerIp)
    }
}
