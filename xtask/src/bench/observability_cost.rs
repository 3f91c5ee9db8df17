//! What it costs to be looked at: metrics scraped each second, a line of log for each call, a span for
//! each call whose collector is away; against the same daemon with none of it, in turn.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;

use super::TEN_BY_TEN;
use super::calls::{self, Effort, Table};
use super::h2load::Generator;
use super::peers::{Peer, Starter};

/// The daemon as it is, and as it is looked at.
pub(super) const WAYS: [Peer; 4] =
    [Peer::Greet, Peer::GreetScraped, Peer::GreetLogged, Peer::GreetTraced];

const SCRAPE_EVERY: Duration = Duration::from_secs(1);

pub(super) fn measure(
    starter: &Starter,
    generator: &Generator,
    effort: Effort,
) -> anyhow::Result<Table> {
    let servers = WAYS.map(|way| Ok((way, starter.start(way)?)));
    let servers = servers.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    let scraped = servers.iter().find_map(|(_, server)| server.admin.clone());
    let scraped = scraped.context("one has an admin port")?;
    let (over, is_over) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let scraping = scope.spawn(move || {
            let mut scrapes = 0;
            while is_over.recv_timeout(SCRAPE_EVERY) == Err(mpsc::RecvTimeoutError::Timeout) {
                scrape(&scraped)?;
                scrapes += 1;
            }
            anyhow::Ok(scrapes)
        });
        let table = calls::measure(&servers, generator, TEN_BY_TEN, effort);
        drop(over);
        let scrapes = scraping.join().expect("it does not panic")?;
        anyhow::ensure!(scrapes > 0, "nobody scraped");
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
