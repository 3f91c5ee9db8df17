//! The admin port's thread: few connections, each for one request and a short time.

use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::routes::Routes;
use crate::net::listener::{Accepted, Listener};

/// A scraper, a kubelet and a few people at once. Who comes over it takes the place of whoever has been
/// there longest.
const MAX_CONNECTIONS: usize = 32;
/// Before it is taken: an answer takes milliseconds, so after this it is somebody who does not ask.
const MIN_CONNECTION_TIME: Duration = Duration::from_millis(250);
/// From accept to the last byte of the answer: generous for a page, short for who holds a place.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(5);
/// A request line and some headers.
const MAX_HEAD_BYTES: usize = 8 * 1024;
/// After an accept that failed, which is for want of descriptors.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// The running admin port. When this is dropped it has ended, and a Unix socket's file is gone.
#[derive(Debug)]
pub(crate) struct AdminServer {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Drop for AdminServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        // It waits for nobody. If it panicked, the log has it.
        let _ = self.thread.take().map(thread::JoinHandle::join);
    }
}

impl AdminServer {
    /// # Errors
    /// The thread could not be started.
    pub(crate) fn start(listener: Listener, pages: Routes) -> io::Result<AdminServer> {
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new().name("greet-admin".to_owned());
        let thread = thread.spawn(move || {
            if let Err(error) = run(listener, pages, stopped) {
                tracing::error!(%error, "the admin port could not start");
            }
        })?;
        Ok(AdminServer { stop: Some(stop), thread: Some(thread) })
    }
}

fn run(listener: Listener, pages: Routes, stopped: oneshot::Receiver<()>) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(async {
        let listener = listener.into_current_runtime()?;
        tokio::select! {
            () = accept(listener, Rc::new(pages)) => {}
            _ = stopped => {}
        }
        Ok(())
    })
}

async fn accept(listener: Listener, pages: Rc<Routes>) {
    let mut served = VecDeque::new();
    loop {
        let connection = match listener.accept().await {
            Ok(connection) => connection,
            Err(error) => {
                tracing::debug!(%error, "could not accept on the admin port");
                sleep(ACCEPT_BACKOFF).await;
                continue;
            }
        };
        served.retain(|(_, task): &(Instant, JoinHandle<()>)| !task.is_finished());
        if served.len() == MAX_CONNECTIONS
            && let Some((begun, mut longest)) = served.pop_front()
        {
            let _ = timeout_at(begun + MIN_CONNECTION_TIME, &mut longest).await;
            longest.abort();
        }
        let pages = pages.clone();
        let task = spawn_local(async move {
            let served = match connection {
                Accepted::Tcp(stream, _) | Accepted::Tls(stream, _, _) => {
                    match TcpStream::from_std(stream) {
                        Ok(stream) => timeout(CONNECTION_TIMEOUT, serve(stream, pages)).await,
                        Err(_) => return, // no room for it in the poller
                    }
                }
                #[cfg(unix)]
                Accepted::Unix(stream) => match UnixStream::from_std(stream) {
                    Ok(stream) => timeout(CONNECTION_TIMEOUT, serve(stream, pages)).await,
                    Err(_) => return,
                },
            };
            if let Ok(Err(error)) = served {
                tracing::debug!(%error, "on the admin port");
            }
        });
        served.push_back((Instant::now(), task));
    }
}

async fn serve<IO>(io: IO, pages: Rc<Routes>) -> hyper::Result<()>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let service = service_fn(|request| pages.answer(request));
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(CONNECTION_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES)
        .keep_alive(false)
        .serve_connection(TokioIo::new(io), service)
        .await
}
