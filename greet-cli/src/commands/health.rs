//! `health`: is it SERVING? The answer on standard output, and as exit code.

use tonic_health::pb::HealthCheckResponse;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::args::{ConnectionArgs, HealthArgs};
use crate::client::{Call, Client, Pause};
use crate::exit::Exit;
use crate::output::Output;
use crate::report::{CallReport, Health};

pub(super) async fn run(
    args: HealthArgs,
    connection: &ConnectionArgs,
    mut client: Client,
    output: &Output,
) -> anyhow::Result<Exit> {
    let mut pause = Pause::new(connection.wait);
    let mut told = false;
    let mut call = client.check_health(args.service.clone()).await;
    while serving(&call) != Some(ServingStatus::Serving) && !pause.is_over() {
        if !told {
            let state = match &call.result {
                Ok(response) => response.status().as_str_name().to_owned(),
                Err(failure) => failure.to_string(),
            };
            output.note(format_args!("waiting for {}: {state}", connection.target));
            told = true;
        }
        client.pause(&mut pause).await;
        call = client.check_health(args.service.clone()).await;
    }
    report(&args.service, &call, connection, output)
}

fn report(
    service: &str,
    call: &Call<HealthCheckResponse>,
    connection: &ConnectionArgs,
    output: &Output,
) -> anyhow::Result<Exit> {
    let serving = serving(call);
    let is_serving = serving == Some(ServingStatus::Serving);
    let serving = serving.map(|status| status.as_str_name());
    let report = Health {
        schema: "greet.health/v1",
        ok: is_serving,
        service,
        serving,
        call: CallReport::new(call, &connection.target),
    };
    output.verbose(call);
    output.data(serving, &report)?;
    Ok(match &call.result {
        Ok(_) if is_serving => Exit::Done,
        Ok(_) => Exit::NotServing,
        Err(failure) => {
            output.failure(failure);
            failure.exit()
        }
    })
}

fn serving(call: &Call<HealthCheckResponse>) -> Option<ServingStatus> {
    call.result.as_ref().ok().map(HealthCheckResponse::status)
}
