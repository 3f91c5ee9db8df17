//! grpc.health.v1, answered from the phase of the lifecycle: SERVING while serving, NOT_SERVING
//! from the first moment of a drain.

use std::pin::Pin;

use futures_util::stream::{self, Stream, StreamExt as _};
use greet_proto::GreeterServer;
use tokio::sync::watch;
use tonic::server::NamedService;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse, health_server};

use crate::lifecycle::phase::Phase;

pub(super) struct Health {
    phase: watch::Receiver<Phase>,
}

impl Health {
    pub(super) fn new(phase: watch::Receiver<Phase>) -> Health {
        Health { phase }
    }
}

type Statuses = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

#[tonic::async_trait]
impl health_server::Health for Health {
    type WatchStream = Statuses;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if !is_known(&request.get_ref().service) {
            return Err(Status::not_found("unknown service"));
        }
        let status = serving_status(*self.phase.borrow());
        Ok(Response::new(response(status)))
    }

    /// The current status at once, then each change. A service that is not known is watched too,
    /// as SERVICE_UNKNOWN: the protocol lets it be registered later.
    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Statuses>, Status> {
        let statuses: Statuses = if is_known(&request.get_ref().service) {
            Box::pin(changes(self.phase.clone()))
        } else {
            let unknown = response(ServingStatus::ServiceUnknown);
            Box::pin(stream::iter([Ok(unknown)]).chain(stream::pending()))
        };
        Ok(Response::new(statuses))
    }
}

/// The empty name means the server as a whole.
fn is_known(service: &str) -> bool {
    service.is_empty() || service == <GreeterServer<()> as NamedService>::NAME
}

fn serving_status(phase: Phase) -> ServingStatus {
    match phase {
        Phase::Serving => ServingStatus::Serving,
        Phase::Starting | Phase::LameDuck | Phase::Draining | Phase::Stopped => {
            ServingStatus::NotServing
        }
    }
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

/// A status for each change of status, not for each change of phase.
fn changes(
    phase: watch::Receiver<Phase>,
) -> impl Stream<Item = Result<HealthCheckResponse, Status>> {
    stream::unfold((phase, None), |(mut phase, last)| async move {
        loop {
            let status = serving_status(*phase.borrow_and_update());
            if last != Some(status) {
                return Some((Ok(response(status)), (phase, Some(status))));
            }
            phase.changed().await.ok()?;
        }
    })
}
