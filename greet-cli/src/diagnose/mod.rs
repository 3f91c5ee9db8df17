//! Diagnoses a target: the result, time and facts of each stage of a call.

mod details;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::builder::styling::Style;
use greet_proto::escape::Escaped;
use greet_proto::grpc::health::v1::HealthCheckResponse;
use greet_proto::grpc::health::v1::health_check_response::ServingStatus;
use serde::Serialize;
use serde_json::Value;

use self::details::Details;
use crate::client::Call;
use crate::connect::{Stages, Target};
use crate::error::{CallError, ConnectError, Stage, detail_lines};
use crate::exit::Exit;
use crate::format::{HumanDuration, wrap};
use crate::method::Method;
use crate::output::report::{ErrorReport, micros};
use crate::output::style::{ERROR, HINT, OK};

/// The options of `diagnose`.
#[derive(Debug)]
pub(crate) struct DiagnoseOptions {
    pub(crate) method: Arc<dyn Method>,
    pub(crate) input: String,
    /// The request that the input encodes.
    pub(crate) body: Bytes,
    /// The service whose health is checked.
    pub(crate) service: String,
}

/// `greet.diagnose/v1`
#[derive(Debug, Serialize)]
pub(crate) struct Diagnosis {
    schema: &'static str,
    /// Whether no stage failed.
    ok: bool,
    target: String,
    stages: Vec<Finding>,
    /// The error of the first stage that failed.
    error: Option<ErrorReport>,
    #[serde(skip)]
    pub(crate) exit: Exit,
}

/// The result of a stage.
#[derive(Debug, Serialize)]
struct Finding {
    stage: &'static str,
    result: StageResult,
    time_us: Option<u64>,
    details: Option<Details>,
    error: Option<ErrorReport>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum StageResult {
    Ok,
    Failed,
    /// The stage does not apply: no name to look up, no TLS, no health service.
    None,
    /// An earlier stage failed.
    NotReached,
}

const NOT_SERVING_HINT: &str =
    "the server does not accept calls: it is starting or draining, or a dependency is missing";

impl Diagnosis {
    /// Returns the diagnosis of a connection that failed.
    pub(crate) fn from_failed_connection(
        target: &Target,
        stages: &Stages,
        error: ConnectError,
    ) -> Diagnosis {
        let failure = CallError::from(error);
        let mut findings = connection_findings(stages, Some(&failure));
        let without = |stage| Finding::without(stage, StageResult::NotReached);
        findings.extend(["health", "rpc"].map(without));
        Diagnosis::new(target, findings, failure.exit())
    }

    /// Returns the diagnosis of both calls on a connection.
    pub(crate) fn from_calls(
        target: &Target,
        stages: &Stages,
        health: &Call<HealthCheckResponse>,
        options: &DiagnoseOptions,
        call: &Call<Value>,
    ) -> Diagnosis {
        let mut findings = connection_findings(stages, None);
        let (health, health_exit) = health_finding(health);
        findings.push(health);
        findings.push(Finding {
            stage: "rpc",
            result: if call.result.is_ok() { StageResult::Ok } else { StageResult::Failed },
            time_us: call.rpc.map(micros),
            details: Some(Details::call(options, call)),
            error: call.result.as_ref().err().map(ErrorReport::new),
        });
        let call_exit = call.result.as_ref().err().map_or(Exit::Done, CallError::exit);
        Diagnosis::new(target, findings, health_exit.or(call_exit))
    }

