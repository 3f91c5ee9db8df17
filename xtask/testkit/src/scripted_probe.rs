//! Implements the probe service. Each request says what its handler does, so that calls of one test
//! can behave differently; the test releases, counts and awaits them through a clone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use futures_util::stream::{self, StreamExt as _};
use tokio::sync::Semaphore;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status, Streaming};

use crate::probe::probe_server::Probe;
use crate::probe::{ProbeReply, ProbeRequest, Script};
use crate::wait::{TEST_TIMEOUT, poll_until, with_timeout};

/// The path of Echo.
pub const ECHO: &str = "/probe.Probe/Echo";
/// The path of Collect.
pub const COLLECT: &str = "/probe.Probe/Collect";
/// The path of Expand.
pub const EXPAND: &str = "/probe.Probe/Expand";
/// The path of Relay.
pub const RELAY: &str = "/probe.Probe/Relay";
/// An encoded [`ProbeRequest`] with [`Script::Wait`].
pub const WAIT: &[u8] = b"\x18\x01";

impl ProbeRequest {
    /// Creates a request with all of its fields.
    pub fn new(script: Script, payload: impl Into<Vec<u8>>, count: u32) -> ProbeRequest {
        ProbeRequest { payload: payload.into(), count, script: script.into() }
    }
}

/// A probe service, of which clones share the state. What it does is in [`Script`].
#[derive(Debug, Clone)]
pub struct ScriptedProbe(Arc<State>);

#[derive(Debug)]
struct State {
    runs: AtomicU64,
    replies: AtomicU64,
    /// A permit for each WAIT and BLOCK that has begun.
    waits: Semaphore,
    /// A permit for each WAIT and BLOCK that may end.
    releases: Semaphore,
    /// A permit for each call that has ended.
    ends: Semaphore,
}

impl ScriptedProbe {
    /// Creates a probe that has released nothing.
    #[expect(clippy::new_without_default, reason = "a constructor is enough for tests")]
    pub fn new() -> ScriptedProbe {
        ScriptedProbe(Arc::new(State {
            runs: AtomicU64::new(0),
            replies: AtomicU64::new(0),
            waits: Semaphore::new(0),
            releases: Semaphore::new(0),
            ends: Semaphore::new(0),
        }))
    }

    /// Returns the number of handlers that have started.
    pub fn runs(&self) -> u64 {
        self.0.runs.load(Ordering::Relaxed)
    }

    /// Returns the number of replies that the handlers have returned.
    pub fn replies(&self) -> u64 {
        self.0.replies.load(Ordering::Relaxed)
    }

    /// Waits until `count` further replies wait to be released.
    pub async fn waits_begun(&self, count: u32) {
        with_timeout(self.0.waits.acquire_many(count)).await.unwrap().forget();
    }

    /// Releases `count` replies that wait, now or later.
    pub fn release(&self, count: usize) {
        self.0.releases.add_permits(count);
    }

    /// Waits until `count` further calls have ended: their handler has returned its only reply, or
    /// their handler or stream was dropped.
    pub async fn calls_ended(&self, count: u32) {
        with_timeout(self.0.ends.acquire_many(count)).await.unwrap().forget();
    }

    fn begin(&self) -> Run {
        self.0.runs.fetch_add(1, Ordering::Relaxed);
        Run(self.0.clone())
    }
}

/// One call. Its drop is the end of the call.
struct Run(Arc<State>);

impl Drop for Run {
    fn drop(&mut self) {
        self.0.ends.add_permits(1);
    }
}

impl Run {
    /// Does what `request` says, then returns the reply at `position` with this count.
    async fn reply(
        &self,
        request: &ProbeRequest,
        position: u32,
        count: u32,
    ) -> Result<ProbeReply, Status> {
        let state = &self.0;
        let mut payload = request.payload.clone();
        match request.script() {
            Script::Echo | Script::Endless => {}
            Script::Wait => {
                state.waits.add_permits(1);
                state.releases.acquire().await.unwrap().forget();
            }
            Script::Block => {
                state.waits.add_permits(1);
                let permit = poll_until(TEST_TIMEOUT, || state.releases.try_acquire().ok());
                permit.expect("the test releases the reply").forget();
            }
            Script::Panic if position < request.count => {}
            Script::Panic | Script::PanicInHandler => panic!("the script panics"),
            Script::Fail if position < request.count => {}
            Script::Fail => return Err(Status::failed_precondition("the script fails")),
            Script::Thread => {
                payload = thread::current().name().unwrap_or_default().as_bytes().to_vec();
            }
            Script::Large => payload = vec![b'x'; request.count as usize],
        }
        state.replies.fetch_add(1, Ordering::Relaxed);
        Ok(ProbeReply { payload, count })
    }
}

