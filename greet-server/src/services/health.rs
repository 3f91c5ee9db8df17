//! Implements grpc.health.v1: SERVING in [`Phase::Serving`], NOT_SERVING in every other phase.

use std::pin::Pin;

use futures_util::stream::{self, Stream, StreamExt as _};
use greet_proto::grpc::health::v1::health_check_response::ServingStatus;
use greet_proto::grpc::health::v1::{
    HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse, health_server,
};
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use crate::lifecycle::phase::Phase;

pub(super) struct Health {
    phase: watch::Receiver<Phase>,
    services: &'static [&'static str],
}

impl Health {
    /// Reports on `services` and, under the empty name, on the server as a whole.
    pub(super) fn new(phase: watch::Receiver<Phase>, services: &'static [&'static str]) -> Health {
        Health { phase, services }
    }

    fn is_known(&self, service: &str) -> bool {
        service.is_empty() || self.services.contains(&service)
    }
}

type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

#[tonic::async_trait]
impl health_server::Health for Health {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if !self.is_known(&request.get_ref().service) {
            return Err(Status::not_found("unknown service"));
        }
        let status = serving_status(*self.phase.borrow());
        Ok(Response::new(response(status)))
    }

    async fn list(
        &self,
        _: Request<HealthListRequest>,
    ) -> Result<Response<HealthListResponse>, Status> {
        let status = response(serving_status(*self.phase.borrow()));
        let names = self.services.iter().copied().chain([""]);
        let statuses = names.map(|name| (name.to_owned(), status)).collect();
        Ok(Response::new(HealthListResponse { statuses }))
    }

    /// Sends the current status, then each change. The status of an unknown service is
    /// SERVICE_UNKNOWN: the protocol allows it to be registered later.
    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<WatchStream>, Status> {
        let statuses: WatchStream = if self.is_known(&request.get_ref().service) {
            Box::pin(status_changes(self.phase.clone()))
        } else {
            let unknown = response(ServingStatus::ServiceUnknown);
            Box::pin(stream::iter([Ok(unknown)]).chain(stream::pending()))
        };
        Ok(Response::new(statuses))
    }
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

/// Yields the current status, then its changes. Not every change of the phase is one.
fn status_changes(
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
