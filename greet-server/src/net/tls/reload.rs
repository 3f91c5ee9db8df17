//! Reloads the certificates: reads the PEM files each second and on SIGHUP, and serves valid
//! changes. Open connections keep the certificate of their handshake.
//!
//! Contents are compared, not times or names: a swapped symlink, as in a Kubernetes secret, is a
//! change, and a touched file is not.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::{PemFiles, Tls, TlsError};
use crate::config::TlsFiles;
use crate::lifecycle::systemd::{ServiceManager, State};
use crate::telemetry::metrics::worker::ReloadMetrics;

/// Maximum delay of a rotation. Reading three small files is cheap.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The current certificate and the files of the next.
pub(crate) struct Reloader {
    files: TlsFiles,
    current: PemFiles,
    rejected: Option<Rejected>,
    tls: watch::Sender<Tls>,
    /// [`Tls::new`], or a function that panics in a test.
    build: fn(&TlsFiles, &PemFiles) -> Result<Tls, TlsError>,
}

/// Contents that the last check rejected.
struct Rejected {
    /// `None` if a file could not be read.
    pem: Option<PemFiles>,
    is_reported: bool,
}

impl Reloader {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// A file cannot be read or is not valid.
    pub(crate) fn new(files: TlsFiles) -> Result<(Reloader, watch::Receiver<Tls>), TlsError> {
        let current = PemFiles::read(&files)?;
        let tls = Tls::new(&files, &current)?;
        log_certificate(&tls, "certificate loaded");
        let (tls, watched) = watch::channel(tls);
        Ok((Reloader { files, current, rejected: None, tls, build: Tls::new }, watched))
    }

    /// Checks the files each second and at each change of `requests`, until the runtime ends.
    pub(crate) async fn run(
        mut self,
        mut requests: watch::Receiver<u32>,
        reloads: Arc<ReloadMetrics>,
        service_manager: ServiceManager,
    ) {
        let mut ticks = interval(CHECK_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_requested = tokio::select! {
                _ = ticks.tick() => false,
                Ok(()) = requests.changed() => true,
            };
            if is_requested {
                service_manager.notify(State::Reloading);
            }
            // A network file system may be slow; the acceptors' thread must not wait for it.
            let check = tokio::task::spawn_blocking(move || {
                // A panic while parsing must not end reloading: the next change may be valid.
                let result = catch_unwind(AssertUnwindSafe(|| self.check(is_requested)));
                (self, result)
            });
            let result;
            (self, result) = match check.await {
                Ok(checked) => checked,
                Err(_shutting_down) => return,
            };
            match result {
                Ok(Ok(is_reloaded)) => reloads.done.add(u64::from(is_reloaded)),
                Ok(Err(error)) => {
                    reloads.refused.add(1);
                    tracing::warn!(%error, "certificate rejected; the current one stays in use");
                }
                Err(_logged_by_the_panic_hook) => {
                    reloads.refused.add(1);
                    tracing::error!("certificate reload panicked; the current one stays in use");
                }
            }
            if is_requested {
                service_manager.notify(State::Ready);
            }
        }
    }

    /// Checks the files once. Returns whether a new certificate is served, or the error to report.
    ///
    /// Certificate and key are two files, and a check between the two writes finds a mismatched
    /// pair. So an error is reported only when the next check finds the same contents, once, or
    /// immediately if the check was requested.
    fn check(&mut self, is_requested: bool) -> Result<bool, TlsError> {
        let read = PemFiles::read(&self.files);
        if read.as_ref().is_ok_and(|pem| *pem == self.current) {
            self.rejected = None;
            return Ok(false);
        }
        let pem = read.as_ref().ok().cloned();
        match read.and_then(|pem| Ok(((self.build)(&self.files, &pem)?, pem))) {
            Ok((tls, pem)) => {
                self.current = pem;
                self.rejected = None;
                log_certificate(&tls, "certificate reloaded");
                self.tls.send_replace(tls);
                Ok(true)
            }
            Err(error) => {
                let before = self.rejected.take().filter(|before| before.pem == pem);
                let was_reported = before.as_ref().is_some_and(|before| before.is_reported);
                let must_report = is_requested || (before.is_some() && !was_reported);
                self.rejected = Some(Rejected { pem, is_reported: was_reported || must_report });
                if must_report { Err(error) } else { Ok(false) }
            }
        }
    }
}

fn log_certificate(tls: &Tls, event: &str) {
    let not_after = humantime::format_rfc3339_seconds(tls.not_after);
    match tls.validity_problem(SystemTime::now()) {
        None => tracing::info!(serial = tls.serial, %not_after, "{event}"),
        Some(problem) => tracing::warn!(serial = tls.serial, %not_after, problem, "{event}"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::atomic::{AtomicBool, Ordering};

    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    static HAS_PANICKED: AtomicBool = AtomicBool::new(false);

    fn panics_once(files: &TlsFiles, pem: &PemFiles) -> Result<Tls, TlsError> {
        assert!(HAS_PANICKED.swap(true, Ordering::Relaxed), "the panic of this test");
        Tls::new(files, pem)
    }

    #[tokio::test(start_paused = true)]
    async fn reloading_continues_after_a_panic() {
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
        let (mut reloader, mut tls) = Reloader::new(files).unwrap();
        reloader.build = panics_once;
        rotate();
        let (_request, requests) = watch::channel(0);
        let reloads = Arc::<ReloadMetrics>::default();
        let running =
            tokio::spawn(reloader.run(requests, reloads.clone(), ServiceManager::default()));
        tokio::time::timeout(Duration::from_secs(60), tls.changed()).await.unwrap().unwrap();
        assert_eq!(reloads.refused.get(), 1);
        running.abort();
    }
}