#[tonic::async_trait]
impl Probe for ScriptedProbe {
    async fn echo(&self, request: Request<ProbeRequest>) -> Result<Response<ProbeReply>, Status> {
        let (run, request) = (self.begin(), request.into_inner());
        Ok(Response::new(run.reply(&request, 0, request.count).await?))
    }

    async fn collect(
        &self,
        requests: Request<Streaming<ProbeRequest>>,
    ) -> Result<Response<ProbeReply>, Status> {
        let (run, mut requests) = (self.begin(), requests.into_inner());
        let Some(first) = requests.message().await? else {
            return Ok(Response::new(ProbeReply::default()));
        };
        // The script comes first: WAIT leaves the other messages unread.
        let mut reply = run.reply(&first, 0, 1).await?;
        while let Some(request) = requests.message().await? {
            reply.payload.extend(request.payload);
            reply.count += 1;
        }
        Ok(Response::new(reply))
    }

    async fn expand(
        &self,
        request: Request<ProbeRequest>,
    ) -> Result<Response<BoxStream<ProbeReply>>, Status> {
        let (run, request) = (self.begin(), request.into_inner());
        let end = match request.script() {
            Script::PanicInHandler => panic!("the script panics"),
            Script::Endless => None,
            // What follows the last reply has its position.
            Script::Panic | Script::Fail => request.count.checked_add(1),
            _ => Some(request.count),
        };
        let replies =
            stream::unfold((run, request, 0), move |(run, request, position)| async move {
                if Some(position) == end {
                    return None;
                }
                let reply = run.reply(&request, position, position).await;
                Some((reply, (run, request, position.wrapping_add(1))))
            });
        Ok(Response::new(Box::pin(replies)))
    }

    async fn relay(
        &self,
        requests: Request<Streaming<ProbeRequest>>,
    ) -> Result<Response<BoxStream<ProbeReply>>, Status> {
        let run = Arc::new(self.begin());
        let replies = requests.into_inner().enumerate().then(move |(position, request)| {
            let run = run.clone();
            async move {
                let request = request?;
                let position = u32::try_from(position).expect("a test sends fewer messages");
                run.reply(&request, position, request.count).await
            }
        });
        Ok(Response::new(Box::pin(replies)))
    }
}

#[cfg(test)]
mod tests {
    use std::panic::AssertUnwindSafe;

    use futures_util::FutureExt as _;
    use greet_proto::service::{GeneratedService, HandlerFuture, MethodDescriptor, MethodVisitor};
    use tonic::Code;
    use tonic::server::NamedService;

    use super::*;
    use crate::probe::probe_client::ProbeClient;
    use crate::probe::probe_server::ProbeServer;
    use crate::unpackaged_server::{Unpackaged, UnpackagedServer};

    /// Above every message of these tests.
    const MAX_MESSAGE_BYTES: usize = 1_024;

    /// A client that calls the generated server without a connection.
    fn client(probe: &ScriptedProbe) -> ProbeClient<ProbeServer<ScriptedProbe>> {
        let server = ProbeServer::from_shared(Arc::new(probe.clone()), MAX_MESSAGE_BYTES);
        ProbeClient::new(server)
    }

    fn reply(payload: &str, count: u32) -> ProbeReply {
        ProbeReply { payload: payload.into(), count }
    }

    /// Returns the replies to Expand, with the code of the status if that ends them.
    async fn expand(probe: &ScriptedProbe, request: ProbeRequest) -> (Vec<ProbeReply>, Code) {
        let mut stream = client(probe).expand(request).await.unwrap().into_inner();
        let mut replies = Vec::new();
        loop {
            match stream.message().await {
                Ok(Some(reply)) => replies.push(reply),
                Ok(None) => return (replies, Code::Ok),
                Err(status) => return (replies, status.code()),
            }
        }
    }

