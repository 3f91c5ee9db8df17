//! The options of `ping`, its targets, and what it has found.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::record::Record;
use crate::client::Client;
use crate::connect::Target;
use crate::error::CallError;
use crate::exit::Exit;
use crate::method::Method;

/// The options of `ping`.
#[derive(Debug)]
pub(crate) struct PingOptions {
    pub(crate) method: Arc<dyn Method>,
    /// The request with its prefix.
    pub(crate) body: Bytes,
    /// The time from the start of a call to that of the next.
    pub(crate) interval: Duration,
    /// Maximum calls to each target.
    pub(crate) calls: u64,
}

/// The calls to all targets.
#[derive(Debug)]
pub(crate) struct Ping<'a> {
    pub(super) options: &'a PingOptions,
    pub(super) targets: Vec<PingTarget>,
    pub(super) started: SystemTime,
    pub(super) elapsed: Duration,
    /// Calls to each target that were too late to start, because this program did not run, or waited
    /// for the reader of its output.
    pub(super) not_started: u64,
    /// The exit code of the signal that ended it.
    pub(super) interrupted: Option<Exit>,
}

#[derive(Debug)]
pub(super) struct PingTarget {
    pub(super) target: Target,
    /// The client of the next call.
    pub(super) client: Rc<Client>,
    pub(super) record: Record,
}

impl<'a> Ping<'a> {
    /// Returns a ping of targets, each with its client, that has not started.
    pub(crate) fn new(
        options: &'a PingOptions,
        targets: Vec<Target>,
        clients: Vec<Client>,
    ) -> Ping<'a> {
        let targets = targets.into_iter().zip(clients).map(|(target, client)| PingTarget {
            target,
            client: Rc::new(client),
            record: Record::default(),
        });
        Ping {
            options,
            targets: targets.collect(),
            started: SystemTime::now(),
            elapsed: Duration::ZERO,
            not_started: 0,
            interrupted: None,
        }
    }

    /// Returns the exit code: that of the first failure, unless a signal ended the calls.
    pub(crate) fn exit(&self) -> Exit {
        let failure = self.first_failure().map(CallError::exit);
        self.interrupted.or(failure).unwrap_or(Exit::Done)
    }

    pub(super) fn first_failure(&self) -> Option<&CallError> {
        let failures = self.targets.iter().filter_map(|it| it.record.first_failure.as_ref());
        failures.min_by_key(|it| it.started).map(|it| &it.error)
    }
}
