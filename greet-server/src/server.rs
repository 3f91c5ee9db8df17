//! Assembles the daemon: [`Server::bind`] binds the sockets, [`Server::run`] serves until shutdown.

use std::io::{self, IsTerminal as _};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use greet_flags::product;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::field::display;

use crate::admin::collector::MetricsCollector;
use crate::admin::{Access, AdminServer, Routes};
use crate::config::{Config, FaultConfig, Limits, ListenAddr};
use crate::drain::{Lifecycle, RunError};
use crate::grpc::faults::{self, FaultControl};
use crate::grpc::memory::MemoryLimit;
use crate::grpc::{
    AccessLog, ConcurrencyLimit, Cors, Guard, ReplyTemplate, Router, Service, WorkerState,
    method_table,
};
use crate::lifecycle::phase::Phase;
use crate::lifecycle::report::ShutdownReport;
use crate::lifecycle::systemd::ServiceManager;
use crate::lifecycle::watchdog::Watchdog;
use crate::net::acceptor::{self, Acceptor};
use crate::net::address::Address;
use crate::net::bind::{BindError, bind_all};
use crate::net::connection_limit::ConnectionLimit;
use crate::net::listener::Listener;
#[cfg(unix)]
use crate::net::socket_activation::{self, Inherited};
use crate::net::tls::reload::Reloader;
use crate::net::tls::{PemFiles, Tls, TlsError};
use crate::net::worker::{MakeRouter, Workers};
use crate::services::{HealthControl, method_names, with_health_and_reflection};
use crate::telemetry::logging::LogControl;
use crate::telemetry::metrics::close_reason::CloseReason;
use crate::telemetry::metrics::worker::{CallKind, ReloadMetrics, SpanMetrics, WorkerMetrics};
use crate::telemetry::otel::Exporter;
use crate::telemetry::resource::ResourceAttributes;

type MakeServices = Arc<dyn Fn(&Config) -> Vec<Service> + Send + Sync>;
type MakeGuard = Arc<dyn Fn() -> Guard + Send + Sync>;

/// A daemon with bound sockets. The kernel queues connections already.
pub struct Server {
    config: Config,
    listeners: Vec<Listener>,
    tls: Option<(Reloader, watch::Receiver<Tls>)>,
    reload: watch::Receiver<u32>,
    phase: watch::Sender<Phase>,
    make_services: MakeServices,
    make_guard: Option<MakeGuard>,
    faults: Arc<FaultControl>,
    health: HealthControl,
    admin: Vec<Listener>,
    log: Option<LogControl>,
    exporter: Option<Exporter>,
    spans: Arc<SpanMetrics>,
    resource: ResourceAttributes,
    service_manager: ServiceManager,
    watchdog: Option<Watchdog>,
}

/// Listening sockets of a supervisor, in place of configured addresses.
#[derive(Debug, Default)]
pub struct Sockets {
    listeners: Vec<Listener>,
    admin: Vec<Listener>,
}

impl Sockets {
    /// Returns the sockets of socket activation; those with the name `admin` are for the admin server.
    /// Needs a tokio runtime.
    ///
    /// # Errors
    /// A descriptor is not a listening socket.
    pub fn inherited() -> Result<Sockets, StartError> {
        #[cfg(unix)]
        let Inherited { listeners, admin } =
            socket_activation::sockets().map_err(StartError::Inherited)?;
        #[cfg(not(unix))]
        let (listeners, admin) = (Vec::new(), Vec::new());
        Ok(Sockets { listeners, admin })
    }
}

