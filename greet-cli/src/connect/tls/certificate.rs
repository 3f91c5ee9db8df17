//! Extracts the facts of a certificate that explain why it is rejected.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use humantime::format_rfc3339_seconds;
use rustls::pki_types::CertificateDer;
use serde::{Serialize, Serializer};
use x509_parser::prelude::{FromDer as _, GeneralName, Validity, X509Certificate, X509Name};
use x509_parser::time::ASN1Time;

/// Certificates of content delivery networks have a hundred names; a message shows the first.
const MAX_SHOWN_NAMES: usize = 10;

/// The parts of a certificate that determine whether it is trusted.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Certificate {
    pub(crate) subject: String,
    pub(crate) issuer: String,
    /// Host names and addresses.
    pub(crate) names: Vec<String>,
    #[serde(serialize_with = "serialize_rfc3339")]
    pub(crate) not_before: SystemTime,
    #[serde(serialize_with = "serialize_rfc3339")]
    pub(crate) not_after: SystemTime,
    /// Full days until it expires; negative if it has expired.
    pub(crate) days_left: i64,
}

impl Certificate {
    /// Returns `None` if it is not X.509.
    pub(crate) fn parse(der: &CertificateDer<'_>) -> Option<Certificate> {
        let (_, parsed) = X509Certificate::from_der(der).ok()?;
        Some(Certificate::new(&parsed))
    }

    pub(crate) fn new(parsed: &X509Certificate<'_>) -> Certificate {
        const SECONDS_A_DAY: i64 = 24 * 60 * 60;
        let names = parsed.subject_alternative_name().ok().flatten();
        let names = names.map(|extension| &extension.value.general_names);
        let Validity { not_before, not_after } = parsed.validity();
        let left = not_after.timestamp() - ASN1Time::now().timestamp();
        Certificate {
            subject: distinguished_name(parsed.subject()),
            issuer: distinguished_name(parsed.issuer()),
            names: names.into_iter().flatten().filter_map(name).collect(),
            not_before: system_time(*not_before),
            not_after: system_time(*not_after),
            days_left: left.div_euclid(SECONDS_A_DAY),
        }
    }

    /// Returns the names as a list for messages.
    pub(crate) fn joined_names(&self) -> String {
        match self.names.get(MAX_SHOWN_NAMES..) {
            _ if self.names.is_empty() => "no name at all".to_owned(),
            None | Some([]) => self.names.join(", "),
            Some(more) => {
                format!("{} and {} more", self.names[..MAX_SHOWN_NAMES].join(", "), more.len())
            }
        }
    }
}

pub(crate) fn rfc3339(time: SystemTime) -> String {
    format_rfc3339_seconds(time).to_string()
}

fn serialize_rfc3339<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&rfc3339(*time))
}

pub(crate) fn distinguished_name(name: &X509Name<'_>) -> String {
    let name = name.to_string();
    if name.is_empty() { "no subject".to_owned() } else { name }
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            let address = v4.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from));
            address.ok().map(|address| address.to_string())
        }
        _ => None, // other kinds, such as mail addresses, do not name a server
    }
}

/// Converts a time; a time before 1970 becomes the first second of 1970.
fn system_time(time: ASN1Time) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(time.timestamp()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_lists_at_most_ten_names() {
        let joined = |count: usize| {
            let names = (1..=count).map(|number| number.to_string()).collect();
            let time = SystemTime::UNIX_EPOCH;
            let (subject, issuer) = (String::new(), String::new());
            let (not_before, not_after, days_left) = (time, time, 0);
            Certificate { subject, issuer, names, not_before, not_after, days_left }.joined_names()
        };
        assert_eq!(joined(0), "no name at all");
        assert_eq!(joined(MAX_SHOWN_NAMES), "1, 2, 3, 4, 5, 6, 7, 8, 9, 10");
        assert_eq!(joined(MAX_SHOWN_NAMES + 1), "1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 1 more");
    }
}
