//! What only the tests of the daemon need: its log, its samples, and the binary as a process.

pub(crate) mod http1;
pub(crate) mod log;
#[cfg(unix)]
pub(crate) mod namespace;
pub(crate) mod process;
pub(crate) mod samples;

/// Set where a skipped test is a failure (`cargo xtask ci --require-all`).
#[cfg(unix)]
const REQUIRE_ALL: &str = "REQUIRE_ALL_TESTS";

/// Writes the reason of a skipped test to standard error past the test harness. Fails where every
/// test is required.
#[cfg(unix)]
pub(crate) fn skip(reason: &str) {
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    let reason = format!("SKIP: {test}: {reason}\n");
    assert!(std::env::var_os(REQUIRE_ALL).is_none(), "{REQUIRE_ALL} is set. {reason}");
    std::io::Write::write_all(&mut std::io::stderr(), reason.as_bytes()).unwrap();
}
