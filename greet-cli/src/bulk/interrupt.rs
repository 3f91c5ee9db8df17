//! Handles SIGINT and SIGTERM: the first ends a command with its results so far; the second ends
//! the process at once, even if it waits for a slow reader or a stopped terminal.

use crate::exit::Exit;

/// Waits for the first signal and returns its exit code.
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

/// Registers two actions for each signal: the default one if the flag is set, and setting it.
#[cfg(unix)]
fn exit_on_second_signal() {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use signal_hook::consts::{SIGINT, SIGTERM};
    use signal_hook::flag;

    let seen = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // If either fails, the first signal ends the process.
        let _ = flag::register_conditional_default(signal, Arc::clone(&seen));
        let _ = flag::register(signal, Arc::clone(&seen));
    }
}
