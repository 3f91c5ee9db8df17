//! The daemon, as a story: parse, telemetry, bind, announce, run, exit code.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use greet_server::config::Config;
use greet_server::lifecycle::signals::Signals;
use greet_server::settings::{Answer, Settings};
use greet_server::{Greeting, Server, ShutdownReport, Sockets, telemetry};

/// Faster than the system's under one thread a core, and its free lists are per thread as ours are.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let settings = Settings::gather();
    let config = match settings.resolve() {
        Ok(config) => config,
        Err(problems) => return tell(&problems, 2),
    };
    if let Some(answer) = settings.answer(&config) {
        return give(&answer);
    }
    match serve(config) {
        Ok(outcome) => ExitCode::from(outcome.exit_code()),
        Err(error) => tell(&[format!("{error:#}")], 1),
    }
}

fn serve(config: Config) -> anyhow::Result<ShutdownReport> {
    let (log, _writes_the_rest_when_dropped) = telemetry::logging::init(&config.log);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("could not start the acceptor's runtime")?;
    let outcome = runtime.block_on(async {
        let signals = Signals::install().context("could not install signal handlers")?;
        let greeting = Greeting::new(config.limits.max_name_bytes);
        let mut server = tokio::select! {
            bound = bind(config, greeting) => bound?,
            () = signals.nth(1) => return Ok(ShutdownReport::default()),
        };
        server.reload_on(signals.hangups());
        server.controls(log.clone());
        signals.on_toggle(move || log.toggle());
        announce(&server);
        Ok(server.run(signals.nth(1), signals.nth(2)).await?)
    });
    // A name look-up that hangs in the system's resolver cannot be cancelled; it is left behind.
    runtime.shutdown_background();
    outcome
}

/// On what a supervisor handed down, or on the addresses of the configuration.
async fn bind(config: Config, greeting: Greeting) -> anyhow::Result<Server> {
    Ok(match Sockets::inherited()? {
        Some(sockets) => Server::on(config, sockets, greeting).await?,
        None => Server::bind(config, greeting).await?,
    })
}

/// One line per listener on standard output and nothing else, ever: scripts read the address there.
fn announce(server: &Server) {
    let mut stdout = std::io::stdout().lock();
    let admin = server.admin_address().map(|address| format!("admin on {address}"));
    let listening = server.addresses().into_iter().map(|address| format!("listening on {address}"));
    for address in listening.chain(admin) {
        if let Err(error) = writeln!(stdout, "{address}").and(stdout.flush()) {
            tracing::warn!(%address, %error, "could not announce the address on standard output");
        }
    }
}

/// For who asked for the configuration, not for a daemon.
fn give(answer: &Answer) -> ExitCode {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(answer.data.as_bytes()).and(stdout.flush()) {
        Ok(()) => tell(&answer.told, 0),
        Err(error) => tell(&[format!("could not write to standard output: {error}")], 1),
    }
}

/// One line each on standard error, then the exit code. Nothing is left to do if even that fails.
fn tell(lines: &[String], code: u8) -> ExitCode {
    let mut stderr = std::io::stderr().lock();
    for line in lines {
        let _ = writeln!(stderr, "greet-server: {line}");
    }
    ExitCode::from(code)
}
