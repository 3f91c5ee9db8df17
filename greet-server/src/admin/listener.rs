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
use tokio::task::{JoinHandle, spawn_local, yield_now};
use tokio::time::{sleep, timeout};

use super::pages::Pages;
use crate::transport::listener::{Accepted, Listener};

/// A scraper, a kubelet and a few people at once. Who comes over it takes the place of whoever has been
/// there longest: an answer takes milliseconds, so that is somebody who does not ask.
const MOST_CONNECTIONS: usize = 32;
/// From accept to the last byte of the answer: generous for a page, short for who holds a place.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(5);
/// A request line and some headers.
const MOST_HEAD_BYTES: usize = 8 * 1024;
/// After an accept that failed, which is for want of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// The running admin port. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Admin {
    _stop: oneshot::Sender<()>,
}

impl Admin {
    /// # Errors
    /// The thread could not be started.
    pub(crate) fn start(listener: Listener, pages: Pages) -> io::Result<Admin> {
        let (stop, stopped) = oneshot::channel();
        thread::Builder::new().name("greet-admin".to_owned()).spawn(move || {
            if let Err(error) = run(listener, pages, stopped) {
                tracing::error!(%error, "the admin port could not start");
            }
        })?;
        Ok(Admin { _stop: stop })
    }
}

fn run(listener: Listener, pages: Pages, stopped: oneshot::Receiver<()>) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(async {
        let listener = listener.moved_here()?;
        tokio::select! {
            () = accept(listener, Rc::new(pages)) => {}
            _ = stopped => {}
        }
        Ok(())
    })
}

async fn accept(listener: Listener, pages: Rc<Pages>) {
    let mut served = VecDeque::new();
    loop {
        let connection = match listener.accept().await {
            Ok(connection) => connection,
            Err(error) => {
                tracing::debug!(%error, "could not accept on the admin port");
                sleep(PAUSE).await;
                continue;
            }
        };
        served.retain(|task: &JoinHandle<()>| !task.is_finished());
        if served.len() == MOST_CONNECTIONS {
            served.pop_front().as_ref().map(JoinHandle::abort);
        }
        let pages = pages.clone();
        served.push_back(spawn_local(async move {
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
        }));
        yield_now().await; // who has asked already is answered before the next may take a place
    }
}

async fn serve<IO>(io: IO, pages: Rc<Pages>) -> hyper::Result<()>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let service = service_fn(|request| pages.answer(request));
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(CONNECTION_TIMEOUT)
        .max_buf_size(MOST_HEAD_BYTES)
        .keep_alive(false)
        .serve_connection(TokioIo::new(io), service)
        .await
}
