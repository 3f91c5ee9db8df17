//! Certificates that rotate: the files are read again each second and on SIGHUP, and what they hold
//! replaces what is served if it is any good. Connections that stand keep what they have.
//!
//! Contents are compared, not times or names: a symlink that is swapped (as Kubernetes does with a
//! secret) is a change, and a file that was only touched is none.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::{PemFiles, Tls, TlsError};
use crate::config::TlsFiles;
use crate::lifecycle::systemd::{self, State};
use crate::telemetry::metrics::worker::ReloadMetrics;

/// A rotation is served this much later at most; reading three small files costs next to nothing.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// What is served, and the means to replace it.
pub(crate) struct Reloader {
    files: TlsFiles,
    served: PemFiles,
    refused: Option<Refused>,
    tls: watch::Sender<Tls>,
    /// [`Tls::new`], but for a test of what a panic in it costs.
    build: fn(&TlsFiles, &PemFiles) -> Result<Tls, TlsError>,
}

/// What the last look found, and could not use.
struct Refused {
    /// `None`: a file could not even be read.
    material: Option<PemFiles>,
    /// Whether the operator has heard of it.
    told: bool,
}

impl Reloader {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// They cannot be used.
    pub(crate) fn new(files: TlsFiles) -> Result<(Reloader, watch::Receiver<Tls>), TlsError> {
        let served = PemFiles::read(&files)?;
        let tls = Tls::new(&files, &served)?;
        tell(&tls, "serving TLS");
        let (tls, watched) = watch::channel(tls);
        Ok((Reloader { files, served, refused: None, tls, build: Tls::new }, watched))
    }

    /// Looks for ever: each second, and whenever `asked` changes.
    pub(crate) async fn run(
        mut self,
        mut asked: watch::Receiver<u32>,
        reloads: Arc<ReloadMetrics>,
    ) {
        let mut looks = interval(CHECK_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let was_asked = tokio::select! {
                _ = looks.tick() => false,
                Ok(()) = asked.changed() => true,
            };
            // Files may lie on a network; the acceptor's thread must not wait for one.
            if was_asked {
                systemd::notify(State::Reloading);
            }
            let look = tokio::task::spawn_blocking(move || {
                // A panic while parsing must not end reloading: the next change may be valid.
                let found = catch_unwind(AssertUnwindSafe(|| self.look(was_asked)));
                (self, found)
            });
            let found;
            (self, found) = match look.await {
                Ok(looked) => looked,
                Err(_shutting_down) => return,
            };
            match found {
                Ok(Some(Ok(()))) => reloads.done.add(1),
                Ok(Some(Err(error))) => {
                    reloads.refused.add(1);
                    let error = anyhow::Error::new(error);
                    tracing::warn!("TLS reload refused, the old certificate stays: {error:#}");
                }
                Ok(None) => {}
                Err(_logged_by_the_panic_hook) => {
                    reloads.refused.add(1);
                    tracing::error!(
                        "certificate reload panicked; the current certificate stays in use"
                    );
                }
            }
            if was_asked {
                systemd::notify(State::Ready);
            }
        }
    }

    /// One look; `None` if there is nothing to tell. Certificate and key are two files, and a look
    /// between the writing of the one and of the other finds a pair that does not match: so what is
    /// bad is told when it is still so at the next look, once, or at once if somebody asked.
    fn look(&mut self, was_asked: bool) -> Option<Result<(), TlsError>> {
        let material = PemFiles::read(&self.files);
        if material.as_ref().is_ok_and(|material| *material == self.served) {
            self.refused = None;
            return None;
        }
        let found = material.as_ref().ok().cloned();
        match material.and_then(|material| (self.build)(&self.files, &material)) {
            Ok(tls) => {
                self.served = found.expect("it was read, or there would be no configuration");
                self.refused = None;
                tell(&tls, "TLS reloaded");
                self.tls.send_replace(tls);
                Some(Ok(()))
            }
            Err(error) => {
                let before = self.refused.take().filter(|before| before.material == found);
                let told = before.as_ref().is_some_and(|before| before.told);
                let tell = was_asked || (before.is_some() && !told);
                self.refused = Some(Refused { material: found, told: told || tell });
                tell.then_some(Err(error))
            }
        }
    }
}

fn tell(tls: &Tls, what: &str) {
    let until = humantime::format_rfc3339_seconds(tls.not_after);
    match tls.validity_problem(SystemTime::now()) {
        None => tracing::info!(serial = tls.serial, %until, "{what}"),
        Some(complaint) => tracing::warn!(serial = tls.serial, %until, "{what}: {complaint}"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::atomic::{AtomicBool, Ordering};

    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    static IS_FIRST: AtomicBool = AtomicBool::new(true);

    fn panics_at_first(files: &TlsFiles, material: &PemFiles) -> Result<Tls, TlsError> {
        assert!(!IS_FIRST.swap(false, Ordering::Relaxed), "as the test asks");
        Tls::new(files, material)
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_costs_one_reload_and_not_the_next() {
        let directory = tempfile::tempdir().unwrap();
        let [cert, key] = ["cert.pem", "key.pem"].map(|name| directory.path().join(name));
        let rotate = || {
            let pair = KeyPair::generate().unwrap();
            let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
            fs::write(&cert, params.self_signed(&pair).unwrap().pem()).unwrap();
            fs::write(&key, pair.serialize_pem()).unwrap();
        };
        rotate();
        let (cert, key) = (cert.clone(), key.clone());
        let files = TlsFiles { cert, key, client_ca: None, http1: false };
        let (mut reloader, mut served) = Reloader::new(files).unwrap();
        reloader.build = panics_at_first;
        rotate();
        let (_asks, asked) = watch::channel(0);
        let reloads = Arc::<ReloadMetrics>::default();
        let running = tokio::spawn(reloader.run(asked, reloads.clone()));
        tokio::time::timeout(Duration::from_secs(60), served.changed()).await.unwrap().unwrap();
        assert_eq!(reloads.refused.get(), 1);
        running.abort();
    }
}
