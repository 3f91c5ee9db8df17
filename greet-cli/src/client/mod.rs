//! Calls methods: selects a target in turn, connects when necessary, retries as gRFC A6 allows, and
//! records the course of each call. Messages are bytes here; [`health`] has the typed calls of
//! grpc.health.v1.

mod balancer;
mod call;
mod connect_failures;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod health;
pub(crate) mod metadata;
mod pool;
mod response_stream;
mod retry;
mod status;
mod trace;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{Request, Uri};
use tokio::time::{Instant, sleep, timeout_at};
use tonic::Status;

use self::balancer::{Balancer, Remaining, Unreachable};
use self::pool::{Endpoint, PooledConnection, Shared};
use self::response_stream::ResponseStream;
use self::retry::Retries;
use self::wire::{NotAccepted, OutgoingCall};
use crate::connect::{Stages, Target, Traffic};
use crate::error::{CallError, ConnectError, RpcError, StatusSource};
use crate::format::HumanDuration;

pub(crate) use self::call::{Call, CallOptions};
pub(crate) use self::connect_failures::{ConnectFailure, ConnectFailures};
pub(crate) use self::retry::{Backoff, RetryPolicy};
pub(crate) use self::trace::{TRACEPARENT, Trace};
pub(crate) use self::wire::CommonHeaders;

/// Maximum connections per attempt: a server that drains may refuse a call, and so may the next
/// one. A refused call was not executed, so it is safe to send again.
const MAX_CONNECTIONS_PER_ATTEMPT: u32 = 3;

/// Maximum failed attempts that a call keeps for its report: `--retries` may be many.
const MAX_KEPT_ATTEMPTS: usize = 10;

/// A client of one target, or of several in turn.
#[derive(Debug)]
pub(crate) struct Client {
    call_options: CallOptions,
    targets: Vec<Arc<Target>>,
    balancer: Balancer,
    shared: Arc<Shared>,
}

impl Client {
    pub(crate) fn new(call_options: CallOptions, targets: &[Target], connections: usize) -> Client {
        let shared = Arc::<Shared>::default();
        let targets: Vec<_> = targets.iter().cloned().map(Arc::new).collect();
        let endpoint =
            |target| Arc::new(Endpoint::new(target, &call_options, connections, &shared));
        let balancer = Balancer::new(targets.iter().map(endpoint).collect());
        Client { call_options, targets, balancer, shared }
    }

    /// Calls a unary method. `body` is the request with its prefix. The call takes the connection with
    /// the number `connection` if that is open, and else the next in turn. Each retry is an attempt of
    /// its own.
    pub(crate) async fn call(
        &self,
        path: &PathAndQuery,
        body: &Bytes,
        connection: Option<usize>,
    ) -> Call<Bytes> {
        let started = Instant::now();
        let deadline = self.call_options.deadline(started);
        let previous_attempts = 0;
        let mut request =
            UnaryRequest { path, body, connection, started, deadline, previous_attempts };
        let mut retries = self.call_options.retries.begin();
        let mut effort = Effort { attempts: 0, ahead: Duration::ZERO, earlier: Vec::new() };
        let mut sent = None;
        loop {
            let mut call = self.attempt(&request, &mut effort).await;
            let Some(pause) = pause(&mut retries, &call, deadline) else {
                call.result = call.result.map_err(|failure| failure.after_sent(sent));
                call.attempts = effort.attempts;
                call.earlier = effort.earlier;
                call.total = effort.ahead + started.elapsed();
                return call;
            };
            request.previous_attempts += u32::from(call.rpc.is_some());
            if let Err(CallError::Rpc(error)) = &call.result {
                sent = Some(error.clone());
            }
            effort.keep(call);
            sleep(pause).await;
        }
    }

