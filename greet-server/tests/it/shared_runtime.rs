//! What a handler opens belongs to the runtime of its worker, such as the connections of a pool that
//! all workers share. It works until every worker has finished.

use std::sync::{Arc, OnceLock};
use std::thread;

use greet_server::Service;
use greet_testkit::probe::probe_server::{Probe, ProbeServer};
use greet_testkit::probe::{ProbeReply, ProbeRequest, Script};
use greet_testkit::{Client, ScriptedProbe, TestServer, with_timeout};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tonic::{Request, Response, Status};

use crate::support::samples::{ADMIN, scrape_until};

/// Does as the request says, then replies with the name of the thread that runs the pool.
#[derive(Clone)]
struct Pooled {
    probe: ScriptedProbe,
    pool: Arc<OnceLock<mpsc::UnboundedSender<oneshot::Sender<String>>>>,
}

impl Pooled {
    /// Waits for the end of the runtime of the pool. The server does not: its threads may end later.
    async fn closed(&self) {
        with_timeout(self.pool.get().unwrap().closed()).await;
    }
}

/// Opens the pool on the runtime of the calling worker.
fn open() -> mpsc::UnboundedSender<oneshot::Sender<String>> {
    let (sender, mut requests) = mpsc::unbounded_channel::<oneshot::Sender<String>>();
    tokio::spawn(async move {
        while let Some(request) = requests.recv().await {
            let _ = request.send(thread::current().name().unwrap_or_default().to_owned());
        }
    });
    sender
}

#[tonic::async_trait]
impl Probe for Pooled {
    async fn echo(&self, request: Request<ProbeRequest>) -> Result<Response<ProbeReply>, Status> {
        let pool = self.pool.get_or_init(open);
        self.probe.echo(request).await?;
        let (sender, answer) = oneshot::channel();
        let _ = pool.send(sender);
        let name = answer.await.map_err(|_| Status::aborted("the pool has ended"))?;
        Ok(Response::new(ProbeReply { payload: name.into_bytes(), count: 0 }))
    }
}

/// A server with an open pool on its first worker and a waiting call on its second.
struct Fixture {
    pooled: Pooled,
    server: TestServer,
    waiting: JoinHandle<Result<Vec<u8>, Status>>,
}

async fn echo(client: Client, script: Script) -> Result<Vec<u8>, Status> {
    let reply = client.probe().echo(ProbeRequest::new(script, "", 0)).await?;
    Ok(reply.into_inner().payload)
}

async fn start() -> Fixture {
    let pooled = Pooled { probe: ScriptedProbe::new(), pool: Arc::default() };
    let service = pooled.clone();
    let server = TestServer::with_services(&[ADMIN, "--drain-timeout=1h"], move |config| {
        vec![Service::of::<ProbeServer<_>>(config, service.clone())]
    });
    let (first, second) = (server.connect().await, server.connect().await);
    assert_eq!(echo(first.clone(), Script::Echo).await.unwrap(), b"greet-worker-0");
    let waiting = tokio::spawn(echo(second, Script::Wait));
    pooled.probe.waits_begun(1).await;
    drop(first); // not earlier: with no connection, the first worker would get the second one too
    Fixture { pooled, server, waiting }
}

impl Fixture {
    /// Begins a drain and waits until the first worker has no connection.
    async fn drain_first_worker(&mut self) {
        self.server.drain();
        scrape_until(&self.server, |samples| {
            let connections =
                |worker| samples.get(&format!("greet_worker_connections{{worker=\"{worker}\"}}"));
            (connections(0), connections(1)) == (0, 1)
        })
        .await;
    }
}

#[tokio::test]
async fn pool_outlives_the_drain_of_the_worker_that_opened_it() {
    let mut fixture = start().await;
    fixture.drain_first_worker().await;
    fixture.pooled.probe.release(1);
    assert_eq!(fixture.waiting.await.unwrap().unwrap(), b"greet-worker-0");
    let report = fixture.server.stop().await;
    assert_eq!((report.answered, report.cut, report.exit_code()), (2, 0, 0));
    fixture.pooled.closed().await;
}

#[tokio::test]
async fn cut_ends_the_pool_and_the_server() {
    let mut fixture = start().await;
    fixture.drain_first_worker().await;
    fixture.server.cut();
    let report = fixture.server.stop().await;
    assert_eq!((report.answered, report.cut, report.exit_code()), (1, 1, 3));
    fixture.pooled.closed().await;
    assert!(fixture.waiting.await.unwrap().is_err());
}
