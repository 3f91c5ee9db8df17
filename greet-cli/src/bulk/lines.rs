//! The lines of a file or of standard input, read as they are needed: ten million take no more memory
//! than ten.

use std::io::{self, Read};
use std::thread;

use tokio::sync::mpsc;

/// Read at a time.
const CHUNK_BYTES: usize = 64 * 1024;
/// Chunks that are read ahead.
const CHUNKS_AHEAD: usize = 4;
/// No name is longer; a file without line ends must not fill memory.
const MOST_LINE_BYTES: usize = 1024 * 1024;

/// What some editors write before the first line, and belongs to no name.
pub(crate) const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Why a line is no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("not UTF-8")]
    NotUtf8,
    #[error("longer than {MOST_LINE_BYTES} bytes")]
    TooLong,
}

/// Lines, in order.
#[derive(Debug)]
pub(crate) struct Lines {
    chunks: mpsc::Receiver<io::Result<Vec<u8>>>,
    chunk: Vec<u8>,
    /// What of `chunk` was handed out.
    taken: usize,
    /// The beginning of a line that goes on in the next chunk.
    begun: Vec<u8>,
    /// Whether that one is too long already, and is only skipped.
    skipping: bool,
    /// Whether the first line is still to come.
    is_first: bool,
}

impl Lines {
    /// Reads `from` in a thread of its own: to read a file or a terminal is to wait.
    pub(crate) fn new(mut from: impl Read + Send + 'static) -> Lines {
        let (sender, chunks) = mpsc::channel(CHUNKS_AHEAD);
        thread::spawn(move || {
            loop {
                let mut chunk = vec![0; CHUNK_BYTES];
                let read = match from.read(&mut chunk) {
                    Ok(0) => return,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    read => read,
                };
                let failed = read.is_err();
                let chunk = read.map(|length| {
                    chunk.truncate(length);
                    chunk
                });
                // An error: nobody wants the rest.
                if sender.blocking_send(chunk).is_err() || failed {
                    return;
                }
            }
        });
        Lines {
            chunks,
            chunk: Vec::new(),
            taken: 0,
            begun: Vec::new(),
            skipping: false,
            is_first: true,
        }
    }

    /// The next line, without its end; `None` after the last. Nothing is lost if it is given up.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Result<String, Unusable>>> {
        loop {
            let rest = &self.chunk[self.taken..];
            if let Some(length) = rest.iter().position(|byte| *byte == b'\n') {
                let line = &rest[..length];
                self.taken += length + 1;
                if self.begun.is_empty() && !self.skipping && !self.is_first {
                    return Ok(Some(name(line)));
                }
                self.begun.extend_from_slice(line);
                return Ok(Some(self.whole()));
            }
            self.begun.extend_from_slice(rest);
            if self.begun.len() > MOST_LINE_BYTES {
                self.skipping = true;
                self.begun = Vec::new();
            }
            // Before the wait: whoever gives it up and comes back must not find the same again.
            (self.chunk, self.taken) = (Vec::new(), 0);
            match self.chunks.recv().await {
                Some(chunk) => self.chunk = chunk?,
                None => {
                    let nothing = self.begun.is_empty() && !self.skipping;
                    return Ok((!nothing).then(|| self.whole()));
                }
            }
        }
    }

    fn whole(&mut self) -> Result<String, Unusable> {
        let mut line = std::mem::take(&mut self.begun);
        if std::mem::take(&mut self.is_first) && line.starts_with(BYTE_ORDER_MARK) {
            line.drain(..BYTE_ORDER_MARK.len());
        }
        match std::mem::take(&mut self.skipping) {
            true => Err(Unusable::TooLong),
            false => name(&line),
        }
    }
}

fn name(line: &[u8]) -> Result<String, Unusable> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.len() > MOST_LINE_BYTES {
        return Err(Unusable::TooLong);
    }
    std::str::from_utf8(line).map(str::to_owned).map_err(|_| Unusable::NotUtf8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands out a few bytes at a time.
    struct Dribble(Vec<u8>, usize);

    impl Read for Dribble {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = self.1.min(self.0.len());
            buffer[..length].copy_from_slice(&self.0[..length]);
            self.0.drain(..length);
            Ok(length)
        }
    }

    fn lines(bytes: &[u8], at_a_time: usize) -> Vec<Result<String, Unusable>> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut lines = Lines::new(Dribble(bytes.to_vec(), at_a_time));
        let mut all = Vec::new();
        while let Some(line) = runtime.block_on(lines.next()).unwrap() {
            all.push(line);
        }
        all
    }

    #[test]
    fn lines_are_lines_however_they_come() {
        let text = "Ada\n\nZoë\r\nlast".as_bytes();
        for at_a_time in [1, 2, 3, 100] {
            assert_eq!(
                lines(text, at_a_time),
                ["Ada", "", "Zoë", "last"].map(|l| Ok(l.to_owned()))
            );
        }
        assert_eq!(
            lines("\u{feff}Ada\n\u{feff}".as_bytes(), 2),
            ["Ada", "\u{feff}"].map(|l| Ok(l.to_owned()))
        );
        assert_eq!(lines(b"", 1), []);
        assert_eq!(lines(b"\n", 1), [Ok(String::new())]);
    }

    #[test]
    fn a_line_that_is_no_name_costs_only_itself() {
        let text = b"a\n\xff\nb\n";
        assert_eq!(
            lines(text, 2),
            [Ok("a".to_owned()), Err(Unusable::NotUtf8), Ok("b".to_owned())]
        );
    }

    #[test]
    fn a_line_has_a_limit() {
        let text = |length| [&b"a\n"[..], &b"x".repeat(length), b"\nb\n"].concat();
        let fits = lines(&text(MOST_LINE_BYTES), CHUNK_BYTES);
        assert_eq!(fits[1].as_ref().map(String::len), Ok(MOST_LINE_BYTES));
        let too_long = lines(&text(MOST_LINE_BYTES + 1), CHUNK_BYTES);
        assert_eq!(too_long[1..], [Err(Unusable::TooLong), Ok("b".to_owned())]);
        let endless = lines(&b"x".repeat(5 * MOST_LINE_BYTES), CHUNK_BYTES);
        assert_eq!(endless, [Err(Unusable::TooLong)]);
    }
}
