//! Implements grpc.health.v1. A service is SERVING in [`Phase::Serving`] while its owner reports
//! it as serving and no operator has set it to NOT_SERVING; the server as a whole has no owner.

use futures_util::stream::{self, StreamExt as _};
use greet_proto::grpc::health::v1::health_check_response::ServingStatus;
use greet_proto::grpc::health::v1::{
    HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse, health_server,
};
use tokio::sync::watch;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status};

use super::health_control::{HealthControl, Inputs};
use crate::lifecycle::phase::Phase;

/// The name of the server as a whole in requests.
const SERVER: &str = "";

pub(super) struct Health {
    services: Vec<(&'static str, Inputs)>,
}

impl Health {
    /// Reports on `services`, each with the status that its owner sets (`true` is serving), and on
    /// the server as a whole. A status remains when its owner drops the sender.
    pub(super) fn new(
        phase: watch::Receiver<Phase>,
        services: Vec<(&'static str, watch::Receiver<bool>)>,
        control: &HealthControl,
    ) -> Health {
        let always_serving = watch::channel(true).1;
        let services = [(SERVER, always_serving)].into_iter().chain(services);
        let services = services.map(|(name, is_serving)| {
            (name, Inputs::new(name, phase.clone(), is_serving, control))
        });
        let services: Vec<_> = services.collect();
        control.register(&services);
        Health { services }
    }

    fn inputs(&self, service: &str) -> Option<&Inputs> {
        let (_, inputs) = self.services.iter().find(|(name, _)| *name == service)?;
        Some(inputs)
    }
}

#[tonic::async_trait]
impl health_server::Health for Health {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let inputs = self.inputs(&request.get_ref().service);
        let inputs = inputs.ok_or_else(|| Status::not_found("unknown service"))?;
        Ok(Response::new(response(inputs.status())))
    }

    async fn list(
        &self,
        _: Request<HealthListRequest>,
    ) -> Result<Response<HealthListResponse>, Status> {
        let services = self.services.iter();
        let statuses = services.map(|(name, inputs)| (name.to_string(), response(inputs.status())));
        Ok(Response::new(HealthListResponse { statuses: statuses.collect() }))
    }

    /// Sends the current status, then each change. The status of an unknown service is
    /// SERVICE_UNKNOWN: the protocol allows it to be registered later.
    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<BoxStream<HealthCheckResponse>>, Status> {
        let statuses: BoxStream<_> = match self.inputs(&request.get_ref().service) {
            Some(inputs) => Box::pin(inputs.clone().changes().map(|status| Ok(response(status)))),
            None => {
                let unknown = response(ServingStatus::ServiceUnknown);
                Box::pin(stream::iter([Ok(unknown)]).chain(stream::pending()))
            }
        };
        Ok(Response::new(statuses))
    }
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tonic::Code;

    use super::health_server::Health as _;
    use super::*;

    const NOT_SERVING: ServingStatus = ServingStatus::NotServing;
    const SERVING: ServingStatus = ServingStatus::Serving;

    /// Health of the services "a" and "b", with what sets the phase and the status of each.
    struct Fixture {
        health: Health,
        phase: watch::Sender<Phase>,
        a: watch::Sender<bool>,
        b: watch::Sender<bool>,
        control: HealthControl,
    }

    fn fixture() -> Fixture {
        let (phase, a, b) = (
            watch::Sender::new(Phase::Serving),
            watch::Sender::new(true),
            watch::Sender::new(true),
        );
        let services = vec![("a", a.subscribe()), ("b", b.subscribe())];
        let control = HealthControl::default();
        Fixture { health: Health::new(phase.subscribe(), services, &control), phase, a, b, control }
    }

    fn request(service: &str) -> Request<HealthCheckRequest> {
        Request::new(HealthCheckRequest { service: service.into() })
    }

    async fn check(health: &Health, service: &str) -> Result<ServingStatus, Code> {
        let response = health.check(request(service)).await;
        response.map(|response| response.get_ref().status()).map_err(|status| status.code())
    }

    async fn watch(health: &Health, service: &str) -> BoxStream<HealthCheckResponse> {
        health.watch(request(service)).await.unwrap().into_inner()
    }

    /// Returns the next status, or `None` if there is none yet.
    fn next(statuses: &mut BoxStream<HealthCheckResponse>) -> Option<ServingStatus> {
        let next = statuses.next().now_or_never()?;
        Some(next.expect("the Watch continues").unwrap().status())
    }

