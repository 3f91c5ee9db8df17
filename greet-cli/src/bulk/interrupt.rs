//! Ctrl-C, and SIGTERM, which is how `timeout` and CI end a command: the first lets many calls end with what
//! there is, the second ends the process at once, whatever it waits for: a reader that does not read, a terminal
//! that is stopped.

use crate::exit::Exit;

/// Returns at the first, with how the process is to end.
pub(crate) async fn first_signal() -> Exit {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};

        exit_on_second_signal();
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            return tokio::select! {
                _ = tokio::signal::ctrl_c() => Exit::Interrupted,
                _ = terminate.recv() => Exit::Terminated,
            };
        }
    }
    let _ = tokio::signal::ctrl_c().await;
    Exit::Interrupted
}

/// The order counts: the first signal finds the flag down, and raises it for the second.
#[cfg(unix)]
fn exit_on_second_signal() {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use signal_hook::consts::{SIGINT, SIGTERM};
    use signal_hook::flag;

    let seen = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // Where it cannot be registered, the first signal is the last, as it is by default.
        let _ = flag::register_conditional_default(signal, Arc::clone(&seen));
        let _ = flag::register(signal, Arc::clone(&seen));
    }
}
