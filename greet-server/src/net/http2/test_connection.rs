//! Serves one connection over any stream, without sockets and threads, for the tests of this folder.

use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::spawn_local;

use crate::config::Config;
use crate::grpc::Service;
use crate::grpc::connection_state::{GoawayTrigger, Peer};
use crate::grpc::memory::MemoryLimit;
use crate::net::connection::{self, Opened};
use crate::net::handshake::Negotiated;
use crate::net::io::Readable;
use crate::net::transport::Transport;
use crate::server::Server;
use crate::telemetry::metrics::worker::WorkerMetrics;

/// A connection that is served until this is dropped.
pub(super) struct TestConnection {
    pub(super) metrics: Arc<WorkerMetrics>,
    goaway: GoawayTrigger,
}

impl TestConnection {
    /// Serves `io` with the default configuration, on a task of the current `LocalSet`.
    pub(super) async fn serve<IO>(
        io: IO,
        max_read: Readable,
        services: impl Fn(&Config) -> Vec<Service> + Send + Sync + 'static,
    ) -> TestConnection
    where
        IO: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let listen = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()];
        let config = Config { listen, ..Config::default() };
        let limits = config.limits;
        let server = Server::bind(config, services).await.unwrap();
        let memory = MemoryLimit::new(limits.memory_limit.as_u64(), 1);
        let router = (server.make_router(memory))();
        let metrics = router.state.metrics.clone();
        let mut transport = Transport::new(limits, router);
        transport.max_read = max_read;
        let negotiated =
            Negotiated { io, first_bytes: Bytes::new(), is_http2: true, client_certificate: None };
        let handshake = std::future::ready(Ok(negotiated));
        let (opened, goaway) = Opened::new(Peer::Unix, false, transport.memory());
        spawn_local(connection::serve(handshake, opened, Rc::new(transport)));
        TestConnection { metrics, goaway }
    }
}

impl Drop for TestConnection {
    fn drop(&mut self) {
        self.goaway.drain();
    }
}
