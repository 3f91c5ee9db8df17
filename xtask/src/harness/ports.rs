//! Replaces the ports that documents and configurations show by free ones.

use std::net::TcpListener;

use anyhow::Context as _;

/// Pairs of a shown port and a free one.
#[derive(Debug)]
pub(crate) struct Ports(Vec<(u16, u16)>);

impl Ports {
    /// Finds free ports; none of them is also a shown one.
    pub(crate) fn new(shown: impl IntoIterator<Item = u16>) -> anyhow::Result<Ports> {
        let mut open = Vec::new(); // until all are found, so that no port is found twice
        let mut pairs = Vec::new();
        let shown: Vec<_> = shown.into_iter().collect();
        for port in &shown {
            loop {
                let listener = TcpListener::bind("127.0.0.1:0").context("no free port")?;
                let free = listener.local_addr()?.port();
                open.push(listener);
                if !shown.contains(&free) {
                    pairs.push((*port, free));
                    break;
                }
            }
        }
        Ok(Ports(pairs))
    }

    /// Returns the free port for a shown one.
    pub(crate) fn free_port(&self, shown: u16) -> u16 {
        self.0.iter().find(|(port, _)| *port == shown).map_or(shown, |(_, free)| *free)
    }

    /// Returns `text` with the free ports; a shown port follows a colon or a space.
    pub(crate) fn free(&self, text: &str) -> String {
        let replace = |text: String, (shown, free): &(u16, u16)| {
            let text = text.replace(&format!(":{shown}"), &format!(":{free}"));
            text.replace(&format!(" {shown}"), &format!(" {free}"))
        };
        self.0.iter().fold(text.to_owned(), replace)
    }

    /// Returns `text` with the ports as the document shows them.
    pub(crate) fn shown(&self, text: &str) -> String {
        let replace = |text: String, (shown, free): &(u16, u16)| {
            text.replace(&format!(":{free}"), &format!(":{shown}"))
        };
        self.0.iter().fold(text.to_owned(), replace)
    }
}
