//! The health of each served service: what it depends on, and how an operator sees and sets it.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use futures_util::stream::{self, Stream};
use greet_proto::grpc::health::v1::health_check_response::ServingStatus;
use tokio::sync::watch;

use crate::lifecycle::phase::Phase;

/// The services that an operator has set to NOT_SERVING, and the health of all. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct HealthControl {
    disabled: watch::Sender<BTreeSet<&'static str>>,
    /// Those of the first worker: a service that sets its status shares it with all workers.
    services: Arc<OnceLock<Vec<(&'static str, Inputs)>>>,
}

impl HealthControl {
    pub(super) fn register(&self, services: &[(&'static str, Inputs)]) {
        self.services.get_or_init(|| services.to_vec());
    }

    /// Returns whether a service is SERVING; the empty name is that of the server. `None` if the service
    /// is unknown.
    pub(crate) fn is_serving(&self, service: &str) -> Option<bool> {
        Some(self.find(service)?.1.is_serving())
    }

    /// Sets a service to NOT_SERVING, or leaves its status to its owner and the phase again. Returns its
    /// status after that.
    pub(crate) fn set_serving(&self, service: &str, is_serving: bool) -> Option<bool> {
        let (name, inputs) = self.find(service)?;
        self.disabled.send_modify(|disabled| {
            if is_serving {
                disabled.remove(name);
            } else {
                disabled.insert(name);
            }
        });
        Some(inputs.is_serving())
    }

    /// Returns the number of services that an operator has set to NOT_SERVING.
    pub(crate) fn overrides(&self) -> usize {
        self.disabled.borrow().len()
    }

    fn find(&self, service: &str) -> Option<&(&'static str, Inputs)> {
        self.services.get()?.iter().find(|(name, _)| *name == service)
    }
}

/// What the status of one service depends on.
#[derive(Debug, Clone)]
pub(super) struct Inputs {
    name: &'static str,
    phase: watch::Receiver<Phase>,
    is_serving: watch::Receiver<bool>,
    /// The services that an operator has set to NOT_SERVING.
    disabled: watch::Receiver<BTreeSet<&'static str>>,
}

impl Inputs {
    pub(super) fn new(
        name: &'static str,
        phase: watch::Receiver<Phase>,
        is_serving: watch::Receiver<bool>,
        control: &HealthControl,
    ) -> Inputs {
        Inputs { name, phase, is_serving, disabled: control.disabled.subscribe() }
    }

    fn is_serving(&self) -> bool {
        *self.phase.borrow() == Phase::Serving
            && *self.is_serving.borrow()
            && !self.disabled.borrow().contains(self.name)
    }

    pub(super) fn status(&self) -> ServingStatus {
        if self.is_serving() { ServingStatus::Serving } else { ServingStatus::NotServing }
    }

    /// Yields the current status, then its changes. Not every change of an input is one.
    pub(super) fn changes(self) -> impl Stream<Item = ServingStatus> {
        stream::unfold((self, None), |(mut inputs, last)| async move {
            loop {
                inputs.phase.mark_unchanged();
                inputs.is_serving.mark_unchanged();
                inputs.disabled.mark_unchanged();
                let status = inputs.status();
                if last != Some(status) {
                    return Some((status, (inputs, Some(status))));
                }
                inputs.changed().await?;
            }
        })
    }

    /// Waits until an input changes. Returns `None` when the phase has no further changes.
    async fn changed(&mut self) -> Option<()> {
        let is_serving_changed = async {
            if self.is_serving.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let disabled_changed = async {
            if self.disabled.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            changed = self.phase.changed() => changed.ok(),
            () = is_serving_changed => Some(()),
            () = disabled_changed => Some(()),
        }
    }
}
