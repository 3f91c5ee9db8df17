//! How far many calls are: a line on standard error that is rewritten, and gone at the end.

use std::fmt::Write;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

/// How often it moves while nothing else does.
const TICK: Duration = Duration::from_millis(200);

/// Steps of a bar that has no calls to count.
const WHOLE: u64 = 1_000;

/// The line.
#[derive(Debug)]
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// Of so many calls, if that is known.
    pub(super) fn new(calls: Option<u64>) -> Progress {
        let (bar, template) = match calls {
            Some(calls) => (
                ProgressBar::new(calls),
                "{bar:30} {human_pos} of {human_len} calls, {rate}, {eta} left",
            ),
            None => (ProgressBar::no_length(), "{spinner} {human_pos} calls, {rate}"),
        };
        let style = ProgressStyle::with_template(template).expect("the template is fixed");
        let rate = |state: &ProgressState, text: &mut dyn Write| {
            let _ = write!(text, "{:.0}/s", state.per_sec());
        };
        bar.set_style(style.with_key("rate", rate));
        bar.enable_steady_tick(TICK);
        Progress(bar)
    }

    /// Of a load test.
    pub(super) fn of_load() -> Progress {
        let bar = ProgressBar::new(WHOLE);
        let style = ProgressStyle::with_template("{bar:20} {percent}% {msg}");
        bar.set_style(style.expect("the template is fixed"));
        bar.set_message("warming up");
        bar.enable_steady_tick(TICK);
        Progress(bar)
    }

    /// How far it is, and what is to be said of it.
    pub(super) fn at_share(&self, share: f64, so_far: String) {
        self.0.set_position((share.clamp(0.0, 1.0) * WHOLE as f64) as u64);
        self.0.set_message(so_far);
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
