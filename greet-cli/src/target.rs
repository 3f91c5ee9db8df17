//! What to connect to: `http://HOST:PORT`, `HOST:PORT` or `unix:PATH`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use http::Uri;
use http::uri::Authority;

/// A server's address, as it was given and as it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// HTTP/2 in plaintext over TCP.
    Http {
        /// Without the brackets of an IPv6 address.
        host: String,
        port: u16,
    },
    /// HTTP/2 in plaintext over a Unix socket.
    Unix(PathBuf),
}

impl Target {
    /// What the `:authority` of a request says. A Unix socket has none; `localhost` is what the
    /// other gRPC implementations send there.
    pub(crate) fn authority(&self) -> String {
        match self {
            Target::Http { host, port } if host.contains(':') => format!("[{host}]:{port}"),
            Target::Http { host, port } => format!("{host}:{port}"),
            Target::Unix(_) => "localhost".to_owned(),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Http { .. } => write!(f, "http://{}", self.authority()),
            Target::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(given: &str) -> Result<Self, Self::Err> {
        let expected = "expected http://HOST:PORT, HOST:PORT or unix:PATH";
        if let Some(path) = given.strip_prefix("unix:") {
            return match path {
                "" => Err(expected.to_owned()),
                _ => Ok(Target::Unix(path.into())),
            };
        }
        if given.starts_with("https://") {
            return Err("TLS is not supported yet; expected http:// or unix:".to_owned());
        }
        let host_port = given.strip_prefix("http://").unwrap_or(given);
        let host_port = host_port.strip_suffix('/').unwrap_or(host_port);
        let authority: Authority = host_port.parse().map_err(|_| expected.to_owned())?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        match authority.port_u16() {
            Some(port) if !host.is_empty() && !host_port.contains('@') => {
                Ok(Target::Http { host: host.to_owned(), port })
            }
            _ => Err(expected.to_owned()),
        }
    }
}

/// Where a method of the target is called.
pub(crate) fn uri(target: &Target, path: &'static str) -> Uri {
    Uri::builder()
        .scheme("http")
        .authority(target.authority())
        .path_and_query(path)
        .build()
        .expect("a target has an authority that was parsed, and a method a fixed path")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_url_an_address_or_a_path() {
        let shown = |given: &str| given.parse::<Target>().unwrap().to_string();
        assert_eq!(shown("http://127.0.0.1:50051"), "http://127.0.0.1:50051");
        assert_eq!(shown("http://greeter:1/"), "http://greeter:1");
        assert_eq!(shown("greeter.example:443"), "http://greeter.example:443");
        assert_eq!(shown("[::1]:50051"), "http://[::1]:50051");
        assert_eq!(shown("unix:/run/greet.sock"), "unix:/run/greet.sock");
    }

    #[test]
    fn what_has_no_port_or_another_scheme_is_refused() {
        let bad = ["", "localhost", "http://localhost", "localhost:port", ":50051", "unix:"];
        for bad in
            bad.iter().chain(&["ftp://x:1", "http://a@b:1", "http://x:1/path", "https://x:1"])
        {
            assert!(bad.parse::<Target>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_method_is_called_at_its_path() {
        let target: Target = "[::1]:50051".parse().unwrap();
        assert_eq!(uri(&target, "/a.B/C"), "http://[::1]:50051/a.B/C");
        assert_eq!(uri(&Target::Unix("/x".into()), "/a.B/C"), "http://localhost/a.B/C");
    }
}
