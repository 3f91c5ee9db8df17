//! Why the daemon closes a connection that its peer would have kept. Every forced close has a cause,
//! every cause a count, a name in the log and a row in `docs/limits.md`.

/// A cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseCause {
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

impl CloseCause {
    /// Every cause, in the order of their numbers.
    pub const ALL: [CloseCause; 19] = [
        CloseCause::OverMaxConnections,
        CloseCause::OverMaxConnectionsPerIp,
        CloseCause::HandshakeTimeout,
        CloseCause::NotHttp2,
        CloseCause::TlsFailed,
        CloseCause::NoAlpn,
        CloseCause::ProtocolError,
        CloseCause::KeepaliveTimeout,
        CloseCause::MaxConnectionAge,
        CloseCause::MaxConnectionIdle,
        CloseCause::AgeGraceExceeded,
        CloseCause::AbandonedCalls,
        CloseCause::Drained,
        CloseCause::DrainedInHandshake,
        CloseCause::GoawayUnanswered,
        CloseCause::Http1Idle,
        CloseCause::ReplyNotTaken,
        CloseCause::Panic,
        CloseCause::Cut,
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
        matches!(self, CloseCause::OverMaxConnections | CloseCause::OverMaxConnectionsPerIp)
    }

    fn row(self) -> [&'static str; 3] {
        match self {
            CloseCause::OverMaxConnections => {
                ["over_max_connections", "over `--max-connections`", "closed before a word is said"]
            }
            CloseCause::OverMaxConnectionsPerIp => [
                "over_max_connections_per_ip",
                "over `--max-connections-per-ip`",
                "closed before a word is said",
            ],
            CloseCause::HandshakeTimeout => [
                "handshake_timeout",
                "no TLS, preface and SETTINGS within `--handshake-timeout`",
                "closed",
            ],
            CloseCause::NotHttp2 => [
                "not_http2",
                "the first bytes are not the HTTP/2 preface",
                "SETTINGS and a GOAWAY (PROTOCOL_ERROR), to HTTP/1 a 505 that says what the port is; then closed",
            ],
            CloseCause::TlsFailed => [
                "tls_failed",
                "TLS could not be agreed on: junk, plaintext, an old version, a wrong certificate or none",
                "the TLS alert that says why, then closed",
            ],
            CloseCause::NoAlpn => ["no_alpn", "TLS without `h2` by ALPN", "close_notify"],
            CloseCause::ProtocolError => [
                "protocol_error",
                "what HTTP/2 (or, for gRPC-Web, HTTP/1.1) forbids, or a flood that h2 counts",
                "GOAWAY with the code of RFC 9113 (PROTOCOL_ERROR, ENHANCE_YOUR_CALM, …); over HTTP/1.1 a 400 or 431",
            ],
            CloseCause::KeepaliveTimeout => [
                "keepalive_timeout",
                "a PING went unanswered for `--keepalive-timeout`",
                "GOAWAY, closed",
            ],
            CloseCause::MaxConnectionAge => [
                "max_connection_age",
                "`--max-connection-age` was reached, and the peer went when told to",
                "GOAWAY, its calls answered",
            ],
            CloseCause::MaxConnectionIdle => [
                "max_connection_idle",
                "no call for `--max-connection-idle`, and the peer went when told to",
                "GOAWAY",
            ],
            CloseCause::AgeGraceExceeded => [
                "age_grace_exceeded",
                "told to go, and still there after `--max-connection-age-grace`",
                "GOAWAY, then cut",
            ],
            CloseCause::AbandonedCalls => [
                "abandoned_calls",
                "calls begun and given up: over 200 at once, or one every 150 ms for long",
                "GOAWAY, closed",
            ],
            CloseCause::Drained => {
                ["drained", "the drain told it to go, and it went", "GOAWAY, its calls answered"]
            }
            CloseCause::DrainedInHandshake => [
                "drained_in_handshake",
                "the drain began, and half a second later the handshake was not done",
                "closed",
            ],
            CloseCause::GoawayUnanswered => [
                "goaway_unanswered",
                "told to go, owed nothing, and silent for 5 s",
                "GOAWAY, closed",
            ],
            CloseCause::Http1Idle => [
                "http1_idle",
                "over HTTP/1.1, no request for `--handshake-timeout`, or half of its head",
                "closed",
            ],
            CloseCause::ReplyNotTaken => [
                "reply_not_taken",
                "over HTTP/1.1, a call's time was up and its peer had not taken the reply",
                "closed; over HTTP/2 the stream is reset",
            ],
            CloseCause::Panic => {
                ["panic", "the connection's own task panicked: a fault of ours", "closed"]
            }
            CloseCause::Cut => [
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
        for (number, cause) in CloseCause::ALL.into_iter().enumerate() {
            assert_eq!(cause as usize, number, "{cause:?}");
        }
    }
}
