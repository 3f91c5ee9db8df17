//! Serves calls over a stream that is ready at random: reads return a byte or a few, writes accept a
//! part or block at any position. Every call must be answered: a wake-up that is lost stops the
//! connection.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use greet_proto::framing::frame;
use greet_testkit::probe::probe_server::{Probe, ProbeServer};
use greet_testkit::probe::{ProbeReply, ProbeRequest};
use http::{HeaderMap, Request};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};
use tokio::task::{JoinSet, LocalSet, spawn_local, yield_now};
use tokio::time::timeout;
use tonic::{Response, Status};

use super::test_connection::TestConnection;
use crate::config::Config;
use crate::grpc::Service;
use crate::net::io::Readable;

const CALLS: usize = 200;
const CONCURRENT_CALLS: usize = 20;
/// So little that most turns withhold a read.
const MAX_READ: Readable = Readable { bytes: 512, frames: 4 };
const SEEDS: u64 = 6;
/// Far more than the calls of one seed take.
const TEST_TIMEOUT: Duration = Duration::from_secs(20);

/// Echoes the payload after a number of waits that its length states, so that some calls are answered in
/// place and some by a task.
struct Waiting;

#[tonic::async_trait]
impl Probe for Waiting {
    async fn echo(
        &self,
        request: tonic::Request<ProbeRequest>,
    ) -> Result<Response<ProbeReply>, Status> {
        let payload = request.into_inner().payload;
        for _ in 0..payload.len() % 4 {
            yield_now().await;
        }
        Ok(Response::new(ProbeReply { payload, count: 0 }))
    }
}

/// A stream that is ready at random. A stream that is not ready wakes its task at once, so only a
/// wake-up that the connection loses can stop it.
struct RandomIo {
    io: DuplexStream,
    random: Rng,
}

impl RandomIo {
    /// Returns how many of `bytes` are ready now: often one, sometimes none, at times all.
    fn ready(&mut self, bytes: usize, cx: &Context<'_>) -> Poll<usize> {
        match self.random.u8(..8) {
            0..3 => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            3..6 => Poll::Ready(bytes.min(1)),
            6 => Poll::Ready(self.random.usize(..=bytes).max(bytes.min(1))),
            _ => Poll::Ready(bytes),
        }
    }
}

impl AsyncRead for RandomIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let ready = std::task::ready!(self.ready(buf.remaining(), cx));
        let mut part = vec![0; ready];
        let mut part = ReadBuf::new(&mut part);
        std::task::ready!(Pin::new(&mut self.io).poll_read(cx, &mut part))?;
        buf.put_slice(part.filled());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for RandomIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let ready = std::task::ready!(self.ready(buf.len(), cx));
        Pin::new(&mut self.io).poll_write(cx, &buf[..ready])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.ready(1, cx));
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// Sends a call, in one DATA frame or in several, and expects its reply.
async fn call(client: h2::client::SendRequest<Bytes>, payload: Vec<u8>, random: &mut Rng) {
    let request = Request::post("http://test/probe.Probe/Echo");
    let request = request.header("content-type", "application/grpc").body(()).unwrap();
    let (response, mut stream) =
        client.ready().await.unwrap().send_request(request, false).unwrap();
    let request = ProbeRequest { payload: payload.clone(), ..ProbeRequest::default() };
    let mut message = Bytes::from(frame(&request));
    while random.bool() && message.len() > 1 {
        stream.send_data(message.split_to(random.usize(1..message.len())), false).unwrap();
        yield_now().await;
    }
    stream.send_data(message, true).unwrap();
    let mut body = response.await.unwrap().into_body();
    let mut reply = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        reply.extend_from_slice(&data);
    }
    let trailers: HeaderMap = body.trailers().await.unwrap().unwrap();
    assert_eq!(trailers["grpc-status"], "0");
    assert_eq!(reply, frame(&ProbeReply { payload, count: 0 }));
}

async fn serve_calls(seed: u64) {
    let (server_end, client_end) = duplex(1_024);
    let io = RandomIo { io: server_end, random: Rng::with_seed(seed) };
    let services = |config: &Config| vec![Service::of::<ProbeServer<_>>(config, Waiting)];
    let served = TestConnection::serve(io, MAX_READ, services).await;

    let (client, connection) = h2::client::handshake(client_end).await.unwrap();
    spawn_local(connection);
    let mut calls = JoinSet::new();
    for number in 0..CALLS {
        let client = client.clone();
        let mut random = Rng::with_seed(seed * 1_000 + number as u64);
        // Most payloads fit into one frame; some need several, and the window of the client.
        let length = if number % 50 == 0 { 16_000 } else { random.usize(..50) };
        calls.spawn_local(async move { call(client, vec![b'x'; length], &mut random).await });
        if calls.len() == CONCURRENT_CALLS {
            calls.join_next().await.unwrap().unwrap();
        }
    }
    while let Some(answered) = calls.join_next().await {
        answered.unwrap();
    }
    let is_counted = || served.metrics.calls_answered.get() == CALLS as u64;
    while !is_counted() {
        yield_now().await;
    }
}

#[tokio::test]
async fn every_call_is_answered_whatever_the_stream_does() {
    for seed in 0..SEEDS {
        let tasks = LocalSet::new();
        let served = timeout(TEST_TIMEOUT, tasks.run_until(serve_calls(seed))).await;
        served.unwrap_or_else(|_| panic!("seed {seed}: calls are left"));
    }
}
