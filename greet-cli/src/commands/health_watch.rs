//! `health --watch`: prints each change of the health of a service until interrupted; with `--wait`,
//! until it is SERVING.

use std::time::{Duration, SystemTime};

use greet_proto::grpc::health::v1::HealthCheckResponse;
use greet_proto::grpc::health::v1::health_check_response::ServingStatus;
use greet_proto::status::code_name;
use humantime::format_rfc3339_millis;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::{Code, Status};

use super::{Context, health};
use crate::client::{Backoff, Call, CallOptions, Client};
use crate::error::{CallError, StatusSource};
use crate::exit::Exit;
use crate::output::{Stderr, Stdout, Written};

/// Time beyond `--wait` in which the last attempt can report its failure.
const FINAL_ATTEMPT_GRACE: Duration = Duration::from_millis(100);

pub(crate) async fn run(
    service: &str,
    context: Context,
    stdout: &mut Stdout,
    stderr: &Stderr,
) -> anyhow::Result<Exit> {
    let Context { targets, wait, call_options } = context;
    let [target] = &targets[..] else {
        stderr.error(format_args!("--watch: needs exactly one --target, not {}", targets.len()));
        return Ok(Exit::Usage);
    };
    let mut watch = Watch { service, state: None, stdout, stderr };
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

/// Follows one target and prints its changes.
struct Watch<'a> {
    service: &'a str,
    /// The last state, if there was one.
    state: Option<Result<HealthCheckResponse, CallError>>,
    stdout: &'a mut Stdout,
    stderr: &'a Stderr,
}

impl Watch<'_> {
    /// Watches, and reconnects after a failure, because the return of a server is a change.
    async fn follow(&mut self, client: &Client, until: Option<Instant>) -> anyhow::Result<Exit> {
        let mut backoff = Backoff::new();
        loop {
            let started = Instant::now();
            let (mut call, replies) = client.watch_health(self.service).await;
            call.total = started.elapsed();
            if let Some(mut replies) = replies {
                let mut is_first = true;
                loop {
                    call.result = replies.next().await;
                    let Ok(reply) = &call.result else {
                        break;
                    };
                    backoff = Backoff::new();
                    let is_serving = reply.status() == ServingStatus::Serving;
                    if std::mem::take(&mut is_first) {
                        call.total = started.elapsed();
                        call.rpc = Some(call.total.saturating_sub(call.stages.total()));
                    }
                    if self.report_change(&call).await? == Written::BrokenPipe {
                        return Ok(Exit::Done);
                    }
                    if until.is_some() && is_serving {
                        return Ok(Exit::Done);
                    }
                    call = call.on_open_connection();
                }
            }
            call.result = call.result.map_err(|it| it.naming_missing(StatusSource::NoHealthWatch));
            if let Err(failure) = &call.result
                && failure.is_unimplemented()
            {
                return self.report_unimplemented(&call, failure);
            }
            if self.report_change(&call).await? == Written::BrokenPipe {
                return Ok(Exit::Done);
            }
            if until.is_some_and(|until| Instant::now() >= until) {
                return Ok(self.exit_after_timeout());
            }
            sleep(backoff.next()).await;
        }
    }

    /// Prints the failure, which is not a state of the server: a retry does not help.
    fn report_unimplemented(
        &mut self,
        call: &Call<HealthCheckResponse>,
        failure: &CallError,
    ) -> anyhow::Result<Exit> {
        self.stderr.verbose(call);
        self.stderr.failure(failure);
        self.stdout.line(None::<&str>, || health::report(self.service, None, call));
        self.stdout.flush_blocking()?;
        Ok(failure.exit())
    }

    /// Prints a state that differs from the last.
    async fn report_change(&mut self, call: &Call<HealthCheckResponse>) -> anyhow::Result<Written> {
        let name = state_name(&call.result);
        let last = self.state.replace(call.result.clone());
        if last.is_some_and(|last| state_name(&last) == name) {
            return Ok(Written::Whole); // the failure may differ, and determines the exit code
        }
        self.stderr.verbose(call);
        let time = format_rfc3339_millis(SystemTime::now()).to_string();
        let text = format!("{time} {name}");
        self.stdout.line(Some(text), || health::report(self.service, Some(time), call));
        let written = self.stdout.flush().await?;
        if let Err(failure) = &call.result {
            self.stderr.failure(failure);
        }
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