    /// Calls a server-streaming method. Returns once the reply starts; its messages have no deadline.
    /// The call is that up to the start of the reply, and has a failure if there is no reply.
    async fn open_stream(
        &self,
        path: &PathAndQuery,
        body: &Bytes,
    ) -> (Call<Bytes>, Option<ResponseStream>) {
        let (deadline, mut stages) =
            (self.call_options.deadline(Instant::now()), Stages::default());
        let connected = self.balancer.connection(&self.call_options, deadline, &mut stages).await;
        let (endpoint, mut connection) = match connected {
            Ok(connected) => connected,
            Err(Unreachable { target, error, .. }) => {
                let result = Err(error.into());
                return (Call { result, stages, attempts: 1, ..Call::new(target) }, None);
            }
        };
        let uri = endpoint.uri(path);
        let request = wire::request(&self.outgoing_call(&uri));
        let mut call = Call { attempts: 1, ..self.begin(&request, &endpoint, &mut connection) };
        let opened = match wire::send(&mut connection.sender, request, body) {
            Ok(response) => timeout_at(deadline, wire::open(response)).await,
            Err(not_accepted) => Ok(Err(not_accepted)),
        };
        match opened {
            Ok(Ok(replies)) => {
                call.headers.clone_from(&replies.headers);
                return (call, Some(replies));
            }
            Ok(Err(not_accepted)) => {
                call.result = Err(refused(&endpoint, &connection, not_accepted));
            }
            Err(_elapsed) => {
                let timeout = self.call_options.timeout;
                call.result = Err(no_stream(&mut connection, timeout).map_or_else(
                    || deadline_exceeded(format!("no reply within {}", HumanDuration(timeout))),
                    CallError::from,
                ));
            }
        }
        (call, None)
    }

    /// Connects to any target ahead of the first call, for `--wait`.
    pub(crate) async fn connect_ahead(&self, until: Instant) -> Result<(), CallError> {
        let deadline = self.call_options.deadline(Instant::now()).min(until);
        let (endpoint, connection) = self.connection(deadline, &mut Stages::default()).await?;
        endpoint.keep_ahead(connection).await;
        Ok(())
    }

    /// Opens all connections to all targets; fails if no target is reachable.
    pub(crate) async fn connect_all(&self) -> Result<(), CallError> {
        Ok(self.balancer.connect_all(self.connect_deadline()).await?)
    }

    /// Looks up all names, records that in `stages`, and returns a client for each server.
    pub(crate) async fn split(self, stages: &mut Stages) -> Result<Vec<Client>, ConnectError> {
        let balancers = self.balancer.split(self.connect_deadline(), stages).await?;
        let client = |balancer| Client {
            call_options: self.call_options.clone(),
            targets: self.targets.clone(),
            balancer,
            shared: Arc::clone(&self.shared),
        };
        Ok(balancers.into_iter().map(client).collect())
    }

    /// Returns the byte counters of all connections.
    pub(crate) fn traffic(&self) -> Arc<Traffic> {
        Arc::clone(&self.shared.traffic)
    }

    /// Returns the failures to connect to each server.
    pub(crate) fn connect_failures(&self) -> Vec<ConnectFailure> {
        self.shared.failures.all()
    }

    /// Returns the dead servers that were not returned before, if there are other servers. The failure
    /// of an only server is that of its calls, and an address that its name lost is not in use.
    pub(crate) fn newly_dead_servers(&self) -> Vec<ConnectFailure> {
        if self.targets.len() == 1 && self.balancer.len() == 1 {
            return Vec::new();
        }
        self.shared.failures.take_unreported(|server| self.balancer.uses(server))
    }

    /// Connects and records the stages.
    pub(crate) async fn connect(&self, stages: &mut Stages) -> Result<(), ConnectError> {
        let (_, connection) =
            self.connection(self.call_options.deadline(Instant::now()), stages).await?;
        *stages = connection.made.map(|made| *made).unwrap_or_default();
        Ok(())
    }

    /// Returns the targets as a list for messages.
    pub(crate) fn targets(&self) -> String {
        self.targets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }

    fn connect_deadline(&self) -> Instant {
        self.call_options.connect_deadline(self.call_options.deadline(Instant::now()))
    }

