//! A caller with a budget: calls go to the targets in turn, connect when they have to, are tried again
//! when they may be, and tell what happened to them.

use std::cell::Cell;
use std::sync::Arc;

use bytes::Bytes;
use greet_proto::{HelloReply, HelloRequest};
use http::HeaderMap;
use prost::Message;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::Status;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::call::Call;
use crate::call_failed::{CallFailed, Ending};
use crate::connection::{Stages, Traffic};
use crate::endpoint::{Endpoint, Method, Ready};
use crate::failure::Failure;
use crate::not_connected::NotConnected;
use crate::replies::Replies;
use crate::rpc::{self, Ended, NotAccepted, Outgoing, framed};
use crate::target::Target;
use crate::terms::Terms;
use crate::units::Brief;

/// How often an attempt may meet a connection that takes no more: a server that drains, and another
/// that does so just then. It was never sent, so it is safe; without an end it would not be.
const MOST_CONNECTIONS_PER_ATTEMPT: u32 = 3;

/// Calls one target, or several in turn.
#[derive(Debug)]
pub(crate) struct Client {
    terms: Terms,
    endpoints: Vec<Arc<Endpoint>>,
    traffic: Arc<Traffic>,
    turn: Cell<usize>,
}

impl Client {
    pub(crate) fn new(terms: Terms, targets: &[Target], connections: usize) -> Client {
        let traffic = Arc::<Traffic>::default();
        let endpoint = |target| {
            Arc::new(Endpoint::new(target, terms.tls.as_ref(), connections, Arc::clone(&traffic)))
        };
        let endpoints = targets.iter().map(endpoint).collect();
        Client { terms, endpoints, traffic, turn: Cell::new(0) }
    }

    pub(crate) async fn say_hello(&self, name: &str) -> Call<HelloReply> {
        self.say_framed_hello(framed(&HelloRequest { name: name.to_owned() })).await
    }

    /// With a message that has its prefix, as whoever sends many of them has it.
    pub(crate) async fn say_framed_hello(&self, hello: Bytes) -> Call<HelloReply> {
        self.call(Method::SayHello, hello).await
    }

    pub(crate) async fn check_health(&self, service: &str) -> Call<HealthCheckResponse> {
        let body = framed(&HealthCheckRequest { service: service.to_owned() });
        self.call(Method::Check, body).await
    }

    /// Returns once the reply begins; its messages have no deadline.
    pub(crate) async fn watch_health(
        &self,
        service: &str,
    ) -> Result<Replies<HealthCheckResponse>, Failure> {
        let body = framed(&HealthCheckRequest { service: service.to_owned() });
        let deadline = self.terms.deadline();
        let endpoint = self.next_endpoint();
        let connect_by = self.terms.connect_by(deadline);
        let mut ready = endpoint.connection(connect_by, &mut Stages::default()).await?;
        let outgoing = Outgoing {
            uri: endpoint.uri(Method::Watch),
            headers: &self.terms.headers,
            timeout: None,
            body,
            previous_attempts: 0,
        };
        match timeout_at(deadline, rpc::open(&mut ready.sender, &outgoing)).await {
            Ok(Ok(Ok(replies))) => Ok(replies),
            Ok(Ok(Err(Ended::<HealthCheckResponse> { result, .. }))) => {
                Err(result.expect_err("a reply that did not begin has failed").into())
            }
            Ok(Err(NotAccepted { reason })) => {
                endpoint.discard(&ready);
                Err(NotConnected::NoCallTaken { target: endpoint.target.to_string(), reason }
                    .into())
            }
            Err(_elapsed) => {
                let problem = format!("no reply within {}", Brief(self.terms.timeout));
                Err(CallFailed::new(Ending::Deadline, Status::deadline_exceeded(problem)).into())
            }
        }
    }

    /// Connects ahead of the first call, to any target, so that `--wait` can wait for it.
    pub(crate) async fn reach(&self, until: Instant) -> Result<(), Failure> {
        let connect_by = self.terms.connect_by(self.terms.deadline().min(until));
        let endpoint = self.next_endpoint();
        Ok(endpoint.reach(connect_by).await?)
    }

    /// Makes every connection that there is to be, to each target that can be reached.
    ///
    /// # Errors
    /// None of them can.
    pub(crate) async fn connect_all(&self) -> Result<(), Failure> {
        let connect_by = self.terms.connect_by(self.terms.deadline());
        let connecting = self.endpoints.iter().map(|endpoint| endpoint.connect_all(connect_by));
        let results = futures_util::future::join_all(connecting).await;
        if results.iter().any(Result::is_ok) {
            return Ok(());
        }
        Ok(results.into_iter().collect::<Result<_, _>>()?)
    }

    /// What went over all connections.
    pub(crate) fn traffic(&self) -> Arc<Traffic> {
        Arc::clone(&self.traffic)
    }

    /// Connects, and tells how that went.
    pub(crate) async fn connect(&self) -> (Stages, Option<NotConnected>) {
        let connect_by = self.terms.connect_by(self.terms.deadline());
        let mut stages = Stages::default();
        match self.next_endpoint().connection(connect_by, &mut stages).await {
            Ok(ready) => (ready.made.unwrap_or(stages), None),
            Err(problem) => (stages, Some(problem)),
        }
    }

    /// All of them, in words.
    pub(crate) fn targets(&self) -> String {
        let targets = self.endpoints.iter().map(|endpoint| endpoint.target.to_string());
        targets.collect::<Vec<_>>().join(", ")
    }

