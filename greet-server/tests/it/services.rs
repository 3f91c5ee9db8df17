//! The list of services: a service appears everywhere without further registration, and both of its
//! paths share one implementation, one for each worker.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use greet_proto::grpc::health::v1::HealthListRequest;
use greet_proto::grpc::health::v1::health_check_response::ServingStatus;
use greet_server::{Service, ServiceHealth};
use greet_testkit::probe::probe_server::{Probe, ProbeServer};
use greet_testkit::probe::{ProbeReply, ProbeRequest, Script};
use greet_testkit::{Client, ScriptedProbe, TestServer, eventually, with_timeout};
use tonic::codec::CompressionEncoding;
use tonic::{Code, Request, Response, Status};

use crate::health::{check, next, watch};
use crate::reflection::{self, Reflected};
use crate::support::log;
use crate::support::samples::{ADMIN, scrape_until};

const PROBE: &str = "probe.Probe";

#[tokio::test]
async fn methods_of_a_service_appear_everywhere() {
    log::capture();
    let probe = ScriptedProbe::new();
    let server = TestServer::with_probe(&[ADMIN, "--access-log=all"], &probe);
    let tcp = server.tcp().await;
    let address = tcp.local_addr().unwrap().to_string();
    let client = Client::handshake(tcp).await;
    let request = ProbeRequest::new(Script::Echo, "a", 2);
    client.probe().echo(request.clone()).await.unwrap();
    let mut expanded = client.probe().expand(request).await.unwrap().into_inner();
    while expanded.message().await.unwrap().is_some() {}

    let ended = "grpc_server_call_duration_seconds_count";
    let samples = scrape_until(&server, |samples| samples.sum(ended) == 2).await;
    for (method, messages) in [("Echo", (1, 1)), ("Expand", (1, 2))] {
        let method = format!("{PROBE}/{method}");
        assert_eq!(samples.calls(&method, "OK"), 1, "{method}");
        assert_eq!(samples.messages(&method), messages, "{method}");
        let line = |line: &serde_json::Value| line["method"] == method && line["status"] == "OK";
        let lines = || log::lines("call", &address).into_iter().filter(line).count();
        eventually("the call is logged", async || lines() == 1).await;
    }
    assert!(samples.has("grpc_method=\"probe.Probe/Collect\""), "a method without calls");
    assert!(!samples.has("Unpackaged"), "a service that is not in the list");

    let queries = [("list", ""), ("symbol", "probe.Probe.Relay")];
    let reflected = reflection::reflect(&client, &queries).await.unwrap();
    let services = [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
        PROBE,
    ];
    assert_eq!(reflected[0], Reflected::Services(services.map(str::to_owned).to_vec()));
    assert_eq!(reflected[1], Reflected::File("probe.proto".to_owned()));

    assert_eq!(check(&client, PROBE).await, Ok(ServingStatus::Serving));
    assert_eq!(check(&client, "Unpackaged").await, Err(Code::NotFound));
}

#[tokio::test]
async fn owner_sets_the_health_of_its_service_on_all_workers() {
    let owned = ServiceHealth::default();
    let health = owned.clone();
    let server = TestServer::with_services(&[], move |config| {
        let service = Service::of::<ProbeServer<_>>(config, ScriptedProbe::new());
        vec![service.with_health(&health)]
    });
    let clients = [server.connect().await, server.connect().await]; // one for each worker
    let mut watches = Vec::new();
    for client in &clients {
        let mut statuses = watch(client, PROBE).await;
        assert_eq!(next(&mut statuses).await, Ok(ServingStatus::Serving));
        watches.push(statuses);
    }
    for (is_serving, status) in [(false, ServingStatus::NotServing), (true, ServingStatus::Serving)]
    {
        owned.set_serving(is_serving);
        for (client, statuses) in clients.iter().zip(&mut watches) {
            assert_eq!(next(statuses).await, Ok(status));
            assert_eq!(check(client, PROBE).await, Ok(status));
            assert_eq!(check(client, "").await, Ok(ServingStatus::Serving), "the server");
            let list = client.health().list(HealthListRequest {}).await.unwrap().into_inner();
            let statuses: BTreeMap<_, _> = list.statuses.into_iter().collect();
            assert_eq!(statuses[PROBE].status(), status);
        }
    }
}

/// Replies with the number of its calls.
struct Counting(Arc<AtomicU32>);

#[tonic::async_trait]
impl Probe for Counting {
    async fn echo(&self, _: Request<ProbeRequest>) -> Result<Response<ProbeReply>, Status> {
        let count = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        Ok(Response::new(ProbeReply { payload: Vec::new(), count }))
    }
}

/// Calls over two connections, which are on two workers. Returns the counts.
async fn counts(server: &TestServer) -> Vec<u32> {
    let (first, second) = (server.connect().await, server.connect().await);
    let mut counts = Vec::new();
    for mut client in [
        first.probe(),
        first.probe().send_compressed(CompressionEncoding::Gzip), // not on the fast path
        second.probe(),
        second.probe().send_compressed(CompressionEncoding::Gzip),
    ] {
        let reply = with_timeout(client.echo(ProbeRequest::default())).await.unwrap();
        counts.push(reply.into_inner().count);
    }
    counts
}

#[tokio::test]
async fn state_belongs_to_a_worker() {
    let server = TestServer::with_services(&[], |config| {
        vec![Service::of::<ProbeServer<_>>(config, Counting(Arc::default()))]
    });
    assert_eq!(counts(&server).await, [1, 2, 1, 2]);
}

#[tokio::test]
async fn state_behind_an_arc_belongs_to_all_workers() {
    let inner = Arc::<AtomicU32>::default();
    let server = TestServer::with_services(&[], move |config| {
        vec![Service::of::<ProbeServer<_>>(config, Counting(inner.clone()))]
    });
    assert_eq!(counts(&server).await, [1, 2, 3, 4]);

    let whole = Arc::new(Counting(Arc::default()));
    let server = TestServer::with_services(&[], move |config| {
        vec![Service::of::<ProbeServer<Counting>>(config, whole.clone())]
    });
    assert_eq!(counts(&server).await, [1, 2, 3, 4]);
}
