//! The list of services.
//!
//! To add a method, write it into the `.proto` and implement it. To add a service, write its
//! `.proto`, implement it in a file of this folder, and add it to [`all`]. Everything else derives
//! from the list: routes, the fast path, metrics, health and reflection.

mod greeter;
mod health;
mod health_control;
mod reflection;

use std::sync::Arc;

use greet_proto::greet::greeter_server::GreeterServer;
use greet_proto::grpc::health::v1::health_server::HealthServer;
use greet_proto::grpc::reflection::v1::server_reflection_server::ServerReflectionServer;
use greet_proto::grpc::reflection::v1alpha::server_reflection_server as v1alpha;
use greet_proto::service::GeneratedService;
use tokio::sync::watch;

pub use self::greeter::GreeterService;
use self::health::Health;
pub(crate) use self::health_control::HealthControl;
use self::reflection::Reflection;
use crate::config::Config;
use crate::flags::Flags;
use crate::grpc::{AtDrain, Service};
use crate::lifecycle::phase::Phase;

/// Returns the function that makes the services of a worker, which `flags` configure; every worker calls
/// it once.
///
/// Workers share no service, because the reference count of a shared `Arc` would move between cores at
/// every call. State of the whole process is made before the function, which captures it in an `Arc`.
pub fn all(flags: &Flags) -> impl Fn(&Config) -> Vec<Service> + Send + Sync + use<> {
    let greeter = GreeterService::new(flags.max_name_bytes);
    move |config| vec![Service::of::<GreeterServer<_>>(config, greeter)]
}

/// Adds grpc.health.v1 and server reflection, which report on `services`.
pub(crate) fn with_health_and_reflection(
    mut services: Vec<Service>,
    config: &Config,
    phase: watch::Receiver<Phase>,
    control: &HealthControl,
) -> Vec<Service> {
    let health = services.iter().map(|service| (service.name, service.health.subscribe()));
    let health = Health::new(phase, health.collect(), control);
    let health = Service::of::<HealthServer<_>>(config, health);
    let health = health.at_drain("Watch", AtDrain::End);
    let health = health.without_call_limit("Check").without_call_limit("List");
    services.push(health.without_unnamed_faults());

    let mut described: Vec<_> =
        services.iter().map(|service| (service.name, service.descriptor_set)).collect();
    described.push(descriptors::<ServerReflectionServer<Reflection>>());
    described.push(descriptors::<v1alpha::ServerReflectionServer<Reflection>>());
    let reflection =
        if config.reflection { Reflection::new(&described) } else { Reflection::off() };
    let reflection = Arc::new(reflection);
    let v1 = Service::of::<ServerReflectionServer<Reflection>>(config, reflection.clone());
    let v1alpha = Service::of::<v1alpha::ServerReflectionServer<Reflection>>(config, reflection);
    let both = [v1, v1alpha];
    services.extend(both.map(|service| {
        service.at_drain("ServerReflectionInfo", AtDrain::End).without_unnamed_faults()
    }));
    services
}

/// Returns the names of all methods that a server with `services` serves.
pub(crate) fn method_names(services: Vec<Service>, config: &Config) -> Vec<&'static str> {
    let phase = watch::channel(Phase::Starting).1;
    let services = with_health_and_reflection(services, config, phase, &HealthControl::default());
    let methods = services.iter().flat_map(|service| &service.methods);
    methods.map(|served| served.method.name()).collect()
}

fn descriptors<G: GeneratedService>() -> (&'static str, &'static [u8]) {
    (G::NAME, G::DESCRIPTOR_SET)
}
