//! Calls the Greeter and Health services: selects a target in turn, connects when necessary,
//! retries as gRFC A6 allows, and records the course of each call.

mod balancer;
mod call;
pub(crate) mod metadata;
mod pool;
mod response_stream;
mod retry;
mod status;
mod trace;
mod wire;

use std::sync::Arc;

use bytes::Bytes;
use greet_proto::framing::frame;
use greet_proto::grpc::health::v1::{HealthCheckRequest, HealthCheckResponse};
use greet_proto::{HelloReply, HelloRequest};
use prost::Message;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::Status;

use self::balancer::{Balancer, Remaining, Unreachable};
use self::pool::{Endpoint, Method, PooledConnection};
use self::response_stream::ResponseStream;
use self::wire::{NotAccepted, OutgoingCall};
use crate::connect::{Stages, Target, Traffic};
use crate::error::{CallError, ConnectError, RpcError, StatusSource};
use crate::format::HumanDuration;

pub(crate) use self::call::{Call, CallOptions};
pub(crate) use self::retry::{Backoff, RetryPolicy};
pub(crate) use self::trace::{TRACEPARENT, Trace};
pub(crate) use self::wire::headers;

/// Maximum connections per attempt: a server that drains may refuse a call, and so may the next
/// one. A refused call was not executed, so it is safe to send again.
const MAX_CONNECTIONS_PER_ATTEMPT: u32 = 3;

