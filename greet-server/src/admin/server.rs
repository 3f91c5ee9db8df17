//! Serves the admin port on its own thread: few connections, each for one request and a short time.

use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use futures_util::future::select_all;
use greet_flags::product;
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
use crate::grpc::connection_state::Peer;
use crate::net::listener::{Accepted, Listener};

/// Enough for a scraper, a kubelet and several operators. Beyond it, the oldest is evicted.
const MAX_CONNECTIONS: usize = 32;
/// Minimum age of an evicted connection. A response takes milliseconds, so an older one is idle.
const MIN_CONNECTION_TIME: Duration = Duration::from_millis(250);
/// Time from accept to the last byte of the answer.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum size of a request line and its headers.
const MAX_HEAD_BYTES: usize = 8 * 1024;
/// Pause after a failed accept: the process has no free descriptors.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// The running admin server. Dropping it ends the thread and removes a Unix socket's file.
#[derive(Debug)]
pub(crate) struct AdminServer {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Drop for AdminServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        // The thread ends at once. A panic is in the log already.
        let _ = self.thread.take().map(thread::JoinHandle::join);
    }
}

impl AdminServer {
    /// Serves on the listeners. Returns `None` without any.
    pub(crate) fn start(
        listeners: Vec<Listener>,
        routes: Routes,
    ) -> io::Result<Option<AdminServer>> {
        if listeners.is_empty() {
            return Ok(None);
        }
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new().name(product!("-admin").to_owned());
        let thread = thread.spawn(move || {
            if let Err(error) = run(listeners, routes, stopped) {
                tracing::error!(%error, "admin port failed");
            }
        })?;
        Ok(Some(AdminServer { stop: Some(stop), thread: Some(thread) }))
    }
}

fn run(listeners: Vec<Listener>, routes: Routes, stopped: oneshot::Receiver<()>) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(async {
        let listeners = listeners.into_iter().map(Listener::into_current_runtime);
        let listeners = listeners.collect::<io::Result<Vec<_>>>()?;
        tokio::select! {
            () = accept(&listeners, Rc::new(routes)) => {}
            _ = stopped => {}
        }
        Ok(())
    })
}

async fn accept(listeners: &[Listener], routes: Rc<Routes>) {
    let mut connections = VecDeque::new();
    loop {
        let accepts = listeners.iter().map(|listener| Box::pin(listener.accept()));
        let (accepted, ..) = select_all(accepts).await;
        let connection = match accepted {
            Ok(connection) => connection,
            Err(error) => {
                tracing::debug!(%error, "admin accept failed");
                sleep(ACCEPT_BACKOFF).await;
                continue;
            }
        };
        connections.retain(|(_, task): &(Instant, JoinHandle<()>)| !task.is_finished());
        if connections.len() == MAX_CONNECTIONS
            && let Some((accepted, mut oldest)) = connections.pop_front()
        {
            let _ = timeout_at(accepted + MIN_CONNECTION_TIME, &mut oldest).await;
            oldest.abort();
        }
        let (routes, peer) = (routes.clone(), connection.peer());
        let task = spawn_local(async move {
            let served = match connection {
                Accepted::Tcp(stream, _) | Accepted::Tls(stream, _, _) => {
                    serve(TcpStream::from_std(stream), routes, peer).await
                }
                #[cfg(unix)]
                Accepted::Unix(stream) => serve(UnixStream::from_std(stream), routes, peer).await,
            };
            if let Err(error) = served {
                tracing::debug!(%error, "admin connection failed");
            }
        });
        connections.push_back((Instant::now(), task));
    }
}

async fn serve<IO>(io: io::Result<IO>, routes: Rc<Routes>, peer: Peer) -> anyhow::Result<()>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let service = service_fn(|request| routes.answer(request, peer));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(CONNECTION_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES)
        .keep_alive(false)
        .half_close(true) // as `nc -N` and health checks over HTTP/1.0 do after their request
        .serve_connection(TokioIo::new(io?), service);
    Ok(timeout(CONNECTION_TIMEOUT, connection).await??)
}
