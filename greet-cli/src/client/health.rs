//! The calls of grpc.health.v1.

use bytes::Bytes;
use greet_proto::framing::frame;
use greet_proto::grpc::health::v1::{
    HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse,
};
use http::uri::PathAndQuery;
use prost::Message;

use super::Client;
use super::call::Call;
use super::response_stream::ResponseStream;
use crate::error::{CallError, RpcError, StatusSource};

const CHECK: &str = "/grpc.health.v1.Health/Check";
const WATCH: &str = "/grpc.health.v1.Health/Watch";
const LIST: &str = "/grpc.health.v1.Health/List";

/// The changes of a service's health.
#[derive(Debug)]
pub(crate) struct HealthWatch(ResponseStream);

impl Client {
    pub(crate) async fn check_health(&self, service: &str) -> Call<HealthCheckResponse> {
        self.call_health(CHECK, &check_request(service), StatusSource::NoHealthService).await
    }

    /// Returns the health of every service (gRFC A90).
    pub(crate) async fn list_health(&self) -> Call<HealthListResponse> {
        let body = frame(&HealthListRequest {}).into();
        self.call_health(LIST, &body, StatusSource::NoHealthList).await
    }

    /// Returns once the reply starts; the call has a failure if there is no reply.
    pub(crate) async fn watch_health(
        &self,
        service: &str,
    ) -> (Call<HealthCheckResponse>, Option<HealthWatch>) {
        let path = PathAndQuery::from_static(WATCH);
        let (call, replies) = self.open_stream(&path, &check_request(service)).await;
        (call.decoded(|_no_reply_yet| Ok(HealthCheckResponse::default())), replies.map(HealthWatch))
    }

    async fn call_health<Reply: Message + Default>(
        &self,
        path: &'static str,
        body: &Bytes,
        missing: StatusSource,
    ) -> Call<Reply> {
        let call = self.call(&PathAndQuery::from_static(path), body, None).await;
        let call = call.decoded(decode);
        Call { result: call.result.map_err(|error| error.naming_missing(missing)), ..call }
    }
}

impl HealthWatch {
    /// Returns the next change, or the reason for the end of the stream.
    pub(crate) async fn next(&mut self) -> Result<HealthCheckResponse, CallError> {
        match self.0.next().await {
            Some(reply) => decode(reply).map_err(|problem| RpcError::undecodable(&problem).into()),
            None => Err(CallError::from(self.0.ended())),
        }
    }
}

fn check_request(service: &str) -> Bytes {
    frame(&HealthCheckRequest { service: service.to_owned() }).into()
}

fn decode<Reply: Message + Default>(reply: Bytes) -> Result<Reply, String> {
    Reply::decode(reply).map_err(|error| error.to_string())
}
