//! Describes the facts of each stage, as JSON and as lines of text.

use greet_flags::product::INSTANCE_HEADER;
use greet_proto::grpc::health::v1::health_check_response::ServingStatus;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::DiagnoseOptions;
use crate::client::{Call, metadata};
use crate::connect::dns::without_port;
use crate::connect::tls::certificate::{Certificate, rfc3339};
use crate::connect::{Exclusion, Stages, TlsFacts, Tunnel};
use crate::format::truncated;
use crate::method::name;

/// Maximum characters of a reply in the text; `--output json` has all.
const MAX_REPLY_CHARS: usize = 200;

/// The facts of a stage.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(super) struct Details {
    json: Value,
    #[serde(skip)]
    pub(super) lines: Vec<String>,
}

impl Details {
    pub(super) fn dns(stages: &Stages) -> Option<Details> {
        stages.dns?;
        let addresses: Vec<_> = stages.addresses.iter().map(without_port).collect();
        let lines = vec![addresses.join(", ")];
        Some(Details { json: json!({ "addresses": addresses }), lines })
    }

    pub(super) fn tcp(stages: &Stages) -> Details {
        let peer = stages.tcp_peer();
        let tried = stages.tried.iter().map(|(address, problem)| {
            json!({ "address": address, "problem": problem.as_ref().map(ToString::to_string) })
        });
        let problems = stages.tried.iter().filter_map(|(_, problem)| problem.as_ref());
        let lines = problems.map(ToString::to_string).chain(peer.clone()).collect();
        Details { json: json!({ "tried": tried.collect::<Vec<_>>(), "peer": peer }), lines }
    }

    pub(super) fn proxy(tunnel: &Tunnel) -> Details {
        Details { json: json!(tunnel), lines: vec![tunnel.to_string()] }
    }

    pub(super) fn not_proxied(reason: &Exclusion) -> Details {
        let reason = reason.to_string();
        let lines = vec![format!("not used: {reason}")];
        Details { json: json!({ "not_used": reason }), lines }
    }

    pub(super) fn tls(stages: &Stages) -> Option<Details> {
        let facts = stages.tls_facts.as_ref()?;
        Some(Details { json: json!(facts), lines: tls_lines(facts) })
    }

    pub(super) fn http2(stages: &Stages) -> Option<Details> {
        let settings = stages.settings.as_ref()?;
        let mut lines: Vec<_> =
            settings.named().map(|(name, value)| format!("{name} {value}")).collect();
        if lines.is_empty() {
            lines.push("all settings have their default values".to_owned());
        }
        let settings: Map<_, _> =
            settings.named().map(|(name, value)| (name, value.into())).collect();
        Some(Details { json: json!({ "settings": settings }), lines })
    }

    pub(super) fn health(status: ServingStatus) -> Details {
        let status = status.as_str_name();
        Details { json: json!({ "serving": status }), lines: vec![status.to_owned()] }
    }

    pub(super) fn call(options: &DiagnoseOptions, call: &Call<Value>) -> Details {
        let DiagnoseOptions { method, input, .. } = options;
        let (reply, instance) = (call.result.as_ref().ok(), call.instance());
        let lines = [
            reply.map(|reply| truncated(&reply.to_string(), MAX_REPLY_CHARS)),
            instance.map(|instance| format!("{INSTANCE_HEADER}: {instance}")),
        ];
        let mut json = method.facts(input, reply);
        json.insert("method".to_owned(), name(method.as_ref()).into());
        json.insert("instance".to_owned(), instance.into());
        json.insert("headers".to_owned(), json!(metadata::custom(&call.headers)));
        Details { json: json.into(), lines: lines.into_iter().flatten().collect() }
    }
}

fn tls_lines(facts: &TlsFacts) -> Vec<String> {
    let mut lines = Vec::new();
    if let (Some(version), Some(cipher)) = (&facts.version, &facts.cipher) {
        let alpn = facts.alpn.as_deref().unwrap_or("none");
        lines.push(format!("{version}, {cipher}, ALPN {alpn}"));
    }
    if let Some(certificate) = &facts.certificate {
        let Certificate { subject, issuer, not_after, days_left, .. } = certificate;
        lines.push(format!("certificate {subject}, signed by {issuer}"));
        lines.push(format!("for {}", certificate.joined_names()));
        let not_after = rfc3339(*not_after);
        lines.push(match days_left {
            ..0 => format!("expired on {not_after}"),
            _ => format!("valid until {not_after}, {days_left} days left"),
        });
        lines.push(format!("client certificate: {}", facts.client_certificate));
    }
    lines
}
