//! The proxy stage: requests a tunnel from the HTTP CONNECT proxy of the environment (gRFC A1; RFC
//! 9110, section 9.3.6).
//!
//! As in grpc-go, `https_proxy` applies to plaintext targets too, `http_proxy` to none, and the proxy
//! looks up the host of the target. As in curl, the name in lower case has precedence.

use std::env::var_os;
use std::{fmt, io};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::FutureExt as _;
use http::HeaderValue;
use percent_encoding::percent_decode_str;
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, timeout_at};

use super::excerpt;
use super::no_proxy::{Exclusion, exclusion};
use super::target::{self, Target, host_port};
use crate::error::{ConnectError, Stage};
use crate::format::HumanDuration;

const URL_VARIABLES: [&str; 2] = ["https_proxy", "HTTPS_PROXY"];
const EXCLUSION_VARIABLES: [&str; 2] = ["no_proxy", "NO_PROXY"];

const FORM: &str = "is not http://[USER:PASSWORD@]HOST[:PORT]";
/// Other kinds of proxies that users have. Only known schemes are quoted: a URL may have a password.
const UNSUPPORTED_SCHEMES: [&str; 5] = ["https", "socks4", "socks4a", "socks5", "socks5h"];
/// The default port of `http`.
const HTTP_PORT: u16 = 80;

/// Maximum size of status line and headers of a reply. Proxies send some hundred bytes, and more
/// than that with an offer of authentication.
const MAX_HEAD_BYTES: usize = 8 * 1024;
/// The first bytes of every reply.
const HTTP: &[u8] = b"HTTP/";
const END_OF_HEAD: &[u8] = b"\r\n\r\n";
/// Enough of another protocol to recognise it.
const MAX_EXCERPT_BYTES: usize = 256;

/// A proxy and the hosts that are connected without it.
#[derive(Debug)]
pub(crate) struct Proxy {
    /// Without the brackets of an IPv6 address.
    host: String,
    port: u16,
    /// `Basic CREDENTIALS`, marked as sensitive: `Debug` does not print it.
    authorization: Option<HeaderValue>,
    exclusions: String,
}

impl Proxy {
    /// Returns the proxy in the environment. Fails with the variable and the reason if its URL is not
    /// usable and it applies to one of the targets, and never quotes the URL.
    pub(crate) fn from_environment(targets: &[Target]) -> Result<Option<Proxy>, String> {
        let Some((name, url)) = first_set(URL_VARIABLES) else {
            return Ok(None);
        };
        let exclusions = first_set(EXCLUSION_VARIABLES).map(|(_, list)| list).unwrap_or_default();
        let applies = targets.iter().any(|target| exclusion_of(target, &exclusions).is_none());
        match Proxy::parse(&url, exclusions) {
            Ok(proxy) => Ok(Some(proxy)),
            Err(problem) if applies => Err(format!("{name}: {problem}")),
            Err(_) => Ok(None),
        }
    }

    pub(super) fn parse(url: &str, exclusions: String) -> Result<Proxy, String> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        let scheme = scheme.to_ascii_lowercase();
        if UNSUPPORTED_SCHEMES.contains(&scheme.as_str()) {
            return Err(format!("a proxy with {scheme}:// is not supported, only with http://"));
        }
        let (user, address) = match rest.rsplit_once('@') {
            Some((user, address)) => (Some(user), address),
            None => (None, rest),
        };
        match target::tcp(address, false, Some(HTTP_PORT), false) {
            Some(Target::Tcp { host, port, .. }) if scheme == "http" => {
                Ok(Proxy { host, port, authorization: user.map(basic), exclusions })
            }
            _ => Err(format!("the value (not shown) {FORM}")),
        }
    }

    /// Returns why the target is connected without the proxy, if it is.
    pub(crate) fn exclusion(&self, target: &Target) -> Option<Exclusion> {
        exclusion_of(target, &self.exclusions)
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Returns the error for a proxy that could not be looked up or connected to. Limits of this
    /// machine have hints of their own.
    pub(super) fn not_reached(&self, error: ConnectError) -> ConnectError {
        let (proxy, problem) = (self.to_string(), error.to_string());
        match error {
            ConnectError::TooManyOpenFilesToLookUp { .. }
            | ConnectError::TooManyOpenFiles { .. }
            | ConnectError::NoMemory { .. }
            | ConnectError::NoLocalPort { .. } => error,
            _ if error.stage() == Stage::Dns => ConnectError::ProxyNotFound { proxy, problem },
            _ => ConnectError::ProxyUnreachable { proxy, problem },
        }
    }

    /// Returns the request for a tunnel.
    fn request(&self, destination: &str) -> Vec<u8> {
        let mut request = format!("CONNECT {destination} HTTP/1.1\r\nHost: {destination}\r\n");
        request = match self.authorization.as_ref().and_then(|it| it.to_str().ok()) {
            Some(authorization) => format!("{request}Proxy-Authorization: {authorization}\r\n\r\n"),
            None => format!("{request}\r\n"),
        };
        request.into_bytes()
    }
}

