//! `health --all`: prints the health of every service on each target (gRFC A90) and sets the exit
//! code.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use greet_proto::escape::Escaped;
use greet_proto::grpc::health::v1::HealthListResponse;
use greet_proto::grpc::health::v1::health_check_response::ServingStatus;

use super::{Context, Failures, call_until_serving, clients};
use crate::client::Call;
use crate::exit::Exit;
use crate::output::report::{CallReport, HealthList};
use crate::output::{Stderr, Stdout};

/// Stands for the empty name, which is the server as a whole. No service can have this name.
const SERVER: &str = "(server)";
/// Maximum width of the column of names: one long name must not move all statuses out of sight.
const MAX_NAME_COLUMNS: usize = 48;

pub(crate) async fn run(
    context: Context,
    stdout: &mut Stdout,
    stderr: &Stderr,
) -> anyhow::Result<Exit> {
    let clients = clients(&context);
    let lists = clients.iter().map(|client| {
        let list = async || client.list_health().await;
        call_until_serving(not_serving, list, context.wait, stderr)
    });
    let mut failures = Failures::new(clients.len(), stderr);
    let mut exit = Exit::Done;
    for call in join_all(lists).await {
        stderr.verbose(&call);
        let list = call.result.as_ref().ok();
        let text = list.map(|list| table(&services(list), &failures.target_suffix(&call)));
        // A list without services is no line.
        stdout.line(text.filter(|text| !text.is_empty()), || report(&call));
        stdout.flush_blocking()?;
        exit = exit.or(match &call.result {
            Ok(list) => match not_serving(list) {
                Some(reason) if list.statuses.is_empty() => {
                    stderr.note(format_args!("{}: {reason}", call.target));
                    Exit::NotServing
                }
                Some(_) => Exit::NotServing,
                None => Exit::Done,
            },
            Err(failure) => failures.report(&call.target, failure),
        });
    }
    failures.finish();
    Ok(exit)
}

/// Returns the statuses by name, sorted.
fn services(list: &HealthListResponse) -> BTreeMap<&str, ServingStatus> {
    list.statuses.iter().map(|(name, reply)| (name.as_str(), reply.status())).collect()
}

/// Returns why not every service is SERVING. An empty list is no evidence that any is.
fn not_serving(list: &HealthListResponse) -> Option<String> {
    if list.statuses.is_empty() {
        return Some("the server lists no service".to_owned());
    }
    let services = services(list);
    let (name, state) = services.iter().find(|(_, state)| **state != ServingStatus::Serving)?;
    Some(format!("{} {}", shown(name), state.as_str_name()))
}

/// Returns the name of a service as printed.
fn shown(name: &str) -> &str {
    if name.is_empty() { SERVER } else { name }
}

/// Returns a line for each service: its name and its status.
fn table(services: &BTreeMap<&str, ServingStatus>, suffix: &str) -> String {
    let rows = services
        .iter()
        .map(|(name, state)| (Escaped(shown(name)).to_string(), state.as_str_name()));
    let rows: Vec<_> = rows.collect();
    let columns = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    let columns = columns.min(MAX_NAME_COLUMNS);
    let lines = rows.iter().map(|(name, state)| format!("{name:<columns$} {state}{suffix}"));
    lines.collect::<Vec<_>>().join("\n")
}

fn report(call: &Call<HealthListResponse>) -> HealthList<'_> {
    let list = call.result.as_ref().ok();
    HealthList {
        schema: "greet.health_list/v1",
        ok: list.is_some_and(|list| not_serving(list).is_none()),
        services: list.map(|list| {
            services(list).into_iter().map(|(name, state)| (name, state.as_str_name())).collect()
        }),
        call: CallReport::new(call),
    }
}