    async fn connection(
        &self,
        deadline: Instant,
        stages: &mut Stages,
    ) -> Result<(Arc<Endpoint>, PooledConnection), ConnectError> {
        let connected = self.balancer.connection(&self.call_options, deadline, stages).await;
        connected.map_err(|unreachable| unreachable.error)
    }

    /// Makes one attempt, on the first connection that accepts the call.
    async fn attempt(&self, request: &UnaryRequest<'_>, effort: &mut Effort) -> Call<Bytes> {
        let mut refused = None;
        if let Some((endpoint, connection)) = self.balancer.open_connection(request.connection) {
            let call = self.send(request, effort, &endpoint, connection).await;
            if !call.is_refused {
                return call;
            }
            refused = Some(call.stages.clone());
            effort.keep(call);
        }
        // Boxed because it is large, and an open connection accepts most calls.
        Box::pin(self.attempt_on_any_connection(request, effort, refused)).await
    }

    /// Makes an attempt on connections that are opened if necessary. `refused` are the stages of the
    /// connection that has refused the call already.
    async fn attempt_on_any_connection(
        &self,
        request: &UnaryRequest<'_>,
        effort: &mut Effort,
        refused: Option<Stages>,
    ) -> Call<Bytes> {
        let (mut unreachable, mut looked_up_again) = (0, false);
        let (mut refusals, mut stages) =
            (u32::from(refused.is_some()), refused.unwrap_or_default());
        loop {
            let connected =
                self.balancer.connection(&self.call_options, request.deadline, &mut stages).await;
            let (endpoint, connection) = match connected {
                Ok(connected) => connected,
                Err(Unreachable { target, error, remaining }) => {
                    effort.attempts += 1;
                    unreachable += 1;
                    let mut is_last = Instant::now() >= request.deadline;
                    if remaining == Remaining::Nothing || unreachable >= self.balancer.len() {
                        // The addresses of an earlier call's lookup may be out of date.
                        let is_outdated = remaining == Remaining::Name && stages.dns.is_none();
                        is_last |= !is_outdated || looked_up_again;
                        (looked_up_again, unreachable) = (true, 0);
                    }
                    let result = Err(error.into());
                    let call = Call { result, stages: stages.clone(), ..Call::new(target) };
                    if is_last {
                        return call;
                    }
                    effort.keep(call);
                    continue;
                }
            };
            let call = self.send(request, effort, &endpoint, connection).await;
            refusals += u32::from(call.is_refused);
            if !call.is_refused || refusals == MAX_CONNECTIONS_PER_ATTEMPT {
                return call;
            }
            stages = call.stages.clone();
            effort.keep(call);
        }
    }

    /// Sends a call on a connection, and waits for the reply.
    async fn send(
        &self,
        request: &UnaryRequest<'_>,
        effort: &mut Effort,
        endpoint: &Endpoint,
        mut connection: PooledConnection,
    ) -> Call<Bytes> {
        effort.attempts += 1;
        effort.ahead += connection.ahead;
        let UnaryRequest { path, body, started, deadline, previous_attempts, .. } = *request;
        let sent = Instant::now();
        let timeout = Some(deadline.saturating_duration_since(sent));
        let uri = endpoint.uri(path);
        let outgoing = OutgoingCall { timeout, previous_attempts, ..self.outgoing_call(&uri) };
        let sent_request = wire::request(&outgoing);
        let mut call = self.begin(&sent_request, endpoint, &mut connection);
        let replied = match wire::send(&mut connection.sender, sent_request, body) {
            Ok(response) => timeout_at(deadline, wire::unary(response)).await,
            Err(not_accepted) => Ok(Err(not_accepted)),
        };
        match replied {
            Ok(Ok((reply, response))) => {
                call.rpc = Some(sent.elapsed());
                call.result = reply.map_err(CallError::from);
                call.has_started = response.has_started;
                (call.headers, call.trailers) = (response.headers, response.trailers);
            }
            Ok(Err(not_accepted)) => {
                call.result = Err(refused(endpoint, &connection, not_accepted));
                call.is_refused = true;
            }
            Err(_elapsed) => {
                let elapsed = started.elapsed();
                call.result = Err(match no_stream(&mut connection, elapsed) {
                    Some(not_sent) => not_sent.into(),
                    None => {
                        call.rpc = Some(sent.elapsed());
                        let elapsed = HumanDuration(elapsed);
                        deadline_exceeded(format!("no reply within {elapsed}: {}", call.times()))
                    }
                });
            }
        }
        call
    }

