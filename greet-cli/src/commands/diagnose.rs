//! `diagnose`: connect, ask for health, say hello, and tell what was found on the way.

use futures_util::future::{join, join_all};

use super::{Context, until_reachable};
use crate::client::Client;
use crate::connect::{Stages, Target};
use crate::diagnose::Diagnosis;
use crate::exit::Exit;
use crate::output::{Stderr, Stdout};

/// Whom the call at the end greets: ourselves, so that a server's log says who that was.
const NAME: &str = "greet-cli";

pub(crate) async fn run(
    service: &str,
    context: Context,
    data: &mut Stdout,
    prose: &Stderr,
) -> anyhow::Result<Exit> {
    let walks = context.targets.iter().map(async |target| {
        let client = || Client::new(context.terms.clone(), std::slice::from_ref(target), 1);
        until_reachable(&client(), context.wait, prose).await;
        walk_all(client(), target, service).await
    });
    let mut exit = Exit::Done;
    for (index, diagnosis) in join_all(walks).await.into_iter().flatten().enumerate() {
        if index > 0 && !data.is_json() {
            data.text(b"\n");
        }
        data.line(Some(&diagnosis.to_string()), || &diagnosis);
        data.flush().await?;
        exit = exit.or(diagnosis.exit);
    }
    Ok(exit)
}

/// Behind a name that stands for each of its addresses one server may be well and another not.
async fn walk_all(client: Client, target: &Target, service: &str) -> Vec<Diagnosis> {
    let mut stages = Stages::default();
    match client.split(&mut stages).await {
        Ok(clients) => {
            let walk = |client| walk(client, target, service, stages.clone());
            join_all(clients.iter().map(walk)).await
        }
        Err(problem) => vec![Diagnosis::of_failed_connection(target, &stages, problem)],
    }
}

/// Health and hello share the time that is left: a server that answers one may still leave the other.
async fn walk(client: &Client, target: &Target, service: &str, mut stages: Stages) -> Diagnosis {
    if let Err(problem) = client.connect(&mut stages).await {
        return Diagnosis::of_failed_connection(target, &stages, problem);
    }
    let (health, hello) = join(client.check_health(service), client.say_hello(NAME)).await;
    Diagnosis::of_calls(target, &stages, &health, &hello)
}
