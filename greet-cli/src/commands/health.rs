//! `health`: asks whether the server is SERVING; the answer is on standard output and in the exit code.
//! `--watch` prints each change until interrupted; with `--wait`, until the server is SERVING.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use greet_proto::status::code_name;
use humantime::format_rfc3339_millis;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckResponse;
use tonic_health::pb::health_check_response::ServingStatus;

use super::{Context, WaitBudget};
use crate::client::{Backoff, Call, CallOptions, Client, ResponseStream};
use crate::connect::Target;
use crate::error::CallError;
use crate::exit::Exit;
use crate::output::report::{CallReport, Health};
use crate::output::{Stderr, Stdout, Written};

pub(crate) async fn run(
    service: &str,
    watch: bool,
    context: Context,
    data: &mut Stdout,
    prose: &Stderr,
) -> anyhow::Result<Exit> {
    let Context { targets, wait, terms } = context;
    if watch {
        let [target] = &targets[..] else {
            prose.note(format_args!("--watch watches one --target, not {}", targets.len()));
            return Ok(Exit::Usage);
        };
        return watch_changes(service, target, wait, terms, data, prose).await;
    }
    let clients =
        targets.iter().map(|target| Client::new(terms.clone(), std::slice::from_ref(target), 1));
    let clients: Vec<_> = clients.collect();
    let checks = clients.iter().map(|client| check(service, wait, client, prose));
    let is_one = clients.len() == 1;
    let mut exit = Exit::Done;
    for call in join_all(checks).await {
        exit = exit.or(report(service, &call, is_one, data, prose).await?);
    }
    Ok(exit)
}

async fn check(
    service: &str,
    wait: Duration,
    client: &Client,
    prose: &Stderr,
) -> Call<HealthCheckResponse> {
    let mut patience = WaitBudget::new(wait);
    loop {
        let call = client.check_health(service).await;
        if state(&call) == Some(ServingStatus::Serving) {
            return call;
        }
        let seen = || match &call.result {
            Ok(response) => format!("{}: {}", call.target, response.status().as_str_name()),
            Err(failure) => format!("{}: {failure}", call.target),
        };
        if !patience.lasts(seen, prose).await {
            return call;
        }
    }
}

async fn report(
    service: &str,
    call: &Call<HealthCheckResponse>,
    is_one: bool,
    data: &mut Stdout,
    prose: &Stderr,
) -> anyhow::Result<Exit> {
    let state = state(call);
    let is_serving = state == Some(ServingStatus::Serving);
    let serving = state.map(|state| state.as_str_name());
    prose.verbose(call);
    let text = serving.map(|serving| match is_one {
        true => serving.to_owned(),
        false => format!("{serving} {}", call.target),
    });
    data.line(text.as_deref(), || Health {
        schema: "greet.health/v1",
        ok: is_serving,
        service,
        serving,
        time: None,
        call: CallReport::new(call),
    });
    data.flush().await?;
    Ok(match &call.result {
        Ok(_) if is_serving => Exit::Done,
        Ok(_) => Exit::NotServing,
        Err(failure) => {
            match is_one {
                true => prose.failure(failure),
                false => prose.failure_of(&call.target, failure),
            }
            failure.exit()
        }
    })
}

fn state(call: &Call<HealthCheckResponse>) -> Option<ServingStatus> {
    call.result.as_ref().ok().map(HealthCheckResponse::status)
}

/// What a line says while there is nobody to ask.
const UNREACHABLE: &str = "UNREACHABLE";

/// For an attempt that ends with the time of `--wait` to say why.
const FINAL_ATTEMPT_GRACE: Duration = Duration::from_millis(100);

/// What was seen last, and what to do with the next.
struct Watch<'a> {
    service: &'a str,
    target: Arc<Target>,
    state: Option<Result<ServingStatus, CallError>>,
    data: &'a mut Stdout,
    prose: &'a Stderr,
}

