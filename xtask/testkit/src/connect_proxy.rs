//! An HTTP CONNECT proxy. Every tunnel leads to one server, so that a test can call it by any name.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver};
use std::thread;

/// A running proxy. Its threads end with the process.
#[derive(Debug)]
pub struct ConnectProxy {
    /// `HOST:PORT`
    pub address: String,
    requests: Receiver<String>,
}

impl ConnectProxy {
    /// Starts on loopback, in front of the server at `HOST:PORT`.
    #[must_use]
    pub fn start(server: &str) -> ConnectProxy {
        ConnectProxy::with_reply(server, "HTTP/1.1 200 Connection established\r\n\r\n")
    }

    /// Starts a proxy that opens its tunnels with another reply.
    #[must_use]
    pub fn with_reply(server: &str, reply: &str) -> ConnectProxy {
        ConnectProxy::serve(server, reply, false)
    }

    /// Starts a proxy that sends its reply together with the first bytes of a server, which must not
    /// wait for the client.
    #[must_use]
    pub fn with_late_reply(server: &str) -> ConnectProxy {
        ConnectProxy::serve(server, "HTTP/1.1 200 Late\r\n\r\n", true)
    }

    /// Returns the requests since the last time, up to their empty lines.
    pub fn requests(&self) -> Vec<String> {
        self.requests.try_iter().collect()
    }

    fn serve(server: &str, reply: &str, is_late: bool) -> ConnectProxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (sender, requests) = mpsc::channel();
        let (server, reply) = (server.to_owned(), reply.to_owned());
        thread::spawn(move || {
            for client in listener.incoming() {
                let (sender, server, reply) = (sender.clone(), server.clone(), reply.clone());
                // An error of either side ends the tunnel.
                thread::spawn(move || tunnel(client?, &sender, &server, reply, is_late));
            }
        });
        ConnectProxy { address, requests }
    }
}

/// Serves one connection.
fn tunnel(
    mut client: TcpStream,
    requests: &mpsc::Sender<String>,
    server: &str,
    reply: String,
    is_late: bool,
) -> io::Result<()> {
    let _ = requests.send(read_head(&mut client)?); // the test may be past reading
    let mut server = TcpStream::connect(server)?;
    let mut opening = reply.into_bytes();
    if is_late {
        let mut first = [0; 1_024];
        let read = server.read(&mut first)?;
        opening.extend_from_slice(&first[..read]);
    }
    client.write_all(&opening)?;
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || {
        let _ = io::copy(&mut from_client, &mut to_server);
        to_server.shutdown(Shutdown::Write)
    });
    io::copy(&mut server, &mut client)?;
    client.shutdown(Shutdown::Write)
}

/// Reads a request up to its empty line; the client waits for the reply after it.
fn read_head(client: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        head.extend(byte);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}
