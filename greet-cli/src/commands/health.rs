//! `health`: prints the health of a service on each target and sets the exit code.

use futures_util::future::join_all;
use greet_proto::grpc::health::v1::HealthCheckResponse;
use greet_proto::grpc::health::v1::health_check_response::ServingStatus;

use super::{Context, Failures, call_until_serving, clients};
use crate::client::Call;
use crate::exit::Exit;
use crate::output::report::{CallReport, Health};
use crate::output::{Stderr, Stdout};

pub(crate) async fn run(
    service: &str,
    context: Context,
    stdout: &mut Stdout,
    stderr: &Stderr,
) -> anyhow::Result<Exit> {
    let clients = clients(&context);
    let checks = clients.iter().map(|client| {
        let check = async || client.check_health(service).await;
        call_until_serving(not_serving, check, context.wait, stderr)
    });
    let mut failures = Failures::new(clients.len(), stderr);
    let mut exit = Exit::Done;
    for call in join_all(checks).await {
        stderr.verbose(&call);
        let state = state(&call).map(|state| state.as_str_name());
        let text = state.map(|state| format!("{state}{}", failures.target_suffix(&call)));
        stdout.line(text, || report(service, None, &call));
        stdout.flush_blocking()?;
        exit = exit.or(match &call.result {
            Ok(reply) if not_serving(reply).is_none() => Exit::Done,
            Ok(_) => Exit::NotServing,
            Err(failure) => failures.report(&call.target, failure),
        });
    }
    failures.finish();
    Ok(exit)
}

pub(super) fn report<'a>(
    service: &'a str,
    time: Option<String>,
    call: &Call<HealthCheckResponse>,
) -> Health<'a> {
    Health {
        schema: "greet.health/v1",
        ok: state(call) == Some(ServingStatus::Serving),
        service,
        serving: state(call).map(|state| state.as_str_name()),
        time,
        call: CallReport::new(call),
    }
}

fn state(call: &Call<HealthCheckResponse>) -> Option<ServingStatus> {
    call.result.as_ref().ok().map(HealthCheckResponse::status)
}

/// Returns the status, if it is not SERVING.
fn not_serving(reply: &HealthCheckResponse) -> Option<String> {
    let state = reply.status();
    (state != ServingStatus::Serving).then(|| state.as_str_name().to_owned())
}
