//! The call of the tests that are about any call: its arguments and its output. If the messages of the
//! method change, this and `service.rs` are the places to adapt.

use serde_json::{Value, json};

/// A call.
pub(crate) const CALL: &[&str] = &["call", "SayHello", "--json={\"name\":\"Ada\"}"];
/// The line and the message of its reply.
pub(crate) const LINE: &str = "{\"message\":\"Hello Ada\"}\n";
pub(crate) const MESSAGE: &str = "Hello Ada";
/// The message of the reply to an empty request, which `diagnose` sends.
pub(crate) const DIAGNOSED: &str = "Hello ";

/// Calls whose requests are lines of standard input, and that flag alone.
pub(crate) const CALL_LINES: &[&str] = &["call", "SayHello", LINES];
pub(crate) const LINES: &str = "--json-from=-";

/// Returns the flag that sends `text`.
pub(crate) fn flag(text: &str) -> String {
    format!("--json={}", json!({ "name": text }))
}

/// Returns `flags`, then the arguments of a call for each text.
pub(crate) fn calls(flags: &[&str], texts: &[&str]) -> Vec<String> {
    let flags = flags.iter().chain(&CALL[..2]).map(|flag| (*flag).to_owned());
    flags.chain(texts.iter().map(|text| flag(text))).collect()
}

/// Returns the lines of input that send the texts.
pub(crate) fn input(texts: &[&str]) -> String {
    texts.iter().map(|text| format!("{}\n", json!({ "name": text }))).collect()
}

/// Returns the lines of the replies to the texts.
pub(crate) fn lines(texts: &[&str]) -> String {
    let line = |text: &&str| format!("{}\n", json!({ "message": super::service::reply(text).message }));
    texts.iter().map(line).collect()
}

/// Returns the message of the reply in a JSON object of a call or of `diagnose`.
pub(crate) fn message(object: &Value) -> &Value {
    &object["reply"]["message"]
}

/// Returns the text that was sent, of a JSON object of a call.
pub(crate) fn sent_text(object: &Value) -> &Value {
    &object["request"]["name"]
}
