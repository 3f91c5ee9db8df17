//! What there is to know of a stage, beyond whether it failed.

use std::collections::BTreeMap;
use std::net::IpAddr;

use greet_proto::HelloReply;
use serde::Serialize;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::client::{Call, metadata};
use crate::connect::certificate::{Certificate, rfc3339};
use crate::connect::{Stages, TlsFacts};

/// Of one stage each.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Details {
    Dns { addresses: Vec<IpAddr> },
    Tcp { tried: Vec<Tried>, peer: Option<String> },
    Tls(Box<TlsFacts>),
    Http2 { settings: BTreeMap<String, u32> },
    Health { serving: &'static str },
    Hello { message: Option<String>, instance: Option<String>, headers: BTreeMap<String, String> },
}

/// An address, and what was wrong with it.
#[derive(Debug, Serialize)]
pub(super) struct Tried {
    address: String,
    problem: Option<String>,
}

impl Details {
    pub(super) fn dns(stages: &Stages) -> Option<Details> {
        stages.dns.map(|_| Details::Dns { addresses: stages.addresses.clone() })
    }

    pub(super) fn tcp(stages: &Stages) -> Details {
        let tried = stages.tried.iter().map(|(address, problem)| Tried {
            address: address.to_string(),
            problem: problem.as_ref().map(ToString::to_string),
        });
        Details::Tcp { tried: tried.collect(), peer: stages.peer.as_deref().map(str::to_owned) }
    }

    pub(super) fn tls(stages: &Stages) -> Option<Details> {
        stages.tls_facts.clone().map(|facts| Details::Tls(Box::new(facts)))
    }

    pub(super) fn http2(stages: &Stages) -> Option<Details> {
        let settings = stages.settings.as_ref()?;
        Some(Details::Http2 { settings: settings.named().collect() })
    }

    pub(super) fn health(state: ServingStatus) -> Details {
        Details::Health { serving: state.as_str_name() }
    }

    pub(super) fn hello(call: &Call<HelloReply>) -> Details {
        Details::Hello {
            message: call.result.as_ref().ok().map(|reply| reply.message.clone()),
            instance: call.instance().map(str::to_owned),
            headers: metadata::custom(&call.headers),
        }
    }

    /// For people, a line each.
    pub(super) fn lines(&self) -> Vec<String> {
        match self {
            Details::Dns { addresses } => {
                let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
                vec![addresses.join(", ")]
            }
            Details::Tcp { tried, peer } => {
                let problems = tried.iter().filter_map(|tried| tried.problem.clone());
                problems.chain(peer.clone()).collect()
            }
            Details::Tls(facts) => tls_lines(facts),
            Details::Http2 { settings } if settings.is_empty() => {
                vec!["all settings are the defaults".to_owned()]
            }
            Details::Http2 { settings } => {
                let settings: Vec<_> =
                    settings.iter().map(|(name, value)| format!("{name} {value}")).collect();
                vec![settings.join(", ")]
            }
            Details::Health { serving } => vec![(*serving).to_owned()],
            Details::Hello { message, instance, .. } => {
                let instance = instance.as_ref().map(|name| format!("greet-instance: {name}"));
                let message = message.as_ref().map(|message| format!("{message:?}"));
                message.into_iter().chain(instance).collect()
            }
        }
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
