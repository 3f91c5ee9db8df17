//! Counts the requests and the control frames that a peer sends, by the heads of its frames (RFC 9113,
//! section 4.1).
//!
//! The h2 crate rejects some requests by itself, and does not report it: malformed pseudo-headers, a
//! header list over the limit, a stream over the limit or after GOAWAY. The difference between the
//! requests that were read and the calls that were accepted is their number. Payloads are skipped,
//! except for the first byte of a header block, which shows whether the peer has reduced its header table.

const PREFACE_BYTES: usize = 24;
const HEAD_BYTES: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;
const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;
/// A Dynamic Table Size Update begins with the bits 001 (RFC 7541, section 6.3).
const SIZE_UPDATE: u8 = 0x20;
const SIZE_UPDATE_MASK: u8 = 0xe0;
const MAX_STREAM: u32 = 0x7fff_ffff;

/// How many control frames a SETTINGS counts for: h2 changes the window of every open stream.
const SETTINGS_WEIGHT: u64 = 10;

/// The position within the frames of a connection.
#[derive(Debug)]
pub(in crate::net) struct FrameHeads {
    head: [u8; HEAD_BYTES],
    head_bytes: usize,
    payload_bytes_left: usize,
    /// How many bytes precede the first one of the header block, if that byte is to be inspected.
    bytes_before_block: Option<usize>,
    last_stream: u32,
    /// Whether the open header block opens a stream; otherwise it has trailers.
    is_request: bool,
    requests: u64,
    control_frames: u64,
    /// The bytes of the open header block; zero without one.
    header_block_bytes: usize,
    are_settings_acknowledged: bool,
    is_header_table_reduced: bool,
}

impl Default for FrameHeads {
    fn default() -> FrameHeads {
        FrameHeads {
            head: [0; HEAD_BYTES],
            head_bytes: 0,
            payload_bytes_left: PREFACE_BYTES,
            bytes_before_block: None,
            last_stream: 0,
            is_request: false,
            requests: 0,
            control_frames: 0,
            header_block_bytes: 0,
            are_settings_acknowledged: false,
            is_header_table_reduced: false,
        }
    }
}

impl FrameHeads {
    /// Returns the number of requests whose header block is complete.
    pub(in crate::net) fn requests(&self) -> u64 {
        self.requests
    }

    /// Returns the number of frames without headers and data since the last call.
    pub(in crate::net) fn take_control_frames(&mut self) -> u64 {
        std::mem::take(&mut self.control_frames)
    }

    /// Returns the bytes of a header block that has not ended: h2 keeps them.
    pub(in crate::net) fn header_block_bytes(&self) -> usize {
        self.header_block_bytes
    }

    /// Returns whether the header table has the size of our SETTINGS. A peer has to send a Dynamic Table
    /// Size Update after it has acknowledged them; h2 rejects a larger size, but requires none.
    pub(in crate::net) fn is_header_table_reduced(&self) -> bool {
        self.is_header_table_reduced
    }

    /// Continues with the next bytes of the connection. Returns the number of frames that end in
    /// them.
    pub(in crate::net) fn skip_frames(&mut self, mut bytes: &[u8]) -> u64 {
        let mut frames = 0;
        loop {
            let (payload, rest) = bytes.split_at(self.payload_bytes_left.min(bytes.len()));
            self.payload_bytes_left -= payload.len();
            self.inspect_header_block(payload);
            bytes = rest;
            if self.payload_bytes_left > 0 {
                return frames;
            }
            if self.head_bytes == HEAD_BYTES {
                self.end_frame();
                frames += 1;
            }
            let copied = (HEAD_BYTES - self.head_bytes).min(bytes.len());
            let (head, rest) = bytes.split_at(copied);
            self.head[self.head_bytes..self.head_bytes + copied].copy_from_slice(head);
            self.head_bytes += copied;
            bytes = rest;
            if self.head_bytes < HEAD_BYTES {
                return frames;
            }
            let [high, middle, low, kind, flags, ..] = self.head;
            self.payload_bytes_left = u32::from_be_bytes([0, high, middle, low]) as usize;
            if kind == HEADERS && self.are_settings_acknowledged && !self.is_header_table_reduced {
                let padding = usize::from(flags & PADDED != 0);
                let priority = if flags & PRIORITY != 0 { 5 } else { 0 };
                self.bytes_before_block = Some(padding + priority);
            }
        }
    }

    /// Continues with the next bytes of a payload, which may have the first byte of a header block.
    fn inspect_header_block(&mut self, payload: &[u8]) {
        let Some(before) = self.bytes_before_block else {
            return;
        };
        match payload.get(before) {
            Some(first) => {
                self.is_header_table_reduced = first & SIZE_UPDATE_MASK == SIZE_UPDATE;
                self.bytes_before_block = None;
            }
            None => self.bytes_before_block = Some(before - payload.len()),
        }
    }

