//! Ctrl-C: the first lets many calls end with what there is, the second ends the process at once, whatever it
//! waits for: a reader that does not read, a terminal that is stopped.

/// Returns at the first.
pub(crate) async fn once() {
    #[cfg(unix)]
    die_at_the_second();
    let _ = tokio::signal::ctrl_c().await;
}

/// The order counts: the first signal finds the flag down, and raises it for the second.
#[cfg(unix)]
fn die_at_the_second() {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use signal_hook::consts::SIGINT;
    use signal_hook::flag;

    let seen = Arc::new(AtomicBool::new(false));
    // Where it cannot be registered, the first signal is the last, as it is by default.
    let _ = flag::register_conditional_default(SIGINT, Arc::clone(&seen));
    let _ = flag::register(SIGINT, seen);
}
