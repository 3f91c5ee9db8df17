//! What stands beside the Greeter, as another language's libraries see it: health, reflection, and
//! the details of an error.

use crate::harness::command::run as run_command;
use crate::harness::daemon::Daemon;
use crate::harness::programs::Programs;
use crate::harness::tools;

pub(crate) fn run(programs: &Programs) -> anyhow::Result<String> {
    let daemon = Daemon::start(programs, &["--listen", "127.0.0.1:0"])?;
    let address = daemon.target.trim_start_matches("http://");
    let python = |script: &str, arguments: &[&str]| {
        run_command(tools::python(script)?.arg(address).args(arguments))
    };

    for service in ["", "greet.Greeter"] {
        let health = python("health.py", &[service])?.succeeded()?;
        anyhow::ensure!(health == "SERVING\n", "health of {service:?} is {health:?}");
    }
    let unknown = python("health.py", &["no.Such"])?.ended_with(1)?.stderr;
    anyhow::ensure!(unknown == "NOT_FOUND\n", "health of a service unknown is {unknown:?}");

    let reflected = python("reflect.py", &[])?.succeeded()?;
    let expected = "greet.Greeter\ngrpc.health.v1.Health\ngrpc.reflection.v1.ServerReflection\n\
                    grpc.reflection.v1alpha.ServerReflection\nHello Reflection\n";
    anyhow::ensure!(reflected == expected, "reflection showed {reflected:?}");

    let details = python("status.py", &[])?.succeeded()?;
    let expected = "INVALID_ARGUMENT name: is 5000 bytes long; the limit is 4096 bytes\n";
    anyhow::ensure!(details == expected, "the details were {details:?}");
    Ok("SERVING, NOT_FOUND; 4 services; BadRequest names the field".to_owned())
}
