//! Yields the input of each call, from the command line or from the lines of a file.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::{thread, vec};

use anyhow::Context as _;
use tokio::sync::mpsc;

#[derive(Debug)]
pub(crate) enum Source {
    Typed {
        inputs: Vec<String>,
        /// Calls for each input.
        count: NonZeroU64,
    },
    /// A file with one input a line; `-` is standard input.
    File(PathBuf),
}

#[derive(Debug)]
pub(crate) enum Inputs {
    /// The inputs of the command line in turn, up to a number of calls.
    Typed { inputs: Vec<String>, next: u64, calls: u64 },
    /// Lines of a file or of standard input.
    Read { lines: Lines, from: PathBuf, next: u64 },
}

/// The text of a line, or the reason that it is not text.
pub(super) type Line = Result<String, InvalidLine>;

impl Inputs {
    /// Fails if the file cannot be opened.
    pub(crate) fn new(source: &Source) -> anyhow::Result<Inputs> {
        match source {
            Source::Typed { inputs, count } => {
                let calls = count.get().saturating_mul(inputs.len() as u64);
                Ok(Inputs::Typed { inputs: inputs.clone(), next: 0, calls })
            }
            Source::File(path) => {
                let file =
                    open(path).with_context(|| format!("could not read `{}`", path.display()))?;
                Ok(Inputs::Read { lines: Lines::new(file), from: path.clone(), next: 0 })
            }
        }
    }

    /// Returns the number of calls, if it is known.
    pub(crate) fn calls(&self) -> Option<u64> {
        match self {
            Inputs::Typed { calls, .. } => Some(*calls),
            Inputs::Read { .. } => None,
        }
    }

    /// Returns the next input. Fails if the file is not readable.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Option<Line>> {
        match self {
            Inputs::Typed { next, calls, .. } if next == calls => Ok(None),
            Inputs::Typed { inputs, next, .. } => {
                let index = usize::try_from(*next % inputs.len() as u64).unwrap_or_default();
                *next += 1;
                Ok(Some(Ok(inputs[index].clone())))
            }
            Inputs::Read { lines, from, next } => {
                let line = lines.next().await;
                *next += 1;
                line.with_context(|| format!("could not read line {next} of `{}`", from.display()))
            }
        }
    }
}

/// Opens a file, or standard input for `-`. A directory fails here, not on the first read.
pub(crate) fn open(path: &Path) -> io::Result<Box<dyn Read + Send>> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdin()));
    }
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    Ok(Box::new(file))
}

/// The size of one read.
const BUFFER_BYTES: usize = 64 * 1024;
/// Maximum batches of lines that are read ahead.
const MAX_BATCHES_AHEAD: usize = 4;
/// Maximum size of a line, so that a file without line ends does not fill memory.
const MAX_LINE_BYTES: usize = 1024 * 1024;

/// A mark that some editors write before the first line.
pub(crate) const BYTE_ORDER_MARK: &str = "\u{feff}";

/// The reason that a line is not text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidLine {
    #[error("not UTF-8")]
    NotUtf8,
    #[error("longer than {MAX_LINE_BYTES} bytes")]
    TooLong,
}

#[derive(Debug)]
pub(crate) struct Lines {
    batches: mpsc::Receiver<io::Result<Vec<Line>>>,
    batch: vec::IntoIter<Line>,
}

impl Lines {
    /// Starts a thread that reads, because reading a file or a terminal blocks.
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
            // The channel fails if the receiver needs no more lines.
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

    /// Returns the next line without its line end. Cancel safe.
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

/// Reads a line and the complete lines in the buffer, so that a line from a terminal does not wait
/// for the next. Returns no lines at the end.
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
        return Ok(Some(Err(InvalidLine::TooLong)));
    }
    line.pop_if(|last| *last == b'\r');
    Ok(Some(String::from_utf8(line).map_err(|_| InvalidLine::NotUtf8)))
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

    fn lines(bytes: &[u8], at_a_time: usize) -> Vec<Result<String, InvalidLine>> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut lines = Lines::new(Dribble(bytes.to_vec(), at_a_time));
        let mut all = Vec::new();
        while let Some(line) = runtime.block_on(lines.next()).unwrap() {
            all.push(line);
        }
        all
    }

    #[test]
    fn lines_are_split_regardless_of_read_sizes() {
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
    fn invalid_line_does_not_affect_other_lines() {
        let text = b"a\n\xff\nb\n";
        assert_eq!(
            lines(text, 2),
            [Ok("a".to_owned()), Err(InvalidLine::NotUtf8), Ok("b".to_owned())]
        );
    }

    #[test]
    fn line_over_limit_is_rejected() {
        let text = |length| [&b"a\n"[..], &b"x".repeat(length), b"\nb\n"].concat();
        let fits = lines(&text(MAX_LINE_BYTES), BUFFER_BYTES);
        assert_eq!(fits[1].as_ref().map(String::len), Ok(MAX_LINE_BYTES));
        let too_long = lines(&text(MAX_LINE_BYTES + 1), BUFFER_BYTES);
        assert_eq!(too_long[1..], [Err(InvalidLine::TooLong), Ok("b".to_owned())]);
        let endless = lines(&b"x".repeat(5 * MAX_LINE_BYTES), BUFFER_BYTES);
        assert_eq!(endless, [Err(InvalidLine::TooLong)]);
    }
}