/// The URL without user and password.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", host_port(&self.host, self.port))
    }
}

/// Returns the first of the variables that is set and not empty.
fn first_set(names: [&'static str; 2]) -> Option<(&'static str, String)> {
    let value = |name| Some((name, var_os(name)?.to_string_lossy().into_owned()));
    names.into_iter().filter_map(value).find(|(_, value)| !value.is_empty())
}

fn exclusion_of(target: &Target, exclusions: &str) -> Option<Exclusion> {
    match target {
        Target::Tcp { host, port, .. } => exclusion(exclusions, host, *port),
        Target::Unix(_) => Some(Exclusion::UnixSocket),
    }
}

/// Encodes user and password of a URL (RFC 7617).
fn basic(user: &str) -> HeaderValue {
    let mut credentials: Vec<u8> = percent_decode_str(user).collect();
    if !user.contains(':') {
        credentials.push(b':');
    }
    let value = format!("Basic {}", STANDARD.encode(credentials));
    let mut value = HeaderValue::try_from(value).expect("base64 is ASCII");
    value.set_sensitive(true);
    value
}

/// A tunnel through a proxy, as far as it got.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Tunnel {
    /// The URL of the proxy, without user and password.
    proxy: String,
    /// The host and the port that the proxy connects to.
    connect: String,
    /// The status of the reply, and headers that identify the proxy.
    reply: Option<String>,
}

impl Tunnel {
    pub(super) fn new(proxy: &Proxy, target: &Target) -> Tunnel {
        Tunnel { proxy: proxy.to_string(), connect: target.authority(), reply: None }
    }

    pub(super) fn destination(&self) -> &str {
        &self.connect
    }

    /// Requests the tunnel on a connection to the proxy. Bytes after the head of the reply are those
    /// of the server, and are not read.
    pub(super) async fn connect<IO: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        stream: &mut IO,
        proxy: &Proxy,
        deadline: Instant,
    ) -> Result<(), ConnectError> {
        let started = Instant::now();
        let request = proxy.request(&self.connect);
        let (proxy, peer) = (self.proxy.clone(), self.connect.clone());
        let Ok(exchanged) = timeout_at(deadline, exchange(stream, &request)).await else {
            let after = HumanDuration(started.elapsed()).to_string();
            return Err(ConnectError::ProxyTimeout { proxy, peer, after });
        };
        let Ok(head) = exchanged else {
            return Err(ConnectError::ProxyClosed { proxy, peer });
        };
        if head.starts_with(HTTP) && !head.ends_with(END_OF_HEAD) {
            let limit = MAX_HEAD_BYTES.to_string();
            return Err(ConnectError::ProxyReplyTooLarge { proxy, limit });
        }
        let received = excerpt::http1(&head);
        let status = received.as_ref().and_then(|it| it.get(..3)?.parse::<u16>().ok());
        let (Some(received), Some(status)) = (received, status) else {
            let received = excerpt::first_line(&head);
            return Err(ConnectError::NotAProxy { proxy, received });
        };
        self.reply = Some(received.clone());
        Err(match status {
            200..=299 => return Ok(()),
            407 => ConnectError::ProxyAuthentication { proxy, received },
            500..=599 => ConnectError::ProxyBadGateway { proxy, peer, received },
            _ => ConnectError::ProxyRefused { proxy, peer, received },
        })
    }
}

