//! Metrics: counts match events, and the exposition matches the documented catalog.

use std::collections::BTreeSet;

use greet_server::telemetry::metrics::{FAMILIES, MetricType};
use greet_testkit::certs::{Ca, IdentityDirectory};
use greet_testkit::framing::framed;
use greet_testkit::probe::{ProbeRequest, Script};
use greet_testkit::{ECHO, ScriptedProbe, TestServer, WAIT, grpc_request, with_timeout};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::http1;
use crate::support::samples::{ADMIN, Samples, openmetrics, scrape_until, scrape_when_idle};

#[tokio::test]
async fn calls_are_counted_by_method_and_status() {
    let server = TestServer::start(&[ADMIN]);
    let client = server.connect().await;
    for name in ["Ada", "Grace"] {
        client.echo(name).await.unwrap();
    }
    client.run(Script::Fail).await.unwrap_err();
    for path in ["/made.Up/One", "/made.Up/Two", "/probe.Probe/NoSuchMethod"] {
        client.send(grpc_request(path, framed(b""))).await;
    }
    let request = greet_proto::grpc::health::v1::HealthCheckRequest { service: String::new() };
    client.health().check(request).await.unwrap();
    let mut html = grpc_request(ECHO, "");
    html.headers_mut().insert("content-type", "text/html".parse().unwrap());
    client.send(html).await;

    let echo = "probe.Probe/Echo";
    let samples = scrape_when_idle(&server).await;
    assert_eq!(samples.calls(echo, "OK"), 2);
    assert_eq!(samples.calls(echo, "FAILED_PRECONDITION"), 1);
    assert_eq!(samples.calls("other", "UNIMPLEMENTED"), 3);
    assert_eq!(samples.calls("grpc.health.v1.Health/Check", "OK"), 1);
    assert_eq!(samples.sum("grpc_server_call_started_total"), 7);
    assert_eq!(samples.sum("grpc_server_call_duration_seconds_count"), 7);
    assert_eq!(samples.sum("greet_worker_calls_total"), 7);
    assert_eq!(samples.get("greet_not_grpc_requests_total"), 1);
    let bytes = |what: &str, status: &str| {
        samples.get(&format!(
            "grpc_server_call_{what}_total_compressed_message_size_bytes_sum\
             {{grpc_method=\"{echo}\",grpc_status=\"{status}\"}}"
        ))
    };
    assert_eq!(bytes("rcvd", "OK"), 2 + 3 + 2 + 5);
    assert_eq!(bytes("sent", "OK"), 2 + 3 + 2 + 5);
    assert_eq!(bytes("rcvd", "FAILED_PRECONDITION"), 2, "the script");
    assert!(!samples.has("made.Up"), "a label from a request");
}

#[tokio::test]
async fn abandoned_call_is_cancelled_and_late_call_deadline_exceeded() {
    let probe = ScriptedProbe::new();
    let server = TestServer::with_probe(&[ADMIN], &probe);
    let client = server.connect().await;
    let abandoned = tokio::spawn(async move { client.run(Script::Wait).await });
    probe.waits_begun(1).await;
    assert_eq!(Samples::scrape(&server).await.get("greet_calls_in_flight"), 1);
    abandoned.abort();
    let client = server.connect().await;
    let mut late = grpc_request(ECHO, framed(WAIT));
    late.headers_mut().insert("grpc-timeout", "10m".parse().unwrap());
    client.send(late).await;

    let echo = "probe.Probe/Echo";
    let samples = scrape_until(&server, |samples| {
        samples.calls(echo, "CANCELLED") + samples.calls(echo, "DEADLINE_EXCEEDED") == 2
    })
    .await;
    assert_eq!(samples.calls(echo, "CANCELLED"), 1);
    assert_eq!(samples.get("greet_calls_in_flight"), 0);
    assert_eq!(samples.messages(echo), (2, 0));
    let received = samples.get(
        "grpc_server_call_rcvd_total_compressed_message_size_bytes_sum\
         {grpc_method=\"probe.Probe/Echo\",grpc_status=\"CANCELLED\"}",
    );
    assert_eq!(received, WAIT.len() as u64);
}

#[tokio::test]
async fn compressed_message_counts_its_bytes_on_the_wire() {
    let server = TestServer::start(&[ADMIN]);
    let client = server.connect().await;
    let mut probe = client.probe().send_compressed(tonic::codec::CompressionEncoding::Gzip);
    probe.echo(ProbeRequest::new(Script::Echo, [b'a'; 4_000], 0)).await.unwrap();
    let samples = scrape_when_idle(&server).await;
    let received = samples.get(
        "grpc_server_call_rcvd_total_compressed_message_size_bytes_sum\
         {grpc_method=\"probe.Probe/Echo\",grpc_status=\"OK\"}",
    );
    assert!((10..1_000).contains(&received), "{received}");
    let sent = samples.sum("grpc_server_call_sent_total_compressed_message_size_bytes_sum");
    assert_eq!(sent, 3 + 4_000);
}

#[tokio::test]
async fn connections_are_counted_by_close_reason() {
    let server = TestServer::start(&[ADMIN, "--max-connections=2"]);
    let remaining = server.connect().await;
    remaining.echo("Ada").await.unwrap();
    let leaving = server.connect().await;
    leaving.echo("Ada").await.unwrap();
    let mut refused = server.tcp().await;
    let _ = with_timeout(refused.read_to_end(&mut Vec::new())).await;
    drop(leaving);
    scrape_until(&server, |samples| samples.closed("peer") == 1).await;
    let mut junk = server.tcp().await;
    junk.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    drop(junk);

    let samples = scrape_until(&server, |samples| samples.closed("not_http2") == 1).await;
    assert_eq!(samples.get("greet_connections_accepted_total"), 4);
    assert_eq!(samples.get("greet_connections_open"), 1);
    assert_eq!(samples.sum("greet_connections_refused_total"), 1);
    assert_eq!(samples.sum("greet_connections_closed_total"), 2);
    assert_eq!(samples.sum("greet_worker_connections"), 1);
}

