//! Parses the metadata that `-H` sends, and extracts the custom metadata of a reply.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context as _, anyhow, bail, ensure};
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use http::{HeaderMap, HeaderName, HeaderValue};

/// gRPC sends base64 without padding and accepts it with or without ("gRPC over HTTP2").
pub(crate) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The metadata of `-H`.
#[derive(Debug, Default)]
pub(crate) struct Metadata {
    pub(crate) headers: HeaderMap,
    /// The keys whose values come from a file.
    pub(crate) from_files: Vec<HeaderName>,
}

/// Returns the headers to send. Fails if a header is malformed or its file is not readable.
pub(crate) fn resolve(headers: &[String]) -> anyhow::Result<Metadata> {
    let mut metadata = Metadata::default();
    // GREET_HEADER may end with a newline.
    for header in headers.iter().filter(|header| !header.is_empty()) {
        let (key, value) = parse(header).context("--header (GREET_HEADER)")?;
        let mut value = match value.strip_prefix('@') {
            Some(file) => {
                metadata.from_files.push(key.clone());
                let content = fs::read_to_string(file)
                    .with_context(|| format!("could not read `{file}` for the header {key}"))?;
                content.trim_end().to_owned()
            }
            None => value.to_owned(),
        };
        if key.as_str().ends_with("-bin") {
            let Ok(bytes) = BASE64.decode(value) else {
                bail!("the value of the binary header {key} is not base64");
            };
            value = BASE64.encode(bytes);
        }
        let Ok(value) = HeaderValue::from_str(&value) else {
            bail!("the value of the header {key} has characters that are not allowed in a header");
        };
        metadata.headers.append(key, value);
    }
    Ok(metadata)
}

/// Splits `key: value`.
fn parse(header: &str) -> anyhow::Result<(HeaderName, &str)> {
    let (key, value) = header.split_once(':').context("expected 'key: value'")?;
    let key: HeaderName =
        key.trim().parse().map_err(|_| anyhow!("the key is not a valid header name"))?;
    ensure!(!is_reserved(&key), "{key} belongs to the protocol; gRPC sets it");
    Ok((key, value.trim()))
}

/// Returns the headers that are not the protocol's, values of the same key joined as gRPC allows.
/// Binary values stay base64.
pub(crate) fn custom(headers: &HeaderMap) -> BTreeMap<String, String> {
    let keys = headers.keys().filter(|key| !is_reserved(key) && *key != http::header::DATE);
    let joined = keys.map(|key| {
        let values = headers.get_all(key).iter().map(HeaderValue::as_bytes);
        let values: Vec<_> = values.map(String::from_utf8_lossy).collect();
        (key.to_string(), values.join(","))
    });
    joined.collect()
}

/// Parts of the names of headers that carry credentials, such as `authorization` and `x-api-key`.
const SECRET_WORDS: [&str; 10] = [
    "auth",
    "cookie",
    "credential",
    "jwt",
    "key",
    "pass",
    "secret",
    "session",
    "signature",
    "token",
];

/// Returns whether the value of a header may be a credential. Binary values may contain one.
pub(crate) fn is_secret(key: &str) -> bool {
    key.ends_with("-bin") || SECRET_WORDS.iter().any(|word| key.contains(word))
}

/// Returns what is printed for a credential.
pub(crate) fn redacted(value: &str) -> String {
    format!("(redacted, {} bytes)", value.len())
}

fn is_reserved(key: &HeaderName) -> bool {
    let transport = [
        "connection",
        "content-length",
        "content-type",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "transfer-encoding",
        "upgrade",
        "user-agent",
    ];
    key.as_str().starts_with("grpc-") || transport.contains(&key.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(headers: &[&str]) -> anyhow::Result<HeaderMap> {
        let headers: Vec<_> = headers.iter().map(|header| (*header).to_owned()).collect();
        Ok(resolve(&headers)?.headers)
    }

    #[test]
    fn header_is_parsed_into_key_and_value() {
        let map =
            resolved(&["X-Trace: a:b", "x-trace:c", "token-bin: aGk=", "raw-bin: aGk"]).unwrap();
        assert_eq!(map.get_all("x-trace").iter().collect::<Vec<_>>(), ["a:b", "c"]);
        assert_eq!([&map["token-bin"], &map["raw-bin"]], ["aGk", "aGk"]);
    }

    #[test]
    fn header_value_is_read_from_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, "secret\n").unwrap();
        let map = resolved(&[&format!("authorization: @{}", file.path().display())]).unwrap();
        assert_eq!(map["authorization"], "secret");

        let error = resolved(&["authorization: @/no/such/file"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "could not read `/no/such/file` for the header authorization"
        );
    }

    #[test]
    fn invalid_headers_are_rejected() {
        for bad in ["no colon", ": value", "sp ace: x", "grpc-timeout: 1S", "te: trailers"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(resolved(&["x-bin: not base64!"]).is_err());
    }

    #[test]
    fn protocol_headers_are_not_custom_metadata() {
        let mut headers = HeaderMap::new();
        for (key, value) in
            [("content-type", "x"), ("grpc-status", "0"), ("a", "1"), ("a", "2"), ("date", "now")]
        {
            headers.append(key, value.parse().unwrap());
        }
        assert_eq!(custom(&headers), BTreeMap::from([("a".to_owned(), "1,2".to_owned())]));
    }
}
