//! The waker that a connection gives to HTTP/2.
//!
//! The h2 crate wakes its connection for every frame that a call sends. A call that runs in place
//! sends within a turn of the connection, which writes these frames anyway: each wake-up would cost
//! a second turn that finds nothing to do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

/// The current waker; a task that moves gets a new one.
#[derive(Debug)]
pub(super) struct TurnWaker {
    shared: Arc<Muted>,
    waker: Waker,
}

#[derive(Debug)]
struct Muted {
    task: Waker,
    is_muted: AtomicBool,
}

impl TurnWaker {
    pub(super) fn new(task: &Waker) -> TurnWaker {
        let shared = Arc::new(Muted { task: task.clone(), is_muted: AtomicBool::new(false) });
        TurnWaker { waker: Waker::from(shared.clone()), shared }
    }

    /// Returns the waker for HTTP/2, which wakes `task`.
    pub(super) fn wakes(&mut self, task: &Waker) -> Waker {
        if !self.shared.task.will_wake(task) {
            *self = TurnWaker::new(task);
        }
        self.waker.clone()
    }

    /// Runs `calls`; HTTP/2's wake-ups meanwhile have no effect. The connection must be polled
    /// afterwards.
    pub(super) fn mute_during(&self, calls: impl FnOnce()) {
        self.shared.is_muted.store(true, Ordering::Relaxed);
        calls();
        self.shared.is_muted.store(false, Ordering::Relaxed);
    }
}

impl Wake for Muted {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.is_muted.load(Ordering::Relaxed) {
            self.task.wake_by_ref();
        }
    }
}