#[tokio::test]
async fn tls_handshakes_are_counted_by_result() {
    let ca = Ca::new("Greet Test CA");
    let files = IdentityDirectory::new(&ca.sign_serial(1));
    let flags = files.server_flags();
    let flags: Vec<_> = flags.iter().map(String::as_str).chain([ADMIN]).collect();
    let server = TestServer::start(&flags);
    let mut junk = server.tcp().await;
    junk.write_all(b"not a TLS record\r\n").await.unwrap();
    drop(server.tcp().await);
    let samples =
        scrape_until(&server, |samples| samples.sum("greet_tls_handshakes_total") == 2).await;
    assert_eq!(samples.get("greet_tls_handshakes_total{result=\"failed\"}"), 1);
    assert_eq!(samples.get("greet_tls_handshakes_total{result=\"peer_closed\"}"), 1);
    let expiry = samples.get("greet_tls_certificate_expiry_timestamp_seconds");
    assert!(expiry > 1_700_000_000, "{expiry}");
}

#[tokio::test]
async fn sampled_call_is_the_exemplar_of_its_bucket_in_openmetrics_only() {
    let server = TestServer::start(&[ADMIN]);
    let client = server.connect().await;
    client.echo("Ada").await.unwrap();
    let (sampled, unsampled) =
        ("4bf92f3577b34da6a3ce929d0e0e4736", "0af7651916cd43dd8448eb211c80319c");
    for (trace, flags) in [(sampled, "01"), (unsampled, "00")] {
        let mut request = grpc_request(ECHO, framed(WAIT));
        let traceparent = format!("00-{trace}-00f067aa0ba902b7-{flags}");
        request.headers_mut().insert("traceparent", traceparent.parse().unwrap());
        // The deadline ends the call in a bucket that the others do not share.
        let timeout = if trace == sampled { "20m" } else { "10u" };
        request.headers_mut().insert("grpc-timeout", timeout.parse().unwrap());
        client.send(request).await;
    }
    scrape_until(&server, |samples| samples.calls("probe.Probe/Echo", "DEADLINE_EXCEEDED") == 2)
        .await;

    let openmetrics = openmetrics(&server).await;
    let exemplars: Vec<_> =
        openmetrics.text().lines().filter(|line| line.contains(" # ")).collect();
    let [exemplar] = exemplars[..] else { panic!("{exemplars:?}") };
    let (bucket, exemplar) = exemplar.split_once(" # ").unwrap();
    assert!(bucket.starts_with("grpc_server_call_duration_seconds_bucket{le=\""), "{bucket}");
    assert!(bucket.contains("grpc_status=\"DEADLINE_EXCEEDED\""), "{bucket}");
    let bound: f64 = bucket.split('"').nth(1).unwrap().parse().unwrap();
    let (labels, values) = exemplar.split_once("} ").unwrap();
    assert_eq!(labels, format!("{{trace_id=\"{sampled}\""));
    let values: Vec<f64> = values.split(' ').map(|value| value.parse().unwrap()).collect();
    assert!((0.02..=bound).contains(&values[0]), "{exemplar} in {bucket}");
    let text = http1::get(server.admin(), "/metrics").await;
    assert!(!text.text().contains(sampled), "{}", text.text());
}

#[tokio::test]
async fn both_formats_have_exactly_the_catalog_with_its_labels() {
    let server = TestServer::start(&[ADMIN]);
    server.connect().await.echo("Ada").await.unwrap();
    scrape_until(&server, |samples| samples.calls("probe.Probe/Echo", "OK") == 1).await;
    let prometheus = http1::get(server.admin(), "/metrics").await;
    assert!(
        prometheus.head.contains("content-type: text/plain; version=0.0.4"),
        "{}",
        prometheus.head
    );
    let openmetrics = openmetrics(&server).await;
    assert!(
        openmetrics.head.contains("application/openmetrics-text; version=1.0.0"),
        "{}",
        openmetrics.head
    );
    assert!(openmetrics.text().ends_with("\n# EOF\n"));

    // Present only with TLS or with a logger that `main` has set up.
    let absent =
        ["greet_tls_certificate_expiry_timestamp_seconds", "greet_log_lines_dropped_total"];
    let expected: BTreeSet<_> = FAMILIES
        .iter()
        .filter(|family| !absent.contains(&family.name().as_str()))
        .map(|family| format!("{}({})", family.name(), family.labels.join(",")))
        .collect();
    for page in [prometheus, openmetrics] {
        let mut families = BTreeSet::new();
        for line in page.text().lines().filter(|line| !line.starts_with('#')) {
            let (sample, _) = line.rsplit_once(' ').unwrap();
            let (name, labels) = sample.split_once('{').unwrap_or((sample, ""));
            let labels = labels.split(',').filter_map(|label| Some(label.split_once('=')?.0));
            let labels: Vec<_> = labels.filter(|label| *label != "le").collect();
            let histogram = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| {
                let base = name.strip_suffix(suffix)?;
                let is_histogram = |family: &&greet_server::telemetry::metrics::Family| {
                    family.kind == MetricType::Histogram && family.name() == base
                };
                FAMILIES.iter().find(is_histogram).map(|_| base)
            });
            families.insert(format!("{}({})", histogram.unwrap_or(name), labels.join(",")));
        }
        assert_eq!(families, expected);
    }
}
