//! Injects faults into calls, by the rules of `--fault` or of the admin port.
//!
//! A call draws its faults when its headers have arrived, and meets them in front of its handler: so the
//! deadline, the limits, the drain and a cancellation apply as to a slow handler. Without rules a call
//! reads one number.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use greet_flags::method_name;
use tokio::time::sleep;
use tonic::Status;
use tracing::field::display;

use super::connection_state::Peer;
use super::in_flight::InFlight;
use super::service::ServedMethod;
use crate::config::{Fault, FaultConfig, FaultRule};
use crate::telemetry::fault_kind::FaultKind;

/// More than an experiment needs. Each call is compared with every rule.
pub(crate) const MAX_RULES: usize = 100;
/// The message of an injected status.
const MESSAGE: &str = "injected fault";

/// The rules that are in effect on all workers.
#[derive(Debug)]
pub(crate) struct FaultControl {
    /// The number of the change that made the rules; 0 without rules.
    change: AtomicU64,
    state: Mutex<FaultState>,
    workers: AtomicU64,
}

#[derive(Debug)]
struct FaultState {
    changes: u64,
    rules: Arc<[FaultRule]>,
    seed: u32,
}

/// The rules of one worker, and its random numbers.
#[derive(Debug)]
pub(crate) struct WorkerFaults {
    control: Arc<FaultControl>,
    worker: u64,
    current: RefCell<Current>,
}

#[derive(Debug)]
struct Current {
    change: u64,
    rules: Arc<[FaultRule]>,
    random: Rng,
}

/// What happens to one call before its handler runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct CallFaults {
    /// The sum of all delays.
    delay: Option<Duration>,
    /// The fault of the first rule without a delay.
    end: Option<Fault>,
}

impl FaultControl {
    /// Creates the control with rules whose methods are full names. Draws a seed if there is none.
    pub(crate) fn new(config: FaultConfig) -> Arc<FaultControl> {
        let seed = config.seed.unwrap_or_else(|| fastrand::u32(..));
        let state = FaultState { changes: 0, rules: Arc::default(), seed };
        let control = FaultControl {
            change: AtomicU64::new(0),
            state: Mutex::new(state),
            workers: AtomicU64::new(0),
        };
        control.replace(config);
        Arc::new(control)
    }

    /// Returns the part of a worker; each worker takes one.
    pub(crate) fn lease(self: &Arc<Self>) -> WorkerFaults {
        let worker = self.workers.fetch_add(1, Ordering::Relaxed);
        let current = Current { change: 0, rules: Arc::default(), random: Rng::with_seed(0) };
        WorkerFaults { control: self.clone(), worker, current: RefCell::new(current) }
    }

    /// Replaces all rules, and the seed if there is one, for a client of the admin port. The random numbers
    /// begin again.
    pub(crate) fn set(&self, config: FaultConfig, peer: Peer) {
        self.replace(config);
        self.log(Some(peer));
    }

    fn replace(&self, config: FaultConfig) {
        let mut state = self.lock();
        state.changes += 1;
        state.rules = config.rules.into();
        state.seed = config.seed.unwrap_or(state.seed);
        let change = if state.rules.is_empty() { 0 } else { state.changes };
        self.change.store(change, Ordering::Relaxed);
    }

    /// Returns the rules and the seed.
    pub(crate) fn config(&self) -> FaultConfig {
        let state = self.lock();
        FaultConfig { rules: state.rules.to_vec(), seed: Some(state.seed) }
    }

    /// Logs a warning with the rules: calls fail on purpose.
    pub(crate) fn log(&self, peer: Option<Peer>) {
        let FaultConfig { rules, seed } = self.config();
        let peer = peer.map(display);
        if rules.is_empty() {
            tracing::warn!(peer, "fault rules removed");
        } else {
            let rules: Vec<_> = rules.iter().map(FaultRule::to_string).collect();
            tracing::warn!(peer, rules = rules.join(","), seed, "fault rules set");
        }
    }

