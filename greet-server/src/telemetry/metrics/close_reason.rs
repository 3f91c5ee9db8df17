//! Why the daemon closes a connection that its peer would have kept. Every forced close has a cause,
//! every cause a count, a name in the log and a row in `docs/limits.md`.

/// A cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// Over `--max-connections`.
    OverMaxConnections,
    /// Over `--max-connections-per-ip`.
    OverMaxConnectionsPerIp,
    /// No TLS, preface and SETTINGS within `--handshake-timeout`.
    HandshakeTimeout,
    /// The first bytes are not the HTTP/2 preface.
    NotHttp2,
    /// TLS could not be agreed on: junk, plaintext, an old version, a wrong certificate or none.
    TlsFailed,
    /// TLS without `h2` by ALPN.
    NoAlpn,
    /// A frame that HTTP/2 forbids, or a flood that h2 counts.
    ProtocolError,
    /// A PING went unanswered for `--keepalive-timeout`.
    KeepaliveTimeout,
    /// `--max-connection-age` was reached, and the peer went when told to.
    MaxConnectionAge,
    /// No call for `--max-connection-idle`, and the peer went when told to.
    MaxConnectionIdle,
    /// Told to go, and still there after `--max-connection-age-grace`.
    AgeGraceExceeded,
    /// Calls begun and given up: over 200 at once, or one every 150 ms for long.
    AbandonedCalls,
    /// The drain told it to go, and it went.
    Drained,
    /// The drain began, and half a second later the handshake was not done.
    DrainedInHandshake,
    /// Told to go, owed nothing, and silent for 5 s.
    GoawayUnanswered,
    /// Over HTTP/1.1, no call for `--handshake-timeout`, or half of its head.
    Http1Idle,
    /// Over HTTP/1.1, a call's time was up and its peer had not taken the reply.
    ReplyNotTaken,
    /// The connection's own task panicked: a fault of ours.
    Panic,
    /// Still there at `--drain-timeout`, or at the second signal.
    Cut,
}

impl CloseReason {
    /// Every cause, in the order of their numbers.
    pub const ALL: [CloseReason; 19] = [
        CloseReason::OverMaxConnections,
        CloseReason::OverMaxConnectionsPerIp,
        CloseReason::HandshakeTimeout,
        CloseReason::NotHttp2,
        CloseReason::TlsFailed,
        CloseReason::NoAlpn,
        CloseReason::ProtocolError,
        CloseReason::KeepaliveTimeout,
        CloseReason::MaxConnectionAge,
        CloseReason::MaxConnectionIdle,
        CloseReason::AgeGraceExceeded,
        CloseReason::AbandonedCalls,
        CloseReason::Drained,
        CloseReason::DrainedInHandshake,
        CloseReason::GoawayUnanswered,
        CloseReason::Http1Idle,
        CloseReason::ReplyNotTaken,
        CloseReason::Panic,
        CloseReason::Cut,
    ];

    /// The name in logs and figures.
    pub fn name(self) -> &'static str {
        self.row()[0]
    }

    /// What happened.
    pub fn meaning(self) -> &'static str {
        self.row()[1]
    }

    /// What the peer gets.
    pub fn peer_sees(self) -> &'static str {
        self.row()[2]
    }

    /// Whether the peer never had a connection.
    pub(crate) fn is_refusal(self) -> bool {
        matches!(self, CloseReason::OverMaxConnections | CloseReason::OverMaxConnectionsPerIp)
    }

    fn row(self) -> [&'static str; 3] {
        match self {
            CloseReason::OverMaxConnections => {
                ["over_max_connections", "over `--max-connections`", "closed before a word is said"]
            }
            CloseReason::OverMaxConnectionsPerIp => [
                "over_max_connections_per_ip",
                "over `--max-connections-per-ip`",
                "closed before a word is said",
            ],
            CloseReason::HandshakeTimeout => [
                "handshake_timeout",
                "no TLS, preface and SETTINGS within `--handshake-timeout`",
                "closed",
            ],
            CloseReason::NotHttp2 => [
                "not_http2",
                "the first bytes are not the HTTP/2 preface",
                "SETTINGS and a GOAWAY (PROTOCOL_ERROR), to HTTP/1 a 505 that says what the port is; then closed",
            ],
            CloseReason::TlsFailed => [
                "tls_failed",
                "TLS could not be agreed on: junk, plaintext, an old version, a wrong certificate or none",
                "the TLS alert that says why, then closed",
            ],
            CloseReason::NoAlpn => ["no_alpn", "TLS without `h2` by ALPN", "close_notify"],
            CloseReason::ProtocolError => [
                "protocol_error",
                "what HTTP/2 (or, for gRPC-Web, HTTP/1.1) forbids, or a flood that h2 counts",
                "GOAWAY with the code of RFC 9113 (PROTOCOL_ERROR, ENHANCE_YOUR_CALM, …); over HTTP/1.1 a 400 or 431",
            ],
            CloseReason::KeepaliveTimeout => [
                "keepalive_timeout",
                "a PING went unanswered for `--keepalive-timeout`",
                "GOAWAY, closed",
            ],
            CloseReason::MaxConnectionAge => [
                "max_connection_age",
                "`--max-connection-age` was reached, and the peer went when told to",
                "GOAWAY, its calls answered",
            ],
            CloseReason::MaxConnectionIdle => [
                "max_connection_idle",
                "no call for `--max-connection-idle`, and the peer went when told to",
                "GOAWAY",
            ],
            CloseReason::AgeGraceExceeded => [
                "age_grace_exceeded",
                "told to go, and still there after `--max-connection-age-grace`",
                "GOAWAY, then cut",
            ],
            CloseReason::AbandonedCalls => [
                "abandoned_calls",
                "calls begun and given up: over 200 at once, or one every 150 ms for long",
                "GOAWAY, closed",
            ],
            CloseReason::Drained => {
                ["drained", "the drain told it to go, and it went", "GOAWAY, its calls answered"]
            }
            CloseReason::DrainedInHandshake => [
                "drained_in_handshake",
                "the drain began, and half a second later the handshake was not done",
                "closed",
            ],
            CloseReason::GoawayUnanswered => [
                "goaway_unanswered",
                "told to go, owed nothing, and silent for 5 s",
                "GOAWAY, closed",
            ],
            CloseReason::Http1Idle => [
                "http1_idle",
                "over HTTP/1.1, no request for `--handshake-timeout`, or half of its head",
                "closed",
            ],
            CloseReason::ReplyNotTaken => [
                "reply_not_taken",
                "over HTTP/1.1, a call's time was up and its peer had not taken the reply",
                "closed; over HTTP/2 the stream is reset",
            ],
            CloseReason::Panic => {
                ["panic", "the connection's own task panicked: a fault of ours", "closed"]
            }
            CloseReason::Cut => [
                "cut",
                "still there at `--drain-timeout`, or at the second signal",
                "GOAWAY before, then cut",
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `closed` counters are found by number.
    #[test]
    fn the_order_is_that_of_the_numbers() {
        for (number, cause) in CloseReason::ALL.into_iter().enumerate() {
            assert_eq!(cause as usize, number, "{cause:?}");
        }
    }
}
