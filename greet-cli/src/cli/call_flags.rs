//! Flags that name a method and its requests: of `call`, `load`, `diagnose` and `ping`.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use clap::builder::{PossibleValue, TypedValueParser};
use clap::{Arg, ArgGroup, Command, Error};

use super::bulk_flags::{BulkArgs, FILE};
use crate::bulk::BulkOptions;
use crate::method::{JsonMethod, Method, unary_methods};

/// The request of a call without `--json`: all fields have their default values.
const EMPTY_REQUEST: &str = "{}";

#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("source").args(["json", FILE]))]
pub(crate) struct CallArgs {
    /// Unary method: package.Service/Method, or a unique end of it
    #[arg(value_name = "METHOD", value_parser = MethodParser, hide_possible_values = true)]
    pub(crate) method: JsonMethod,

    /// Request in the JSON mapping of protobuf; repeat for several, answered in this order [default: {}]
    #[arg(long, value_name = "JSON")]
    json: Vec<String>,

    /// File with one request per line (- is standard input)
    #[arg(id = FILE, long = "json-from", value_name = "FILE")]
    json_from: Option<PathBuf>,

    #[command(flatten)]
    bulk: BulkArgs,
}

impl CallArgs {
    /// Fails with the place and the reason if a request is not valid.
    pub(crate) fn options(self) -> Result<(JsonMethod, BulkOptions), String> {
        let requests = valid_requests(&self.method, self.json)?;
        Ok((self.method, self.bulk.options(self.json_from, requests)))
    }
}

/// Returns the requests of `--json` after a check, or the default.
pub(super) fn valid_requests(
    method: &JsonMethod,
    json: Vec<String>,
) -> Result<Vec<String>, String> {
    for request in &json {
        method.encode(request).map_err(|reason| format!("--json: {reason}"))?;
    }
    Ok(if json.is_empty() { vec![EMPTY_REQUEST.to_owned()] } else { json })
}

/// Returns the method of a command with one request, and that request: as it was given, and encoded
/// with its prefix.
pub(super) fn single_request(
    method: Option<JsonMethod>,
    json: Option<String>,
) -> Result<(Arc<dyn Method>, String, Bytes), String> {
    // <greeter>
    if method.is_none() && json.is_none() {
        // The name identifies this program in logs of the server.
        let method = crate::method::SayHello::new();
        let input = greet_flags::product::CLI.to_owned();
        let body = method.encode(&input)?;
        return Ok((Arc::new(method), input, body));
    }
    // </greeter>
    let method = method.unwrap_or_else(JsonMethod::default_method);
    let input = valid_requests(&method, json.into_iter().collect())?.remove(0);
    let body = method.encode(&input)?;
    Ok((Arc::new(method), input, body))
}

/// Parses the name of a method. Completion scripts offer the names.
#[derive(Debug, Clone, Copy)]
pub(super) struct MethodParser;

impl TypedValueParser for MethodParser {
    type Value = JsonMethod;

    fn parse_ref(
        &self,
        command: &Command,
        flag: Option<&Arg>,
        given: &OsStr,
    ) -> Result<JsonMethod, Error> {
        JsonMethod::find.parse_ref(command, flag, given)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue>>> {
        Some(Box::new(unary_methods().into_iter().map(PossibleValue::new)))
    }
}