    fn lock(&self) -> MutexGuard<'_, FaultState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Replaces the methods of the rules by their full names.
///
/// # Errors
/// There are too many rules, or one names a method that is not served, or several.
pub(crate) fn resolve(mut config: FaultConfig, methods: &[&str]) -> Result<FaultConfig, String> {
    let rules = config.rules.len();
    if rules > MAX_RULES {
        return Err(format!("{rules} rules are over the limit of {MAX_RULES}"));
    }
    for method in config.rules.iter_mut().filter_map(|rule| rule.method.as_mut()) {
        *method = method_name::find(method, methods, methods)?.to_owned();
    }
    Ok(config)
}

impl WorkerFaults {
    /// Draws the faults of a call.
    pub(super) fn draw(&self, served: &ServedMethod) -> Option<Box<CallFaults>> {
        match self.control.change.load(Ordering::Relaxed) {
            0 => None,
            change => self.draw_by_rules(change, served),
        }
    }

    #[cold]
    fn draw_by_rules(&self, change: u64, served: &ServedMethod) -> Option<Box<CallFaults>> {
        let mut current = self.current.borrow_mut();
        if current.change != change {
            let state = self.control.lock();
            let seed = u64::from(state.seed) << u32::BITS | self.worker;
            let (change, rules) = (state.changes, state.rules.clone());
            *current = Current { change, rules, random: Rng::with_seed(seed) };
        }
        let Current { rules, random, .. } = &mut *current;
        let mut faults = CallFaults { delay: None, end: None };
        for rule in rules.iter().filter(|rule| is_about(rule, served)) {
            if !rule.is_drawn(random) {
                continue;
            }
            match rule.fault {
                Fault::Delay { min, max } => {
                    let delay = min + (max - min).mul_f64(random.f64());
                    faults.delay = Some(faults.delay.unwrap_or_default() + delay);
                }
                end => _ = faults.end.get_or_insert(end),
            }
        }
        (faults.delay.is_some() || faults.end.is_some()).then(|| Box::new(faults))
    }
}

/// Returns whether a rule is about a method.
fn is_about(rule: &FaultRule, served: &ServedMethod) -> bool {
    match &rule.method {
        Some(name) => served.method.name() == name,
        None => !served.is_hit_by_name_only,
    }
}

impl CallFaults {
    pub(super) fn is_delay(&self) -> bool {
        self.delay.is_some()
    }

    /// Delays the call, and completes when its handler may run.
    ///
    /// # Errors
    /// The injected status. [`InFlight::is_reset`] is true if the stream has to be reset instead.
    pub(super) async fn inject(self, call: Rc<InFlight>) -> Result<(), Status> {
        if let Some(delay) = self.delay {
            call.fault_injected(FaultKind::Delay);
            sleep(delay).await;
        }
        match self.end {
            None | Some(Fault::Delay { .. }) => Ok(()),
            Some(Fault::Status(code)) => {
                call.fault_injected(FaultKind::Status);
                Err(Status::new(code, MESSAGE))
            }
            Some(Fault::Reset) => {
                call.fault_injected(FaultKind::Reset);
                Err(Status::internal(MESSAGE))
            }
            Some(Fault::Goaway) => {
                if call.connection().send_goaway() {
                    call.fault_injected(FaultKind::Goaway);
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const METHODS: [&str; 2] = ["a.Clock/Now", "a.Clock/Set"];

    #[test]
    fn rules_get_full_names_of_served_methods() {
        let resolved = |rules: &str| resolve(rules.parse().unwrap(), &METHODS);
        let config = resolved("Now:reset@1%,goaway,seed=7").unwrap();
        assert_eq!(config.to_string(), "seed=7\na.Clock/Now:reset@1%\ngoaway\n");
        let error = resolved("reset,Nou:reset").unwrap_err();
        assert_eq!(error, "\"Nou\" is not a method; did you mean a.Clock/Now?");
    }

    #[test]
    fn change_without_a_seed_keeps_the_seed() {
        let control = FaultControl::new("reset,seed=7".parse().unwrap());
        control.set("goaway".parse().unwrap(), Peer::Unix);
        assert_eq!(control.config().to_string(), "seed=7\ngoaway\n");
        control.set(FaultConfig::default(), Peer::Unix);
        assert_eq!(control.config().to_string(), "seed=7\n");
        assert_eq!(control.change.load(Ordering::Relaxed), 0);
    }
}
