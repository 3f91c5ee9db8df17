//! Connections without calls: peers that hold one without a handshake, or open one after the other.

use std::io;
use std::time::Duration;

use greet_testkit::http2::{PREFACE, settings};
use greet_testkit::{AttackState, HostilePeer};

/// The whole takes longer than any server allows for a handshake.
const DRIP_INTERVAL: Duration = Duration::from_millis(500);

pub(super) fn silent(target: &str, attack: &AttackState) -> io::Result<()> {
    HostilePeer::open(target, attack)?.hold()
}

pub(super) fn preface_drip(target: &str, attack: &AttackState) -> io::Result<()> {
    let mut peer = HostilePeer::open(target, attack)?;
    peer.drip(&[PREFACE, &settings(&[])].concat(), DRIP_INTERVAL)?;
    peer.hold()
}

pub(super) fn churn(target: &str, attack: &AttackState) -> io::Result<()> {
    while !attack.is_over() {
        HostilePeer::connect(target, &[], attack)?;
    }
    Ok(())
}
