//! `hello`: SayHello for each name, one reply a line, in the order of the names.

use crate::args::{ConnectionArgs, HelloArgs};
use crate::client::{Client, Pause};
use crate::exit::Exit;
use crate::output::{Output, Written};
use crate::report::{CallReport, Hello};

pub(super) async fn run(
    args: HelloArgs,
    connection: &ConnectionArgs,
    mut client: Client,
    output: &Output,
) -> anyhow::Result<Exit> {
    wait_until_reachable(&mut client, connection, output).await;
    let mut exit = Exit::Done;
    for name in args.names {
        let call = client.say_hello(name.clone()).await;
        let message = call.result.as_ref().ok().map(|reply| reply.message.as_str());
        let report = Hello {
            schema: "greet.hello/v1",
            ok: call.result.is_ok(),
            name: &name,
            message,
            call: CallReport::new(&call, &connection.target),
        };
        output.verbose(&call);
        if let Err(failure) = &call.result {
            exit = exit.or(failure.exit());
        }
        if output.data(message, &report)? == Written::NobodyReads {
            break;
        }
        if let Err(failure) = &call.result {
            output.failure(failure);
        }
    }
    Ok(exit)
}

/// With `--wait`: until a connection stands, or the time is over. The calls then say what is wrong.
async fn wait_until_reachable(client: &mut Client, connection: &ConnectionArgs, output: &Output) {
    let mut pause = Pause::new(connection.wait);
    let mut told = false;
    while !pause.is_over() {
        let Err(failure) = client.reach().await else {
            return;
        };
        if !told {
            output.note(format_args!("waiting for {}: {failure}", connection.target));
            told = true;
        }
        client.pause(&mut pause).await;
    }
}
