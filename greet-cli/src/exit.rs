//! Exit codes: an interface that scripts branch on. The table stands in `--help` and the README.

use tonic::Code;

/// How the command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything was done.
    Done,
    /// Output could not be written, or something is wrong with this program.
    Internal,
    /// What was typed cannot be used.
    Usage,
    /// The call was never sent.
    ConnectError,
    /// The server answered that it is not SERVING.
    NotServing,
    /// A threshold of a load test was crossed.
    ThresholdViolated,
    /// The call ended with a status that is not OK.
    Status(Code),
    /// Ctrl-C.
    Interrupted,
    /// SIGTERM.
    Terminated,
}

/// Added to a gRPC status; above what shells and `sysexits.h` use.
const STATUS_BASE: u8 = 64;
/// What shells add to the signal that a process died of.
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

    /// Of many calls the first failure counts.
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
