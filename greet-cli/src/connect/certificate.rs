//! What a certificate says, for the person who has to find out why it is refused.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, SystemTime};

use humantime::format_rfc3339_seconds;
use rustls::pki_types::CertificateDer;
use serde::{Serialize, Serializer};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};
use x509_parser::time::ASN1Time;

/// The parts of a certificate that decide whether it is trusted.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Certificate {
    pub(crate) subject: String,
    pub(crate) issuer: String,
    /// Names and addresses that it is for.
    pub(crate) names: Vec<String>,
    #[serde(serialize_with = "serialize_rfc3339")]
    pub(crate) not_before: SystemTime,
    #[serde(serialize_with = "serialize_rfc3339")]
    pub(crate) not_after: SystemTime,
    /// Whole days until it expires, negative once it has.
    pub(crate) days_left: i64,
}

impl Certificate {
    /// `None` if it is not X.509 as far as it can be read.
    pub(crate) fn read(der: &CertificateDer<'_>) -> Option<Certificate> {
        let (_, parsed) = X509Certificate::from_der(der).ok()?;
        let names = parsed.subject_alternative_name().ok().flatten();
        let names = names.map(|extension| &extension.value.general_names);
        let not_after = system_time(parsed.validity().not_after);
        Some(Certificate {
            subject: named(parsed.subject()),
            issuer: named(parsed.issuer()),
            names: names.into_iter().flatten().filter_map(name).collect(),
            not_before: system_time(parsed.validity().not_before),
            days_left: days_until(not_after),
            not_after,
        })
    }

    /// As they stand in a sentence.
    pub(crate) fn joined_names(&self) -> String {
        if self.names.is_empty() {
            return "no name at all".to_owned();
        }
        self.names.join(", ")
    }
}

fn days_until(time: SystemTime) -> i64 {
    const SECONDS_A_DAY: u64 = 24 * 60 * 60;
    let days = |left: Duration| i64::try_from(left.as_secs() / SECONDS_A_DAY).unwrap_or(i64::MAX);
    match time.duration_since(SystemTime::now()) {
        Ok(left) => days(left),
        Err(past) => -days(past.duration()) - 1,
    }
}

/// Returns a time in RFC 3339; a time before 1970 is shown as its beginning.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    format_rfc3339_seconds(time.max(SystemTime::UNIX_EPOCH)).to_string()
}

fn serialize_rfc3339<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&rfc3339(*time))
}

fn named(name: &x509_parser::prelude::X509Name<'_>) -> String {
    match name.to_string() {
        empty if empty.is_empty() => "no subject".to_owned(),
        name => name,
    }
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => address(bytes).map(|address| address.to_string()),
        _ => None, // mail addresses and the like name no server
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = || <[u8; 4]>::try_from(bytes).map(Ipv4Addr::from).map(IpAddr::V4);
    let v6 = || <[u8; 16]>::try_from(bytes).map(Ipv6Addr::from).map(IpAddr::V6);
    v4().or_else(|_| v6()).ok()
}

fn system_time(time: ASN1Time) -> SystemTime {
    let seconds = time.timestamp();
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let moved = if seconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(distance)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(distance)
    };
    moved.unwrap_or(SystemTime::UNIX_EPOCH)
}
