//! The list of attacks: what each does, and which limit of the daemon ends it.
//!
//! `cargo xtask hostile` measures them and the end-to-end scenarios run them, so each is defined once.

mod calls;
mod connections;
mod floods;
mod headers;
mod http1;
mod memory;
mod tls;

use super::attack::{Attack, Effect, Port};
use crate::harness::sample;

pub(crate) use memory::BURSTS_PER_PEER;

/// The default of `--max-message-bytes`.
const MESSAGE_BYTES: usize = 16_384;
/// The default of `--max-streams`. Other servers allow more; all get as many.
pub(crate) const MAX_CALLS: u32 = 200;
/// The default of `--max-streaming-calls-per-connection`.
const MAX_STREAMING_CALLS: u32 = 100;
pub(crate) const WATCH: &str = "/grpc.health.v1.Health/Watch";
const WATCH_METHOD: &str = "grpc.health.v1.Health/Watch";

/// Peers of a flood: enough to keep a core busy.
const FLOODERS: usize = 40;
/// Peers that hold what they have.
const HOLDERS: usize = 200;
/// Peers that each hold the most that a connection may.
const GREEDY: usize = 100;
/// Time for an attack to have its effect, unless a limit of the daemon is a longer time.
const SECONDS: u64 = 4;
/// More than the timeouts of 10 s: `--handshake-timeout` and `--message-timeout`.
const SECONDS_WITH_TIMEOUT: u64 = 12;

const ABANDONED: Effect = Effect::Closes("abandoned_calls");
const CONTROL: Effect = Effect::Closes("control_frames");
const HANDSHAKE: Effect = Effect::Closes("handshake_timeout");
const PROTOCOL: Effect = Effect::Closes("protocol_error");
const CONTROL_LIMIT: &str = "control frames: 1000 at once, then 20 per second";

/// A flood on the port of gRPC.
const FLOOD: Attack = Attack {
    name: "",
    what: "",
    limit: CONTROL_LIMIT,
    effect: CONTROL,
    port: Port::Grpc,
    peers: FLOODERS,
    seconds: SECONDS,
    peer: connections::silent,
};
/// Peers that hold what they have until a timeout.
const HOLD: Attack = Attack { peers: HOLDERS, seconds: SECONDS_WITH_TIMEOUT, ..FLOOD };

pub(crate) const WITHOUT_MESSAGE: Attack = Attack {
    name: "calls without a message",
    what: "opens 200 calls (HEADERS without END_STREAM) and holds them",
    limit: "`--message-timeout`: DEADLINE_EXCEEDED",
    effect: Effect::Ends(sample::METHOD, "DEADLINE_EXCEEDED"),
    peers: 60,
    peer: calls::without_message,
    ..HOLD
};

pub(crate) const WATCHES_WITHOUT_MESSAGE: Attack = Attack {
    name: "Watch without a message",
    what: "opens 200 health Watch streams, sends no message and holds them",
    limit: "`--max-streaming-calls-per-connection`: RESOURCE_EXHAUSTED",
    effect: Effect::Ends(WATCH_METHOD, "RESOURCE_EXHAUSTED"),
    port: Port::Services,
    peers: 60,
    peer: calls::watches_without_message,
    ..FLOOD
};

pub(crate) const WINDOW_THRASH: Attack = Attack {
    name: "SETTINGS window thrash",
    what: "holds 200 calls, and changes SETTINGS_INITIAL_WINDOW_SIZE without end",
    peer: floods::window_thrash,
    ..FLOOD
};

pub(crate) const UNFINISHED_MESSAGES: Attack = Attack {
    name: "unfinished messages",
    what: "sends 16 383 of 16 384 bytes in each of 200 calls and holds them",
    limit: "`--memory-limit` for all connections, `--message-timeout` for each call",
    effect: Effect::ClosesOrEnds("memory_limit", sample::METHOD, "DEADLINE_EXCEEDED"),
    peers: GREEDY,
    peer: memory::unfinished_messages,
    ..FLOOD
};