async fn watch_changes(
    service: &str,
    target: &Target,
    wait: Duration,
    terms: CallOptions,
    data: &mut Stdout,
    prose: &Stderr,
) -> anyhow::Result<Exit> {
    let shown = Arc::new(target.clone());
    let mut watch = Watch { service, target: shown, state: None, data, prose };
    let client = |terms| Client::new(terms, std::slice::from_ref(target), 1);
    if wait.is_zero() {
        return watch.follow(&client(terms.without_end()), None).await;
    }
    let until = Instant::now() + wait;
    let client = client(terms.until(until));
    match timeout_at(until + FINAL_ATTEMPT_GRACE, watch.follow(&client, Some(until))).await {
        Ok(ended) => ended,
        Err(_elapsed) => Ok(watch.given_up()),
    }
}

impl Watch<'_> {
    /// Watches again and again: a server that is gone may come back, and that is a change.
    async fn follow(&mut self, client: &Client, until: Option<Instant>) -> anyhow::Result<Exit> {
        let mut backoff = Backoff::new();
        loop {
            let failure = match client.watch_health(self.service).await {
                Ok(mut replies) => loop {
                    match next(&mut replies).await {
                        Ok(state) => {
                            backoff = Backoff::new();
                            if self.changed(Ok(state)).await? == Written::BrokenPipe {
                                return Ok(Exit::Done);
                            }
                            if until.is_some() && state == ServingStatus::Serving {
                                return Ok(Exit::Done);
                            }
                        }
                        Err(failure) => break failure,
                    }
                },
                Err(failure) => failure,
            };
            // Nothing will change that.
            if failure.status().is_some_and(|status| status.code() == Code::Unimplemented) {
                self.prose.failure(&failure);
                return Ok(failure.exit());
            }
            if self.changed(Err(failure)).await? == Written::BrokenPipe {
                return Ok(Exit::Done);
            }
            if until.is_some_and(|until| Instant::now() >= until) {
                return Ok(self.given_up());
            }
            sleep(backoff.next()).await;
        }
    }

    /// Prints a state, if it is another than before.
    async fn changed(
        &mut self,
        state: Result<ServingStatus, CallError>,
    ) -> anyhow::Result<Written> {
        let shown = shown(&state);
        let is_same = self.state.as_ref().is_some_and(|before| self::shown(before) == shown);
        if is_same {
            self.state = Some(state); // what is wrong may have changed, and is the exit code in the end
            return Ok(Written::Whole);
        }
        let time = format_rfc3339_millis(SystemTime::now()).to_string();
        let mut call = Call::new(Arc::clone(&self.target));
        call.result = state.clone().map(|_| HealthCheckResponse::default());
        self.data.line(Some(&format!("{time} {shown}")), || Health {
            schema: "greet.health/v1",
            ok: matches!(state, Ok(ServingStatus::Serving)),
            service: self.service,
            serving: state.as_ref().ok().map(ServingStatus::as_str_name),
            time: Some(time.clone()),
            call: CallReport::new(&call),
        });
        let written = self.data.flush().await?;
        if let Err(failure) = &state {
            self.prose.failure(failure);
        }
        self.state = Some(state);
        Ok(written)
    }

    /// The time is over: what was seen last says why.
    fn given_up(&self) -> Exit {
        match &self.state {
            Some(Err(failure)) => failure.exit(),
            _ => Exit::NotServing,
        }
    }
}

/// A server that is gone, or going, is one thing; one that answers something else is told by its name.
fn shown(state: &Result<ServingStatus, CallError>) -> &'static str {
    match state {
        Ok(state) => state.as_str_name(),
        Err(failure) => match failure.status().map(Status::code) {
            None | Some(Code::Unavailable | Code::DeadlineExceeded) => UNREACHABLE,
            Some(code) => code_name(code),
        },
    }
}

/// The next state, or how the stream ended.
async fn next(
    replies: &mut ResponseStream<HealthCheckResponse>,
) -> Result<ServingStatus, CallError> {
    match replies.next().await {
        Some(reply) => Ok(reply?.status()),
        None => Err(replies.ended().into()),
    }
}