    #[tokio::test]
    async fn service_serves_only_if_its_owner_and_the_phase_do() {
        let Fixture { health, phase, a, .. } = fixture();
        assert_eq!(check(&health, "a").await, Ok(SERVING));

        a.send_replace(false);
        assert_eq!(check(&health, "a").await, Ok(NOT_SERVING));
        assert_eq!(check(&health, "b").await, Ok(SERVING));
        assert_eq!(check(&health, "").await, Ok(SERVING));

        for other in Phase::ALL.into_iter().filter(|other| *other != Phase::Serving) {
            phase.send_replace(other);
            for service in ["", "a", "b"] {
                assert_eq!(check(&health, service).await, Ok(NOT_SERVING), "{other:?}");
            }
        }
        assert_eq!(check(&health, "c").await, Err(Code::NotFound));
    }

    #[tokio::test]
    async fn list_has_every_service_and_the_server() {
        let Fixture { health, a, .. } = fixture();
        a.send_replace(false);
        let response = health.list(Request::new(HealthListRequest {})).await.unwrap().into_inner();
        let mut statuses: Vec<_> =
            response.statuses.iter().map(|(name, one)| (name.as_str(), one.status())).collect();
        statuses.sort_unstable_by_key(|(name, _)| *name);
        assert_eq!(statuses, [("", SERVING), ("a", NOT_SERVING), ("b", SERVING)]);
    }

    #[tokio::test]
    async fn watch_follows_the_owner_and_the_phase() {
        let Fixture { health, phase, a, b, .. } = fixture();
        let mut statuses = watch(&health, "a").await;
        assert_eq!(next(&mut statuses), Some(SERVING));
        assert_eq!(next(&mut statuses), None);

        b.send_replace(false); // another service
        assert_eq!(next(&mut statuses), None);
        a.send_replace(false);
        assert_eq!(next(&mut statuses), Some(NOT_SERVING));
        phase.send_replace(Phase::LameDuck); // no change of the status
        assert_eq!(next(&mut statuses), None);
        a.send_replace(true);
        assert_eq!(next(&mut statuses), None);
        phase.send_replace(Phase::Serving);
        assert_eq!(next(&mut statuses), Some(SERVING));
    }

    #[tokio::test]
    async fn operator_sets_a_service_or_the_server_to_not_serving() {
        let Fixture { health, phase, a, control, .. } = fixture();
        let mut statuses = watch(&health, "a").await;
        assert_eq!(next(&mut statuses), Some(SERVING));
        assert_eq!(control.set_serving("a", false), Some(false));
        assert_eq!(next(&mut statuses), Some(NOT_SERVING));
        assert_eq!(
            (check(&health, "b").await, check(&health, "").await),
            (Ok(SERVING), Ok(SERVING))
        );
        assert_eq!(control.set_serving("", false), Some(false));
        assert_eq!(check(&health, "").await, Ok(NOT_SERVING));

        a.send_replace(false);
        assert_eq!(control.set_serving("a", true), Some(false), "its owner wins");
        a.send_replace(true);
        assert_eq!(next(&mut statuses), Some(SERVING));
        phase.send_replace(Phase::LameDuck);
        assert_eq!(control.set_serving("", true), Some(false), "the phase wins");
        assert_eq!((control.set_serving("c", true), control.is_serving("c")), (None, None));
    }

    #[tokio::test]
    async fn status_remains_when_its_owner_is_dropped() {
        let Fixture { health, phase, a, control: _control, .. } = fixture();
        let mut statuses = watch(&health, "a").await;
        a.send_replace(false);
        drop(a);
        assert_eq!(next(&mut statuses), Some(NOT_SERVING));
        assert_eq!(next(&mut statuses), None);

        drop(phase);
        let end = statuses.next().now_or_never();
        assert!(matches!(end, Some(None)), "the Watch ends with the phases: {end:?}");
    }

    #[tokio::test]
    async fn watch_of_an_unknown_service_stays_open() {
        let Fixture { health, .. } = fixture();
        let mut statuses = watch(&health, "c").await;
        assert_eq!(next(&mut statuses), Some(ServingStatus::ServiceUnknown));
        assert_eq!(next(&mut statuses), None);
    }
}
