//! A network that fails as planned: a proxy on loopback that cuts, closes or partitions each connection after a
//! number of bytes, delays it, and splits what it passes on.
//!
//! The plan of a connection is a value, so that a seed determines it. A simulator such as turmoil replaces the
//! sockets instead, and our programs would have to be generic over them. The proxy leaves them real: resets,
//! half-closed connections and the buffers of the kernel are those of production. What a seed does not
//! determine is the scheduling of the processes.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy, sink};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::time::sleep;
use tokio::{join, select, try_join};

/// How a connection fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Both sides receive a RST.
    Reset,
    /// Both sides receive a FIN.
    Close,
    /// Nothing passes any more, and no side is notified, until the network is dropped.
    Partition,
    /// Nothing passes in this direction any more.
    OneWayPartition,
}

/// What happens to the bytes of one direction.
#[derive(Debug, Clone, Copy, Default)]
pub struct DirectionPlan {
    /// The fault, and the number of bytes that pass before it.
    pub fault: Option<(u64, Fault)>,
    /// A delay, and the number of bytes that pass before it.
    pub delay: Option<(u64, Duration)>,
    /// The seed of random pieces of at most [`MAX_PIECE_BYTES`]; `None` passes on what arrives.
    pub pieces: Option<u64>,
}

/// What happens to one connection.
#[derive(Debug, Clone, Copy, Default)]
pub struct ConnectionPlan {
    /// From the client to the server.
    pub to_server: DirectionPlan,
    /// From the server to the client.
    pub to_client: DirectionPlan,
}

/// The maximum size of a random piece: smaller than most frames.
pub const MAX_PIECE_BYTES: usize = 20;

/// A running network. Dropped, it closes its connections.
#[derive(Debug)]
pub struct FaultyNetwork {
    /// `HOST:PORT` for clients.
    pub address: String,
    shared: Arc<Mutex<Shared>>,
    _stop: oneshot::Sender<()>,
}

#[derive(Debug)]
struct Shared {
    server: SocketAddr,
    /// The bytes that have passed on each connection, to the server and to the client.
    passed: Vec<[u64; 2]>,
}

type Plans = dyn Fn(usize) -> ConnectionPlan + Send;

impl FaultyNetwork {
    /// Starts in front of the server at `HOST:PORT`. The connections have the plans of their numbers.
    pub fn start(
        server: &str,
        plans: impl Fn(usize) -> ConnectionPlan + Send + 'static,
    ) -> FaultyNetwork {
        let shared = Shared { server: server.parse().unwrap(), passed: Vec::new() };
        let shared = Arc::new(Mutex::new(shared));
        let ((stop, stopped), (announce, announced)) = (oneshot::channel(), mpsc::channel());
        let network = shared.clone();
        thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                announce.send(listener.local_addr().unwrap().to_string()).unwrap();
                select! {
                    () = accept(&listener, network, Box::new(plans)) => {}
                    _ = stopped => {}
                }
            });
        });
        let address = announced.recv().expect("the network should start");
        FaultyNetwork { address, shared, _stop: stop }
    }

    /// Leads new connections to another server.
    pub fn set_server(&self, server: &str) {
        lock(&self.shared).server = server.parse().unwrap();
    }

    /// Returns the bytes that have passed on each connection, to the server and to the client.
    pub fn passed(&self) -> Vec<[u64; 2]> {
        lock(&self.shared).passed.clone()
    }
}

impl ConnectionPlan {
    /// Returns a random plan for an exchange of about this many bytes in each direction.
    pub fn random(rng: &mut Rng, bytes: u64) -> ConnectionPlan {
        let mut plan = ConnectionPlan::default();
        for direction in [&mut plan.to_server, &mut plan.to_client] {
            direction.pieces = rng.bool().then(|| rng.u64(..));
            let delay = Duration::from_millis(rng.u64(1..5));
            direction.delay = rng.bool().then(|| (rng.u64(..bytes), delay));
        }
        let faults = [Fault::Reset, Fault::Close, Fault::Partition, Fault::OneWayPartition];
        let fault = rng.choice(faults).map(|fault| (rng.u64(..bytes), fault));
        match rng.u8(..3) {
            0 => {}
            1 => plan.to_server.fault = fault,
            _ => plan.to_client.fault = fault,
        }
        plan
    }
}

async fn accept(listener: &TcpListener, shared: Arc<Mutex<Shared>>, plans: Box<Plans>) {
    loop {
        let Ok((client, _)) = listener.accept().await else {
            continue; // the client has gone
        };
        let (server, number) = {
            let mut shared = lock(&shared);
            shared.passed.push([0; 2]);
            (shared.server, shared.passed.len() - 1)
        };
        tokio::spawn(relay(client, server, plans(number), number, shared.clone()));
    }
}

