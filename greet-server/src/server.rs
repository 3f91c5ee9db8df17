//! The daemon put together: [`Server::bind`] takes the sockets, [`Server::run`] serves on them.

use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use greet_proto::Greeter;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::admin::collector::MetricsCollector;
use crate::admin::{AdminServer, Routes};
use crate::config::Config;
use crate::drain::{Lifecycle, RunError};
use crate::grpc::{AccessLog, ConcurrencyLimit, Cors, Router, WorkerState};
use crate::lifecycle::phase::Phase;
use crate::lifecycle::report::ShutdownReport;
use crate::lifecycle::systemd;
use crate::net::acceptor::{self, Acceptor};
use crate::net::connection_limit::ConnectionLimit;
use crate::net::listener::{BindError, Listener};
#[cfg(unix)]
use crate::net::socket_activation;
use crate::net::tls::reload::Reloader;
use crate::net::tls::{PemFiles, Tls, TlsError};
use crate::net::worker::{MakeRouter, Workers};
use crate::services::{METHODS, Services};
use crate::telemetry::logging::LogControl;
use crate::telemetry::metrics::close_reason::CloseReason;
use crate::telemetry::metrics::worker::{ReloadMetrics, SpanMetrics};
use crate::telemetry::otel::{Exporter, Tracer};

/// A daemon whose sockets are bound and whose clients are let in by the kernel already.
pub struct Server {
    config: Config,
    listeners: Vec<Listener>,
    tls: Option<(Reloader, watch::Receiver<Tls>)>,
    reload: watch::Receiver<u32>,
    phase: watch::Sender<Phase>,
    make_router: MakeRouter,
    admin: Option<Listener>,
    log: Option<LogControl>,
    exporter: Option<Exporter>,
    spans: Arc<SpanMetrics>,
}

/// Sockets that listen.
#[derive(Debug)]
pub struct Sockets(Vec<Listener>);

impl Sockets {
    /// Those that a supervisor opened for us, if there are any. Needs a tokio runtime.
    ///
    /// # Errors
    /// One of them is not a socket that listens.
    #[cfg(unix)]
    pub fn inherited() -> Result<Option<Sockets>, StartError> {
        let sockets = socket_activation::sockets().map_err(StartError::Inherited)?;
        Ok((!sockets.is_empty()).then_some(Sockets(sockets)))
    }

    /// Nobody hands sockets down here.
    ///
    /// # Errors
    /// None.
    #[cfg(not(unix))]
    pub fn inherited() -> Result<Option<Sockets>, StartError> {
        Ok(None)
    }

    async fn bind(config: &Config) -> Result<Sockets, BindError> {
        let mut sockets = Vec::new();
        for address in &config.listen {
            sockets.push(Listener::bind(address, config.reuse_port).await?);
        }
        Ok(Sockets(sockets))
    }
}

