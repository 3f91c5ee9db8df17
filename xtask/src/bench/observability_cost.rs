//! The cost of observability: metrics scraped once a second, an access log line and a span for each
//! call, each against the daemon without.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;

use super::calls::{self, Effort, Table};
use super::h2load::{Generator, Shape};
use super::peers::{Peer, Starter};

/// The daemon without and with each kind of observability.
pub(super) const KINDS: [Peer; 4] =
    [Peer::Greet, Peer::GreetScraped, Peer::GreetLogged, Peer::GreetTraced];

const SCRAPE_INTERVAL: Duration = Duration::from_secs(1);

pub(super) fn measure(
    starter: &Starter,
    generator: &Generator,
    effort: Effort,
) -> anyhow::Result<Table> {
    let servers = starter.start_all(KINDS)?;
    let scraped = servers.iter().find_map(|(_, server)| server.admin.clone());
    let scraped = scraped.context("one daemon has an admin port")?;
    let (over, is_over) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let scraping = scope.spawn(move || {
            let mut scrapes = 0;
            while is_over.recv_timeout(SCRAPE_INTERVAL) == Err(mpsc::RecvTimeoutError::Timeout) {
                scrape(&scraped)?;
                scrapes += 1;
            }
            anyhow::Ok(scrapes)
        });
        let table = calls::measure(&servers, generator, Shape::TEN_BY_TEN, effort);
        drop(over);
        let scrapes = scraping.join().expect("the thread does not panic")?;
        anyhow::ensure!(scrapes > 0, "no scrape took place");
        table
    })
}

fn scrape(admin: &str) -> anyhow::Result<()> {
    let mut tcp = TcpStream::connect(admin.trim_start_matches("http://"))?;
    tcp.write_all(b"GET /metrics HTTP/1.1\r\nhost: bench\r\n\r\n")?;
    let mut page = String::new();
    tcp.read_to_string(&mut page)?;
    anyhow::ensure!(page.contains("grpc_server_call_started_total"), "no metrics: {page}");
    Ok(())
}