    fn end_frame(&mut self) {
        self.head_bytes = 0;
        self.bytes_before_block = None; // the payload may be too short for a header block
        let [high, middle, low, kind, flags, stream @ ..] = self.head;
        match kind {
            HEADERS | CONTINUATION => {}
            DATA => return,
            SETTINGS if flags & ACK != 0 => {
                self.are_settings_acknowledged = true;
                return self.control_frames += 1;
            }
            SETTINGS => return self.control_frames += SETTINGS_WEIGHT,
            _ => return self.control_frames += 1,
        }
        self.header_block_bytes = if flags & END_HEADERS == 0 {
            self.header_block_bytes + u32::from_be_bytes([0, high, middle, low]) as usize
        } else {
            0
        };
        let stream = u32::from_be_bytes(stream) & MAX_STREAM; // without the reserved bit
        if kind == HEADERS {
            self.is_request = stream > self.last_stream;
            self.last_stream = self.last_stream.max(stream);
        }
        if self.is_request && flags & END_HEADERS != 0 {
            self.requests += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use greet_testkit::http2::{END_STREAM, PING, WINDOW_UPDATE, frame};

    use super::*;

    #[test]
    fn requests_are_counted_at_the_end_of_their_header_block() {
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        let frames = [
            preface.to_vec(),
            frame(HEADERS, END_HEADERS, 1, b"headers"),
            frame(DATA, 0, 1, b"data"),
            frame(HEADERS, END_HEADERS | END_STREAM, 1, b"trailers"),
            frame(HEADERS, 0, 3, b"half"),
            frame(CONTINUATION, END_HEADERS, 3, b""),
        ];
        let bytes = frames.concat();
        for size in 1..bytes.len() {
            let mut heads = FrameHeads::default();
            let counted: u64 = bytes.chunks(size).map(|chunk| heads.skip_frames(chunk)).sum();
            assert_eq!(counted, 5, "in chunks of {size}");
            assert_eq!(heads.requests(), 2, "in chunks of {size}");
        }
        let mut heads = FrameHeads::default();
        heads.skip_frames(&bytes[..bytes.len() - 1]);
        assert_eq!(heads.requests(), 1);
    }

    #[test]
    fn header_table_is_reduced_by_an_update_after_the_acknowledgement() {
        const UPDATE: [u8; 3] = [0x3f, 0xe1, 3]; // 512
        let mut heads = FrameHeads { payload_bytes_left: 0, ..FrameHeads::default() };
        let mut is_reduced_after = |frame: Vec<u8>| {
            heads.skip_frames(&frame);
            heads.is_header_table_reduced()
        };
        assert!(!is_reduced_after(frame(HEADERS, END_HEADERS, 1, &UPDATE)), "may be any size");
        assert!(!is_reduced_after(frame(SETTINGS, ACK, 0, b"")));
        assert!(!is_reduced_after(frame(HEADERS, END_HEADERS, 3, &[0x82])));
        let with_priority = [&[1, 0, 0, 0, 0, 7][..], &UPDATE, &[0]].concat();
        assert!(is_reduced_after(frame(
            HEADERS,
            END_HEADERS | PADDED | PRIORITY,
            5,
            &with_priority
        )));
    }

    #[test]
    fn update_is_found_however_the_frame_is_split() {
        let with_priority = [&[1, 0, 0, 0, 0, 7][..], &[0x3f, 0xe1, 3], &[0]].concat();
        let flags = END_HEADERS | PADDED | PRIORITY;
        let request = frame(HEADERS, flags, 1, &with_priority);
        for size in 1..=request.len() {
            let mut heads = FrameHeads { payload_bytes_left: 0, ..FrameHeads::default() };
            heads.skip_frames(&frame(SETTINGS, ACK, 0, b""));
            for chunk in request.chunks(size) {
                heads.skip_frames(chunk);
            }
            assert!(heads.is_header_table_reduced(), "in chunks of {size}");
        }
    }

    #[test]
    fn update_of_the_next_frame_is_not_that_of_an_empty_one() {
        let mut heads = FrameHeads { payload_bytes_left: 0, ..FrameHeads::default() };
        let longest = [0x20, 0, 0, DATA, 0, 0, 0, 0, 1];
        let frames = [frame(SETTINGS, ACK, 0, b""), frame(HEADERS, 0, 1, b""), longest.to_vec()];
        heads.skip_frames(&frames.concat());
        assert!(!heads.is_header_table_reduced());
    }

    #[test]
    fn header_block_is_kept_until_it_ends() {
        let mut heads = FrameHeads { payload_bytes_left: 0, ..FrameHeads::default() };
        let mut kept_after = |frame: Vec<u8>| {
            heads.skip_frames(&frame);
            heads.header_block_bytes()
        };
        assert_eq!(kept_after(frame(HEADERS, 0, 1, b"1234")), 4);
        assert_eq!(kept_after(frame(CONTINUATION, 0, 1, b"56")), 6);
        assert_eq!(kept_after(frame(CONTINUATION, END_HEADERS, 1, b"7")), 0);
        assert_eq!(kept_after(frame(HEADERS, END_HEADERS, 3, b"whole")), 0);
    }

    #[test]
    fn frames_without_headers_and_data_are_control_frames() {
        let mut heads = FrameHeads { payload_bytes_left: 0, ..FrameHeads::default() };
        heads
            .skip_frames(&[frame(HEADERS, END_HEADERS, 1, b"x"), frame(DATA, 0, 1, b"x")].concat());
        assert_eq!(heads.take_control_frames(), 0);
        for (kind, weight) in
            [(PING, 1), (WINDOW_UPDATE, 1), (0xfa, 1), (SETTINGS, SETTINGS_WEIGHT)]
        {
            heads.skip_frames(&frame(kind, 0, 0, b"12345678"));
            assert_eq!(heads.take_control_frames(), weight, "{kind}");
        }
        heads.skip_frames(&frame(SETTINGS, ACK, 0, b""));
        assert_eq!(heads.take_control_frames(), 1, "an acknowledgement changes no window");
    }
}