    /// Returns a call that is about to be sent on a connection.
    fn begin(
        &self,
        request: &Request<()>,
        endpoint: &Endpoint,
        connection: &mut PooledConnection,
    ) -> Call<Bytes> {
        let mut call = Call::new(Arc::clone(&endpoint.target));
        if self.call_options.keeps_requests {
            call.request = Some(self.call_options.headers.shown(request));
        }
        call.stages = connection.made.take().map(|made| *made).unwrap_or_default();
        call.stages.peer = Some(Arc::clone(&connection.peer));
        call
    }

    fn outgoing_call<'a>(&'a self, uri: &'a Uri) -> OutgoingCall<'a> {
        let CallOptions { headers, trace, .. } = &self.call_options;
        OutgoingCall { uri, headers, trace: *trace, timeout: None, previous_attempts: 0 }
    }
}

/// A call of a unary method.
#[derive(Debug)]
struct UnaryRequest<'a> {
    path: &'a PathAndQuery,
    /// The message and its prefix.
    body: &'a Bytes,
    /// The number of the connection to use; `None` for the next in turn.
    connection: Option<usize>,
    started: Instant,
    deadline: Instant,
    /// The number of attempts that were sent before.
    previous_attempts: u32,
}

/// What all attempts of a call took.
#[derive(Debug)]
struct Effort {
    attempts: u32,
    /// Time spent on connecting before the call started.
    ahead: Duration,
    /// The first failed attempts.
    earlier: Vec<Call<Bytes>>,
}

impl Effort {
    /// Keeps a failed attempt, if there is room.
    fn keep(&mut self, attempt: Call<Bytes>) {
        if self.earlier.len() < MAX_KEPT_ATTEMPTS {
            self.earlier.push(attempt);
        }
    }
}

/// Returns the pause before the next attempt, or `None` if `call` is the result.
fn pause(retries: &mut Retries<'_>, call: &Call<Bytes>, deadline: Instant) -> Option<Duration> {
    // gRFC A6: a reply that has started commits the call.
    let failure = call.result.as_ref().err().filter(|_| !call.has_started)?;
    let pause = retries.pause(failure, [&call.headers, &call.trailers])?;
    // An attempt without time to start would only hide the reason of this failure.
    (Instant::now() + pause < deadline).then_some(pause)
}

/// Returns the error of a call that has reached its deadline, if it was not sent.
fn no_stream(connection: &mut PooledConnection, after: Duration) -> Option<ConnectError> {
    if !wire::awaits_stream(&mut connection.sender) {
        return None;
    }
    let (peer, after) = (connection.peer.to_string(), HumanDuration(after).to_string());
    Some(match connection.sender.current_max_send_streams() {
        0 => ConnectError::NoStreamsAllowed { peer, after },
        limit => ConnectError::NoFreeStream { peer, after, limit: limit.to_string() },
    })
}

/// Discards a connection that did not accept a call, and returns the failure.
fn refused(
    endpoint: &Endpoint,
    connection: &PooledConnection,
    NotAccepted { reason }: NotAccepted,
) -> CallError {
    endpoint.discard(connection);
    ConnectError::CallRejected { target: endpoint.target.to_string(), reason }.into()
}

fn deadline_exceeded(message: String) -> CallError {
    RpcError::new(StatusSource::Deadline, Status::deadline_exceeded(message)).into()
}
