//! Requests that HTTP/2 rejects before they become calls: each is counted, and a line of the log
//! names the peer. Calls that are accepted do not count.

use greet_testkit::framing::framed;
use greet_testkit::http2::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, EVERY_STREAM, GOAWAY, HEADERS, PING,
    RST_STREAM, call_headers, frame, header_block,
};
use greet_testkit::{ECHO, RawPeer, ScriptedProbe, TestServer, WAIT, eventually};

use crate::support::log;
use crate::support::samples::{ADMIN, Samples, scrape_until};

const REJECTED: &str = "greet_http2_requests_rejected_total";
const LINE: &str = "requests rejected by HTTP/2";
const PROTOCOL_ERROR: [u8; 4] = [0, 0, 0, 1];
const REFUSED_STREAM: [u8; 4] = [0, 0, 0, 7];

struct Fixture {
    probe: ScriptedProbe,
    server: TestServer,
    peer: RawPeer,
    /// The address of the peer.
    address: String,
}

impl Fixture {
    async fn start(flags: &[&str]) -> Fixture {
        log::capture();
        let probe = ScriptedProbe::new();
        let server = TestServer::with_probe(&[&[ADMIN], flags].concat(), &probe);
        let tcp = server.tcp().await;
        let address = tcp.local_addr().unwrap().to_string();
        Fixture { probe, server, peer: RawPeer::connect(tcp).await, address }
    }

    /// Expects a reply to a call whose request ends with trailers.
    async fn accepts(&mut self, stream: u32) {
        let headers = frame(HEADERS, END_HEADERS, stream, &call_headers(ECHO));
        let message = frame(DATA, 0, stream, &framed(b""));
        let block = header_block(&[("x-trailer", "a")]);
        let trailers = frame(HEADERS, END_HEADERS | END_STREAM, stream, &block);
        self.peer.send(&[headers, message, trailers].concat()).await;
        assert_eq!(self.peer.next_of(DATA).await.stream, stream);
    }

    async fn rejected(&self) -> u64 {
        Samples::scrape(&self.server).await.get(REJECTED)
    }

    /// Expects that this number of requests is counted, and logged in one line.
    async fn counts(&self, requests: u64) {
        scrape_until(&self.server, |samples| samples.get(REJECTED) == requests).await;
        let lines = || log::lines(LINE, &self.address);
        eventually("the rejection is logged", async || !lines().is_empty()).await;
        let [line] = &lines()[..] else { panic!("{:?}", lines()) };
        assert_eq!(line["requests"], requests, "{line}");
        assert_eq!(line["level"], "INFO");
    }
}

/// Encodes the headers of a call whose authority has a space.
fn malformed(stream: u32) -> Vec<u8> {
    let block = header_block(&[
        (":method", "POST"),
        (":scheme", "http"),
        (":path", ECHO),
        (":authority", "no host"),
        ("content-type", "application/grpc"),
    ]);
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &block)
}

#[tokio::test]
async fn malformed_authority_is_counted() {
    let mut fixture = Fixture::start(&[]).await;
    fixture.accepts(1).await;
    assert_eq!(fixture.rejected().await, 0);
    fixture.peer.send(&malformed(3)).await;
    let reset = fixture.peer.next_of(RST_STREAM).await;
    assert_eq!((reset.stream, &reset.payload[..]), (3, &PROTOCOL_ERROR[..]));
    fixture.counts(1).await;
    fixture.accepts(5).await;
    assert_eq!(fixture.rejected().await, 1);
}

/// A peer that provokes many rejections must not fill the log.
#[tokio::test]
async fn rejections_of_one_read_share_a_line() {
    let mut fixture = Fixture::start(&[]).await;
    fixture.peer.send(&[malformed(1), malformed(3), malformed(5)].concat()).await;
    for _ in 0..3 {
        fixture.peer.next_of(RST_STREAM).await;
    }
    fixture.counts(3).await;
}

/// The header block comes in two frames, of which only the second ends it.
#[tokio::test]
async fn header_list_over_its_limit_is_431_and_counted() {
    let mut fixture = Fixture::start(&[]).await;
    let value = "x".repeat(100);
    let header = header_block(&[("x-long", &value)]);
    let list = |headers: usize| [call_headers(ECHO), header.repeat(headers)].concat();
    // Each of these headers counts 138 bytes, and those of the call about 300.
    fixture.peer.send(&frame(HEADERS, END_HEADERS, 1, &list(56))).await;
    fixture.peer.send(&frame(DATA, END_STREAM, 1, &framed(b""))).await;
    assert_eq!(fixture.peer.next_of(DATA).await.stream, 1);
    assert_eq!(fixture.rejected().await, 0);

    let list = list(60);
    let (first, second) = list.split_at(4_000);
    fixture.peer.send(&frame(HEADERS, END_STREAM, 3, first)).await;
    fixture.peer.send(&frame(CONTINUATION, END_HEADERS, 3, second)).await;
    let status = loop {
        let headers = fixture.peer.next_of(HEADERS).await;
        if headers.stream == 3 {
            break headers;
        }
    };
    assert_eq!(status.flags & END_STREAM, END_STREAM);
    fixture.counts(1).await;
    fixture.accepts(5).await;
    assert_eq!(fixture.rejected().await, 1);
}

#[tokio::test]
async fn stream_over_max_streams_is_refused_and_counted() {
    let mut fixture = Fixture::start(&["--max-streams=2"]).await;
    for stream in [1, 3] {
        fixture.peer.call(stream, ECHO, Some(WAIT)).await;
    }
    fixture.probe.waits_begun(2).await;
    assert_eq!(fixture.rejected().await, 0);
    fixture.peer.call(5, ECHO, None).await;
    let reset = fixture.peer.next_of(RST_STREAM).await;
    assert_eq!((reset.stream, &reset.payload[..]), (5, &REFUSED_STREAM[..]));
    fixture.counts(1).await;

    fixture.probe.release(2);
    for _ in 0..2 {
        fixture.peer.next_of(DATA).await;
    }
    fixture.accepts(7).await;
    assert_eq!(fixture.rejected().await, 1);
}

#[tokio::test]
async fn request_after_the_last_goaway_is_counted() {
    let mut fixture = Fixture::start(&["--max-connection-age=200ms"]).await;
    fixture.peer.call(1, ECHO, Some(WAIT)).await;
    assert!(fixture.peer.next_of(GOAWAY).await.payload.starts_with(&EVERY_STREAM));
    let ping = fixture.peer.next_of(PING).await;
    fixture.accepts(3).await; // nothing is refused yet
    fixture.peer.send(&frame(PING, ACK, 0, &ping.payload)).await;
    assert!(fixture.peer.next_of(GOAWAY).await.payload.starts_with(&[0, 0, 0, 3]));
    assert_eq!(fixture.rejected().await, 0);
    fixture.peer.call(5, ECHO, Some(WAIT)).await;
    fixture.counts(1).await;
    fixture.probe.release(1);
    assert_eq!(fixture.peer.next_of(DATA).await.stream, 1);
    assert_eq!(fixture.probe.runs(), 2);
}
