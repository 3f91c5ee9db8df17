//! gRPC messages as bytes: the five-byte prefix, and a message of protobuf.

/// Returns `message` after its prefix: the flag 0 for no compression, and the length.
pub fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0][..], &length, message].concat()
}

/// Encodes a message of protobuf whose field 1 is a string or bytes.
pub fn text_message(text: &str) -> Vec<u8> {
    let mut message = vec![0x0a];
    let mut length = text.len();
    while length > 0x7f {
        message.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    message.push(length as u8);
    message.extend_from_slice(text.as_bytes());
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_a_string_behind_a_prefix() {
        assert_eq!(framed(&text_message("Ada")), b"\0\0\0\0\x05\x0a\x03Ada");
        assert_eq!(framed(&text_message(&"x".repeat(300)))[..8], *b"\0\0\0\x01\x2f\x0a\xac\x02");
    }
}