pub(crate) const SMALL_FRAMES: Attack = Attack {
    name: "1-byte frames",
    what: "sends 16 383 of 16 384 bytes of a message in frames of one byte",
    limit: "`--message-timeout`: DEADLINE_EXCEEDED",
    effect: Effect::Ends(sample::METHOD, "DEADLINE_EXCEEDED"),
    peers: GREEDY,
    peer: memory::small_frames,
    ..FLOOD
};

pub(crate) const BURSTS: Attack = Attack {
    name: "bursts of messages",
    what: "sends unfinished messages of 512 KiB on each of 100 connections at once",
    limit: "`--memory-limit` for all connections, `--message-timeout` for each call",
    effect: Effect::ClosesOrEnds("memory_limit", sample::METHOD, "DEADLINE_EXCEEDED"),
    peers: 2,
    peer: memory::bursts,
    ..FLOOD
};

pub(crate) const REPLIES_WITHOUT_WINDOW: Attack = Attack {
    name: "replies without a window",
    what: "makes 200 calls with the longest name, and gives the replies no window",
    limit: "`--request-timeout`: one second later RST_STREAM CANCEL",
    effect: Effect::Ends(sample::METHOD, "CANCELLED"),
    peers: 60,
    peer: memory::replies_without_window,
    ..FLOOD
};

pub(crate) const REFLECTION: Attack = Attack {
    name: "reflection streams",
    what: "sends requests of 64 KiB on each of 100 streams, and takes no reply",
    limit: "`--max-streaming-calls`, `--memory-limit`; a stream without progress for 20 s is reset",
    effect: Effect::Continues(65_000),
    port: Port::Services,
    peers: GREEDY,
    peer: memory::reflection,
    ..FLOOD
};

pub(crate) const SMALL_STREAM_FRAMES: Attack = Attack {
    name: "streams in 1-byte frames",
    what: "sends 64 KiB of requests on a stream in frames of one byte, and takes no reply",
    limit: "`--memory-limit`; a stream without progress for 20 s is reset",
    effect: Effect::Continues(65_000),
    port: Port::Services,
    peers: GREEDY,
    peer: memory::small_stream_frames,
    ..FLOOD
};

