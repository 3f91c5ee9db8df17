//! Decompresses the gzip messages of a request, before tonic's codec reads them.
//!
//! The codec decodes only the first member of a gzip stream (RFC 1952, section 2.2), and drops the
//! others silently. grpc-go and gRPC C++ decode all of them.

use std::io::Read as _;

use bytes::{BufMut as _, Bytes, BytesMut};
use flate2::bufread::MultiGzDecoder;
use greet_proto::framing::{PREFIX_BYTES, Prefix};
use tonic::Status;

/// The flag of a compressed message.
const COMPRESSED: u8 = 1;

/// Returns the same messages, none of them compressed. `messages` are whole, each with its prefix.
///
/// # Errors
/// INTERNAL for a message that is not gzip, RESOURCE_EXHAUSTED for one over `max_message_bytes`.
pub(super) fn decompress(messages: Bytes, max_message_bytes: usize) -> Result<Bytes, Status> {
    let mut decompressed = BytesMut::new();
    let mut rest = &messages[..];
    while let Some((prefix, payload)) = rest.split_first_chunk::<PREFIX_BYTES>() {
        let length = Prefix::decode(*prefix).length as usize;
        let (payload, following) = payload.split_at(length.min(payload.len()));
        rest = following;
        if prefix[0] == COMPRESSED {
            let payload = decompress_message(payload, max_message_bytes)?;
            decompressed.put_u8(0);
            let length = u32::try_from(payload.len()).expect("the limit is far below 4 GiB");
            decompressed.put_u32(length);
            decompressed.extend_from_slice(&payload);
        } else {
            decompressed.extend_from_slice(prefix);
            decompressed.extend_from_slice(payload);
        }
    }
    Ok(decompressed.freeze())
}

fn decompress_message(payload: &[u8], max_bytes: usize) -> Result<Vec<u8>, Status> {
    let mut message = Vec::new();
    let mut decoder = MultiGzDecoder::new(payload).take(max_bytes as u64 + 1);
    let read = decoder.read_to_end(&mut message);
    if message.len() > max_bytes {
        return Err(Status::resource_exhausted(format!(
            "the message is longer than {max_bytes} bytes after decompression"
        )));
    }
    match read {
        Ok(_) => Ok(message),
        Err(error) => Err(Status::internal(format!("the message is not valid gzip: {error}"))),
    }
}