/// A failure to start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address could not be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// An address with the scheme `https`, without a certificate or of the admin server.
    #[error("{0} has no certificate")]
    NoCertificate(ListenAddr),
    /// There are too many fault rules, or one names a method that is not served, or several.
    #[error("fault rule: {0}")]
    Fault(String),
    /// A descriptor of socket activation cannot be used.
    #[error("could not use the sockets that LISTEN_FDS names")]
    Inherited(#[source] io::Error),
    /// A TLS file cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl Server {
    /// Creates a server on the configured addresses, as [`Server::with_sockets`] does.
    ///
    /// # Errors
    /// An address cannot be bound, or a TLS file cannot be used.
    pub async fn bind(
        config: Config,
        services: impl Fn(&Config) -> Vec<Service> + Send + Sync + 'static,
    ) -> Result<Server, StartError> {
        Server::with_sockets(config, Sockets::default(), services).await
    }

    /// Creates a server on `sockets`, and on the configured addresses that they do not replace. Each
    /// worker calls `services` once, on its own thread and in its own runtime. If a fault rule names a
    /// method, this function calls `services` as well. Needs a tokio runtime.
    ///
    /// # Errors
    /// An address cannot be bound, a TLS file cannot be used, or a fault rule names an unknown method.
    pub async fn with_sockets(
        config: Config,
        sockets: Sockets,
        services: impl Fn(&Config) -> Vec<Service> + Send + Sync + 'static,
    ) -> Result<Server, StartError> {
        if let Some(address) = config.address_without_tls() {
            return Err(StartError::NoCertificate(address.clone()));
        }
        let faults = FaultControl::new(resolved_faults(&config, &services)?);
        let Sockets { mut listeners, mut admin } = sockets;
        if listeners.is_empty() {
            listeners = bind_all(&config.listen, config.reuse_port).await?;
        }
        let tls = config.tls.clone().map(Reloader::new).transpose()?;
        if tls.is_some() && listeners.iter().all(Listener::is_plaintext) {
            tracing::warn!("certificate not used: every listener is plaintext");
        }
        let phase = watch::Sender::new(Phase::Starting);
        let spans = Arc::<SpanMetrics>::default();
        let resource = ResourceAttributes::new(&config);
        let exporter = Exporter::start(&config, &resource, &spans);
        let (_never, reload) = watch::channel(0);
        if admin.is_empty() {
            admin = bind_all(&config.admin_listen, false).await?;
        }
        Ok(Server {
            config,
            listeners,
            tls,
            reload,
            phase,
            make_services: Arc::new(services),
            make_guard: None,
            faults,
            health: HealthControl::default(),
            admin,
            log: None,
            exporter,
            spans,
            resource,
            service_manager: ServiceManager::default(),
            watchdog: None,
        })
    }

    /// Checks the fault rules and reads the TLS files as [`Server::bind`] does. Warns if clients will
    /// reject the certificate.
    ///
    /// # Errors
    /// A TLS file cannot be used, or a fault rule names an unknown method.
    pub fn check(
        config: &Config,
        services: impl Fn(&Config) -> Vec<Service>,
    ) -> Result<Option<String>, StartError> {
        resolved_faults(config, services)?;
        let Some(files) = &config.tls else {
            return Ok(None);
        };
        let tls = Tls::new(files, &PemFiles::read(files)?)?;
        let problem = tls.validity_problem(SystemTime::now());
        Ok(problem.map(|problem| format!("`{}`: {problem}", files.cert.display())))
    }

    /// Returns the address of each listener.
    pub fn addresses(&self) -> Vec<Address> {
        self.listeners.iter().map(|listener| listener.address(self.tls.is_some())).collect()
    }

    /// Returns the addresses of the admin server.
    pub fn admin_addresses(&self) -> Vec<Address> {
        self.admin.iter().map(|listener| listener.address(false)).collect()
    }

    /// Lets the admin port show and change the log filter.
    pub fn set_log_control(&mut self, log: LogControl) {
        self.log = Some(log);
    }

    /// Lets a guard admit or reject every call, including those of health and reflection. Each worker
    /// calls `make_guard` once, on its own thread.
    pub fn set_guard(&mut self, make_guard: impl Fn() -> Guard + Send + Sync + 'static) {
        self.make_guard = Some(Arc::new(make_guard));
    }

    /// Notifies a service manager of the daemon's state, and answers its watchdog.
    pub fn set_service_manager(&mut self, service_manager: ServiceManager) {
        self.watchdog = service_manager.watchdog_timeout.map(Watchdog::new);
        self.service_manager = service_manager;
    }

    /// Reloads the TLS files at each change of `requests`, not only when their contents change.
    pub fn reload_on(&mut self, requests: watch::Receiver<u32>) {
        self.reload = requests;
    }

    /// Serves until `drain` completes and every accepted call is answered; `cut` ends the drain.
    ///
    /// # Errors
    /// A worker or a listener failed while serving.
    pub async fn run(
        self,
        drain: impl Future<Output = ()>,
        cut: impl Future<Output = ()>,
    ) -> Result<ShutdownReport, RunError> {
        let (addresses, admin_addresses) = (self.addresses(), self.admin_addresses());
        let memory =
            MemoryLimit::new(self.config.limits.memory_limit.as_u64(), self.config.workers.get());
        let make_router = self.make_router(memory.clone());
        let config = self.config;
        let (workers, ended) = Workers::start(config.workers.get(), config.limits, &make_router)
            .map_err(RunError::Start)?;
        log_start(&addresses, &admin_addresses, &config);
        if !config.faults.rules.is_empty() {
            self.faults.log(None);
        }
        if let Some(watchdog) = self.watchdog {
            tokio::spawn(watchdog.run(self.service_manager.clone()));
        }
        let reloads = Arc::new(ReloadMetrics::default());
        let tls = match self.tls {
            Some((reloader, tls)) => {
                let service_manager = self.service_manager.clone();
                tokio::spawn(reloader.run(self.reload, reloads.clone(), service_manager));
                Some(tls)
            }
            None => {
                tokio::spawn(self.service_manager.clone().acknowledge_reloads(self.reload));
                None
            }
        };
        let limits = &config.limits;
        let connection_limit =
            ConnectionLimit::new(limits.max_connections, limits.max_connections_per_ip);
        let acceptor = Acceptor {
            connection_limit: connection_limit.clone(),
            tls,
            workers: workers.clone(),
            limits: *limits,
        };
        let collector = MetricsCollector {
            phase: self.phase.subscribe(),
            workers: workers.clone(),
            connection_limit: connection_limit.clone(),
            memory,
            faults: self.faults,
            health: self.health,
            limits: *limits,
            tls: acceptor.tls.clone(),
            reloads: reloads.clone(),
            log: self.log,
            spans: self.spans,
            resource: self.resource,
        };
        let access = Access::new(config.admin_listen.as_ref(), config.admin_read_only);
        let routes = Routes::new(collector, access);
        let _until_stopped = AdminServer::start(self.admin, routes).map_err(RunError::Start)?;
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
            service_manager: self.service_manager,
        };
        let calls = lifecycle.run(drain, cut).await?;
        let report = ShutdownReport {
            answered: calls.answered,
            abandoned: calls.abandoned,
            cut: calls.in_flight,
            closed: CloseReason::ALL
                .map(|reason| (reason, workers.closed(reason) + connection_limit.refused(reason)))
                .to_vec(),
            tls_reloads: reloads.done.get(),
            tls_reloads_refused: reloads.refused.get(),
        };
        if let Some(exporter) = self.exporter {
            exporter.shut_down().await;
        }
        report.log();
        Ok(report)
    }
}

