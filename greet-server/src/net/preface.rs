//! Reads the HTTP/2 client preface and SETTINGS (RFC 9113, section 3.4).
//!
//! The h2 crate would wait for them without a deadline, so they are read first and then replayed.

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _};

const MAGIC: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_HEADER_BYTES: usize = 9;
const SETTINGS: u8 = 4;
/// SETTINGS_MAX_FRAME_SIZE before any SETTINGS. h2 rejects a longer first frame.
const MAX_FIRST_FRAME_BYTES: usize = 16_384;
/// Enough for the preface, SETTINGS and the first request of every known client.
const FIRST_READ_BYTES: usize = 1_024;

/// The reason for a missing preface.
#[derive(Debug)]
pub(crate) enum PrefaceError {
    /// The first bytes belong to another protocol.
    NotHttp2(Bytes),
    /// The peer or the network closed the connection.
    PeerClosed,
}

/// Reads until preface and first frame are complete. Returns all bytes, maybe with requests.
pub(crate) async fn read<IO: AsyncRead + Unpin>(io: &mut IO) -> Result<Bytes, PrefaceError> {
    let mut received = BytesMut::with_capacity(FIRST_READ_BYTES);
    loop {
        match is_complete(&received) {
            Ok(true) => return Ok(received.freeze()),
            Ok(false) => {}
            Err(NotHttp2) => return Err(PrefaceError::NotHttp2(received.freeze())),
        }
        match io.read_buf(&mut received).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return Err(PrefaceError::PeerClosed),
        }
    }
}

#[derive(Debug)]
struct NotHttp2;

/// Returns whether preface and first frame are complete, or an error at the first other byte.
fn is_complete(received: &[u8]) -> Result<bool, NotHttp2> {
    let compared = received.len().min(MAGIC.len());
    if received[..compared] != MAGIC[..compared] {
        return Err(NotHttp2);
    }
    let Some([high, middle, low, kind, ..]) =
        received.get(MAGIC.len()..MAGIC.len() + FRAME_HEADER_BYTES)
    else {
        return Ok(false);
    };
    if *kind != SETTINGS {
        return Err(NotHttp2);
    }
    let payload_bytes = u32::from_be_bytes([0, *high, *middle, *low]) as usize;
    let expected = MAGIC.len() + FRAME_HEADER_BYTES + payload_bytes;
    Ok(received.len() >= expected || payload_bytes > MAX_FIRST_FRAME_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY_SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

    #[test]
    fn preface_is_complete_with_the_last_byte_of_settings() {
        let whole = [MAGIC, EMPTY_SETTINGS].concat();
        for length in 0..whole.len() {
            assert!(!is_complete(&whole[..length]).unwrap(), "{length} bytes");
        }
        assert!(is_complete(&whole).unwrap());
        assert!(is_complete(&[&whole[..], b"a request"].concat()).unwrap());
    }

    #[test]
    fn settings_with_values_are_read_whole() {
        let header = [0, 0, 6, 4, 0, 0, 0, 0, 0];
        let value = [0, 3, 0, 0, 0, 100];
        let whole = [MAGIC, &header, &value].concat();
        assert!(!is_complete(&whole[..whole.len() - 1]).unwrap());
        assert!(is_complete(&whole).unwrap());
    }

    #[test]
    fn another_protocol_is_recognised_at_the_first_byte_that_differs() {
        for wrong in [&b"GET / HTTP/1.1"[..], b"\x16\x03\x01", b"PRI * HTTP/1", b"X"] {
            assert!(matches!(is_complete(wrong), Err(NotHttp2)));
        }
    }

    #[test]
    fn first_frame_other_than_settings_is_not_http2() {
        let ping = [0, 0, 8, 6, 0, 0, 0, 0, 0];
        assert!(matches!(is_complete(&[MAGIC, &ping].concat()), Err(NotHttp2)));
    }

    #[test]
    fn oversize_first_frame_is_left_to_h2() {
        let header = [0xff, 0xff, 0xff, 4, 0, 0, 0, 0, 0];
        assert!(is_complete(&[MAGIC, &header].concat()).unwrap());
    }
}
