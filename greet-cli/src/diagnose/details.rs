//! What there is to know of a stage, beyond whether it failed.

use std::collections::BTreeMap;
use std::net::IpAddr;

use greet_proto::HelloReply;
use serde::Serialize;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::client::{Call, metadata};
use crate::connect::Stages;
use crate::connect::certificate::{Certificate, date};

/// Of one stage each.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Details {
    Names { addresses: Vec<IpAddr> },
    Addresses { tried: Vec<Tried>, peer: Option<String> },
    Tls(Box<Tls>),
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

#[derive(Debug, Serialize)]
pub(super) struct Tls {
    version: Option<String>,
    cipher: Option<String>,
    alpn: Option<String>,
    certificate: Option<CertificateReport>,
    client_certificate: &'static str,
}

#[derive(Debug, Serialize)]
struct CertificateReport {
    subject: String,
    issuer: String,
    names: Vec<String>,
    not_before: String,
    not_after: String,
    days_left: i64,
}

impl Details {
    pub(super) fn of_names(stages: &Stages) -> Option<Details> {
        stages.dns.map(|_| Details::Names { addresses: stages.addresses.clone() })
    }

    pub(super) fn of_addresses(stages: &Stages) -> Details {
        let tried = stages.tried.iter().map(|(address, problem)| Tried {
            address: address.to_string(),
            problem: problem.as_ref().map(ToString::to_string),
        });
        Details::Addresses {
            tried: tried.collect(),
            peer: stages.peer.as_deref().map(str::to_owned),
        }
    }

    pub(super) fn of_tls(stages: &Stages) -> Option<Details> {
        let facts = stages.tls_facts.as_ref()?;
        Some(Details::Tls(Box::new(Tls {
            version: facts.version.clone(),
            cipher: facts.cipher.clone(),
            alpn: facts.protocol.clone(),
            certificate: facts.certificate.as_ref().map(CertificateReport::new),
            client_certificate: facts.client_certificate,
        })))
    }

    pub(super) fn of_settings(stages: &Stages) -> Option<Details> {
        let settings = stages.settings.as_ref()?;
        Some(Details::Http2 { settings: settings.named().collect() })
    }

    pub(super) fn of_health(state: ServingStatus) -> Details {
        Details::Health { serving: state.as_str_name() }
    }

    pub(super) fn of_hello(call: &Call<HelloReply>) -> Details {
        Details::Hello {
            message: call.result.as_ref().ok().map(|reply| reply.message.clone()),
            instance: call.instance().map(str::to_owned),
            headers: metadata::custom(&call.headers),
        }
    }

    /// For people, a line each.
    pub(super) fn lines(&self) -> Vec<String> {
        match self {
            Details::Names { addresses } => {
                let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
                vec![addresses.join(", ")]
            }
            Details::Addresses { tried, peer } => {
                let problems = tried.iter().filter_map(|tried| tried.problem.clone());
                problems.chain(peer.clone()).collect()
            }
            Details::Tls(tls) => tls.lines(),
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

impl Tls {
    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let (Some(version), Some(cipher)) = (&self.version, &self.cipher) {
            let alpn = self.alpn.as_deref().unwrap_or("none");
            lines.push(format!("{version}, {cipher}, ALPN {alpn}"));
        }
        if let Some(certificate) = &self.certificate {
            let CertificateReport { subject, issuer, names, not_after, days_left, .. } =
                certificate;
            lines.push(format!("certificate {subject}, signed by {issuer}"));
            let names = names.join(", ");
            lines.push(format!("for {}", if names.is_empty() { "no name at all" } else { &names }));
            lines.push(match days_left {
                ..0 => format!("expired on {not_after}"),
                _ => format!("valid until {not_after}, {days_left} days left"),
            });
            lines.push(format!("client certificate: {}", self.client_certificate));
        }
        lines
    }
}

impl CertificateReport {
    fn new(certificate: &Certificate) -> CertificateReport {
        CertificateReport {
            subject: certificate.subject.clone(),
            issuer: certificate.issuer.clone(),
            names: certificate.names.clone(),
            not_before: date(certificate.not_before),
            not_after: date(certificate.not_after),
            days_left: certificate.days_left(),
        }
    }
}
