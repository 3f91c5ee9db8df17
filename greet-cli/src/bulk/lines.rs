//! The lines of a file or of standard input, read as they are needed: ten million take no more memory
//! than ten.

use std::io::{self, BufRead as _, BufReader, Read};
use std::{thread, vec};

use tokio::sync::mpsc;

/// The size of one read.
const BUFFER_BYTES: usize = 64 * 1024;
/// Batches of lines that are read ahead.
const MAX_BATCHES_AHEAD: usize = 4;
/// A file without line ends must not fill memory.
const MAX_LINE_BYTES: usize = 1024 * 1024;

/// Some editors write it before the first line.
pub(crate) const BYTE_ORDER_MARK: &str = "\u{feff}";

/// Why a line is not a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("not UTF-8")]
    NotUtf8,
    #[error("longer than {MAX_LINE_BYTES} bytes")]
    TooLong,
}

type Line = Result<String, Unusable>;

/// Lines, in order.
#[derive(Debug)]
pub(crate) struct Lines {
    batches: mpsc::Receiver<io::Result<Vec<Line>>>,
    batch: vec::IntoIter<Line>,
}

impl Lines {
    /// Starts to read in a thread, because reading a file or a terminal blocks.
    pub(crate) fn new(from: impl Read + Send + 'static) -> Lines {
        let (sender, batches) = mpsc::channel(MAX_BATCHES_AHEAD);
        thread::spawn(move || {
            let mut from = BufReader::with_capacity(BUFFER_BYTES, from);
            let mut batch = read_batch(&mut from);
            if let Ok([Ok(first), ..]) = batch.as_deref_mut()
                && first.starts_with(BYTE_ORDER_MARK)
            {
                first.drain(..BYTE_ORDER_MARK.len());
            }
            // An error of the channel: the receiver needs no more lines.
            while !batch.as_ref().is_ok_and(Vec::is_empty) {
                let has_failed = batch.is_err();
                if sender.blocking_send(batch).is_err() || has_failed {
                    break;
                }
                batch = read_batch(&mut from);
            }
        });
        Lines { batches, batch: Vec::new().into_iter() }
    }

    /// Returns the next line without its end, `None` after the last. Cancel safe.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            if let Some(line) = self.batch.next() {
                return Ok(Some(line));
            }
            match self.batches.recv().await {
                Some(batch) => self.batch = batch?.into_iter(),
                None => return Ok(None),
            }
        }
    }
}

/// Reads a line, and those after it that are in the buffer: a line from a terminal does not wait for
/// another. No lines: the end.
fn read_batch(from: &mut BufReader<impl Read>) -> io::Result<Vec<Line>> {
    let mut batch = Vec::new();
    while let Some(line) = read_line(from)? {
        batch.push(line);
        if !from.buffer().contains(&b'\n') {
            break;
        }
    }
    Ok(batch)
}

fn read_line(from: &mut BufReader<impl Read>) -> io::Result<Option<Line>> {
    let mut line = Vec::new();
    from.by_ref().take(MAX_LINE_BYTES as u64 + 1).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.pop_if(|last| *last == b'\n').is_none() && line.len() > MAX_LINE_BYTES {
        from.skip_until(b'\n')?;
        return Ok(Some(Err(Unusable::TooLong)));
    }
    line.pop_if(|last| *last == b'\r');
    Ok(Some(String::from_utf8(line).map_err(|_| Unusable::NotUtf8)))
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
        let fits = lines(&text(MAX_LINE_BYTES), BUFFER_BYTES);
        assert_eq!(fits[1].as_ref().map(String::len), Ok(MAX_LINE_BYTES));
        let too_long = lines(&text(MAX_LINE_BYTES + 1), BUFFER_BYTES);
        assert_eq!(too_long[1..], [Err(Unusable::TooLong), Ok("b".to_owned())]);
        let endless = lines(&b"x".repeat(5 * MAX_LINE_BYTES), BUFFER_BYTES);
        assert_eq!(endless, [Err(Unusable::TooLong)]);
    }
}
