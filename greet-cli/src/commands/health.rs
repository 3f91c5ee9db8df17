//! `health`: prints the health of the server and sets the exit code. `--watch` prints each change
//! until interrupted; with `--wait`, until the server is SERVING.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use greet_proto::grpc::health::v1::HealthCheckResponse;
use greet_proto::grpc::health::v1::health_check_response::ServingStatus;
use greet_proto::status::code_name;
use humantime::format_rfc3339_millis;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::{Code, Status};

use super::{Context, WaitBudget};
use crate::client::{Backoff, Call, CallOptions, Client};
use crate::connect::Target;
use crate::error::CallError;
use crate::exit::Exit;
use crate::output::report::{CallReport, Health};
use crate::output::{Stderr, Stdout, Written};

pub(crate) async fn run(
    service: &str,
    watch: bool,
    context: Context,
    stdout: &mut Stdout,
    stderr: &Stderr,
) -> anyhow::Result<Exit> {
    let Context { targets, wait, call_options } = context;
    if watch {
        let [target] = &targets[..] else {
            stderr
                .error(format_args!("--watch: needs exactly one --target, not {}", targets.len()));
            return Ok(Exit::Usage);
        };
        return watch_changes(service, target, wait, call_options, stdout, stderr).await;
    }
    let clients = targets
        .iter()
        .map(|target| Client::new(call_options.clone(), std::slice::from_ref(target), 1));
    let clients: Vec<_> = clients.collect();
    let checks = clients.iter().map(|client| check(service, wait, client, stderr));
    let is_one = clients.len() == 1;
    let mut exit = Exit::Done;
    for call in join_all(checks).await {
        exit = exit.or(report(service, &call, is_one, stdout, stderr)?);
    }
    Ok(exit)
}

async fn check(
    service: &str,
    wait: Duration,
    client: &Client,
    stderr: &Stderr,
) -> Call<HealthCheckResponse> {
    let mut budget = WaitBudget::new(wait);
    loop {
        let call = client.check_health(service).await;
        if state(&call) == Some(ServingStatus::Serving) {
            return call;
        }
        let shown = || match &call.result {
            Ok(response) => format!("{}: {}", call.target, response.status().as_str_name()),
            Err(failure) => format!("{}: {failure}", call.target),
        };
        if !budget.pause(shown, stderr).await {
            return call;
        }
    }
}

fn report(
    service: &str,
    call: &Call<HealthCheckResponse>,
    is_one: bool,
    stdout: &mut Stdout,
    stderr: &Stderr,
) -> anyhow::Result<Exit> {
    stderr.verbose(call);
    let target = if is_one { String::new() } else { format!(" {}", call.target) };
    let text = state(call).map(|state| format!("{}{target}", state.as_str_name()));
    stdout.line(text, || health_report(service, None, call));
    stdout.flush_blocking()?;
    Ok(match &call.result {
        Ok(response) if response.status() == ServingStatus::Serving => Exit::Done,
        Ok(_) => Exit::NotServing,
        Err(failure) => {
            if is_one {
                stderr.failure(failure);
            } else {
                stderr.failure_for(&call.target, failure);
            }
            failure.exit()
        }
    })
}

fn health_report<'a>(
    service: &'a str,
    time: Option<String>,
    call: &Call<HealthCheckResponse>,
) -> Health<'a> {
    let state = state(call);
    Health {
        schema: "greet.health/v1",
        ok: state == Some(ServingStatus::Serving),
        service,
        serving: state.map(|state| state.as_str_name()),
        time,
        call: CallReport::new(call),
    }
}

fn state(call: &Call<HealthCheckResponse>) -> Option<ServingStatus> {
    call.result.as_ref().ok().map(HealthCheckResponse::status)
}

/// Time beyond `--wait` in which the last attempt can report its failure.
const FINAL_ATTEMPT_GRACE: Duration = Duration::from_millis(100);

