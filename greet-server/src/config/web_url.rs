//! Addresses as they are typed for the web: of pages that may call, of a collector of spans.

use http::Uri;

/// `http://HOST` or `https://HOST`, with or without a port and a path.
#[derive(Debug)]
pub(crate) struct WebAddress {
    scheme: String,
    host: String,
    port: Option<u16>,
    /// Whether nothing follows, not even a slash.
    is_bare: bool,
}

impl WebAddress {
    /// `None`: it is none.
    pub(crate) fn parse(given: &str) -> Option<WebAddress> {
        let uri: Uri = given.parse().ok()?;
        let scheme = uri.scheme_str().filter(|scheme| matches!(*scheme, "http" | "https"))?;
        let (host, port) = (uri.host()?.to_ascii_lowercase(), uri.port_u16());
        let meant = match port {
            Some(port) => format!("{host}:{port}"),
            None => host.clone(),
        };
        // What the parser lets through beside that: users, and ports that are none.
        let is_plain = uri.authority()?.as_str().eq_ignore_ascii_case(&meant) && !host.is_empty();
        let is_bare = given.len() == "://".len() + scheme.len() + meant.len();
        is_plain.then(|| WebAddress { scheme: scheme.to_owned(), host, port, is_bare })
    }

    /// As a browser puts it into `Origin`: in lower case, and with the port unless it is the scheme's own
    /// (RFC 6454, section 6.2). `None`: it is more than an origin, or is meant to be many.
    pub(crate) fn origin(&self) -> Option<String> {
        let WebAddress { scheme, host, .. } = self;
        let is_one = self.is_bare && !host.contains('*');
        is_one.then(|| match (scheme.as_str(), self.port) {
            ("http", Some(80)) | ("https", Some(443)) | (_, None) => format!("{scheme}://{host}"),
            (_, Some(port)) => format!("{scheme}://{host}:{port}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_as_browsers_write_it() {
        let origin = |given| WebAddress::parse(given).and_then(|address| address.origin());
        for (given, expected) in [
            ("https://SHOP.example:443", "https://shop.example"),
            ("http://shop.example:80", "http://shop.example"),
            ("http://localhost:8080", "http://localhost:8080"),
            ("https://[::1]:8443", "https://[::1]:8443"),
        ] {
            assert_eq!(origin(given).as_deref(), Some(expected));
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
            assert_eq!(origin(bad), None, "{bad}");
        }
    }
}
