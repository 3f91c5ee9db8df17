//! Servers that send prepared bytes or HTTP/2 frames, and nothing else.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread;

use greet_testkit::framing::framed;
use greet_testkit::http2::{
    DATA, END_HEADERS, END_STREAM, FRAME_HEADER_BYTES, Frame, HEADERS, PREFACE, frame,
    header_block, settings,
};
use prost::Message as _;
use rustls::{ServerConfig, ServerConnection};

use super::service;

/// The trailers of a successful reply.
pub(crate) const OK: [(&str, &str); 1] = [("grpc-status", "0")];

/// Serves one connection.
pub(crate) type ConnectionHandler = Box<dyn FnOnce(TcpStream) + Send + 'static>;

/// Calls `handler` with every connection and returns the address.
pub(crate) fn serve(handler: impl Fn(TcpStream) + Clone + Send + 'static) -> String {
    serve_on(TcpListener::bind("127.0.0.1:0").unwrap(), handler)
}

/// Calls `handler` with every connection of `listener` and returns its address.
pub(crate) fn serve_on(
    listener: TcpListener,
    handler: impl Fn(TcpStream) + Clone + Send + 'static,
) -> String {
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let handler = handler.clone();
            thread::spawn(move || handler(stream.unwrap()));
        }
    });
    address
}

/// Calls one handler per connection; further connections are refused.
pub(crate) fn serve_each<const N: usize>(handlers: [ConnectionHandler; N]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for handler in handlers {
            let (stream, _) = listener.accept().unwrap();
            thread::spawn(move || handler(stream));
        }
    });
    address
}

/// Completes the TLS handshake or sends an alert, then reads until the client closes.
pub(crate) fn serve_tls(config: Arc<ServerConfig>) -> String {
    serve(move |mut stream| {
        let mut session = ServerConnection::new(Arc::clone(&config)).unwrap();
        while let Ok(moved) = session.complete_io(&mut stream)
            && moved != (0, 0)
        {}
        let _ = session.write_tls(&mut stream); // the alert, if there is one
        let _ = stream.shutdown(Shutdown::Write);
        never_reply(stream);
    })
}

/// Completes the TLS handshake or sends an alert, then closes without reading further.
pub(crate) fn serve_tls_then_close(config: Arc<ServerConfig>) -> String {
    serve(move |mut stream| {
        let mut session = ServerConnection::new(Arc::clone(&config)).unwrap();
        while session.is_handshaking() && session.complete_io(&mut stream).is_ok() {}
        let _ = session.write_tls(&mut stream);
    })
}

/// Reads until the client closes and sends nothing.
pub(crate) fn never_reply(mut stream: TcpStream) {
    let _ = stream.read_to_end(&mut Vec::new());
}

/// Waits for the client's first bytes, sends `bytes` and the end of the stream.
pub(crate) fn reply(
    bytes: impl AsRef<[u8]> + Clone + Send + 'static,
) -> impl Fn(TcpStream) + Clone + Send + 'static {
    move |mut stream| {
        let _ = stream.read(&mut [0; 4_096]);
        let _ = stream.write_all(bytes.as_ref());
        let _ = stream.shutdown(Shutdown::Write);
        never_reply(stream);
    }
}

/// Answers one HTTP/2 request with `frames` and keeps the connection open.
pub(crate) fn answer(frames: Vec<u8>) -> impl Fn(TcpStream) + Clone + Send + 'static {
    answer_each(vec![frames])
}

/// Answers one HTTP/2 request after the other, each with its frames.
pub(crate) fn answer_each(answers: Vec<Vec<u8>>) -> impl Fn(TcpStream) + Clone + Send + 'static {
    move |mut stream| {
        start_http2(&mut stream);
        for frames in &answers {
            if let Some(request) = read_request(&mut stream) {
                let _ = stream.write_all(&move_to_stream(request, frames));
            }
        }
        never_reply(stream);
    }
}

/// Limits the concurrent streams to `limit`, and answers no request.
pub(crate) fn allow_streams(limit: u32) -> impl Fn(TcpStream) + Clone + Send + 'static {
    const MAX_CONCURRENT_STREAMS: u32 = 3;
    move |mut stream| {
        let _ = stream.write_all(&settings(&[MAX_CONCURRENT_STREAMS, limit]));
        never_reply(stream);
    }
}

/// Reads one HTTP/2 request, then closes.
pub(crate) fn close_after_request(mut stream: TcpStream) {
    start_http2(&mut stream);
    read_request(&mut stream);
}

/// The kind of a frame that stands for the end of the connection; HTTP/2 has no such frame.
pub(crate) const END: u8 = u8::MAX;

/// Reads frames without an answer, and sends each once it has arrived, the end as [`END`].
pub(crate) fn record(frames: Sender<Frame>) -> impl Fn(TcpStream) + Clone + Send + 'static {
    move |mut stream| {
        start_http2(&mut stream);
        while let Ok(frame) = Frame::read(&mut stream) {
            let _ = frames.send(frame); // the test may be past reading
        }
        let _ = frames.send(Frame { kind: END, flags: 0, stream: 0, payload: Vec::new() });
    }
}

/// Sends SETTINGS and reads the preface.
fn start_http2(stream: &mut TcpStream) {
    let _ = stream.write_all(&settings(&[]));
    let _ = stream.read_exact(&mut [0; PREFACE.len()]);
}

/// Reads up to the end of a request and returns its stream, or `None` if the client closes first.
fn read_request(stream: &mut TcpStream) -> Option<u32> {
    loop {
        let frame = Frame::read(stream).ok()?;
        if frame.kind <= HEADERS && frame.flags & END_STREAM != 0 {
            return Some(frame.stream);
        }
    }
}

/// Moves the frames of stream 1 to `stream`.
fn move_to_stream(stream: u32, mut frames: &[u8]) -> Vec<u8> {
    let mut moved = Vec::new();
    while frames.len() >= FRAME_HEADER_BYTES {
        let Frame { kind, flags, stream: old, payload } = Frame::read(&mut frames).unwrap();
        moved.extend(frame(kind, flags, if old == 1 { stream } else { old }, &payload));
    }
    moved
}

/// Encodes the reply of the sample.
pub(crate) fn sample_reply() -> Vec<u8> {
    [reply_headers(), sample_message(), trailers(&OK)].concat()
}

/// Encodes the message of that reply.
pub(crate) fn sample_message() -> Vec<u8> {
    data(&service::reply("Ada").encode_to_vec())
}

/// Encodes HEADERS of stream 1.
pub(crate) fn headers(flags: u8, headers: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, flags | END_HEADERS, 1, &header_block(headers))
}

/// Encodes the headers of a gRPC reply.
pub(crate) fn reply_headers() -> Vec<u8> {
    headers(0, &[(":status", "200"), ("content-type", "application/grpc")])
}

/// Encodes a message.
pub(crate) fn data(message: &[u8]) -> Vec<u8> {
    frame(DATA, 0, 1, &framed(message))
}

/// Encodes the trailers of a reply.
pub(crate) fn trailers(trailers: &[(&str, &str)]) -> Vec<u8> {
    headers(END_STREAM, trailers)
}

/// Encodes a Trailers-Only reply.
pub(crate) fn trailers_only(trailers: &[(&str, &str)]) -> Vec<u8> {
    headers(END_STREAM, &[&[(":status", "200")], trailers].concat())
}
