//! Answers the watchdog of systemd (`WatchdogSec=`) while every worker makes progress, so that a
//! daemon with a blocked worker is restarted.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::interval;

use super::systemd::{ServiceManager, State};

/// The timeout of the service manager, and the workers on which an answer depends.
#[derive(Debug, Clone)]
pub(crate) struct Watchdog {
    timeout: Duration,
    workers: Arc<Mutex<Vec<mpsc::UnboundedSender<oneshot::Sender<()>>>>>,
}

impl Watchdog {
    pub(crate) fn new(timeout: Duration) -> Watchdog {
        Watchdog { timeout, workers: Arc::default() }
    }

    /// Adds a worker: a task on its runtime answers while the runtime runs. Needs the worker's thread.
    pub(crate) fn add_worker(&self) {
        let (requests, mut received) = mpsc::unbounded_channel::<oneshot::Sender<()>>();
        tokio::task::spawn_local(async move {
            while let Some(answer) = received.recv().await {
                let _ = answer.send(());
            }
        });
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).push(requests);
    }

    /// Notifies the service manager at half of its timeout, as sd_watchdog_enabled(3) recommends.
    pub(crate) async fn run(self, service_manager: ServiceManager) {
        self.run_with(|| service_manager.notify(State::Watchdog)).await;
    }

    async fn run_with(self, notify: impl Fn()) {
        let mut ticks = interval(self.timeout / 2);
        loop {
            ticks.tick().await;
            let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let answers: Vec<_> = workers
                .iter()
                .map(|worker| {
                    let (answer, answered) = oneshot::channel();
                    let _ = worker.send(answer); // a worker that has ended drops it
                    answered
                })
                .collect();
            for answered in answers {
                let _ = answered.await;
            }
            notify();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc as blocking;
    use std::thread;

    use tokio::runtime::{Builder, LocalOptions};
    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn watchdog_is_answered_only_while_every_worker_makes_progress() {
        let watchdog = Watchdog::new(Duration::from_secs(2));
        let (block, blocks) = oneshot::channel::<blocking::Receiver<()>>();
        let (blocking, is_blocking) = oneshot::channel();
        let (added, is_added) = oneshot::channel();
        let worker = watchdog.clone();
        let thread = thread::spawn(move || {
            let runtime = Builder::new_current_thread().build_local(LocalOptions::default());
            runtime.unwrap().block_on(async {
                worker.add_worker();
                added.send(()).unwrap();
                let release = blocks.await.unwrap();
                blocking.send(()).unwrap();
                release.recv().unwrap();
                std::future::pending::<()>().await;
            });
        });
        is_added.await.unwrap();
        let (notified, mut notifications) = mpsc::unbounded_channel();
        tokio::spawn(watchdog.run_with(move || notified.send(()).unwrap()));
        for _ in 0..3 {
            notifications.recv().await.unwrap();
        }

        let (release, released) = blocking::channel();
        block.send(released).unwrap();
        is_blocking.await.unwrap();
        while notifications.try_recv().is_ok() {} // the paused clock runs while this thread waits
        let mut sent_before = 0;
        while timeout(Duration::from_secs(60), notifications.recv()).await.is_ok() {
            sent_before += 1;
            assert!(sent_before <= 2, "a notification without the worker's answer");
        }
        release.send(()).unwrap();
        notifications.recv().await.unwrap();
        drop(thread); // its runtime never ends
    }
}