/// Passes on the bytes of a connection until both sides have closed it, or as the plan says.
async fn relay(
    mut client: TcpStream,
    server: SocketAddr,
    plan: ConnectionPlan,
    number: usize,
    shared: Arc<Mutex<Shared>>,
) {
    let Ok(mut server) = TcpStream::connect(server).await else {
        return client.set_zero_linger().unwrap(); // nothing listens behind the network
    };
    for stream in [&client, &server] {
        stream.set_nodelay(true).unwrap();
    }
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let passed = |direction: usize| {
        let shared = &shared;
        move |bytes: u64| lock(shared).passed[number][direction] += bytes
    };
    let ended = try_join!(
        pass(&mut from_client, &mut to_server, plan.to_server, passed(0)),
        pass(&mut from_server, &mut to_client, plan.to_client, passed(1)),
    );
    match ended {
        Ok(_) => {} // both sides have closed it
        Err(Fault::Reset) => {
            client.set_zero_linger().unwrap();
            server.set_zero_linger().unwrap();
        }
        Err(Fault::Close) => {
            // A socket that is closed with unread bytes sends a RST.
            let (mut client_sink, mut server_sink) = (sink(), sink());
            let _ = join!(to_client.shutdown(), to_server.shutdown());
            let _ = join!(
                copy(&mut from_client, &mut client_sink),
                copy(&mut from_server, &mut server_sink)
            );
        }
        Err(_) => std::future::pending().await, // a partition of both directions
    }
}

/// Passes on the bytes of one direction and their end. Fails with the fault of the connection.
async fn pass(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    plan: DirectionPlan,
    passed: impl Fn(u64),
) -> Result<(), Fault> {
    let mut pieces = plan.pieces.map(Rng::with_seed);
    let mut buffer = [0; 4_096];
    let mut position = 0;
    loop {
        match plan.fault {
            Some((at, Fault::OneWayPartition)) if at == position => std::future::pending().await,
            Some((at, fault)) if at == position => return Err(fault),
            _ => {}
        }
        if let Some((at, delay)) = plan.delay
            && at == position
        {
            sleep(delay).await;
        }
        let max_bytes = pieces.as_mut().map_or(buffer.len(), |rng| rng.usize(1..=MAX_PIECE_BYTES));
        let events = [plan.fault.map(|(at, _)| at), plan.delay.map(|(at, _)| at)];
        let next_event = events.into_iter().flatten().filter(|at| *at > position).min();
        let until_event = next_event.map_or(usize::MAX, |at| (at - position) as usize);
        let part = &mut buffer[..max_bytes.min(until_event)];
        match from.read(part).await {
            Ok(0) => {
                let _ = to.shutdown().await; // an error: that side has closed the connection as well
                return Ok(());
            }
            Ok(length) => {
                passed(length as u64); // before the receiver has them
                to.write_all(&part[..length]).await.map_err(|_| Fault::Reset)?;
                position += length as u64;
                tokio::task::yield_now().await; // the receiver may read the piece by itself
            }
            Err(_) => return Err(Fault::Reset),
        }
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read as _, Write as _};
    use std::net;

    use super::*;
    use crate::TEST_TIMEOUT;

    /// Opens a connection through a network to a peer, and returns both ends.
    fn connect(plan: ConnectionPlan) -> (FaultyNetwork, net::TcpStream, net::TcpStream) {
        let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap().to_string();
        let network = FaultyNetwork::start(&server, move |_| plan);
        let client = net::TcpStream::connect(&network.address).unwrap();
        let (server, _) = listener.accept().unwrap();
        for stream in [&client, &server] {
            stream.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
        }
        (network, client, server)
    }

    fn failing(fault: Fault) -> ConnectionPlan {
        let pieces = Some(1);
        let to_server = DirectionPlan { fault: Some((3, fault)), pieces, ..Default::default() };
        ConnectionPlan { to_server, ..Default::default() }
    }

    #[test]
    fn bytes_and_the_end_of_each_direction_pass() {
        let (network, mut client, mut server) = connect(ConnectionPlan::default());
        client.write_all(b"request").unwrap();
        client.shutdown(net::Shutdown::Write).unwrap();
        let mut text = String::new();
        server.read_to_string(&mut text).unwrap();
        server.write_all(b"reply").unwrap();
        drop(server);
        client.read_to_string(&mut text).unwrap();
        assert_eq!(text, "requestreply");
        assert_eq!(network.passed(), [[7, 5]]);
    }

    #[test]
    fn connection_is_cut_after_the_planned_byte() {
        for (fault, expected) in
            [(Fault::Reset, Err(ErrorKind::ConnectionReset)), (Fault::Close, Ok(0))]
        {
            let (network, mut client, mut server) = connect(failing(fault));
            client.write_all(b"request").unwrap();
            let mut read = [0; 3];
            server.read_exact(&mut read).unwrap();
            assert_eq!(&read, b"req");
            for stream in [&mut server, &mut client] {
                let end = stream.read(&mut read).map_err(|error| error.kind());
                assert_eq!(end, expected, "{fault:?}");
            }
            assert_eq!(network.passed(), [[3, 0]]);
        }
    }

    #[test]
    fn partition_of_one_direction_passes_the_other() {
        let (network, mut client, mut server) = connect(failing(Fault::OneWayPartition));
        client.write_all(b"request").unwrap();
        server.read_exact(&mut [0; 3]).unwrap();
        server.write_all(b"reply").unwrap();
        client.read_exact(&mut [0; 5]).unwrap();
        server.set_nonblocking(true).unwrap();
        let end = server.read(&mut [0; 1]).map_err(|error| error.kind());
        assert_eq!(end, Err(ErrorKind::WouldBlock));
        assert_eq!(network.passed(), [[3, 5]]);
    }

    #[test]
    fn seed_determines_the_plan() {
        let plan = |seed| format!("{:?}", ConnectionPlan::random(&mut Rng::with_seed(seed), 100));
        assert_eq!(plan(1), plan(1));
        assert!((2..10).any(|seed| plan(seed) != plan(1)));
    }
}
