//! Connections without calls: peers that hold one without a handshake, or open one after the other.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use greet_testkit::HostilePeer;
use greet_testkit::http2::{PREFACE, settings};

/// The whole takes longer than any server allows for a handshake.
const DRIP_INTERVAL: Duration = Duration::from_millis(500);

pub(super) fn silent(target: &str, is_over: &AtomicBool) -> io::Result<()> {
    HostilePeer::open(target, is_over)?.hold()
}

pub(super) fn preface_drip(target: &str, is_over: &AtomicBool) -> io::Result<()> {
    let mut peer = HostilePeer::open(target, is_over)?;
    peer.drip(&[PREFACE, &settings(&[])].concat(), DRIP_INTERVAL)?;
    peer.hold()
}

pub(super) fn churn(target: &str, is_over: &AtomicBool) -> io::Result<()> {
    while !is_over.load(Ordering::Relaxed) {
        HostilePeer::connect(target, &[], is_over)?;
    }
    Ok(())
}