impl Server {
    pub(crate) fn make_router(&self, memory: Arc<MemoryLimit>) -> MakeRouter {
        let config = self.config.clone();
        let limits = config.limits;
        let workers = config.workers.get() as u64;
        let concurrency = CallKind::ALL.map(|kind| {
            let max_calls = match kind {
                CallKind::Unary => limits.max_in_flight,
                CallKind::Streaming => limits.max_streaming_calls,
            };
            ConcurrencyLimit::new(max_calls, workers)
        });
        let phase = self.phase.subscribe();
        let tracer = self.exporter.as_ref().map(Exporter::tracer);
        let (make_services, make_guard) = (self.make_services.clone(), self.make_guard.clone());
        let watchdog = self.watchdog.clone();
        let (faults, health) = (self.faults.clone(), self.health.clone());
        Arc::new(move || {
            if let Some(watchdog) = &watchdog {
                watchdog.add_worker();
            }
            let services = make_services(&config);
            let services = with_health_and_reflection(services, &config, phase.clone(), &health);
            let methods = method_table(services);
            let state = WorkerState {
                limits,
                template: ReplyTemplate::new(config.instance.clone()),
                phase: phase.clone(),
                metrics: Arc::new(WorkerMetrics::new(methods.len())),
                permits: concurrency.each_ref().map(ConcurrencyLimit::lease),
                memory: memory.lease(),
                access_log: AccessLog::new(config.log.access),
                tracer: tracer.clone(),
            };
            let guard = make_guard.as_ref().map(|make_guard| make_guard());
            let (faults, cors) = (faults.lease(), config.web.as_ref().map(Cors::new));
            Router { methods, guard, faults, cors, state: Rc::new(state) }
        })
    }
}

