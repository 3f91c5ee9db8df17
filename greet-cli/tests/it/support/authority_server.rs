//! A server that reports the names of each call: SNI of the TLS handshake and `:authority`.

use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

/// A call that has not arrived by then was not sent.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// The names of a call.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Names {
    pub(crate) sni: Option<String>,
    pub(crate) authority: String,
}

pub(crate) struct AuthorityServer {
    /// `HOST:PORT`, or `unix:PATH`.
    pub(crate) address: String,
    names: mpsc::Receiver<Names>,
}

impl AuthorityServer {
    /// Starts on loopback, over TLS if there is a configuration.
    pub(crate) fn start(tls: Option<Arc<ServerConfig>>) -> AuthorityServer {
        AuthorityServer::start_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap(), tls)
    }

    /// Starts on `::1`; `None` without IPv6.
    pub(crate) fn start_on_ipv6() -> Option<AuthorityServer> {
        let listener = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).ok()?;
        Some(AuthorityServer::start_on(listener, None))
    }

    fn start_on(listener: TcpListener, tls: Option<Arc<ServerConfig>>) -> AuthorityServer {
        let address = listener.local_addr().unwrap().to_string();
        listener.set_nonblocking(true).unwrap();
        let names = in_thread(async move |sender| {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let Some(tls) = &tls else {
                    answer(stream, None, &sender).await;
                    continue;
                };
                let accepted = TlsAcceptor::from(Arc::clone(tls)).accept(stream).await;
                if let Ok(stream) = accepted {
                    let sni = stream.get_ref().1.server_name().map(str::to_owned);
                    answer(stream, sni, &sender).await;
                }
            }
        });
        AuthorityServer { address, names }
    }

    /// Starts on a Unix socket.
    #[cfg(unix)]
    pub(crate) fn start_on_unix_socket(path: &Path) -> AuthorityServer {
        let listener = std::os::unix::net::UnixListener::bind(path).unwrap();
        listener.set_nonblocking(true).unwrap();
        let names = in_thread(async move |sender| {
            let listener = tokio::net::UnixListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                answer(stream, None, &sender).await;
            }
        });
        AuthorityServer { address: format!("unix:{}", path.display()), names }
    }

    /// Returns the names of the next call.
    pub(crate) fn names(&self) -> Names {
        self.names.recv_timeout(CALL_TIMEOUT).unwrap()
    }

    /// Returns the `:authority` of the next call.
    pub(crate) fn authority(&self) -> String {
        self.names().authority
    }
}

fn in_thread(
    serve: impl AsyncFnOnce(mpsc::Sender<Names>) + Send + 'static,
) -> mpsc::Receiver<Names> {
    let (sender, names) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(serve(sender));
    });
    names
}

/// Answers the calls of a connection with UNIMPLEMENTED.
async fn answer<IO>(io: IO, sni: Option<String>, sender: &mpsc::Sender<Names>)
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let mut connection = h2::server::handshake(io).await.unwrap();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let authority = request.uri().authority().unwrap().to_string();
        let _ = sender.send(Names { sni: sni.clone(), authority }); // the test may be over
        let reply = http::Response::builder().header("content-type", "application/grpc");
        let reply = reply.header("grpc-status", "12").body(()).unwrap();
        let _ = respond.send_response(reply, true); // the client may be gone
    }
}
