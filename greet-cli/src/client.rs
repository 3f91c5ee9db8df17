//! A caller with a budget: connects when it has to, waits when it was told to, and tells of every
//! call what happened to it.

use std::time::Duration;

use greet_proto::{HelloReply, HelloRequest};
use http::HeaderMap;
use prost::Message;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::Status;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::args::ConnectionArgs;
use crate::connection::{Connection, Stages, connect};
use crate::failure::{Failure, Stage};
use crate::metadata;
use crate::rpc::{self, Ended, NotAccepted};
use crate::target::{Target, uri};

/// First pause between two attempts of `--wait`, doubled up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How often a call may meet a connection that takes no more: a server that drains, and another
/// that does so just then. It was never sent, so it is safe; without an end it would not be.
const MOST_CONNECTIONS_PER_CALL: u32 = 3;

/// Calls one target.
#[derive(Debug)]
pub(crate) struct Client {
    target: Target,
    metadata: HeaderMap,
    timeout: Duration,
    connect_timeout: Option<Duration>,
    /// No call ends later. It moves with each attempt of `--wait`, up to `latest`.
    deadline: Instant,
    latest: Instant,
    connection: Option<Connection>,
}

/// What happened to a call.
#[derive(Debug)]
pub(crate) struct Call<Reply> {
    pub(crate) result: Result<Reply, Failure>,
    pub(crate) headers: HeaderMap,
    pub(crate) trailers: HeaderMap,
    /// Connections that it was tried on.
    pub(crate) attempts: u32,
    /// How its connection was made; nothing but the peer if it stood already.
    pub(crate) stages: Stages,
    pub(crate) rpc: Option<Duration>,
    pub(crate) total: Duration,
}

impl Client {
    /// # Errors
    /// A header's file cannot be read, or its value cannot be sent.
    pub(crate) fn new(args: &ConnectionArgs) -> anyhow::Result<Client> {
        let now = Instant::now();
        Ok(Client {
            target: args.target.clone(),
            metadata: metadata::resolve(&args.header)?,
            timeout: args.timeout,
            connect_timeout: args.connect_timeout,
            deadline: now + args.timeout,
            latest: now + args.wait + args.timeout,
            connection: None,
        })
    }

    pub(crate) async fn say_hello(&mut self, name: String) -> Call<HelloReply> {
        self.call("/greet.Greeter/SayHello", &HelloRequest { name }).await
    }

    pub(crate) async fn check_health(&mut self, service: String) -> Call<HealthCheckResponse> {
        self.call("/grpc.health.v1.Health/Check", &HealthCheckRequest { service }).await
    }

    /// A pause between two attempts, and a budget for the next.
    pub(crate) async fn pause(&mut self, pause: &mut Pause) {
        sleep(pause.next()).await;
        self.deadline = self.latest.min(Instant::now() + self.timeout);
    }

    /// Connects ahead of the first call, so that `--wait` can wait for it.
    pub(crate) async fn reach(&mut self) -> Result<(), Failure> {
        let mut stages = Stages::default();
        let connection = self.connected(&mut stages).await?;
        connection.made.get_or_insert(stages);
        Ok(())
    }

    async fn call<Reply: Message + Default>(
        &mut self,
        path: &'static str,
        message: &impl Message,
    ) -> Call<Reply> {
        let begun = Instant::now();
        let mut call = Call::new();
        loop {
            call.attempts += 1;
            match self.attempt(path, message, &mut call).await {
                Err(NotAccepted) if call.attempts < MOST_CONNECTIONS_PER_CALL => {
                    self.connection = None;
                }
                Err(NotAccepted) => {
                    let cause = format!("{} took no call on any connection", self.target);
                    let hint = "the server is leaving, or is full; try again, or elsewhere";
                    call.result = Err(Failure::connecting(Stage::Http2, cause, hint));
                    break;
                }
                Ok(()) => break,
            }
        }
        call.total += Instant::now() - begun;
        call
    }

    /// One attempt; what came of it is noted in `call`.
    async fn attempt<Reply: Message + Default>(
        &mut self,
        path: &'static str,
        message: &impl Message,
        call: &mut Call<Reply>,
    ) -> Result<(), NotAccepted> {
        let (uri, metadata, deadline) =
            (uri(&self.target, path), self.metadata.clone(), self.deadline);
        let connection = match self.connected(&mut call.stages).await {
            Ok(connection) => connection,
            Err(failure) => {
                call.result = Err(failure);
                return Ok(());
            }
        };
        if let Some(made) = connection.made.take() {
            call.total += made.total(); // made ahead of the call, and for it
            call.stages = made;
        }
        call.stages.peer = Some(connection.peer.clone());
        let begun = Instant::now();
        let left = deadline.saturating_duration_since(begun);
        let ended =
            timeout_at(deadline, rpc::unary(connection, uri, &metadata, left, message)).await;
        let ended = match ended {
            Ok(ended) => ended?,
            Err(_elapsed) => Ended::early(Status::deadline_exceeded("no reply in time")),
        };
        call.rpc = Some(Instant::now() - begun);
        call.result = ended.result.map_err(|status| Failure::status(status, &self.target));
        (call.headers, call.trailers) = (ended.headers, ended.trailers);
        Ok(())
    }

    async fn connected(&mut self, stages: &mut Stages) -> Result<&mut Connection, Failure> {
        let kept = self.connection.take().filter(|connection| !connection.sender.is_closed());
        let connection = match kept {
            Some(connection) => connection,
            None => {
                let connect_by = self.connect_timeout.map(|timeout| Instant::now() + timeout);
                let deadline = connect_by.map_or(self.deadline, |by| by.min(self.deadline));
                connect(&self.target, deadline, stages).await?
            }
        };
        Ok(self.connection.insert(connection))
    }
}

impl<Reply: Default> Call<Reply> {
    fn new() -> Call<Reply> {
        Call {
            result: Ok(Reply::default()),
            headers: HeaderMap::new(),
            trailers: HeaderMap::new(),
            attempts: 0,
            stages: Stages::default(),
            rpc: None,
            total: Duration::ZERO,
        }
    }
}

/// Growing pauses that end in time.
#[derive(Debug)]
pub(crate) struct Pause {
    next: Duration,
    until: Instant,
}

impl Pause {
    pub(crate) fn new(wait: Duration) -> Pause {
        Pause { next: FIRST_PAUSE, until: Instant::now() + wait }
    }

    /// Whether there is time for another attempt.
    pub(crate) fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }

    fn next(&mut self) -> Duration {
        let pause = self.next.min(self.until.saturating_duration_since(Instant::now()));
        self.next = (self.next * 2).min(LONGEST_PAUSE);
        pause
    }
}
