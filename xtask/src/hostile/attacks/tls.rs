//! TLS handshakes that stall, fail, or stop when the server has done its part.

use std::io;

use greet_testkit::{AttackState, HostilePeer};

/// The start of a ClientHello that announces 512 bytes.
const STALLED: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc";
/// A record of application data before any handshake.
const JUNK: &[u8] = b"\x17\x03\x03\x00\x08junkjunk";

pub(super) fn stalled(target: &str, attack: &AttackState) -> io::Result<()> {
    let mut peer = HostilePeer::open(target, attack)?;
    peer.send(STALLED)?;
    peer.hold()
}

pub(super) fn junk(target: &str, attack: &AttackState) -> io::Result<()> {
    let mut peer = HostilePeer::open(target, attack)?;
    peer.send(JUNK)?;
    peer.hold()
}

/// Each costs the server a key exchange and a signature, and the peer nothing.
pub(super) fn client_hellos(target: &str, attack: &AttackState) -> io::Result<()> {
    let hello = client_hello();
    while !attack.is_over() {
        let mut peer = HostilePeer::open(target, attack)?;
        peer.send(&hello)?;
        peer.wait_for_reply()?;
    }
    Ok(())
}

/// Encodes a ClientHello of TLS 1.3 (RFC 8446, section 4.1.2), always with the same key.
fn client_hello() -> Vec<u8> {
    const ALPN_H2: &[u8] = b"\0\x10\0\x05\0\x03\x02h2";
    const VERSION_1_3: &[u8] = &[0, 43, 0, 3, 2, 3, 4];
    const X25519: &[u8] = &[0, 10, 0, 4, 0, 2, 0, 29];
    /// ECDSA with P-256, RSA-PSS and Ed25519.
    const SIGNATURES: &[u8] = &[0, 13, 0, 8, 0, 6, 4, 3, 8, 4, 8, 7];
    const KEY_SHARE: &[u8] = &[0, 51, 0, 38, 0, 36, 0, 29, 0, 32];
    let mut key = [0; 32];
    key[0] = 9; // the base point
    let extensions = [ALPN_H2, VERSION_1_3, X25519, SIGNATURES, KEY_SHARE, &key].concat();
    let random = [0; 32];
    let no_session = [0];
    let aes_128_gcm = [0, 2, 0x13, 1];
    let no_compression = [1, 0];
    let body = [
        &[3, 3][..],
        &random,
        &no_session,
        &aes_128_gcm,
        &no_compression,
        &length(&extensions),
        &extensions,
    ];
    let body = body.concat();
    let handshake = [&[1, 0][..], &length(&body), &body].concat();
    [&[0x16, 3, 1][..], &length(&handshake), &handshake].concat()
}

fn length(bytes: &[u8]) -> [u8; 2] {
    u16::try_from(bytes.len()).expect("a ClientHello is short").to_be_bytes()
}
