//! Raises the limit of open files (RLIMIT_NOFILE), as the runtime of Go does: the soft limit is often
//! 1024 for the sake of select(2), and each connection needs a file descriptor.

/// What macOS allows a process, although its hard limit is infinite.
#[cfg(unix)]
const OPEN_MAX: u64 = 10_240;

/// Raises the soft limit to the hard one. A connection beyond that limit fails with its error.
pub(crate) fn raise_to_hard_limit() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let is_raised = |soft: &Option<u64>| {
            current.is_some_and(|current| soft.is_none_or(|soft| soft > current))
        };
        let candidates = [maximum, Some(OPEN_MAX)].into_iter().filter(is_raised);
        for soft in candidates {
            if setrlimit(Resource::Nofile, Rlimit { current: soft, maximum }).is_ok() {
                return;
            }
        }
    }
}
