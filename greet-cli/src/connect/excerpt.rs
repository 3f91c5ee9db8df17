//! Shortens an unexpected reply of a server to an excerpt that fits into one line of a message.

use http::HeaderMap;

const MAX_EXCERPT_CHARS: usize = 80;

/// Headers that identify the server, or what it requires.
const HEADERS: [&str; 5] = ["server", "via", "location", "www-authenticate", "proxy-authenticate"];

/// Returns the first line, quoted and escaped.
pub(crate) fn first_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty());
    format!("{:?}", truncated(line.unwrap_or_default()))
}

/// Summarises an HTTP/1 response.
pub(crate) fn http1(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let (_version, rest) = text.strip_prefix("HTTP/")?.split_once(' ')?;
    let (head, body) = rest.split_once("\r\n\r\n").unwrap_or((rest, ""));
    let mut lines = head.lines();
    let status = lines.next().unwrap_or_default();
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if let (Ok(name), Ok(value)) =
            (http::HeaderName::try_from(name.trim()), value.trim().parse())
        {
            headers.append(name, value);
        }
    }
    Some(response(status, &headers, body.as_bytes()))
}

/// Formats status, headers and title: `502 Bad Gateway (server: nginx), "upstream is gone"`.
pub(crate) fn response(status: &str, headers: &HeaderMap, body: &[u8]) -> String {
    let mut text = truncated(status);
    let identifying = HEADERS.iter().filter_map(|name| {
        let value = headers.get(*name)?;
        Some(format!("{name}: {}", truncated(&String::from_utf8_lossy(value.as_bytes()))))
    });
    let identifying = identifying.collect::<Vec<_>>().join(", ");
    if !identifying.is_empty() {
        text.push_str(&format!(" ({identifying})"));
    }
    match title_or_first_line(body) {
        Some(words) if !words.contains(status) => text.push_str(&format!(", {words:?}")),
        _ => {}
    }
    text
}

/// Returns whether the response of nginx, Go or Apache reports plain HTTP on a TLS port.
pub(crate) fn mentions_https(bytes: &[u8]) -> bool {
    contains_any(
        bytes,
        &[
            "plain HTTP request was sent to HTTPS port",
            "HTTP request to an HTTPS server",
            "plain HTTP to an SSL-enabled server",
        ],
    )
}

/// Returns whether the response of nginx reports a missing or rejected client certificate.
pub(crate) fn mentions_client_certificate(bytes: &[u8]) -> bool {
    contains_any(bytes, &["No required SSL certificate was sent", "The SSL certificate error"])
}

fn contains_any(bytes: &[u8], phrases: &[&str]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    phrases.iter().any(|phrase| text.contains(phrase))
}

/// Returns the title of an HTML page, or the first line of a text.
fn title_or_first_line(body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    let lower = text.to_ascii_lowercase(); // as long as `text`, byte for byte
    let title = lower.find("<title>").map(|begin| begin + "<title>".len());
    let title = title.and_then(|begin| {
        let length = lower[begin..].find("</title>")?;
        text.get(begin..begin + length)
    });
    let words = match title {
        Some(title) => title.trim(),
        None => {
            text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('<'))?
        }
    };
    let is_text = words.chars().all(|character| !character.is_control());
    (is_text && !words.is_empty()).then(|| truncated(words))
}

fn truncated(text: &str) -> String {
    match text.char_indices().nth(MAX_EXCERPT_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_response_is_reduced_to_status_headers_and_title() {
        let nginx = b"HTTP/1.1 400 Bad Request\r\nServer: nginx\r\nContent-Length: 9\r\n\r\n\
            <html>\r\n<head><TITLE>400 Bad Request</TITLE></head>";
        assert_eq!(http1(nginx).unwrap(), "400 Bad Request (server: nginx)");
        let text = b"HTTP/1.0 503 Busy\r\n\r\n\nall of us are busy\nmore";
        assert_eq!(http1(text).unwrap(), "503 Busy, \"all of us are busy\"");
        assert_eq!(http1(b"HTTP/1.1 200 OK").unwrap(), "200 OK");
        assert_eq!(http1(b"SSH-2.0"), None);
    }

    #[test]
    fn long_text_is_truncated_and_binary_body_omitted() {
        let long = "ä".repeat(100);
        assert_eq!(first_line(long.as_bytes()), format!("\"{}…\"", "ä".repeat(80)));
        assert_eq!(response("500", &HeaderMap::new(), b"\x01\x02"), "500");
        assert_eq!(first_line(b"\x16\x03"), "\"\\u{16}\\u{3}\"");
    }
}
