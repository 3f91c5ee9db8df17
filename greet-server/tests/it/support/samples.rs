//! The samples of the admin port.

use std::collections::BTreeMap;

use greet_testkit::{TestServer, eventually};

use super::http1;

pub(crate) const ADMIN: &str = "--admin-listen=127.0.0.1:0";

/// Values by the sample's name and labels as in the text.
pub(crate) struct Samples(BTreeMap<String, f64>);

impl Samples {
    pub(crate) async fn scrape(server: &TestServer) -> Samples {
        let page = http1::get(server.admin(), "/metrics").await;
        let samples = page.text().lines().filter(|line| !line.starts_with('#'));
        let samples = samples.map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        });
        Samples(samples.collect())
    }

    /// Returns a value, or zero for an absent sample.
    pub(crate) fn get(&self, name: &str) -> u64 {
        self.0.get(name).map_or(0, |value| *value as u64)
    }

    /// Returns the sum over all labels.
    pub(crate) fn sum(&self, name: &str) -> u64 {
        let labelled = format!("{name}{{");
        self.0.iter().filter(|(key, _)| key.starts_with(&labelled)).map(|(_, n)| *n as u64).sum()
    }

    pub(crate) fn calls(&self, method: &str, status: &str) -> u64 {
        self.get(&format!(
            "grpc_server_call_duration_seconds_count{{grpc_method=\"{method}\",grpc_status=\"{status}\"}}"
        ))
    }

    /// Returns the messages of a method, received and sent.
    pub(crate) fn messages(&self, method: &str) -> (u64, u64) {
        let of =
            |what| self.get(&format!("grpc_server_msg_{what}_total{{grpc_method=\"{method}\"}}"));
        (of("received"), of("sent"))
    }

    /// Returns whether `text` occurs in a name or a label.
    pub(crate) fn has(&self, text: &str) -> bool {
        self.0.keys().any(|name| name.contains(text))
    }

    pub(crate) fn closed(&self, reason: &str) -> u64 {
        self.get(&format!("greet_connections_closed_total{{cause=\"{reason}\"}}"))
    }
}

/// Scrapes until `condition` is met, because the server counts an event after its peer sees it.
pub(crate) async fn scrape_until(
    server: &TestServer,
    condition: impl Fn(&Samples) -> bool,
) -> Samples {
    let mut samples = Samples(BTreeMap::new());
    let is_met = async || {
        samples = Samples::scrape(server).await;
        condition(&samples)
    };
    eventually("the samples meet the condition", is_met).await;
    samples
}

/// Scrapes once no call is in flight. The scrape that shows it has read other samples before.
pub(crate) async fn scrape_when_idle(server: &TestServer) -> Samples {
    scrape_until(server, |samples| samples.get("greet_calls_in_flight") == 0).await;
    Samples::scrape(server).await
}

/// Scrapes in the format OpenMetrics.
pub(crate) async fn openmetrics(server: &TestServer) -> http1::Response {
    let accept = "GET /metrics HTTP/1.1\r\naccept: application/openmetrics-text";
    http1::request(server.admin(), accept, b"").await
}
