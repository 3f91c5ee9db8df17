//! The process: loads the configuration, starts the log, binds, announces the addresses, serves,
//! and returns the exit code.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use greet_flags::product;
use greet_server::config::{self, Config, FaultConfig, LoadError, Loaded, Sources};
use greet_server::lifecycle::signals::Signals;
use greet_server::lifecycle::systemd::ServiceManager;
use greet_server::{Flags, Server, ShutdownReport, Sockets, StartError, services, telemetry};

/// Faster than the system's allocator with a thread per core: its free lists are per thread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Exit code of invalid flags or configuration.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let result = match config::load::<Flags>(std::env::args_os()) {
        Ok(loaded) if loaded.check || loaded.printed.is_some() => return check_or_print(&loaded),
        Ok(loaded) => serve(loaded),
        Err(LoadError::Help(help)) => help.print().map(|()| 0).context("could not print the help"),
        Err(error) => return fail(&error, USAGE),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            fail(&format_args!("{error:#}"), if error.is::<LoadError>() { USAGE } else { 1 })
        }
    }
}

fn serve(loaded: Loaded<Flags>) -> anyhow::Result<u8> {
    let Loaded { config, flags, sources, unknown_variables, .. } = loaded;
    let (log, _flushes_when_dropped) = telemetry::logging::init(&config.log);
    for unknown in unknown_variables {
        let suggestion = unknown.suggestion;
        tracing::warn!(variable = unknown.name, suggestion, "environment variable ignored");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("could not start the acceptor's runtime")?;
    let announces = config.announce;
    let stopped = runtime.block_on(async {
        let toggled = log.clone();
        let signals = Signals::install(move || toggled.toggle());
        let signals = signals.context("could not install signal handlers")?;
        #[cfg(unix)]
        greet_server::lifecycle::reaper::start().context("could not install signal handlers")?;
        let mut server = tokio::select! {
            bound = bind(config, &flags) => bound.map_err(|error| in_source(error, &sources))?,
            () = signals.nth(1) => return Ok(ShutdownReport::default()),
        };
        server.reload_on(signals.hangups());
        server.set_log_control(log);
        server.set_service_manager(ServiceManager::from_env());
        if announces {
            announce(&server);
        }
        anyhow::Ok(server.run(signals.nth(1), signals.nth(2)).await?)
    });
    // A name lookup that hangs in the system's resolver cannot be cancelled; do not wait for it.
    runtime.shutdown_background();
    Ok(stopped?.exit_code())
}

/// Takes over the sockets of a supervisor, and binds the configured addresses that they leave.
async fn bind(config: Config, flags: &Flags) -> Result<Server, StartError> {
    Server::with_sockets(config, Sockets::inherited()?, services::all(flags)).await
}

/// Adds the place of the fault rules to an error about them, which makes it one of the configuration.
fn in_source(error: StartError, sources: &Sources) -> anyhow::Error {
    match error {
        StartError::Fault(problem) => {
            LoadError::Invalid(format!("{}: {problem}", sources.place("fault"))).into()
        }
        error => error.into(),
    }
}

/// Writes one line per listener to standard output, and nothing else: scripts read the address.
fn announce(server: &Server) {
    let mut stdout = io::stdout().lock();
    let admin = server.admin_addresses().into_iter().map(|address| format!("admin on {address}"));
    let listening = server.addresses().into_iter().map(|address| format!("listening on {address}"));
    for address in listening.chain(admin) {
        if let Err(error) = writeln!(stdout, "{address}").and(stdout.flush()) {
            tracing::warn!(%address, %error, "address not announced");
        }
    }
}

/// Runs `--check` and `--print-config`: data goes to standard output, findings to standard error.
fn check_or_print(loaded: &Loaded<Flags>) -> ExitCode {
    if let Some(printed) = &loaded.printed {
        let mut stdout = io::stdout().lock();
        if let Err(error) = stdout.write_all(printed.as_bytes()).and(stdout.flush()) {
            return fail(&format_args!("could not write to standard output: {error}"), 1);
        }
    }
    for unknown in &loaded.unknown_variables {
        say(unknown);
    }
    if loaded.check {
        let limits = &loaded.config.limits;
        for (key, warning) in
            [("memory-limit", limits.memory_warning()), ("tls-cert", loaded.config.tls_warning())]
        {
            let place = loaded.sources.place(key);
            warning.iter().for_each(|warning| say(&format_args!("{place}: {warning}")));
        }
        match Server::check(&loaded.config, services::all(&loaded.flags)) {
            Ok(warning) => warning.iter().for_each(|warning| say(warning)),
            Err(error) => return fail(&in_source(error, &loaded.sources), USAGE),
        }
        let FaultConfig { rules, seed } = &loaded.config.faults;
        if !rules.is_empty() {
            let rules = rules.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
            let seed = seed.map_or("a random seed".to_owned(), |seed| format!("seed {seed}"));
            say(&format_args!("injects faults into calls: {rules} ({seed})"));
        }
        let (maximum, limit) = (limits.max_memory(), limits.memory_limit);
        say(&format_args!("at most about {maximum} of memory, {limit} of it for peers"));
        say(&"the configuration is valid");
    }
    ExitCode::SUCCESS
}

fn fail(error: &dyn Display, code: u8) -> ExitCode {
    say(error);
    ExitCode::from(code)
}

/// Writes a line to standard error. If that fails, there is no other place to report it.
fn say(line: &dyn Display) {
    let _ = writeln!(io::stderr(), "{}: {line}", product::SERVER);
}
