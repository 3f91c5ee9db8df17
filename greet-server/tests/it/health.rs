//! grpc.health.v1 through the whole lifecycle.

use std::collections::BTreeMap;

use greet_proto::grpc::health::v1::health_check_response::ServingStatus;
use greet_proto::grpc::health::v1::{HealthCheckRequest, HealthCheckResponse, HealthListRequest};
use greet_testkit::{Client, ScriptedProbe, TestServer, with_timeout};
use tonic::{Code, Streaming};

use crate::support::http1;
use crate::support::samples::{ADMIN, Samples};

pub(crate) async fn check(client: &Client, service: &str) -> Result<ServingStatus, Code> {
    let request = HealthCheckRequest { service: service.into() };
    match client.health().check(request).await {
        Ok(response) => Ok(response.into_inner().status()),
        Err(status) => Err(status.code()),
    }
}

pub(crate) async fn watch(client: &Client, service: &str) -> Streaming<HealthCheckResponse> {
    let request = HealthCheckRequest { service: service.into() };
    client.health().watch(request).await.unwrap().into_inner()
}

pub(crate) async fn next(
    statuses: &mut Streaming<HealthCheckResponse>,
) -> Result<ServingStatus, Code> {
    match with_timeout(statuses.message()).await {
        Ok(message) => Ok(message.expect("a Watch ends with a status").status()),
        Err(status) => Err(status.code()),
    }
}

#[tokio::test]
async fn check_knows_the_server_and_its_service_only() {
    let server = TestServer::start(&[]);
    let client = server.connect().await;
    assert_eq!(check(&client, "").await, Ok(ServingStatus::Serving));
    assert_eq!(check(&client, "probe.Probe").await, Ok(ServingStatus::Serving));
    assert_eq!(check(&client, "probe.probe").await, Err(Code::NotFound));
}

#[tokio::test]
async fn list_has_the_server_and_every_service() {
    let server = TestServer::with_probe(&[], &ScriptedProbe::new());
    let client = server.connect().await;
    let response = client.health().list(HealthListRequest {}).await.unwrap().into_inner();
    let statuses: BTreeMap<_, _> = response
        .statuses
        .iter()
        .map(|(name, response)| (name.as_str(), response.status()))
        .collect();
    let serving = ServingStatus::Serving;
    assert_eq!(statuses, BTreeMap::from([("", serving), ("probe.Probe", serving)]));
}

#[tokio::test]
async fn watch_reports_the_drain_and_ends_with_it() {
    let mut server = TestServer::start(&[]);
    let client = server.connect().await;
    let mut statuses = watch(&client, "probe.Probe").await;
    assert_eq!(next(&mut statuses).await, Ok(ServingStatus::Serving));

    server.drain();
    assert_eq!(next(&mut statuses).await, Ok(ServingStatus::NotServing));
    assert_eq!(next(&mut statuses).await, Err(Code::Unavailable));
    let report = server.stop().await;
    assert_eq!((report.answered, report.cut), (1, 0));
}

#[tokio::test]
async fn watch_of_an_unknown_service_is_accepted() {
    let mut server = TestServer::start(&[]);
    let client = server.connect().await;
    let mut statuses = watch(&client, "no.such.Service").await;
    assert_eq!(next(&mut statuses).await, Ok(ServingStatus::ServiceUnknown));
    server.drain();
    assert_eq!(next(&mut statuses).await, Err(Code::Unavailable));
}

#[tokio::test]
async fn lame_duck_is_not_serving_and_still_answers_new_connections() {
    let mut server = TestServer::start(&["--drain-delay=1h"]);
    let early = server.connect().await;
    let mut statuses = watch(&early, "").await;
    assert_eq!(next(&mut statuses).await, Ok(ServingStatus::Serving));

    server.drain();
    assert_eq!(next(&mut statuses).await, Ok(ServingStatus::NotServing));
    let late = server.connect().await;
    assert_eq!(check(&late, "").await, Ok(ServingStatus::NotServing));
    assert_eq!(late.echo("Ada").await.unwrap(), "Ada");

    server.cut();
    server.stop().await;
}

/// Sends a request to `/health/SERVICE`. Returns the status and the text of the response.
async fn admin(server: &TestServer, request: &str, body: &str) -> (u16, String) {
    let head = format!("{request} HTTP/1.1");
    let response = http1::request(server.admin(), &head, body.as_bytes()).await;
    (response.status, response.text().trim_end().to_owned())
}

#[tokio::test]
async fn admin_port_sets_the_health_of_a_service_and_of_the_server() {
    let server = TestServer::start(&[ADMIN]);
    let client = server.connect().await;
    let mut statuses = watch(&client, "probe.Probe").await;
    assert_eq!(next(&mut statuses).await, Ok(ServingStatus::Serving));
    let (serving, not_serving) = ((200, "SERVING".to_owned()), (200, "NOT_SERVING".to_owned()));

    assert_eq!(admin(&server, "GET /health/probe.Probe", "").await, serving);
    assert_eq!(admin(&server, "PUT /health/probe.Probe", "NOT_SERVING\n").await, not_serving);
    assert_eq!(next(&mut statuses).await, Ok(ServingStatus::NotServing));
    assert_eq!(admin(&server, "GET /health/probe.Probe", "").await, not_serving);
    assert_eq!(check(&client, "").await, Ok(ServingStatus::Serving));
    assert_eq!(client.echo("Ada").await.unwrap(), "Ada", "calls are served");

    assert_eq!(admin(&server, "PUT /health/", "NOT_SERVING").await, not_serving);
    assert_eq!(check(&client, "").await, Ok(ServingStatus::NotServing));
    assert_eq!(http1::get(server.admin(), "/readyz").await.status, 200, "it shows the phase");
    let overrides = async || Samples::scrape(&server).await.get("greet_health_overrides");
    assert_eq!(overrides().await, 2);
    assert_eq!(admin(&server, "PUT /health/", "SERVING").await, serving);
    assert_eq!(admin(&server, "PUT /health/probe.Probe", "SERVING").await, serving);
    assert_eq!(next(&mut statuses).await, Ok(ServingStatus::Serving));
    assert_eq!(overrides().await, 0);

    for request in
        ["GET /health/no.Such", "PUT /health/no.Such", "PUT /health/grpc.health.v1.Health"]
    {
        assert_eq!(admin(&server, request, "SERVING").await.0, 404, "{request}");
    }
    let (status, text) = admin(&server, "PUT /health/", "serving").await;
    assert_eq!((status, &*text), (400, "health: \"serving\" is not SERVING or NOT_SERVING"));
}

#[tokio::test]
async fn drain_wins_over_the_health_that_an_operator_sets() {
    let mut server = TestServer::start(&[ADMIN, "--drain-delay=1h"]);
    let client = server.connect().await;
    let mut statuses = watch(&client, "").await;
    assert_eq!(next(&mut statuses).await, Ok(ServingStatus::Serving));
    server.drain();
    assert_eq!(next(&mut statuses).await, Ok(ServingStatus::NotServing));
    assert_eq!(admin(&server, "PUT /health/", "SERVING").await, (200, "NOT_SERVING".to_owned()));
    assert_eq!(check(&client, "").await, Ok(ServingStatus::NotServing));
    server.cut();
    server.stop().await;
}
