//! Describes a served service: its methods with their handlers, its descriptors, its health.
//!
//! A [`Service`] is made from tonic's generated code and nothing else: a layer or an interceptor
//! around the generated server would not see the calls of the fast path, so there is no way to pass
//! one. A [`Guard`](super::Guard) sees the calls of both paths.

use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;

use greet_proto::service::{GeneratedService, HandlerFuture, MethodDescriptor, MethodVisitor};
use http::{Request, Response};
use prost::Message;
use tokio::sync::watch;
use tonic::body::Body;
use tonic::codegen::BoxFuture;

use super::method::{AtDrain, Method};
use super::unary::{self, UnaryHandler};
use crate::config::Config;

/// A service of one worker.
pub struct Service {
    pub(crate) name: &'static str,
    pub(crate) descriptor_set: &'static [u8],
    pub(crate) health: ServiceHealth,
    pub(crate) methods: Vec<ServedMethod>,
}

/// A method and both of its paths, which share one implementation.
pub(crate) struct ServedMethod {
    pub(crate) method: Method,
    /// Whether requests carry the [`Caller`](super::Caller) in their extensions.
    pub(crate) passes_caller: bool,
    /// Whether `--max-in-flight` bounds the calls.
    pub(crate) is_limited: bool,
    /// Whether only fault rules that name the method hit its calls.
    pub(crate) is_hit_by_name_only: bool,
    /// The fast path: one message each way, neither compressed. `None` for a method with a stream.
    pub(crate) unary: Option<UnaryHandler>,
    pub(crate) generated: GeneratedHandler,
}

/// A generated service as a function, which hides its type.
pub(crate) type GeneratedHandler =
    Rc<dyn Fn(Request<Body>) -> BoxFuture<Response<Body>, Infallible>>;

impl Service {
    /// Creates a service from its generated server type and its implementation:
    /// `Service::of::<HealthServer<_>>(config, health)`.
    ///
    /// A worker has its own services, so state in `implementation` belongs to one worker, unless
    /// the implementation is an `Arc` that all workers share.
    ///
    /// ```
    /// # use greet_proto::grpc::health::v1::health_server::{Health, HealthServer};
    /// # use greet_server::{Service, config::Config};
    /// # struct AlwaysServing;
    /// # impl Health for AlwaysServing {}
    /// # let config = Config::default();
    /// let service = Service::of::<HealthServer<_>>(&config, AlwaysServing);
    /// ```
    ///
    /// An interceptor or another layer is not an implementation. A [`Guard`](super::Guard) can do its
    /// work.
    ///
    /// ```compile_fail,E0277
    /// # use greet_proto::grpc::health::v1::health_server::{Health, HealthServer};
    /// # use greet_server::{Service, config::Config};
    /// # struct AlwaysServing;
    /// # impl Health for AlwaysServing {}
    /// # let config = Config::default();
    /// let health = HealthServer::with_interceptor(AlwaysServing, |request| Ok(request));
    /// let service = Service::of::<HealthServer<_>>(&config, health);
    /// ```
    pub fn of<G: GeneratedService>(
        config: &Config,
        implementation: impl Into<Arc<G::Implementation>>,
    ) -> Service {
        let implementation = implementation.into();
        let server = G::from_shared(implementation.clone(), config.limits.max_message_bytes);
        let generated: GeneratedHandler = Rc::new(move |request| server.serve(request));
        let mut table = MethodTable { implementation, generated, methods: Vec::new() };
        G::visit_methods(&mut table);
        Service {
            name: G::NAME,
            descriptor_set: G::DESCRIPTOR_SET,
            health: ServiceHealth::default(),
            methods: table.methods,
        }
    }

    /// Sets what a drain does to the response streams of `method` (default: [`AtDrain::Finish`]).
    ///
    /// # Panics
    /// The service has no method of this name.
    #[must_use]
    pub fn at_drain(mut self, method: &str, at_drain: AtDrain) -> Service {
        self.served(method).method.at_drain = at_drain;
        self
    }

    /// Serves the calls of `method` at the limit of `--max-in-flight` as well: for health checks, which
    /// must not fail because the server is busy.
    ///
    /// # Panics
    /// The service has no method of this name.
    #[must_use]
    pub fn without_call_limit(mut self, method: &str) -> Service {
        self.served(method).is_limited = false;
        self
    }

    /// Exempts the calls from fault rules that name no method: for health and reflection, so that the
    /// probes of a replica that fails its calls stay green.
    #[must_use]
    pub(crate) fn without_unnamed_faults(mut self) -> Service {
        self.methods.iter_mut().for_each(|served| served.is_hit_by_name_only = true);
        self
    }

    fn served(&mut self, method: &str) -> &mut ServedMethod {
        let has_name = |served: &&mut ServedMethod| {
            served.method.path().rsplit('/').next().is_some_and(|name| name == method)
        };
        self.methods.iter_mut().find(has_name).expect("the service has the method")
    }

    /// Puts the [`Caller`](super::Caller) into the extensions of every request.
    #[must_use]
    pub fn with_caller(mut self) -> Service {
        self.methods.iter_mut().for_each(|served| served.passes_caller = true);
        self
    }

    /// Lets the owner of `health` set the status that grpc.health.v1 reports for this service.
    #[must_use]
    pub fn with_health(self, health: &ServiceHealth) -> Service {
        Service { health: health.clone(), ..self }
    }
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Returns the methods of all services, each with its index.
pub(crate) fn method_table(services: Vec<Service>) -> Box<[ServedMethod]> {
    let mut methods: Box<[_]> = services.into_iter().flat_map(|service| service.methods).collect();
    for (index, served) in methods.iter_mut().enumerate() {
        served.method.index = index;
    }
    methods
}

/// The health of one service on all workers, SERVING at first. Clones share it.
#[derive(Debug, Clone)]
pub struct ServiceHealth(watch::Sender<bool>);

impl Default for ServiceHealth {
    fn default() -> ServiceHealth {
        ServiceHealth(watch::Sender::new(true))
    }
}

impl ServiceHealth {
    /// Sets the status to SERVING or NOT_SERVING, and informs every Watch.
    pub fn set_serving(&self, is_serving: bool) {
        self.0.send_replace(is_serving);
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<bool> {
        self.0.subscribe()
    }
}

/// Collects the methods of a generated service.
struct MethodTable<T> {
    implementation: Arc<T>,
    generated: GeneratedHandler,
    methods: Vec<ServedMethod>,
}

impl<T> MethodTable<T> {
    fn push(&mut self, method: MethodDescriptor, unary: Option<UnaryHandler>) {
        let (method, generated) = (Method::new(method), self.generated.clone());
        self.methods.push(ServedMethod {
            method,
            passes_caller: false,
            is_limited: true,
            is_hit_by_name_only: false,
            unary,
            generated,
        });
    }
}

impl<T: Send + Sync + 'static> MethodVisitor<T> for MethodTable<T> {
    fn unary<Req, Res>(
        &mut self,
        method: MethodDescriptor,
        call: for<'a> fn(&'a T, tonic::Request<Req>) -> HandlerFuture<'a, Res>,
    ) where
        Req: Message + Default + 'static,
        Res: Message + 'static,
    {
        let handler = unary::handler(self.implementation.clone(), call);
        self.push(method, Some(handler));
    }

    fn streaming(&mut self, method: MethodDescriptor) {
        self.push(method, None);
    }
}
