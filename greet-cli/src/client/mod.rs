//! A caller with a budget: calls go to the targets in turn, connect when they have to, are tried again
//! when they may be, and tell what happened to them.

mod balancer;
mod call;
pub(crate) mod metadata;
mod options;
mod pool;
mod response_stream;
mod retry;
mod status;
mod trace;
mod wire;

use std::sync::Arc;

use bytes::Bytes;
use greet_proto::framing::frame;
use greet_proto::{HelloReply, HelloRequest};
use http::HeaderMap;
use prost::Message;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::Status;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use self::balancer::{Balancer, Remaining, Unreachable};
use self::pool::{Endpoint, Method, PooledConnection};
use self::wire::{NotAccepted, OutgoingCall, UnaryResponse};
use crate::connect::{Stages, Target, Traffic};
use crate::error::{CallError, ConnectError, RpcError, StatusSource};
use crate::format::HumanDuration;

pub(crate) use self::call::Call;
pub(crate) use self::options::CallOptions;
pub(crate) use self::response_stream::ResponseStream;
pub(crate) use self::retry::{Backoff, RetryPolicy};
pub(crate) use self::trace::{TRACEPARENT, Trace};
pub(crate) use self::wire::headers;

/// How often an attempt may meet a connection that takes no more: a server that drains, and another
/// that does so just then. It was never sent, so it is safe; without an end it would not be.
const MAX_CONNECTIONS_PER_ATTEMPT: u32 = 3;

/// Calls one target, or several in turn.
#[derive(Debug)]
pub(crate) struct Client {
    call_options: CallOptions,
    targets: Vec<Arc<Target>>,
    balancer: Balancer,
    traffic: Arc<Traffic>,
}

impl Client {
    pub(crate) fn new(call_options: CallOptions, targets: &[Target], connections: usize) -> Client {
        let traffic = Arc::<Traffic>::default();
        let targets: Vec<_> = targets.iter().cloned().map(Arc::new).collect();
        let endpoint = |target| {
            Endpoint::new(target, call_options.tls.as_ref(), connections, Arc::clone(&traffic))
        };
        let balancer = Balancer::new(targets.iter().map(endpoint));
        Client { call_options, targets, balancer, traffic }
    }

    pub(crate) async fn say_hello(&self, name: &str) -> Call<HelloReply> {
        self.say_framed_hello(frame(&HelloRequest { name: name.to_owned() }).into()).await
    }

    /// With a message that has its prefix, as whoever sends many of them has it.
    pub(crate) async fn say_framed_hello(&self, hello: Bytes) -> Call<HelloReply> {
        self.call(Method::SayHello, hello).await
    }

    pub(crate) async fn check_health(&self, service: &str) -> Call<HealthCheckResponse> {
        let body = frame(&HealthCheckRequest { service: service.to_owned() }).into();
        self.call(Method::Check, body).await
    }

    /// Returns once the reply begins; its messages have no deadline.
    pub(crate) async fn watch_health(
        &self,
        service: &str,
    ) -> Result<ResponseStream<HealthCheckResponse>, CallError> {
        let body = frame(&HealthCheckRequest { service: service.to_owned() }).into();
        let deadline = self.call_options.deadline();
        let mut stages = Stages::default();
        let connected = self.balancer.connection(&self.call_options, deadline, &mut stages);
        let (endpoint, mut connection) =
            connected.await.map_err(|unreachable| unreachable.problem)?;
        let outgoing = OutgoingCall {
            uri: endpoint.uri(Method::Watch),
            headers: &self.call_options.headers,
            trace: self.call_options.trace,
            timeout: None,
            body,
            previous_attempts: 0,
        };
        match timeout_at(deadline, wire::open(&mut connection.sender, &outgoing)).await {
            Ok(Ok(Ok(replies))) => Ok(replies),
            Ok(Ok(Err(UnaryResponse::<HealthCheckResponse> { result, .. }))) => {
                Err(result.expect_err("a reply that did not begin has failed").into())
            }
            Ok(Err(NotAccepted { reason })) => {
                endpoint.discard(&connection);
                Err(ConnectError::NoCallTaken { target: endpoint.target.to_string(), reason }
                    .into())
            }
            Err(_elapsed) => {
                let problem =
                    format!("no reply within {}", HumanDuration(self.call_options.timeout));
                Err(RpcError::new(StatusSource::Deadline, Status::deadline_exceeded(problem))
                    .into())
            }
        }
    }

    /// Connects ahead of the first call, to any target, so that `--wait` can wait for it.
    pub(crate) async fn connect_ahead(&self, until: Instant) -> Result<(), CallError> {
        let deadline = self.call_options.deadline().min(until);
        let mut stages = Stages::default();
        let connected = self.balancer.connection(&self.call_options, deadline, &mut stages);
        let (endpoint, connection) = connected.await.map_err(|unreachable| unreachable.problem)?;
        endpoint.keep_ahead(connection).await;
        Ok(())
    }

    /// Makes every connection that there is to be, to each target that can be reached.
    ///
    /// # Errors
    /// None of them can.
    pub(crate) async fn connect_all(&self) -> Result<(), CallError> {
        Ok(self
            .balancer
            .connect_all(self.call_options.connect_deadline(self.call_options.deadline()))
            .await?)
    }

