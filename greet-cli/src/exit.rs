//! Exit codes, an interface for scripts. `--help` lists them.

use tonic::Code;

/// The result of the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Every call succeeded.
    Done,
    /// Output failed, or an internal error.
    Internal,
    /// Invalid flags or arguments, or input that is invalid or not readable.
    Usage,
    /// The call was never sent.
    ConnectError,
    /// The health of the server is not SERVING.
    NotServing,
    /// A `--fail-if` rule of a load test was violated or had no verdict, or `--find` found no rate.
    ThresholdViolated,
    /// The call ended with a status other than OK.
    Status(Code),
    /// SIGINT (Ctrl-C).
    Interrupted,
    /// SIGTERM.
    Terminated,
}

/// Added to a gRPC status; above the codes of `sysexits.h` and below those of shells.
const STATUS_BASE: u8 = 64;
/// Added to a signal, as shells do.
const SIGNAL_BASE: u8 = 128;
const SIGINT: u8 = 2;
const SIGTERM: u8 = 15;

impl Exit {
    pub(crate) fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Internal => 1,
            Exit::Usage => 2,
            Exit::ConnectError => 3,
            Exit::NotServing => 4,
            Exit::ThresholdViolated => 5,
            Exit::Status(code) => STATUS_BASE + code as u8,
            Exit::Interrupted => SIGNAL_BASE + SIGINT,
            Exit::Terminated => SIGNAL_BASE + SIGTERM,
        }
    }

    /// Returns the first failure of two results.
    pub(crate) fn or(self, later: Exit) -> Exit {
        if self == Exit::Done { later } else { self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_code_of_status_is_64_plus_number() {
        assert_eq!(Exit::Status(Code::InvalidArgument).code(), 67);
        assert_eq!(Exit::Status(Code::DeadlineExceeded).code(), 68);
        assert_eq!(Exit::Status(Code::Unavailable).code(), 78);
    }

    #[test]
    fn first_failure_determines_exit_code() {
        assert_eq!(Exit::Done.or(Exit::ConnectError), Exit::ConnectError);
        assert_eq!(Exit::ConnectError.or(Exit::Internal), Exit::ConnectError);
        assert_eq!(Exit::Usage.or(Exit::Done), Exit::Usage);
    }
}
