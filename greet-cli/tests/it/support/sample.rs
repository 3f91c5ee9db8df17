//! The call of the tests that are about any call: its arguments and its output. A workspace for another
//! service replaces this file.

use serde_json::Value;

/// A call.
pub(crate) const CALL: &[&str] = &["hello", "--name=Ada"];
/// The line and the message of its reply.
pub(crate) const LINE: &str = "Hello Ada\n";
pub(crate) const MESSAGE: &str = "Hello Ada";
/// The message of the reply that `diagnose` gets.
pub(crate) const DIAGNOSED: &str = "Hello greet-cli";

/// Calls whose requests are lines of standard input, and that flag alone.
pub(crate) const CALL_LINES: &[&str] = &["hello", LINES];
pub(crate) const LINES: &str = "--names-from=-";

/// Returns the flag that sends `text`.
pub(crate) fn flag(text: &str) -> String {
    format!("--name={text}")
}

/// Returns `flags`, then the arguments of a call for each text.
pub(crate) fn calls(flags: &[&str], texts: &[&str]) -> Vec<String> {
    let flags = flags.iter().chain(&CALL[..1]).map(|flag| (*flag).to_owned());
    flags.chain(texts.iter().map(|text| flag(text))).collect()
}

/// Returns the lines of input that send the texts.
pub(crate) fn input(texts: &[&str]) -> String {
    texts.iter().map(|text| format!("{text}\n")).collect()
}

/// Returns the lines of the replies to the texts.
pub(crate) fn lines(texts: &[&str]) -> String {
    texts.iter().map(|text| format!("Hello {text}\n")).collect()
}

/// Returns the message of the reply in a JSON object of a call or of `diagnose`.
pub(crate) fn message(object: &Value) -> &Value {
    &object["message"]
}

/// Returns the text that was sent, of a JSON object of a call.
pub(crate) fn sent_text(object: &Value) -> &Value {
    &object["name"]
}