    async fn call<Reply: Message + Default>(&self, method: Method, body: Bytes) -> Call<Reply> {
        let (begun, deadline) = (Instant::now(), self.terms.deadline());
        let mut call = Call::new(Arc::clone(&self.endpoints[0].target));
        let mut retries = self.terms.retries.begin();
        let mut previous_attempts = 0;
        loop {
            let mut outgoing = Outgoing {
                uri: http::Uri::default(),
                headers: &self.terms.headers,
                timeout: None,
                body: body.clone(),
                previous_attempts,
            };
            self.attempt(method, &mut outgoing, (begun, deadline), &mut call).await;
            let Err(failure) = &call.result else {
                break;
            };
            // A reply that has begun is the server's answer (gRFC A6: the call is committed).
            if call.has_begun {
                break;
            }
            // An attempt that could not even begin in time would only hide why this one failed.
            match retries.pause(failure, [&call.headers, &call.trailers]) {
                Some(pause) if Instant::now() + pause < deadline => sleep(pause).await,
                _ => break,
            }
            previous_attempts += u32::from(call.rpc.is_some());
        }
        call.total += begun.elapsed();
        call
    }

    /// One attempt, on as many connections as it takes to find one that takes it; what came of it is
    /// noted in `call`.
    async fn attempt<Reply: Message + Default>(
        &self,
        method: Method,
        outgoing: &mut Outgoing<'_>,
        (begun, deadline): (Instant, Instant),
        call: &mut Call<Reply>,
    ) {
        let (mut unreachable, mut refused) = (0, 0);
        loop {
            let endpoint = self.next_endpoint();
            call.target = Arc::clone(&endpoint.target);
            call.attempts += 1;
            (call.stages, call.rpc) = (Stages::default(), None);
            (call.headers, call.trailers) = (HeaderMap::new(), HeaderMap::new());
            call.has_begun = false;
            let connect_by = self.terms.connect_by(self.share_of(deadline));
            let mut ready = match endpoint.connection(connect_by, &mut call.stages).await {
                Ok(ready) => ready,
                Err(problem) => {
                    call.result = Err(problem.into());
                    unreachable += 1;
                    let has_time = Instant::now() < deadline;
                    if self.leave_out(endpoint) && has_time && unreachable < self.endpoints.len() {
                        continue;
                    }
                    return;
                }
            };
            call.total += ready.ahead;
            call.stages = ready.made.take().unwrap_or_default();
            call.stages.peer = Some(ready.peer.clone());
            outgoing.uri = endpoint.uri(method);
            match self.send(&mut ready, outgoing, (begun, deadline), call).await {
                Ok(()) => return,
                Err(NotAccepted { reason }) => {
                    endpoint.discard(&ready);
                    refused += 1;
                    if refused == MOST_CONNECTIONS_PER_ATTEMPT {
                        let target = endpoint.target.to_string();
                        call.result = Err(NotConnected::NoCallTaken { target, reason }.into());
                        return;
                    }
                }
            }
        }
    }

    async fn send<Reply: Message + Default>(
        &self,
        ready: &mut Ready,
        outgoing: &mut Outgoing<'_>,
        (begun, deadline): (Instant, Instant),
        call: &mut Call<Reply>,
    ) -> Result<(), NotAccepted> {
        let sent = Instant::now();
        outgoing.timeout = Some(deadline.saturating_duration_since(sent));
        let ended = timeout_at(deadline, rpc::unary(&mut ready.sender, outgoing)).await;
        match ended {
            Ok(ended) => {
                let ended = ended?;
                call.rpc = Some(sent.elapsed());
                call.result = ended.result.map_err(Failure::from);
                (call.headers, call.trailers) = (ended.headers, ended.trailers);
                call.has_begun = ended.has_begun;
            }
            Err(_elapsed) => {
                call.rpc = Some(sent.elapsed());
                let took = Brief(begun.elapsed());
                let problem = format!("no reply within {took}: {}", call.times());
                let status = Status::deadline_exceeded(problem);
                call.result = Err(CallFailed::new(Ending::Deadline, status).into());
            }
        }
        Ok(())
    }

    /// Whose turn it is among those that can be reached; if none can, among all.
    fn next_endpoint(&self) -> &Arc<Endpoint> {
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        let count = self.endpoints.len();
        let in_turn =
            (0..count).map(|distance| &self.endpoints[turn.wrapping_add(distance) % count]);
        let mut reachable = in_turn.filter(|endpoint| !endpoint.is_left_out());
        reachable.next().unwrap_or(&self.endpoints[turn % count])
    }

    /// Of the time until then, what one of the targets that are left may take: one that is silent is not
    /// to take it from the others.
    fn share_of(&self, deadline: Instant) -> Instant {
        let left = self.endpoints.iter().filter(|endpoint| !endpoint.is_left_out()).count();
        let now = Instant::now();
        let time = deadline.saturating_duration_since(now);
        now + time / u32::try_from(left.max(1)).unwrap_or(u32::MAX)
    }

    /// Whether there are others to take its turns.
    fn leave_out(&self, endpoint: &Arc<Endpoint>) -> bool {
        if self.endpoints.len() > 1 {
            let timeout = self.terms.connect_timeout.unwrap_or(self.terms.timeout);
            endpoint.leave_out(timeout.min(self.terms.timeout));
        }
        self.endpoints.iter().any(|endpoint| !endpoint.is_left_out())
    }
}
