//! `diagnose`: connects, checks the health, calls SayHello, and reports the result of each stage.

use futures_util::future::{join, join_all};

use super::{Context, wait_until_reachable};
use crate::client::Client;
use crate::connect::{Stages, Target};
use crate::diagnose::{Diagnosis, DiagnosisTable};
use crate::exit::Exit;
use crate::output::{Stderr, Stdout};

/// The name in the call to SayHello, which identifies this program in logs of the server.
const NAME: &str = "greet-cli";

pub(crate) async fn run(
    service: &str,
    context: Context,
    stdout: &mut Stdout,
    stderr: &Stderr,
) -> anyhow::Result<Exit> {
    let diagnoses = context.targets.iter().map(async |target| {
        let client = || Client::new(context.call_options.clone(), std::slice::from_ref(target), 1);
        wait_until_reachable(&client(), context.wait, stderr).await;
        diagnose_target(client(), target, service).await
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
async fn diagnose_target(client: Client, target: &Target, service: &str) -> Vec<Diagnosis> {
    let mut stages = Stages::default();
    match client.split(&mut stages).await {
        Ok(clients) => {
            let diagnose_server = |client| diagnose_server(client, target, service, stages.clone());
            join_all(clients.iter().map(diagnose_server)).await
        }
        Err(error) => vec![Diagnosis::from_failed_connection(target, &stages, error)],
    }
}

/// Runs all stages. Health and SayHello run at once, because a server may answer only one of them
/// in time.
async fn diagnose_server(
    client: &Client,
    target: &Target,
    service: &str,
    mut stages: Stages,
) -> Diagnosis {
    if let Err(error) = client.connect(&mut stages).await {
        return Diagnosis::from_failed_connection(target, &stages, error);
    }
    let (health, hello) = join(client.check_health(service), client.say_hello(NAME)).await;
    Diagnosis::from_calls(target, &stages, &health, &hello)
}