/// Returns the configured faults with full names of methods.
fn resolved_faults(
    config: &Config,
    services: impl Fn(&Config) -> Vec<Service>,
) -> Result<FaultConfig, StartError> {
    let faults = config.faults.clone();
    let has_names = faults.rules.iter().any(|rule| rule.method.is_some());
    let methods = if has_names { method_names(services(config), config) } else { Vec::new() };
    faults::resolve(faults, &methods).map_err(StartError::Fault)
}

/// Logs the start with each limit in its own field. A terminal gets a short line.
fn log_start(addresses: &[Address], admin: &[Address], config: &Config) {
    let limits = (!io::stderr().is_terminal()).then_some(&config.limits);
    let duration = |of: fn(&Limits) -> Option<Duration>| {
        limits.and_then(of).map(|duration| display(humantime::format_duration(duration)))
    };
    let list = |addresses: &[Address]| {
        addresses.iter().map(Address::to_string).collect::<Vec<_>>().join(",")
    };
    tracing::info!(
        version = product::version(),
        addresses = list(addresses),
        admin = (!admin.is_empty()).then(|| list(admin)),
        workers = config.workers,
        max_connections = limits.map(|limits| limits.max_connections),
        max_connections_per_ip = limits.and_then(|limits| limits.max_connections_per_ip),
        max_in_flight = limits.map(|limits| limits.max_in_flight),
        max_streaming_calls = limits.map(|limits| limits.max_streaming_calls),
        max_streaming_calls_per_connection =
            limits.map(|limits| limits.max_streaming_calls_per_connection),
        max_streams = limits.map(|limits| limits.max_streams),
        max_message_bytes = limits.map(|limits| limits.max_message_bytes),
        memory_limit = limits.map(|limits| display(limits.memory_limit)),
        max_memory = limits.map(|limits| display(limits.max_memory())),
        request_timeout = duration(|limits| Some(limits.request_timeout)),
        message_timeout = duration(|limits| Some(limits.message_timeout)),
        handshake_timeout = duration(|limits| Some(limits.handshake_timeout)),
        keepalive_interval = duration(|limits| limits.keepalive_interval),
        keepalive_timeout = duration(|limits| Some(limits.keepalive_timeout)),
        max_connection_age = duration(|limits| limits.max_connection_age),
        max_connection_age_grace = duration(|limits| Some(limits.max_connection_age_grace)),
        max_connection_idle = duration(|limits| limits.max_connection_idle),
        "server started"
    );
    if let Some(warning) = config.limits.memory_warning() {
        tracing::warn!(warning, "memory limit exceeds that of the cgroup");
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
