//! The framing of a gRPC message: one byte of flags, four bytes of length, the message
//! ("gRPC over HTTP2", Length-Prefixed-Message).

use prost::Message;

/// The size of the prefix of a message.
pub const PREFIX_BYTES: usize = 5;

/// The prefix of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    /// 1 for a compressed message, 0 otherwise; gRPC-Web also uses the highest bit.
    pub flags: u8,
    /// The size of the message in bytes, without the prefix.
    pub length: u32,
}

impl Prefix {
    /// Encodes the prefix.
    #[must_use]
    pub const fn encode(self) -> [u8; PREFIX_BYTES] {
        let [a, b, c, d] = self.length.to_be_bytes();
        [self.flags, a, b, c, d]
    }

    /// Decodes a prefix.
    #[must_use]
    pub const fn decode([flags, a, b, c, d]: [u8; PREFIX_BYTES]) -> Prefix {
        Prefix { flags, length: u32::from_be_bytes([a, b, c, d]) }
    }
}

/// Returns an uncompressed message with its prefix, in a buffer of exactly that size.
///
/// # Panics
/// The message is 4 GiB or larger.
#[must_use]
pub fn frame(message: &impl Message) -> Vec<u8> {
    let length = message.encoded_len();
    let mut framed = Vec::with_capacity(PREFIX_BYTES + length);
    let length = u32::try_from(length).expect("a message is smaller than 4 GiB");
    framed.extend_from_slice(&Prefix { flags: 0, length }.encode());
    message.encode(&mut framed).expect("the buffer has room for the message");
    framed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grpc::health::v1::HealthCheckRequest;

    #[test]
    fn a_prefix_is_flags_and_a_big_endian_length() {
        let prefix = Prefix { flags: 1, length: 0x0102_0304 };
        assert_eq!(prefix.encode(), [1, 1, 2, 3, 4]);
        assert_eq!(Prefix::decode(prefix.encode()), prefix);
    }

    #[test]
    fn a_framed_message_follows_its_prefix() {
        let framed = frame(&HealthCheckRequest { service: "Ada".to_owned() });
        assert_eq!(framed, b"\0\0\0\0\x05\x0a\x03Ada");
        assert_eq!(framed.capacity(), framed.len());
        assert_eq!(frame(&HealthCheckRequest::default()), [0; PREFIX_BYTES]);
    }
}
