//! The sample call of the scenarios: a text goes to the service, and its reply has the text.
//!
//! Most scenarios need calls of any method. Only this file says of which. If the messages of the method
//! change, it is the place to adapt.

use serde_json::{Value, json};

/// The method, as metrics, logs and spans name it.
pub(crate) const METHOD: &str = "greet.Greeter/SayHello";
/// The `:path` of the method.
pub(crate) const PATH: &str = "/greet.Greeter/SayHello";

/// Returns the arguments of greet-cli for a call with each of `texts`.
pub(crate) fn call<T: AsRef<str>>(texts: &[T]) -> Vec<String> {
    let requests = texts.iter().map(|text| format!("--json={}", request(text.as_ref())));
    ["call", METHOD].map(str::to_owned).into_iter().chain(requests).collect()
}

/// Returns the arguments of greet-cli for a load test with calls of one text.
pub(crate) fn load(text: &str) -> Vec<String> {
    vec!["load".to_owned(), METHOD.to_owned(), format!("--json={}", request(text))]
}

/// Returns the line that a call prints.
pub(crate) fn reply(text: &str) -> String {
    format!("{}\n", reply_object(text))
}

/// Returns the text that a call has sent, and whether its reply has the text.
pub(crate) fn exchange(call: &Value) -> Option<(&str, bool)> {
    let text = call["request"]["name"].as_str().unwrap_or_default();
    Some((text, call["reply"] == reply_object(text)))
}

fn request(text: &str) -> Value {
    json!({ "name": text })
}

fn reply_object(text: &str) -> Value {
    json!({ "message": format!("Hello {text}") })
}