/// Every attack, in the order of the document.
pub(crate) const ATTACKS: &[Attack] = &[
    Attack {
        name: "silent connections",
        what: "connects and sends nothing",
        limit: "`--handshake-timeout`",
        effect: HANDSHAKE,
        peer: connections::silent,
        ..HOLD
    },
    Attack {
        name: "preface drip",
        what: "sends the preface and SETTINGS one byte per 500 ms",
        limit: "`--handshake-timeout`",
        effect: HANDSHAKE,
        peer: connections::preface_drip,
        ..HOLD
    },
    Attack {
        name: "connection churn",
        what: "connects, sends preface and SETTINGS, closes, and begins again",
        limit: "none: it costs a handshake; `--max-connections` bounds those that are open",
        effect: Effect::Continues(1_000),
        peer: connections::churn,
        ..FLOOD
    },
    Attack {
        name: "rapid reset",
        what: "opens and resets calls without end (CVE-2023-44487)",
        limit: "abandoned calls: 200 at once",
        effect: ABANDONED,
        peer: calls::rapid_reset,
        ..FLOOD
    },
    Attack {
        name: "late reset",
        what: "resets calls that the server has accepted, 20 at a time",
        limit: "abandoned calls: 200 at once, then one per 150 ms",
        effect: ABANDONED,
        peer: calls::late_reset,
        ..FLOOD
    },
    Attack {
        name: "MadeYouReset",
        what: "makes the server reset calls with invalid WINDOW_UPDATEs (CVE-2025-8671)",
        limit: "abandoned calls: 200 at once",
        effect: ABANDONED,
        peer: calls::made_you_reset,
        ..FLOOD
    },
    Attack {
        name: "calls without end",
        what: "opens calls without end and finishes none",
        limit: "`--max-streams`: REFUSED_STREAM; after 1024 of them GOAWAY",
        effect: PROTOCOL,
        peer: calls::over_max_streams,
        ..FLOOD
    },
    WITHOUT_MESSAGE,
    Attack {
        name: "message drip",
        what: "sends the messages of 10 calls one byte per 200 ms",
        limit: "`--message-timeout`: DEADLINE_EXCEEDED",
        effect: Effect::Ends(sample::METHOD, "DEADLINE_EXCEEDED"),
        peer: calls::message_drip,
        ..HOLD
    },
    Attack {
        name: "announced messages",
        what: "announces a message of 4 GiB in each call",
        limit: "`--max-message-bytes`: RESOURCE_EXHAUSTED at the announcement",
        effect: Effect::Ends(sample::METHOD, "RESOURCE_EXHAUSTED"),
        peer: calls::announced_message,
        ..FLOOD
    },
    Attack {
        name: "CONTINUATION flood",
        what: "sends a header block in CONTINUATION frames without end",
        limit: "5 CONTINUATION frames",
        effect: PROTOCOL,
        peer: headers::continuation_flood,
        ..FLOOD
    },
    Attack {
        name: "unfinished header blocks",
        what: "sends 48 KiB of a header and holds the block",
        limit: "keepalive, after 80 s; 96 KiB per connection count against `--memory-limit`",
        effect: Effect::Continues(49_000),
        peers: HOLDERS,
        peer: headers::unfinished_block,
        ..FLOOD
    },
    Attack {
        name: "header bomb",
        what: "sends header blocks of 2 KB that decode to 8 MB",
        limit: "header list: 8 KiB; above four times the value GOAWAY",
        effect: PROTOCOL,
        peer: headers::bomb,
        ..FLOOD
    },
    Attack {
        name: "rejected header lists",
        what: "sends header lists of 24 KB without end",
        limit: "header list: 8 KiB, 431; rejected requests: 1000 at once, then one per 150 ms",
        effect: Effect::Closes("rejected_requests"),
        peer: headers::rejected_lists,
        ..FLOOD
    },
    Attack {
        name: "HPACK churn",
        what: "makes calls with 40 new headers each, which replace the dynamic table",
        limit: "none: the calls are valid; the table has 4096 bytes until the peer acknowledges SETTINGS",
        effect: Effect::Continues(50_000),
        peer: headers::table_churn,
        ..FLOOD
    },
    Attack { name: "PING flood", what: "sends PINGs without end", peer: floods::ping, ..FLOOD },
    Attack {
        name: "unread acknowledgements",
        what: "sends PINGs without end and reads no acknowledgement",
        peer: floods::unread_acknowledgements,
        ..FLOOD
    },
    Attack {
        name: "SETTINGS flood",
        what: "sends empty SETTINGS without end",
        limit: "control frames: a SETTINGS counts 10",
        peer: floods::settings_frames,
        ..FLOOD
    },
    WINDOW_THRASH,
    Attack {
        name: "WINDOW_UPDATE flood",
        what: "enlarges the window of the connection by one byte without end",
        peer: floods::window_update,
        ..FLOOD
    },
    Attack {
        name: "PRIORITY flood",
        what: "sends PRIORITY frames without end",
        peer: floods::priority,
        ..FLOOD
    },
    Attack {
        name: "unknown frames",
        what: "sends frames of an unknown type without end",
        peer: floods::unknown_frames,
        ..FLOOD
    },
    Attack {
        name: "empty DATA flood",
        what: "sends empty DATA frames in one call without end",
        limit: "100 empty DATA frames per connection",
        effect: PROTOCOL,
        peer: floods::empty_data,
        ..FLOOD
    },
    Attack {
        name: "oversize frame",
        what: "sends a DATA frame of 1 MiB",
        limit: "frame: 16 KiB; above it GOAWAY FRAME_SIZE_ERROR",
        effect: PROTOCOL,
        peer: floods::oversize_frame,
        ..FLOOD
    },
    UNFINISHED_MESSAGES,
    SMALL_FRAMES,
    BURSTS,
    REPLIES_WITHOUT_WINDOW,
    Attack {
        name: "Watch crowd",
        what: "opens 101 health Watch streams and holds them",
        limit: "`--max-streaming-calls`, in total and per connection: RESOURCE_EXHAUSTED",
        peer: calls::watches,
        ..WATCHES_WITHOUT_MESSAGE
    },
    WATCHES_WITHOUT_MESSAGE,
    REFLECTION,
    SMALL_STREAM_FRAMES,
    Attack {
        name: "HTTP/1.1 slow headers",
        what: "sends a header over HTTP/1.1 one byte per 500 ms",
        limit: "`--handshake-timeout` between requests",
        effect: Effect::Closes("http1_idle"),
        port: Port::Web,
        peer: http1::slow_headers,
        ..HOLD
    },
    Attack {
        name: "HTTP/1.1 slow body",
        what: "calls over gRPC-Web and sends its message one byte per 500 ms",
        limit: "`--message-timeout`: DEADLINE_EXCEEDED, closed",
        effect: Effect::Ends(sample::METHOD, "DEADLINE_EXCEEDED"),
        port: Port::Web,
        peer: http1::slow_body,
        ..HOLD
    },
    Attack {
        name: "HTTP/1.1 endless body",
        what: "calls over gRPC-Web with a body that does not end after its message",
        limit: "one message per call: UNIMPLEMENTED, closed",
        effect: Effect::Ends(sample::METHOD, "UNIMPLEMENTED"),
        port: Port::Web,
        peer: http1::endless_body,
        ..FLOOD
    },
    Attack {
        name: "HTTP/1.1 pipelining",
        what: "sends calls over gRPC-Web without end and reads no reply",
        limit: "`--request-timeout`, or 20 s without progress",
        effect: Effect::Continues(10_000),
        port: Port::Web,
        peer: http1::pipelining,
        ..FLOOD
    },
    Attack {
        name: "admin slow headers",
        what: "sends a header to the admin port one byte per 500 ms",
        limit: "32 connections: the oldest is evicted; 5 s each",
        effect: Effect::Evicts,
        port: Port::Admin,
        peers: HOLDERS,
        peer: http1::slow_headers,
        ..FLOOD
    },
    Attack {
        name: "admin connections",
        what: "connects to the admin port and sends nothing",
        limit: "32 connections: the oldest is evicted; 5 s each",
        effect: Effect::Evicts,
        port: Port::Admin,
        peers: HOLDERS,
        peer: connections::silent,
        ..FLOOD
    },
    Attack {
        name: "admin scrapes",
        what: "reads /metrics without end",
        limit: "none: the admin port has a thread of its own",
        effect: Effect::Continues(400),
        port: Port::Admin,
        peer: http1::scrapes,
        ..FLOOD
    },
    Attack {
        name: "TLS stalled handshakes",
        what: "sends the start of a ClientHello and holds it",
        limit: "`--handshake-timeout`",
        effect: HANDSHAKE,
        port: Port::Tls,
        peer: tls::stalled,
        ..HOLD
    },
    Attack {
        name: "TLS junk",
        what: "sends a record before any handshake",
        limit: "an alert; the connection is closed",
        effect: Effect::Closes("tls_failed"),
        port: Port::Tls,
        peer: tls::junk,
        ..FLOOD
    },
    Attack {
        name: "TLS ClientHello flood",
        what: "sends a ClientHello, closes at the reply, and begins again",
        limit: "none: each costs a key exchange and a signature",
        effect: Effect::Continues(500),
        port: Port::Tls,
        peer: tls::client_hellos,
        ..FLOOD
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_connections_bounded() {
        let mut names: Vec<_> = ATTACKS.iter().map(|attack| attack.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ATTACKS.len());
        let connections = |attack: &Attack| match attack.name {
            "bursts of messages" => attack.peers * BURSTS_PER_PEER,
            _ => attack.peers,
        };
        assert!(ATTACKS.iter().all(|attack| connections(attack) <= HOLDERS));
    }
}