/// A client of one target, or of several in turn.
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
        let tls = call_options.tls.as_ref();
        let endpoint = |target| Arc::new(Endpoint::new(target, tls, connections, &traffic));
        let balancer = Balancer::new(targets.iter().map(endpoint).collect());
        Client { call_options, targets, balancer, traffic }
    }

    pub(crate) async fn say_hello(&self, name: &str) -> Call<HelloReply> {
        self.say_framed_hello(frame(&HelloRequest { name: name.to_owned() }).into()).await
    }

    /// Sends a request that has its message prefix already.
    pub(crate) async fn say_framed_hello(&self, hello: Bytes) -> Call<HelloReply> {
        self.call(Method::SayHello, hello).await
    }

    pub(crate) async fn check_health(&self, service: &str) -> Call<HealthCheckResponse> {
        let body = frame(&HealthCheckRequest { service: service.to_owned() }).into();
        self.call(Method::Check, body).await
    }

    /// Returns once the reply starts; its messages have no deadline.
    pub(crate) async fn watch_health(
        &self,
        service: &str,
    ) -> Result<ResponseStream<HealthCheckResponse>, CallError> {
        let deadline = self.call_options.deadline();
        let (endpoint, mut connection) = self.connection(deadline, &mut Stages::default()).await?;
        let request = HealthCheckRequest { service: service.to_owned() };
        let mut outgoing = self.outgoing_call(frame(&request).into());
        outgoing.uri = endpoint.uri(Method::Watch);
        match timeout_at(deadline, wire::open(&mut connection.sender, &outgoing)).await {
            Ok(Ok(replies)) => Ok(replies),
            Ok(Err(NotAccepted { reason })) => {
                endpoint.discard(&connection);
                Err(ConnectError::CallRejected { target: endpoint.target.to_string(), reason }
                    .into())
            }
            Err(_elapsed) => {
                let timeout = HumanDuration(self.call_options.timeout);
                Err(deadline_exceeded(format!("no reply within {timeout}")))
            }
        }
    }

    /// Connects to any target ahead of the first call, for `--wait`.
    pub(crate) async fn connect_ahead(&self, until: Instant) -> Result<(), CallError> {
        let deadline = self.call_options.deadline().min(until);
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
            traffic: Arc::clone(&self.traffic),
        };
        Ok(balancers.into_iter().map(client).collect())
    }

    /// Returns the byte counters of all connections.
    pub(crate) fn traffic(&self) -> Arc<Traffic> {
        Arc::clone(&self.traffic)
    }

    /// Connects and records the stages.
    pub(crate) async fn connect(&self, stages: &mut Stages) -> Result<(), ConnectError> {
        let (_, connection) = self.connection(self.call_options.deadline(), stages).await?;
        *stages = connection.made.unwrap_or_default();
        Ok(())
    }

    /// Returns the targets as a list for messages.
    pub(crate) fn targets(&self) -> String {
        self.targets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }

    fn connect_deadline(&self) -> Instant {
        self.call_options.connect_deadline(self.call_options.deadline())
    }

    async fn connection(
        &self,
        deadline: Instant,
        stages: &mut Stages,
    ) -> Result<(Arc<Endpoint>, PooledConnection), ConnectError> {
        let connected = self.balancer.connection(&self.call_options, deadline, stages).await;
        connected.map_err(|unreachable| unreachable.error)
    }

    fn outgoing_call(&self, body: Bytes) -> OutgoingCall<'_> {
        let CallOptions { headers, trace, .. } = &self.call_options;
        let uri = http::Uri::default();
        OutgoingCall { uri, headers, trace: *trace, timeout: None, body, previous_attempts: 0 }
    }

    async fn call<Reply: Message + Default>(&self, method: Method, body: Bytes) -> Call<Reply> {
        let deadline = self.call_options.deadline();
        let mut call = Call::new(Arc::clone(&self.targets[0]));
        let mut retries = self.call_options.retries.begin();
        let mut outgoing = self.outgoing_call(body);
        loop {
            self.attempt(method, &mut outgoing, deadline, &mut call).await;
            let Err(failure) = &call.result else {
                break;
            };
            // gRFC A6: a reply that has started commits the call.
            if call.has_started {
                break;
            }
            // An attempt without time to start would only hide the reason of this failure.
            match retries.pause(failure, [&call.headers, &call.trailers]) {
                Some(pause) if Instant::now() + pause < deadline => sleep(pause).await,
                _ => break,
            }
            outgoing.previous_attempts += u32::from(call.rpc.is_some());
        }
        call.total += call.started.elapsed();
        call
    }

    /// Makes one attempt, on the first connection that accepts the call, and records it in `call`.
    async fn attempt<Reply: Message + Default>(
        &self,
        method: Method,
        outgoing: &mut OutgoingCall<'_>,
        deadline: Instant,
        call: &mut Call<Reply>,
    ) {
        let (mut unreachable, mut refused, mut looked_up_again) = (0, 0, false);
        call.stages = Stages::default();
        loop {
            call.begin_attempt();
            let connected =
                self.balancer.connection(&self.call_options, deadline, &mut call.stages).await;
            let (endpoint, mut connection) = match connected {
                Ok(connected) => connected,
                Err(Unreachable { target, error, remaining }) => {
                    (call.target, call.result) = (target, Err(error.into()));
                    unreachable += 1;
                    if remaining == Remaining::Nothing || unreachable >= self.balancer.len() {
                        // The addresses of an earlier call's lookup may be out of date.
                        let is_outdated = remaining == Remaining::Name && call.stages.dns.is_none();
                        if !is_outdated || looked_up_again {
                            return;
                        }
                        (looked_up_again, unreachable) = (true, 0);
                    }
                    if Instant::now() >= deadline {
                        return;
                    }
                    continue;
                }
            };
            call.target = Arc::clone(&endpoint.target);
            call.total += connection.ahead;
            call.stages = connection.made.take().unwrap_or_default();
            call.stages.peer = Some(connection.peer.clone());
            outgoing.uri = endpoint.uri(method);
            let sent = Instant::now();
            outgoing.timeout = Some(deadline.saturating_duration_since(sent));
            match timeout_at(deadline, wire::unary(&mut connection.sender, outgoing)).await {
                Ok(Ok((reply, response))) => {
                    call.rpc = Some(sent.elapsed());
                    call.result = reply.map_err(CallError::from);
                    call.has_started = response.has_started;
                    (call.headers, call.trailers) = (response.headers, response.trailers);
                    return;
                }
                Ok(Err(NotAccepted { reason })) => {
                    endpoint.discard(&connection);
                    refused += 1;
                    if refused == MAX_CONNECTIONS_PER_ATTEMPT {
                        let target = endpoint.target.to_string();
                        call.result = Err(ConnectError::CallRejected { target, reason }.into());
                        return;
                    }
                }
                Err(_elapsed) => {
                    call.rpc = Some(sent.elapsed());
                    let elapsed = HumanDuration(call.started.elapsed());
                    let message = format!("no reply within {elapsed}: {}", call.times());
                    call.result = Err(deadline_exceeded(message));
                    return;
                }
            }
        }
    }
}

fn deadline_exceeded(message: String) -> CallError {
    RpcError::new(StatusSource::Deadline, Status::deadline_exceeded(message)).into()
}
