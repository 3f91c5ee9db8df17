//! A diagnosis as people read it.

use std::fmt;

use greet_proto::escape::Escaped;

use super::findings::{Diagnosis, Finding, Outcome};
use crate::format::Brief;

/// What stands in front of a further line of the same stage.
const INDENT: &str = "                              ";

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.target)?;
        write!(f, "{:<8}{:<12}{:>8}  found", "stage", "result", "time")?;
        for finding in &self.stages {
            let time = finding.time.map(|time| Brief(time).to_string()).unwrap_or_default();
            let lines = finding.lines();
            let found = lines.join(&format!("\n{INDENT}"));
            let row =
                format!("{:<8}{:<12}{time:>8}  {found}", finding.stage, finding.result.words());
            write!(f, "\n{}", row.trim_end())?;
        }
        match &self.error {
            Some(error) => write!(f, "\n\nhint: {}", Escaped(&error.hint)),
            None => Ok(()),
        }
    }
}

impl Finding {
    /// What is wrong, then what else is known.
    fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.error.iter().map(|error| error.cause.clone()).collect();
        match &self.details {
            Some(details) => lines.extend(details.lines()),
            None if self.result == Outcome::None => lines.push(self.nothing().to_owned()),
            None => {}
        }
        lines.dedup(); // the last of the addresses that were tried is what failed
        lines.iter().map(|line| Escaped(line).to_string()).collect()
    }

    fn nothing(&self) -> &'static str {
        match self.stage {
            "tls" => "plaintext",
            "health" => "the server has no health service",
            _ => "nothing to look up",
        }
    }
}

impl Outcome {
    fn words(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Failed => "failed",
            Outcome::None => "-",
            Outcome::NotReached => "not reached",
        }
    }
}
