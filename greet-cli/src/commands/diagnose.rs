//! `diagnose`: connects, checks the health, calls a method, and reports the result of each stage.

use futures_util::future::{join, join_all};

use super::{Context, wait_until_reachable};
use crate::client::Client;
use crate::connect::{Stages, Target};
use crate::diagnose::{DiagnoseOptions, Diagnosis, DiagnosisTable};
use crate::exit::Exit;
use crate::output::{Stderr, Stdout};

pub(crate) async fn run(
    options: &DiagnoseOptions,
    context: Context,
    stdout: &mut Stdout,
    stderr: &Stderr,
) -> anyhow::Result<Exit> {
    let diagnoses = context.targets.iter().map(async |target| {
        let client = || Client::new(context.call_options.clone(), std::slice::from_ref(target), 1);
        wait_until_reachable(&client(), context.wait, stderr).await;
        diagnose_target(client(), target, options).await
    });
    let mut exit = Exit::Done;
    for (index, diagnosis) in join_all(diagnoses).await.into_iter().flatten().enumerate() {
        if index > 0 && !stdout.is_json() {
            stdout.text(b"\n");
        }
        let table = DiagnosisTable { diagnosis: &diagnosis, columns: stdout.columns() };
        let text = stdout.without_unwanted_style(&table);
        stdout.line(Some(text), || &diagnosis);
        stdout.flush_blocking()?;
        exit = exit.or(diagnosis.exit);
    }
    Ok(exit)
}

/// Diagnoses each server of a target: with `dns:///` one per address.
async fn diagnose_target(
    client: Client,
    target: &Target,
    options: &DiagnoseOptions,
) -> Vec<Diagnosis> {
    let mut stages = Stages::default();
    match client.split(&mut stages).await {
        Ok(clients) => {
            let diagnose_server = |client| diagnose_server(client, target, options, stages.clone());
            join_all(clients.iter().map(diagnose_server)).await
        }
        Err(error) => vec![Diagnosis::from_failed_connection(target, &stages, error)],
    }
}

/// Runs all stages. Both calls run at once, because a server may answer only one of them in time.
async fn diagnose_server(
    client: &Client,
    target: &Target,
    options: &DiagnoseOptions,
    mut stages: Stages,
) -> Diagnosis {
    if let Err(error) = client.connect(&mut stages).await {
        return Diagnosis::from_failed_connection(target, &stages, error);
    }
    let DiagnoseOptions { method, body, service, .. } = options;
    let calls = join(client.check_health(service), client.call(method.path(), body, None));
    let (health, call) = calls.await;
    let call = call.decoded(|reply| method.decode(reply));
    Diagnosis::from_calls(target, &stages, &health, options, &call)
}