    #[tokio::test]
    async fn every_kind_of_method_replies() {
        let probe = ScriptedProbe::new();
        let mut client = client(&probe);
        let echo = client.echo(ProbeRequest::new(Script::Echo, "a", 7)).await.unwrap();
        assert_eq!(echo.into_inner(), reply("a", 7));

        let requests = ["a", "b", "c"].map(|payload| ProbeRequest::new(Script::Echo, payload, 7));
        let collected = client.collect(tokio_stream::iter(requests.clone())).await.unwrap();
        assert_eq!(collected.into_inner(), reply("abc", 3));

        let expanded = expand(&probe, ProbeRequest::new(Script::Echo, "a", 2)).await;
        assert_eq!(expanded, (vec![reply("a", 0), reply("a", 1)], Code::Ok));

        let relayed = client.relay(tokio_stream::iter(requests)).await.unwrap().into_inner();
        let relayed: Vec<_> = relayed.map(Result::unwrap).collect().await;
        assert_eq!(relayed, [reply("a", 7), reply("b", 7), reply("c", 7)]);

        probe.calls_ended(4).await;
        assert_eq!((probe.runs(), probe.replies()), (4, 1 + 1 + 2 + 3));
    }

    #[tokio::test]
    async fn reply_waits_for_its_release() {
        let probe = ScriptedProbe::new();
        let mut stream =
            client(&probe).expand(ProbeRequest::new(Script::Wait, "a", 2)).await.unwrap();
        let mut next = async || stream.get_mut().message().await.unwrap();
        assert!(next().now_or_never().is_none());
        probe.waits_begun(1).await;
        probe.release(2);
        assert_eq!(next().await, Some(reply("a", 0)));
        assert_eq!(next().await, Some(reply("a", 1)));
        assert_eq!(next().await, None);
    }

    #[tokio::test]
    async fn dropped_call_has_ended() {
        let probe = ScriptedProbe::new();
        let mut client = client(&probe);
        let mut call = Box::pin(client.echo(ProbeRequest::new(Script::Wait, "a", 0)));
        assert!(call.as_mut().now_or_never().is_none());
        assert_eq!(probe.0.ends.available_permits(), 0);
        drop(call);
        probe.calls_ended(1).await;
        assert_eq!((probe.runs(), probe.replies()), (1, 0));
    }

    #[tokio::test]
    async fn failure_and_panic_follow_count_replies() {
        let probe = ScriptedProbe::new();
        let failed = expand(&probe, ProbeRequest::new(Script::Fail, "a", 1)).await;
        assert_eq!(failed, (vec![reply("a", 0)], Code::FailedPrecondition));

        for count in [0, 2] {
            let replies = probe.replies();
            let panicking = expand(&probe, ProbeRequest::new(Script::Panic, "a", count));
            assert!(AssertUnwindSafe(panicking).catch_unwind().await.is_err());
            assert_eq!(probe.replies() - replies, u64::from(count));
        }
        let mut client = client(&probe);
        let panicking = client.expand(ProbeRequest::new(Script::PanicInHandler, "a", 2));
        assert!(AssertUnwindSafe(panicking).catch_unwind().await.is_err());
        probe.calls_ended(4).await;
    }

    #[tokio::test]
    async fn endless_stream_is_always_ready() {
        let probe = ScriptedProbe::new();
        let stream = probe.expand(Request::new(ProbeRequest::new(Script::Endless, "a", 0)));
        let mut stream = stream.await.unwrap().into_inner();
        for position in 0..1_000 {
            let next = stream.next().now_or_never().expect("the stream is ready");
            assert_eq!(next.unwrap().unwrap(), reply("a", position));
        }
    }

    struct Stubs;
    impl Unpackaged for Stubs {}

    struct Paths(Vec<&'static str>);

    impl<T> MethodVisitor<T> for Paths {
        fn unary<Req, Res>(
            &mut self,
            method: MethodDescriptor,
            _: for<'a> fn(&'a T, Request<Req>) -> HandlerFuture<'a, Res>,
        ) where
            Req: prost::Message + Default + 'static,
            Res: prost::Message + 'static,
        {
            self.0.push(method.path);
        }

        fn streaming(&mut self, method: MethodDescriptor) {
            self.0.push(method.path);
        }
    }

    #[test]
    fn service_without_package_has_no_dot() {
        let mut paths = Paths(Vec::new());
        UnpackagedServer::<Stubs>::visit_methods(&mut paths);
        assert_eq!(paths.0, ["/Unpackaged/Repeat"]);
        assert_eq!(UnpackagedServer::<Stubs>::NAME, "Unpackaged");
    }
}