    fn new(target: &Target, stages: Vec<Finding>, exit: Exit) -> Diagnosis {
        let error = stages.iter().find_map(|finding| finding.error.clone());
        let (schema, target) = ("greet.diagnose/v1", target.to_string());
        Diagnosis { schema, ok: exit == Exit::Done, target, stages, error, exit }
    }
}

impl Finding {
    fn without(stage: &'static str, result: StageResult) -> Finding {
        Finding { stage, result, time_us: None, details: None, error: None }
    }
}

fn connection_findings(stages: &Stages, failure: Option<&CallError>) -> Vec<Finding> {
    let failed = failure.map(CallError::stage);
    let finding = |stage: Stage, time: Option<Duration>, details: Option<Details>| {
        let failure = failure.filter(|failure| failure.stage() == stage);
        let result = match failed {
            Some(failed) if failed == stage => StageResult::Failed,
            Some(failed) if failed < stage => StageResult::NotReached,
            _ if time.is_none() => StageResult::None,
            _ => StageResult::Ok,
        };
        let time_us = time.filter(|_| result != StageResult::NotReached).map(micros);
        let error = failure.map(ErrorReport::new);
        Finding { stage: stage.name(), result, time_us, details, error }
    };
    // Without a proxy there is no such stage, so that scripts find the others at their places.
    let proxy = match (&stages.tunnel, &stages.not_proxied) {
        (Some(tunnel), _) => {
            Some(finding(Stage::Proxy, stages.proxy, Some(Details::proxy(tunnel))))
        }
        (None, Some(reason)) => {
            let details = Some(Details::not_proxied(reason));
            Some(Finding { details, ..Finding::without(Stage::Proxy.name(), StageResult::None) })
        }
        (None, None) => None,
    };
    let mut findings = vec![
        finding(Stage::Dns, stages.dns, Details::dns(stages)),
        finding(Stage::Tcp, stages.tcp, Some(Details::tcp(stages))),
    ];
    findings.extend(proxy);
    findings.extend([
        finding(Stage::Tls, stages.tls, Details::tls(stages)),
        finding(Stage::Http2, stages.http2, Details::http2(stages)),
    ]);
    findings
}

fn health_finding(call: &Call<HealthCheckResponse>) -> (Finding, Exit) {
    let mut finding = Finding::without("health", StageResult::Ok);
    finding.time_us = call.rpc.map(micros);
    let exit = match &call.result {
        Ok(response) => {
            let status = response.status();
            finding.details = Some(Details::health(status));
            if status == ServingStatus::Serving {
                return (finding, Exit::Done);
            }
            let cause = format!("the server is {}", status.as_str_name());
            let (hint, details) = (NOT_SERVING_HINT.to_owned(), Vec::new());
            finding.error = Some(ErrorReport { stage: "health", cause, hint, details });
            Exit::NotServing
        }
        // The health service is optional.
        Err(failure) if failure.is_unimplemented() => {
            finding.result = StageResult::None;
            return (finding, Exit::Done);
        }
        Err(failure) => {
            finding.error = Some(ErrorReport { stage: "health", ..ErrorReport::new(failure) });
            failure.exit()
        }
    };
    finding.result = StageResult::Failed;
    (finding, exit)
}

/// The indent of further lines of a stage.
const INDENT: &str = "                              ";

/// The width of `hint: `.
const HINT_INDENT: &str = "      ";
/// Minimum width beside an indent, whatever the width of the terminal.
const MIN_COLUMNS: usize = 20;

/// A diagnosis as text.
#[derive(Debug)]
pub(crate) struct DiagnosisTable<'a> {
    pub(crate) diagnosis: &'a Diagnosis,
    /// The width to wrap it at.
    pub(crate) columns: Option<usize>,
}

impl fmt::Display for DiagnosisTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Diagnosis { target, stages, error, .. } = self.diagnosis;
        let columns = self.columns.unwrap_or(usize::MAX);
        writeln!(f, "{target}\n")?;
        write!(f, "{:<8}{:<12}{:>8}  found", "stage", "result", "time")?;
        for finding in stages {
            let time =
                finding.time_us.map(|us| HumanDuration(Duration::from_micros(us)).to_string());
            let time = time.unwrap_or_default();
            let found = indented(&finding.lines(), INDENT, columns);
            let (result, style) = finding.result.name_and_style();
            let row = format!("{:<8}{style}{result:<12}{style:#}{time:>8}  {found}", finding.stage);
            write!(f, "\n{}", row.trim_end())?;
        }
        let Some(error) = error else {
            return Ok(());
        };
        let hint = indented(&[Escaped(&error.hint).to_string()], HINT_INDENT, columns);
        write!(f, "\n\n{HINT}hint:{HINT:#} {hint}")
    }
}

/// Wraps lines at the width that an indent leaves, and indents all but the first.
fn indented(lines: &[String], indent: &str, columns: usize) -> String {
    let columns = columns.saturating_sub(indent.len()).max(MIN_COLUMNS);
    let lines: Vec<_> = lines.iter().flat_map(|line| wrap(line, columns)).collect();
    lines.join(&format!("\n{indent}"))
}

impl Finding {
    /// Returns the error, then the facts that it does not have.
    fn lines(&self) -> Vec<String> {
        let facts = match &self.details {
            Some(_) if self.stage == Stage::Proxy.name() && self.error.is_some() => Vec::new(),
            Some(details) => details.lines.clone(),
            None if self.result == StageResult::None => vec![self.empty_text().to_owned()],
            None => Vec::new(),
        };
        let mut lines = Vec::new();
        if let Some(error) = &self.error {
            lines.push(error.cause.clone());
            lines.extend(detail_lines(&error.details));
        }
        // The error ends with that of the last address.
        let is_new = |fact: &String| !lines.first().is_some_and(|it| it.ends_with(fact.as_str()));
        let facts: Vec<_> = facts.into_iter().filter(is_new).collect();
        lines.extend(facts);
        lines.iter().map(|line| Escaped(line).to_string()).collect()
    }

    fn empty_text(&self) -> &'static str {
        match self.stage {
            "tls" => "plaintext",
            "health" => "the server has no health service",
            _ => "nothing to look up",
        }
    }
}

impl StageResult {
    fn name_and_style(self) -> (&'static str, Style) {
        match self {
            StageResult::Ok => ("ok", OK),
            StageResult::Failed => ("failed", ERROR),
            StageResult::None => ("-", Style::new()),
            StageResult::NotReached => ("not reached", Style::new()),
        }
    }
}
