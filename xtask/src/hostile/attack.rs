//! One attack by many peers at the same time, what they have sent, and when the server closed their connections.

use std::io::{self, ErrorKind};
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::bail;
use greet_testkit::AttackState;

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
    /// Connects to `http://IP:PORT` and attacks until the attack is over, or until the server closes the
    /// connection; then the peer does it again.
    pub(crate) peer: fn(&str, &AttackState) -> io::Result<()>,
}

/// What the daemon does about an attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Closes the connections of the peers for this reason.
    Closes(&'static str),
    /// Ends calls of a method with a status.
    Ends(&'static str, &'static str),
    /// Closes the connections of the peers for a reason, or ends calls of a method with a status: the faster
    /// the peers are, the sooner they reach the limit of a connection.
    ClosesOrEnds(&'static str, &'static str, &'static str),
    /// Closes connections to the admin port, which no metric counts.
    Evicts,
    /// Lets the peers go on, within its limits: each sends at least these bytes.
    Continues(u64),
}

impl Effect {
    /// Returns the cause in metrics and logs, if the daemon has one for the attack.
    pub(crate) fn close_reason(self) -> Option<&'static str> {
        match self {
            Effect::Closes(cause) | Effect::ClosesOrEnds(cause, ..) => Some(cause),
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

/// The peers of a running attack.
#[derive(Debug)]
pub(crate) struct Attackers {
    pub(crate) state: AttackState,
    started: Instant,
    /// The connections that the server has closed, and when it closed the first.
    cuts: Mutex<(u64, Option<Duration>)>,
    /// An error that no server causes.
    failure: OnceLock<io::Error>,
}

impl Attackers {
    pub(crate) fn new() -> Attackers {
        let (state, cuts, failure) = Default::default();
        Attackers { state, started: Instant::now(), cuts, failure }
    }

    /// Returns the number of closed connections, and when the first was closed.
    pub(crate) fn cuts(&self) -> (u64, Option<Duration>) {
        *self.cuts.lock().expect("no peer panics")
    }

    /// Returns whether each peer has connected, and sent what it can if the server lets it go on. Fails if
    /// a peer could not attack.
    pub(crate) fn have_attacked(&self, attack: &Attack) -> anyhow::Result<bool> {
        if let Some(error) = self.failure.get() {
            bail!("{}: a peer failed: {error}", attack.name);
        }
        let peers = attack.peers as u64;
        let min_bytes = match attack.effect {
            Effect::Continues(bytes) => peers * bytes,
            _ => 0,
        };
        Ok(self.state.connections() >= peers && self.state.sent_bytes() >= min_bytes)
    }

    fn count_cut(&self) {
        let (count, first) = &mut *self.cuts.lock().expect("no peer panics");
        *count += 1;
        first.get_or_insert(self.started.elapsed());
    }
}

impl Attack {
    /// Runs all peers until the attack is over.
    pub(crate) fn run(&self, target: &str, attackers: &Attackers) {
        thread::scope(|scope| {
            // The peers inherit the priority of the thread that starts them.
            scope.spawn(|| {
                cores::yield_to_others();
                thread::scope(|scope| {
                    for _ in 0..self.peers {
                        scope.spawn(|| self.run_peer(target, attackers));
                    }
                });
            });
        });
    }

    fn run_peer(&self, target: &str, attackers: &Attackers) {
        while !attackers.state.is_over() {
            let Err(error) = (self.peer)(target, &attackers.state) else { continue };
            match error.kind() {
                ErrorKind::UnexpectedEof
                | ErrorKind::ConnectionReset
                | ErrorKind::ConnectionAborted
                | ErrorKind::BrokenPipe => attackers.count_cut(),
                // The server does not accept, or every port waits for the end of TIME_WAIT.
                ErrorKind::ConnectionRefused
                | ErrorKind::TimedOut
                | ErrorKind::AddrNotAvailable => thread::park_timeout(RETRY_INTERVAL),
                _ => return drop(attackers.failure.set(error)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hostile::attacks::ATTACKS;

    /// An attack of one peer, which the server lets send a byte.
    fn attack(peer: fn(&str, &AttackState) -> io::Result<()>) -> Attack {
        Attack { peers: 1, effect: Effect::Continues(1), peer, ..ATTACKS[0] }
    }

    #[test]
    fn only_the_ends_of_connections_are_cuts() {
        let attackers = Attackers::new();
        let attack = attack(|_, state| {
            state.end();
            Err(ErrorKind::ConnectionReset.into())
        });
        attack.run("", &attackers);
        assert_eq!(attackers.cuts().0, 1);
        assert!(!attackers.have_attacked(&attack).unwrap(), "without a connection");
    }

    #[test]
    fn peer_that_cannot_attack_fails() {
        let attackers = Attackers::new();
        let attack = attack(|_, _| Err(ErrorKind::InvalidInput.into()));
        attack.run("", &attackers);
        assert_eq!(attackers.cuts().0, 0);
        let error = attackers.have_attacked(&attack).unwrap_err().to_string();
        assert_eq!(error, "silent connections: a peer failed: invalid input parameter");
    }
}
