//! The sample call of the scenarios: a text goes to the service, and its reply has the text.
//!
//! Most scenarios need calls of any method. Only this file says of which, so a workspace with another
//! service changes no scenario.

use serde_json::Value;

/// The method, as metrics, logs and spans name it.
pub(crate) const METHOD: &str = "greet.Greeter/SayHello";
/// The `:path` of the method.
pub(crate) const PATH: &str = "/greet.Greeter/SayHello";

/// Returns the arguments of greet-cli for a call with each of `texts`.
pub(crate) fn call<T: AsRef<str>>(texts: &[T]) -> Vec<String> {
    let names = texts.iter().map(|text| format!("--name={}", text.as_ref()));
    ["hello".to_owned()].into_iter().chain(names).collect()
}

/// Returns the arguments of greet-cli for a load test with calls of one text.
pub(crate) fn load(text: &str) -> Vec<String> {
    vec!["load".to_owned(), format!("--name={text}")]
}

/// Returns the line that a call prints.
pub(crate) fn reply(text: &str) -> String {
    format!("Hello {text}\n")
}

/// Returns the text that a call has sent, and whether its reply has the text.
pub(crate) fn exchange(call: &Value) -> Option<(&str, bool)> {
    let text = call["name"].as_str()?;
    Some((text, call["message"] == format!("Hello {text}")))
}
