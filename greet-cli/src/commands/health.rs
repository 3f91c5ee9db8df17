//! `health`: is it SERVING? The answer on standard output, and as exit code.

use std::time::Duration;

use futures_util::future::join_all;
use tonic_health::pb::HealthCheckResponse;
use tonic_health::pb::health_check_response::ServingStatus;

use super::wait::Patience;
use super::{Context, watch};
use crate::client::{Call, Client};
use crate::exit::Exit;
use crate::output::report::{CallReport, Health};
use crate::output::{Data, Prose};

pub(crate) async fn run(
    service: &str,
    watch: bool,
    context: Context,
    data: &mut Data,
    prose: &Prose,
) -> anyhow::Result<Exit> {
    let Context { targets, wait, terms } = context;
    if watch {
        let [target] = &targets[..] else {
            prose.note(format_args!("--watch watches one --target, not {}", targets.len()));
            return Ok(Exit::Usage);
        };
        return watch::run(service, target, wait, terms, data, prose).await;
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
    prose: &Prose,
) -> Call<HealthCheckResponse> {
    let mut patience = Patience::new(wait);
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
    data: &mut Data,
    prose: &Prose,
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
