//! How far many calls are: a line on standard error that is rewritten, and gone at the end.

use indicatif::{ProgressBar, ProgressStyle};

/// The line.
#[derive(Debug)]
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// Of so many calls, if that is known.
    pub(super) fn new(calls: Option<u64>) -> Progress {
        let (bar, template) = match calls {
            Some(calls) => (
                ProgressBar::new(calls),
                "{bar:30} {human_pos} of {human_len} calls, {per_sec}, {eta} left",
            ),
            None => (ProgressBar::no_length(), "{spinner} {human_pos} calls, {per_sec}"),
        };
        bar.set_style(ProgressStyle::with_template(template).expect("the template is fixed"));
        Progress(bar)
    }

    pub(super) fn at(&self, calls: u64) {
        self.0.set_position(calls);
    }

    /// Does `what` to the terminal while the line is out of the way.
    pub(super) fn aside(&self, what: impl FnOnce()) {
        self.0.suspend(what);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
