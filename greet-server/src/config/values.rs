//! Value parsers. Each accepts the text of a flag, a variable or a key of the file, and its errors
//! quote the value and state the expected form.

use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use greet_flags::values::duration;
use http::{HeaderValue, Uri};
use tracing_subscriber::filter::{LevelFilter, Targets};

use super::ListenAddr;
use super::memory::MIN_LIMIT;

pub(super) const OFF: &str = "off";

/// Small beside the 8 KiB to which peers limit all headers of a response.
const MAX_INSTANCE_BYTES: usize = 256;

/// A value that `off` unsets, so that a flag can override a file. The alias hides the `Option` from
/// clap, which would make it an optional flag.
pub(super) type OrOff<T> = Option<T>;

pub(super) fn or_off<T>(
    parse: impl Fn(&str) -> Result<T, String> + Clone,
) -> impl Fn(&str) -> Result<OrOff<T>, String> + Clone {
    move |given| if given == OFF { Ok(None) } else { parse(given).map(Some) }
}

/// Parses an amount of memory: bytes, or a number with a unit.
pub(super) fn memory_size(given: &str) -> Result<ByteSize, String> {
    let size = given.parse::<ByteSize>().ok().filter(|size| *size >= MIN_LIMIT);
    size.ok_or_else(|| format!("{given:?} is not a size of at least {MIN_LIMIT}, such as 256MiB"))
}

/// Parses a duration that zero disables.
pub(super) fn interval(given: &str) -> Result<OrOff<Duration>, String> {
    or_off(duration)(given).map(|interval| interval.filter(|interval| !interval.is_zero()))
}

/// Parses an address of the admin server, which has no TLS.
pub(super) fn admin_address(given: &str) -> Result<ListenAddr, String> {
    let address: ListenAddr = given.parse()?;
    if address.is_https() {
        return Err(format!(
            "{given:?} needs TLS, but the admin server is plain HTTP; use http://"
        ));
    }
    Ok(address)
}

pub(super) fn instance(given: &str) -> Result<HeaderValue, String> {
    let is_printable = given.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    let is_valid = is_printable && (1..=MAX_INSTANCE_BYTES).contains(&given.len());
    let value = HeaderValue::from_str(given).ok().filter(|_| is_valid);
    value.ok_or_else(|| {
        format!("{given:?} is not 1 to {MAX_INSTANCE_BYTES} printable ASCII characters")
    })
}

/// Parses an origin, or `*`, into the form that browsers send: in lower case, without the default
/// port of the scheme (RFC 6454, section 6.2).
pub(super) fn origin(given: &str) -> Result<HeaderValue, String> {
    let url = WebUrl::parse(given).filter(|url| url.is_bare && !url.host.contains('*'));
    let origin = match url {
        _ if given == "*" => Some("*".to_owned()),
        Some(WebUrl { scheme, host, port, .. }) => Some(match (scheme, port) {
            ("http", Some(80)) | ("https", Some(443)) | (_, None) => format!("{scheme}://{host}"),
            (_, Some(port)) => format!("{scheme}://{host}:{port}"),
        }),
        None => None,
    };
    let origin = origin.and_then(|origin| HeaderValue::try_from(origin).ok());
    origin.ok_or_else(|| format!("{given:?} is not an origin such as https://shop.example, or *"))
}

/// Destination of spans. With any but `Off`, the other OTEL_* variables apply: the SDK reads them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OtlpEndpoint {
    /// No export, even if OTEL_* variables name an endpoint.
    Off,
    /// The endpoint of the OTEL_* variables, or else no export.
    FromEnvironment,
    /// URL of a collector; over TLS if it is `https`.
    Url(String),
}

impl FromStr for OtlpEndpoint {
    type Err = String;

    fn from_str(given: &str) -> Result<Self, Self::Err> {
        match WebUrl::parse(given) {
            _ if given == OFF => Ok(OtlpEndpoint::Off),
            _ if cfg!(not(feature = "otel")) => {
                Err("this build has no OpenTelemetry (feature `otel`)".to_owned())
            }
            Some(_) => Ok(OtlpEndpoint::Url(given.to_owned())),
            // It may have a password, so the message does not quote it.
            None if given.contains('@') => {
                Err("the URL has user information; use OTEL_EXPORTER_OTLP_HEADERS".to_owned())
            }
            None => Err(format!("{given:?} is not a URL such as http://localhost:4317")),
        }
    }
}

/// Parses a level, or `target=level` pairs. [`Targets`] alone accepts texts that silence the log: it
/// takes a misspelt level for the name of a target, and an empty level for `error`.
pub(crate) fn log_filter(given: &str) -> Result<Targets, String> {
    let is_level = |part: &str| !part.is_empty() && part.parse::<LevelFilter>().is_ok();
    let is_directive = |part: &&str| match part.split_once('=') {
        Some((target, level)) => is_log_target(target) && is_level(level),
        None => is_level(part),
    };
    let parts: Vec<_> = given.split(',').map(str::trim).collect();
    let filter = parts.join(",").parse().ok().filter(|_| parts.iter().all(is_directive));
    filter.ok_or_else(|| {
        let levels = "error, warn, info, debug, trace or off";
        format!("{given:?} is not {levels}, or pairs such as h2=debug")
    })
}