/// Why the daemon could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address could not be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// What a supervisor handed down cannot be listened on.
    #[error("could not use the sockets that LISTEN_FDS names")]
    Inherited(#[source] std::io::Error),
    /// The files of TLS cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A thread beside the workers could not be started.
    #[error("could not start a thread")]
    Thread(#[from] std::io::Error),
}

impl Server {
    /// Binds every address of the configuration, and is then [`Server::on`] them.
    ///
    /// # Errors
    /// The first address that cannot be listened on, or a file that cannot be used.
    pub async fn bind<G>(config: Config, greeter: G) -> Result<Server, StartError>
    where
        G: Greeter + Clone,
    {
        let sockets = Sockets::bind(&config).await?;
        Server::on(config, sockets, greeter).await
    }

    /// A server on sockets that listen already. Needs a tokio runtime.
    ///
    /// `greeter` is cloned once for each worker.
    ///
    /// # Errors
    /// A file of TLS that cannot be used, or an admin address that cannot be listened on.
    pub async fn on<G>(config: Config, sockets: Sockets, greeter: G) -> Result<Server, StartError>
    where
        G: Greeter + Clone,
    {
        let tls = config.tls.clone().map(Reloader::new).transpose()?;
        let (phase, watched) = watch::channel(Phase::Starting);
        let spans = Arc::<SpanMetrics>::default();
        let exporter = Exporter::start(&config, &spans);
        let tracer = exporter.as_ref().map(Exporter::tracer);
        let make_router = make_router(&config, greeter, watched, tracer);
        let (_never, reload) = watch::channel(0);
        let admin = match &config.admin_listen {
            Some(address) => Some(Listener::bind(address, false).await?),
            None => None,
        };
        Ok(Server {
            config,
            listeners: sockets.0,
            tls,
            reload,
            phase,
            make_router,
            admin,
            log: None,
            exporter,
            spans,
        })
    }

    /// Reads the TLS files as [`Server::bind`] does. Returns a warning about a certificate that
    /// clients will reject.
    ///
    /// # Errors
    /// A TLS file cannot be used.
    pub fn check(config: &Config) -> Result<Option<String>, TlsError> {
        let Some(files) = &config.tls else {
            return Ok(None);
        };
        let tls = Tls::new(files, &PemFiles::read(files)?)?;
        let problem = tls.validity_problem(SystemTime::now());
        Ok(problem.map(|problem| format!("`{}`: {problem}", files.cert.display())))
    }

    /// What clients connect to: `http(s)://HOST:PORT` or `unix:PATH`, one for each listener.
    pub fn addresses(&self) -> Vec<String> {
        self.listeners.iter().map(|listener| listener.url(self.tls.is_some())).collect()
    }

    /// Where operators ask, if anywhere.
    pub fn admin_address(&self) -> Option<String> {
        self.admin.as_ref().map(|listener| listener.url(false))
    }

    /// Lets the admin port show and change what is logged.
    pub fn controls(&mut self, log: LogControl) {
        self.log = Some(log);
    }

    /// Reads the files of TLS again at each change of `asked`; without it, when they change.
    pub fn reload_on(&mut self, asked: watch::Receiver<u32>) {
        self.reload = asked;
    }

    /// Serves until `drain` completes and everything accepted is answered; `cut` shortens that.
    ///
    /// # Errors
    /// A worker or a listener failed while serving.
    pub async fn run(
        self,
        drain: impl Future<Output = ()>,
        cut: impl Future<Output = ()>,
    ) -> Result<ShutdownReport, RunError> {
        let addresses = self.addresses();
        let config = self.config;
        let (workers, ended) =
            Workers::start(config.workers.get(), METHODS.len(), config.limits, &self.make_router)
                .map_err(RunError::Start)?;
        tracing::info!(
            addresses = addresses.join(","),
            workers = config.workers,
            limits = ?config.limits,
            "listening"
        );
        let reloads = Arc::new(ReloadMetrics::default());
        let tls = match self.tls {
            Some((reloader, tls)) => {
                tokio::spawn(reloader.run(self.reload, reloads.clone()));
                Some(tls)
            }
            None => {
                tokio::spawn(systemd::reload_nothing(self.reload));
                None
            }
        };
        let limits = &config.limits;
        let admission = ConnectionLimit::new(limits.max_connections, limits.max_connections_per_ip);
        let acceptor = Acceptor {
            connection_limit: admission.clone(),
            tls,
            workers: workers.clone(),
            limits: *limits,
        };
        let observed = MetricsCollector {
            phase: self.phase.subscribe(),
            methods: &METHODS,
            workers: workers.clone(),
            admission: admission.clone(),
            limits: *limits,
            tls: acceptor.tls.clone(),
            reloads: reloads.clone(),
            log: self.log,
            spans: self.spans,
        };
        let admin = self.admin.map(|listener| AdminServer::start(listener, Routes::new(observed)));
        let _until_stopped = admin.transpose().map_err(RunError::Start)?;
        let mut acceptors = JoinSet::new();
        for listener in self.listeners {
            let phase = self.phase.subscribe();
            acceptors.spawn(acceptor::accept(listener, acceptor.clone(), phase));
        }
        let lifecycle = Lifecycle {
            phase: self.phase,
            acceptors,
            workers: workers.clone(),
            ended,
            times: config.drain,
        };
        let calls = lifecycle.run(drain, cut).await?;
        let outcome = ShutdownReport {
            answered: calls.answered,
            abandoned: calls.abandoned,
            cut: calls.in_flight,
            closed: CloseReason::ALL
                .map(|cause| (cause, workers.closed(cause) + admission.refused(cause)))
                .to_vec(),
            tls_reloads: reloads.done.get(),
            tls_reloads_refused: reloads.refused.get(),
        };
        if let Some(exporter) = self.exporter {
            exporter.shut_down().await;
        }
        outcome.report();
        Ok(outcome)
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("config", &self.config)
            .field("listeners", &self.listeners)
            .finish_non_exhaustive()
    }
}

fn make_router<G>(
    config: &Config,
    greeter: G,
    phase: watch::Receiver<Phase>,
    tracer: Option<Tracer>,
) -> MakeRouter
where
    G: Greeter + Clone,
{
    let (limits, instance, reflection) =
        (config.limits, config.instance.clone(), config.reflection);
    let (access, cors) = (config.log.access, config.web.as_ref().map(Cors::new));
    let concurrency = ConcurrencyLimit::new(limits.max_in_flight, config.workers.get() as u64);
    Arc::new(move |metrics| Router {
        services: Rc::new(Services::new(
            greeter.clone(),
            phase.clone(),
            reflection,
            limits.max_message_bytes,
        )),
        state: Rc::new(WorkerState {
            limits,
            instance: instance.clone(),
            phase: phase.clone(),
            metrics,
            concurrency: concurrency.lease(),
            access_log: AccessLog::new(access),
            tracer: tracer.clone(),
            cors: cors.clone(),
        }),
    })
}
