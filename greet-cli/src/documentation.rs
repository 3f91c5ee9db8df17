//! What greet-cli documents about itself besides its flags: the variables of other projects, and its
//! errors.

use serde::Serialize;

use crate::error::CallError;

/// Variables that greet-cli reads besides those of its flags.
pub const VARIABLES: [(&str, &str); 6] = [
    ("NO_COLOR", "Disables colors if set, unless --color is given."),
    ("https_proxy", "HTTP CONNECT proxy, http://[USER:PASSWORD@]HOST[:PORT]; also HTTPS_PROXY."),
    ("no_proxy", "Hosts to connect to without that proxy, separated by commas; also NO_PROXY."),
    ("SSL_CERT_FILE", "CA bundle (PEM) instead of the system's, unless --ca-cert is given."),
    ("SSL_CERT_DIR", "Directory of CA certificates (PEM) instead of the system's."),
    ("SSLKEYLOGFILE", "File to which the secrets of TLS connections are appended, for Wireshark."),
];

/// An error of a call. Words in capitals stand for values.
#[derive(Debug, Serialize)]
pub struct ErrorEntry {
    /// The stage that failed: `dns`, `tcp`, `proxy`, `tls`, `http2` or `rpc`.
    pub stage: &'static str,
    /// What happened.
    pub cause: String,
    /// What most likely helps.
    pub hint: String,
    /// The exit code of greet-cli.
    pub exit_code: u8,
}

/// Returns every error of a call, in the order of the stages.
#[must_use]
pub fn errors() -> Vec<ErrorEntry> {
    let entry = |error: CallError| ErrorEntry {
        stage: error.stage().name(),
        cause: error.cause(),
        hint: error.hint(),
        exit_code: error.exit().code(),
    };
    CallError::examples().map(entry).collect()
}