/// Returns whether a line can have this target: the path of a Rust module, or a name such as `access`.
fn is_log_target(name: &str) -> bool {
    let is_part = |character: char| character.is_ascii_alphanumeric() || "_-:.".contains(character);
    !name.is_empty() && name.chars().all(is_part)
}

/// An `http` or `https` URL without user information.
struct WebUrl<'a> {
    scheme: &'a str,
    host: String,
    port: Option<u16>,
    /// Whether the URL ends with its authority, without even a slash.
    is_bare: bool,
}

impl WebUrl<'_> {
    fn parse(given: &str) -> Option<WebUrl<'_>> {
        let uri: Uri = given.parse().ok()?;
        let scheme =
            ["http", "https"].into_iter().find(|scheme| uri.scheme_str() == Some(scheme))?;
        let (host, port) = (uri.host()?.to_ascii_lowercase(), uri.port_u16());
        let authority = match port {
            Some(port) => format!("{host}:{port}"),
            None => host.clone(),
        };
        // `Uri` accepts user information and an empty or invalid port.
        let is_plain = uri.authority()?.as_str().eq_ignore_ascii_case(&authority);
        let is_bare = given.len() == scheme.len() + "://".len() + authority.len();
        (is_plain && !host.is_empty()).then_some(WebUrl { scheme, host, port, is_bare })
    }
}

#[cfg(test)]
mod tests {
    use greet_flags::values::timeout;

    use super::*;

    #[test]
    fn off_and_zero_unset_a_duration() {
        let one_day = Duration::from_secs(86_400);
        assert_eq!(
            (or_off(timeout)("off"), or_off(timeout)("1day")),
            (Ok(None), Ok(Some(one_day)))
        );
        assert_eq!((interval("0s"), interval("1day")), (Ok(None), Ok(Some(one_day))));
    }

    #[test]
    fn memory_size_is_bytes_or_has_a_unit() {
        for (given, bytes) in
            [("8388608", 8 << 20), ("8MiB", 8 << 20), ("256Mi", 256 << 20), ("1.5GiB", 3 << 29)]
        {
            assert_eq!(memory_size(given), Ok(ByteSize(bytes)), "{given}");
        }
        for bad in ["", "-1", "8388607", "1MiB", "1 parsec", "MiB"] {
            assert!(memory_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn instance_is_printable_ascii() {
        let longest = "x".repeat(MAX_INSTANCE_BYTES);
        assert!(instance(&longest).is_ok() && instance("a b").is_ok());
        for bad in ["", "a\tb", "ä", &(longest + "x")] {
            assert!(instance(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn log_filter_has_known_levels_and_no_empty_part() {
        for good in ["info", "OFF", "warn, h2=debug", "greet_server::net=trace,access=off"] {
            assert!(log_filter(good).is_ok(), "{good}");
        }
        for bad in ["", "inof", "warning", "info,inof", "h2=loud"] {
            assert!(log_filter(bad).is_err(), "{bad}");
        }
        for bad in
            ["inof=", "=", "=debug", "info,", ",info", "info,h2=", "h2==debug", "h2=debug=info"]
        {
            assert!(log_filter(bad).is_err(), "{bad}");
        }
        for bad in ["h2 =debug", "h2= debug", "[info]", "[span]=debug", "h2[{field}]=debug"] {
            assert!(log_filter(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn origin_has_the_form_that_browsers_send() {
        for (given, expected) in [
            ("*", "*"),
            ("https://SHOP.example:443", "https://shop.example"),
            ("http://shop.example:80", "http://shop.example"),
            ("http://localhost:8080", "http://localhost:8080"),
            ("https://[::1]:8443", "https://[::1]:8443"),
        ] {
            assert_eq!(origin(given).unwrap(), expected);
        }
        for bad in [
            "https://*.example",
            "https://user@a.example",
            "https://a.example:70000",
            "https://a.example:",
            "https://a.example/",
            "https://a.example/a.example",
            "ftp://a.example",
            "null",
        ] {
            assert!(origin(bad).is_err(), "{bad}");
        }
    }

    #[cfg(feature = "otel")]
    #[test]
    fn otlp_endpoint_is_a_url() {
        for good in ["http://collector:4317/path", "https://h:4317"] {
            assert!(good.parse::<OtlpEndpoint>().is_ok(), "{good}");
        }
        for bad in ["ftp://h:4317", "localhost:4317", "zzz", "http://h:99999", "http://u:p@h"] {
            assert!(bad.parse::<OtlpEndpoint>().is_err(), "{bad}");
        }
    }
}