    /// A client for each server: those that stand behind one name are told apart.
    ///
    /// # Errors
    /// The name cannot be looked up; `stages` has how that went.
    pub(crate) async fn split(self, stages: &mut Stages) -> Result<Vec<Client>, ConnectError> {
        let connect_by = self.call_options.connect_deadline(self.call_options.deadline());
        let parts = self.balancer.split(connect_by, stages).await?.into_iter();
        let part = |balancer| Client {
            call_options: self.call_options.clone(),
            targets: self.targets.clone(),
            balancer,
            traffic: Arc::clone(&self.traffic),
        };
        Ok(parts.map(part).collect())
    }

    /// What went over all connections.
    pub(crate) fn traffic(&self) -> Arc<Traffic> {
        Arc::clone(&self.traffic)
    }

    /// Connects, and adds to `stages` how that went.
    pub(crate) async fn connect(&self, stages: &mut Stages) -> Result<(), ConnectError> {
        let deadline = self.call_options.deadline();
        match self.balancer.connection(&self.call_options, deadline, stages).await {
            Ok((_, connection)) => *stages = connection.made.unwrap_or_default(),
            Err(unreachable) => return Err(unreachable.problem),
        }
        Ok(())
    }

    /// All of them, in words.
    pub(crate) fn targets(&self) -> String {
        self.targets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }

    async fn call<Reply: Message + Default>(&self, method: Method, body: Bytes) -> Call<Reply> {
        let (started, deadline) = (Instant::now(), self.call_options.deadline());
        let mut call = Call::new(Arc::clone(&self.targets[0]));
        let mut retries = self.call_options.retries.begin();
        let mut previous_attempts = 0;
        loop {
            let mut outgoing = OutgoingCall {
                uri: http::Uri::default(),
                headers: &self.call_options.headers,
                trace: self.call_options.trace,
                timeout: None,
                body: body.clone(),
                previous_attempts,
            };
            self.attempt(method, &mut outgoing, (started, deadline), &mut call).await;
            let Err(failure) = &call.result else {
                break;
            };
            // A reply that has begun is the server's answer (gRFC A6: the call is committed).
            if call.has_started {
                break;
            }
            // An attempt that could not even begin in time would only hide why this one failed.
            match retries.pause(failure, [&call.headers, &call.trailers]) {
                Some(pause) if Instant::now() + pause < deadline => sleep(pause).await,
                _ => break,
            }
            previous_attempts += u32::from(call.rpc.is_some());
        }
        call.total += started.elapsed();
        call
    }

    /// One attempt, on as many connections as it takes to find one that takes it; what came of it is
    /// noted in `call`.
    async fn attempt<Reply: Message + Default>(
        &self,
        method: Method,
        outgoing: &mut OutgoingCall<'_>,
        (started, deadline): (Instant, Instant),
        call: &mut Call<Reply>,
    ) {
        let (mut unreachable, mut refused, mut looked_again) = (0, 0, false);
        call.stages = Stages::default();
        loop {
            call.attempts += 1;
            call.rpc = None;
            (call.headers, call.trailers) = (HeaderMap::new(), HeaderMap::new());
            call.has_started = false;
            let connected =
                self.balancer.connection(&self.call_options, deadline, &mut call.stages).await;
            let (endpoint, mut connection) = match connected {
                Ok(connected) => connected,
                Err(Unreachable { target, problem, remaining }) => {
                    call.target = target;
                    call.result = Err(problem.into());
                    unreachable += 1;
                    // Addresses that an earlier call has looked up may be those of servers that are gone.
                    let look_again = remaining == Remaining::Name && call.stages.dns.is_none();
                    let has_others =
                        remaining != Remaining::Nothing && unreachable < self.balancer.len();
                    if !has_others && look_again && !looked_again {
                        (looked_again, unreachable) = (true, 0); // of what it stands for nobody was tried
                    } else if !has_others {
                        return;
                    }
                    if Instant::now() < deadline {
                        continue;
                    }
                    return;
                }
            };
            call.target = Arc::clone(&endpoint.target);
            call.total += connection.ahead;
            call.stages = connection.made.take().unwrap_or_default();
            call.stages.peer = Some(connection.peer.clone());
            outgoing.uri = endpoint.uri(method);
            match self.send(&mut connection, outgoing, (started, deadline), call).await {
                Ok(()) => return,
                Err(NotAccepted { reason }) => {
                    endpoint.discard(&connection);
                    refused += 1;
                    if refused == MAX_CONNECTIONS_PER_ATTEMPT {
                        let target = endpoint.target.to_string();
                        call.result = Err(ConnectError::NoCallTaken { target, reason }.into());
                        return;
                    }
                }
            }
        }
    }

    async fn send<Reply: Message + Default>(
        &self,
        connection: &mut PooledConnection,
        outgoing: &mut OutgoingCall<'_>,
        (started, deadline): (Instant, Instant),
        call: &mut Call<Reply>,
    ) -> Result<(), NotAccepted> {
        let sent = Instant::now();
        outgoing.timeout = Some(deadline.saturating_duration_since(sent));
        let ended = timeout_at(deadline, wire::unary(&mut connection.sender, outgoing)).await;
        match ended {
            Ok(ended) => {
                let ended = ended?;
                call.rpc = Some(sent.elapsed());
                call.result = ended.result.map_err(CallError::from);
                (call.headers, call.trailers) = (ended.headers, ended.trailers);
                call.has_started = ended.has_started;
            }
            Err(_elapsed) => {
                call.rpc = Some(sent.elapsed());
                let took = HumanDuration(started.elapsed());
                let problem = format!("no reply within {took}: {}", call.times());
                let status = Status::deadline_exceeded(problem);
                call.result = Err(RpcError::new(StatusSource::Deadline, status).into());
            }
        }
        Ok(())
    }
}
