//! Ports as documents show them, and the free ones that stand for them in a run.

use std::net::TcpListener;

use anyhow::Context as _;

/// Pairs of a shown port and a free one.
#[derive(Debug)]
pub(crate) struct Ports(Vec<(u16, u16)>);

impl Ports {
    /// Free ports for those shown; none of them is one that is shown too.
    pub(crate) fn new(shown: impl IntoIterator<Item = u16>) -> anyhow::Result<Ports> {
        let mut held = Vec::new(); // until all are found, so that none is found twice
        let mut pairs = Vec::new();
        let shown: Vec<_> = shown.into_iter().collect();
        for port in &shown {
            loop {
                let listener = TcpListener::bind("127.0.0.1:0").context("no free port")?;
                let free = listener.local_addr()?.port();
                held.push(listener);
                if !shown.contains(&free) {
                    pairs.push((*port, free));
                    break;
                }
            }
        }
        Ok(Ports(pairs))
    }

    /// `text` with the free ports, which stand there after a colon or a space.
    pub(crate) fn free(&self, text: &str) -> String {
        let replace = |text: String, (shown, free): &(u16, u16)| {
            let text = text.replace(&format!(":{shown}"), &format!(":{free}"));
            text.replace(&format!(" {shown}"), &format!(" {free}"))
        };
        self.0.iter().fold(text.to_owned(), replace)
    }

    /// `text` with the ports as they are shown.
    pub(crate) fn shown(&self, text: &str) -> String {
        let replace = |text: String, (shown, free): &(u16, u16)| {
            text.replace(&format!(":{free}"), &format!(":{shown}"))
        };
        self.0.iter().fold(text.to_owned(), replace)
    }
}