/// Follows one target and prints its changes.
struct Watch<'a> {
    service: &'a str,
    target: Arc<Target>,
    /// The last state, if there was one.
    state: Option<Result<HealthCheckResponse, CallError>>,
    stdout: &'a mut Stdout,
    stderr: &'a Stderr,
}

async fn watch_changes(
    service: &str,
    target: &Target,
    wait: Duration,
    call_options: CallOptions,
    stdout: &mut Stdout,
    stderr: &Stderr,
) -> anyhow::Result<Exit> {
    let mut watch =
        Watch { service, target: Arc::new(target.clone()), state: None, stdout, stderr };
    let until = (!wait.is_zero()).then(|| Instant::now() + wait);
    let call_options = CallOptions { overall_deadline: until, ..call_options };
    let client = Client::new(call_options, std::slice::from_ref(target), 1);
    let Some(until) = until else {
        return watch.follow(&client, None).await;
    };
    let followed = watch.follow(&client, Some(until));
    let followed = timeout_at(until + FINAL_ATTEMPT_GRACE, followed).await;
    followed.unwrap_or_else(|_elapsed| Ok(watch.exit_after_timeout()))
}

impl Watch<'_> {
    /// Watches, and reconnects after a failure, because the return of a server is a change.
    async fn follow(&mut self, client: &Client, until: Option<Instant>) -> anyhow::Result<Exit> {
        let mut backoff = Backoff::new();
        loop {
            let failure = match client.watch_health(self.service).await {
                Ok(mut replies) => loop {
                    let reply = replies.next().await;
                    match reply.unwrap_or_else(|| Err(replies.ended())) {
                        Ok(reply) => {
                            let is_serving = reply.status() == ServingStatus::Serving;
                            backoff = Backoff::new();
                            if self.report_change(Ok(reply)).await? == Written::BrokenPipe {
                                return Ok(Exit::Done);
                            }
                            if until.is_some() && is_serving {
                                return Ok(Exit::Done);
                            }
                        }
                        Err(error) => break error.into(),
                    }
                },
                Err(failure) => failure,
            };
            // The server has no health service; a retry does not help.
            if failure.status().is_some_and(|status| status.code() == Code::Unimplemented) {
                self.stderr.failure(&failure);
                return Ok(failure.exit());
            }
            if self.report_change(Err(failure)).await? == Written::BrokenPipe {
                return Ok(Exit::Done);
            }
            if until.is_some_and(|until| Instant::now() >= until) {
                return Ok(self.exit_after_timeout());
            }
            sleep(backoff.next()).await;
        }
    }

    /// Prints a state that differs from the last.
    async fn report_change(
        &mut self,
        state: Result<HealthCheckResponse, CallError>,
    ) -> anyhow::Result<Written> {
        let name = state_name(&state);
        if self.state.as_ref().is_some_and(|last| state_name(last) == name) {
            self.state = Some(state); // the failure may differ, and determines the exit code
            return Ok(Written::Whole);
        }
        let time = format_rfc3339_millis(SystemTime::now()).to_string();
        let mut call = Call::new(Arc::clone(&self.target));
        call.result = state;
        let text = format!("{time} {name}");
        self.stdout.line(Some(text), || health_report(self.service, Some(time), &call));
        let written = self.stdout.flush().await?;
        if let Err(failure) = &call.result {
            self.stderr.failure(failure);
        }
        self.state = Some(call.result);
        Ok(written)
    }

    /// Returns the exit code at the end of `--wait`: that of the last state.
    fn exit_after_timeout(&self) -> Exit {
        match &self.state {
            Some(Err(failure)) => failure.exit(),
            _ => Exit::NotServing,
        }
    }
}

/// Returns the state as printed: all connection failures are one state.
fn state_name(state: &Result<HealthCheckResponse, CallError>) -> &'static str {
    match state {
        Ok(response) => response.status().as_str_name(),
        Err(failure) => match failure.status().map(Status::code) {
            None | Some(Code::Unavailable | Code::DeadlineExceeded) => "UNREACHABLE",
            Some(code) => code_name(code),
        },
    }
}