/// `PROXY, CONNECT HOST:PORT: REPLY`
impl fmt::Display for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tunnel { proxy, connect, reply } = self;
        write!(f, "{proxy}, CONNECT {connect}")?;
        reply.iter().try_for_each(|reply| write!(f, ": {reply}"))
    }
}

/// Sends a request and returns the head of the reply, at most [`MAX_HEAD_BYTES`]; or the first bytes
/// if they are not HTTP.
async fn exchange<IO>(stream: &mut IO, request: &[u8]) -> io::Result<Vec<u8>>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(request).await?;
    let mut head = Vec::new();
    while !head.ends_with(END_OF_HEAD) && head.len() < MAX_HEAD_BYTES {
        head.push(stream.read_u8().await?); // not more: the next byte may be the server's
        if !head.starts_with(&HTTP[..head.len().min(HTTP.len())]) {
            let mut rest = [0; MAX_EXCERPT_BYTES];
            if let Some(Ok(length)) = stream.read(&mut rest).now_or_never() {
                head.extend_from_slice(&rest[..length]);
            }
            break;
        }
    }
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> Result<(String, Option<String>), String> {
        let proxy = Proxy::parse(url, String::new())?;
        let authorization =
            proxy.authorization.as_ref().map(|value| value.to_str().unwrap().to_owned());
        assert!(!format!("{proxy:?}").contains("Basic"), "{proxy:?}");
        Ok((proxy.to_string(), authorization))
    }

    #[test]
    fn url_has_optional_scheme_user_and_port() {
        for (url, shown) in [
            ("http://proxy.example:3128", "http://proxy.example:3128"),
            ("HTTP://proxy.example:3128/", "http://proxy.example:3128"),
            ("http://proxy.example", "http://proxy.example:80"),
            ("proxy.example:3128", "http://proxy.example:3128"),
            ("10.0.0.1", "http://10.0.0.1:80"),
            ("http://[fd00::1]:3128", "http://[fd00::1]:3128"),
        ] {
            assert_eq!(parsed(url), Ok((shown.to_owned(), None)), "{url}");
        }
    }

    #[test]
    fn user_and_password_become_basic_authorization() {
        for (user, decoded) in [
            ("Ada:secret", "Ada:secret"),
            ("Ada", "Ada:"),
            ("Ada:", "Ada:"),
            (":secret", ":secret"),
            ("Ada:p%40ss%2F%3A%25", "Ada:p@ss/:%"),
            ("Ada:p@ss", "Ada:p@ss"),
            ("%C3%84da:x", "Äda:x"),
        ] {
            let (shown, authorization) = parsed(&format!("http://{user}@proxy:1")).unwrap();
            assert_eq!(shown, "http://proxy:1");
            let expected = format!("Basic {}", STANDARD.encode(decoded));
            assert_eq!(authorization, Some(expected), "{user}");
        }
    }

    #[test]
    fn unusable_url_is_not_quoted() {
        for scheme in ["https", "socks4", "SOCKS5", "socks5h"] {
            let problem = parsed(&format!("{scheme}://Ada:secret@proxy:1")).unwrap_err();
            let scheme = scheme.to_ascii_lowercase();
            let expected = format!("a proxy with {scheme}:// is not supported, only with http://");
            assert_eq!(problem, expected);
        }
        for url in [
            "ftp://Ada:secret@proxy:1",
            "http://Ada:secret@",
            "http://Ada:secret@proxy:port",
            "http://Ada:secret@proxy:65536",
            "http://Ada:secret@proxy:1/path",
            "http://proxy:",
            "http://",
            "secret://proxy:1",
            "Ada:secret://proxy:1",
            "Ada:secret",
            "a b",
        ] {
            let problem = parsed(url).unwrap_err();
            assert_eq!(problem, format!("the value (not shown) {FORM}"), "{url}");
        }
    }
}
