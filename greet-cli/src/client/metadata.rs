//! Parses the metadata that `-H` sends, and extracts the custom metadata of a reply.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;

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

/// Maximum size of a file with a value; servers limit all headers of a request to much less.
const MAX_FILE_BYTES: usize = 64 * 1024;

/// A mark that some editors write before the text.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Returns the headers to send. Fails if a header is malformed or its file is not readable. No error
/// has a part of the value, which may be secret.
pub(crate) fn resolve(headers: &[String]) -> anyhow::Result<Metadata> {
    let mut metadata = Metadata::default();
    // GREET_HEADER may end with a newline.
    for header in headers.iter().filter(|header| !header.is_empty()) {
        let (key, value) = parse(header).context("--header (GREET_HEADER)")?;
        let value = match value.strip_prefix('@') {
            Some(file) => {
                metadata.from_files.push(key.clone());
                let content = read(file)
                    .with_context(|| format!("could not read `{file}` for the header {key}"))?;
                let text =
                    content.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&content).trim_ascii_start();
                let value = text.trim_ascii_end();
                ensure!(!value.is_empty(), "`{file}` for the header {key} is empty");
                let start = content.len() - text.len();
                encode(&key, value, start, &format!("`{file}`, the value of the header {key},"))
            }
            None => encode(&key, value.as_bytes(), 0, &format!("the value of the header {key}")),
        };
        metadata.headers.append(key, value?);
    }
    Ok(metadata)
}

/// Splits `key: value`.
fn parse(header: &str) -> anyhow::Result<(HeaderName, &str)> {
    let header = header.trim_start();
    // A pseudo-header, such as `:authority`, starts with a colon (RFC 9113, section 8.3).
    let pseudo_header = header.strip_prefix(':');
    let (key, value) =
        pseudo_header.unwrap_or(header).split_once(':').context("expected 'key: value'")?;
    let key = key.trim().to_ascii_lowercase();
    let is_valid = !key.is_empty()
        && key.bytes().all(|it| matches!(it, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.'));
    ensure!(is_valid, "the key has characters other than letters, digits, -, _ and .");
    let key: HeaderName = key.parse().map_err(|_| anyhow!("the key is too long"))?;
    let is_authority = pseudo_header.is_some() && key == "authority";
    ensure!(
        !is_authority && key != http::header::HOST,
        "use --authority to set the name of the server"
    );
    ensure!(pseudo_header.is_none(), ":{key} belongs to the protocol; gRPC sets it");
    ensure!(!is_reserved(&key), "{key} belongs to the protocol; gRPC sets it");
    Ok((key, value.trim_ascii()))
}

fn read(file: &str) -> anyhow::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(file)?.take(MAX_FILE_BYTES as u64 + 1).read_to_end(&mut content)?;
    ensure!(content.len() <= MAX_FILE_BYTES, "longer than {MAX_FILE_BYTES} bytes");
    Ok(content)
}

/// Encodes a value: base64 for a binary key, which programs wrap into lines, and else the ASCII that
/// gRPC allows ("gRPC over HTTP2", ASCII-Value). An error names the place, in which the value starts
/// at `start`.
fn encode(
    key: &HeaderName,
    value: &[u8],
    start: usize,
    place: &str,
) -> anyhow::Result<HeaderValue> {
    if key.as_str().ends_with("-bin") {
        let base64: Vec<_> =
            value.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
        let bytes = BASE64.decode(base64).map_err(|_| anyhow!("{place} is not base64"))?;
        return Ok(BASE64.encode(bytes).try_into()?);
    }
    if let Some(at) = value.iter().position(|byte| !matches!(byte, b' '..=b'~')) {
        bail!("{place} is not printable ASCII at byte {}", start + at + 1);
    }
    Ok(HeaderValue::from_bytes(value)?)
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
    use std::fs;

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

    /// Reads the value of a header from a file with this content.
    fn from_file(key: &str, content: impl AsRef<[u8]>) -> Result<String, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, content).unwrap();
        let path = file.path().display().to_string();
        match resolved(&[&format!("{key}: @{path}")]) {
            Ok(map) => Ok(map[key].to_str().unwrap().to_owned()),
            Err(error) => Err(format!("{error:#}").replace(&path, "FILE")),
        }
    }

    #[test]
    fn mark_and_blanks_around_value_of_file_are_removed() {
        for content in ["s3cret", "s3cret\n", "\u{feff}s3cret\r\n", "\n \t s3cret \t\n\n"] {
            assert_eq!(from_file("authorization", content).unwrap(), "s3cret", "{content:?}");
        }
        assert_eq!(from_file("x", "a b~").unwrap(), "a b~");
        assert_eq!(from_file("x-bin", "\u{feff}YWJj\r\nZGVm\n").unwrap(), "YWJjZGVm");
    }

    #[test]
    fn value_that_grpc_does_not_allow_is_rejected_by_position() {
        let of_file = |bytes: &[u8]| from_file("x", bytes).unwrap_err();
        let place = "`FILE`, the value of the header x,";
        for (bytes, at) in [
            (&b"s3cret\x7f"[..], 7),
            (b"\xef\xbb\xbf s3cret\xc3\xab", 11),
            (b"s3c\nret", 4),
            (b"s3c\tret", 4),
            (b"\xff\xfes\0", 1),
        ] {
            let expected = format!("{place} is not printable ASCII at byte {at}");
            assert_eq!(of_file(bytes), expected);
        }
        let error = resolved(&["x:  s3cr\u{eb}t"]).unwrap_err().to_string();
        assert_eq!(error, "the value of the header x is not printable ASCII at byte 5");
        let error = from_file("x-bin", "s3cret?").unwrap_err();
        assert_eq!(error, "`FILE`, the value of the header x-bin, is not base64");
        assert_eq!(of_file(b"\xef\xbb\xbf \n"), "`FILE` for the header x is empty");
    }

    #[test]
    fn file_over_limit_is_rejected() {
        let limit = "x".repeat(MAX_FILE_BYTES);
        assert_eq!(from_file("x", &limit).unwrap(), limit);
        assert_eq!(
            from_file("x", limit + "x").unwrap_err(),
            "could not read `FILE` for the header x: longer than 65536 bytes"
        );
        let missing = resolved(&["x: @/no/such/file"]).unwrap_err().to_string();
        assert_eq!(missing, "could not read `/no/such/file` for the header x");
    }

    #[test]
    fn host_and_authority_point_to_the_flag() {
        for header in ["host: x", "Host:x", ":authority: x", " :Authority:x"] {
            let error = format!("{:#}", resolved(&[header]).unwrap_err());
            assert_eq!(
                error,
                "--header (GREET_HEADER): use --authority to set the name of the server"
            );
        }
        assert_eq!(resolved(&["authority: x"]).unwrap()["authority"], "x");
    }

    #[test]
    fn protocol_headers_cannot_be_set() {
        for (header, key) in [(":path: /x", ":path"), ("te: trailers", "te")] {
            let error = parse(header).unwrap_err().to_string();
            assert_eq!(error, format!("{key} belongs to the protocol; gRPC sets it"));
        }
    }

    #[test]
    fn invalid_headers_are_rejected() {
        let bad = ["no colon", ": value", ":: x", "sp ace: x", "a!: x", "grpc-timeout: 1S"];
        for bad in bad {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(parse("A.b_c-1: x").is_ok());
        assert!(parse(&format!("{}: x", "k".repeat(100_000))).is_err());
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
