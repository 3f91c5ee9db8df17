//! One attack by many peers at the same time, and when the server closed their connections.

use std::io::{self, ErrorKind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::cores;

/// Pause of a peer that cannot connect.
const RETRY_INTERVAL: Duration = Duration::from_millis(10);

/// An attack.
#[derive(Debug)]
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    /// What each peer does, with the peer as the subject.
    pub(crate) what: &'static str,
    /// The limit of the daemon that bounds the attack.
    pub(crate) limit: &'static str,
    pub(crate) effect: Effect,
    pub(crate) port: Port,
    pub(crate) peers: usize,
    /// The duration of the measurement.
    pub(crate) seconds: u64,
    /// Connects to `http://IP:PORT` and attacks until the flag is set, or until the server closes the
    /// connection; then the peer does it again.
    pub(crate) peer: fn(&str, &AtomicBool) -> io::Result<()>,
}

/// What the daemon does about an attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Closes the connections of the peers for this reason.
    Closes(&'static str),
    /// Ends calls of a method with a status.
    Ends(&'static str, &'static str),
    /// Closes connections to the admin port, which no metric counts.
    Evicts,
    /// Lets the peers go on, within its limits.
    Continues,
}

impl Effect {
    /// Returns the cause in metrics and logs, if the daemon has one for the attack.
    pub(crate) fn close_reason(self) -> Option<&'static str> {
        match self {
            Effect::Closes(cause) => Some(cause),
            _ => None,
        }
    }
}

/// The listener that is attacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Port {
    /// gRPC, in plaintext.
    Grpc,
    /// The same, with health and reflection.
    Services,
    /// The same, with gRPC-Web.
    Web,
    Tls,
    Admin,
}

/// The connections that the server has closed.
#[derive(Debug)]
pub(crate) struct Cuts {
    started: Instant,
    cuts: Mutex<(u64, Option<Duration>)>,
}

impl Cuts {
    pub(crate) fn new() -> Cuts {
        Cuts { started: Instant::now(), cuts: Mutex::default() }
    }

    /// Returns the number of closed connections, and when the first was closed.
    pub(crate) fn get(&self) -> (u64, Option<Duration>) {
        *self.cuts.lock().expect("no peer panics")
    }

    fn count(&self) {
        let (count, first) = &mut *self.cuts.lock().expect("no peer panics");
        *count += 1;
        first.get_or_insert(self.started.elapsed());
    }
}

impl Attack {
    /// Runs all peers until `is_over`.
    pub(crate) fn run(&self, target: &str, is_over: &AtomicBool, cuts: &Cuts) {
        thread::scope(|scope| {
            // The peers inherit the priority of the thread that starts them.
            scope.spawn(|| {
                cores::yield_to_others();
                thread::scope(|scope| {
                    for _ in 0..self.peers {
                        scope.spawn(|| self.run_peer(target, is_over, cuts));
                    }
                });
            });
        });
    }

    fn run_peer(&self, target: &str, is_over: &AtomicBool, cuts: &Cuts) {
        while !is_over.load(Ordering::Relaxed) {
            let Err(error) = (self.peer)(target, is_over) else { continue };
            match error.kind() {
                ErrorKind::ConnectionRefused | ErrorKind::TimedOut => {
                    thread::park_timeout(RETRY_INTERVAL);
                }
                _ => cuts.count(),
            }
        }
    }
}
