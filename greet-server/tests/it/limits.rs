//! Each bound at its limit and one past it.

use greet_server::Greeting;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic::Code;

use crate::support::{Faulty, SAY_HELLO, TestServer, framed, grpc_request, soon};

#[tokio::test]
async fn a_message_may_have_the_limit_and_no_byte_more() {
    let server = TestServer::start(&["--max-message-bytes=1000"]).await;
    let client = server.connect().await;
    let message = |bytes: usize| {
        let name = "x".repeat(bytes - 3);
        let length = u8::try_from(name.len() & 0x7f).unwrap() | 0x80;
        let more = u8::try_from(name.len() >> 7).unwrap();
        framed(&[&[0x0a, length, more], name.as_bytes()].concat())
    };
    let answer = client.send(grpc_request(SAY_HELLO, message(1_000))).await;
    assert_eq!(answer.grpc_status(), Some(Code::Ok as i32));
    let answer = client.send(grpc_request(SAY_HELLO, message(1_001))).await;
    assert_eq!(answer.grpc_status(), Some(Code::ResourceExhausted as i32));
    assert!(client.say_hello("Ada").await.is_ok(), "the connection goes on");
}

/// The codec behind our own check has a limit too, 4 MiB unless told otherwise.
#[tokio::test]
async fn a_limit_above_the_codecs_own_holds() {
    let flags = ["--max-message-bytes=6000000"];
    let server = TestServer::with_greeter(&flags, Greeting::new(5_900_000)).await;
    let client = server.connect().await;
    let name = "x".repeat(5_000_000);
    // The reply is longer than the test client takes; that it is one is enough.
    let status = client.say_hello(&name).await.unwrap_err();
    assert!(status.message().contains("decoded message length too large"), "{status}");
}

#[tokio::test]
async fn an_oversize_announcement_is_refused_before_its_bytes_come() {
    let server = TestServer::start(&[]).await;
    let client = server.connect().await;
    for length in [65_537_u32, u32::MAX] {
        let announced = [&[0][..], &length.to_be_bytes()].concat();
        let answer = client.send(grpc_request(SAY_HELLO, announced)).await;
        assert_eq!(answer.grpc_status(), Some(Code::ResourceExhausted as i32), "{length}");
    }
}

#[tokio::test]
async fn a_client_that_keeps_to_the_announced_streams_has_that_many_at_work_and_no_more() {
    let greeter = Faulty::new();
    let server = TestServer::with_greeter(&["--max-streams=3"], greeter.clone()).await;
    let client = server.connect().await;
    assert!(client.say_hello("Ada").await.is_ok(), "its SETTINGS have arrived");
    let calls: Vec<_> = (0..4)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.say_hello("wait").await })
        })
        .collect();
    greeter.has_begun(3).await;
    assert!(greeter.begun.try_acquire().is_err(), "the fourth waits in its client");

    greeter.release.add_permits(1);
    greeter.has_begun(1).await;
    greeter.release.add_permits(3);
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap(), "Hello wait");
    }
}

#[tokio::test]
async fn one_call_over_the_limit_of_the_process_is_shed_and_not_queued() {
    let greeter = Faulty::new();
    let flags = ["--max-in-flight=3", "--workers=2"];
    let server = TestServer::with_greeter(&flags, greeter.clone()).await;
    let clients = [server.connect().await, server.connect().await];
    let waiting: Vec<_> = (0..3)
        .map(|call| {
            let client = clients[call % 2].clone();
            tokio::spawn(async move { client.say_hello("wait").await })
        })
        .collect();
    greeter.has_begun(3).await;
    for client in &clients {
        let status = soon(client.say_hello("Ada")).await.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted);
    }
    greeter.release.add_permits(3);
    for call in waiting {
        assert_eq!(call.await.unwrap().unwrap(), "Hello wait");
    }
    for client in &clients {
        assert_eq!(client.say_hello("Ada").await.unwrap(), "Hello Ada");
    }
    let outcome = server.stop().await;
    assert_eq!((outcome.answered, outcome.abandoned), (7, 0));
}

/// Reads what the server says first: its SETTINGS, value by value.
#[tokio::test]
async fn the_settings_on_the_wire_are_the_documented_ones() {
    let server = TestServer::start(&["--max-streams=7"]).await;
    let mut tcp = server.tcp().await;
    tcp.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut header = [0; 9];
    soon(tcp.read_exact(&mut header)).await.unwrap();
    let [_, high, low, kind, ..] = header;
    assert_eq!(kind, 4, "SETTINGS come first");
    let mut payload = vec![0; usize::from(u16::from_be_bytes([high, low]))];
    soon(tcp.read_exact(&mut payload)).await.unwrap();
    let settings: Vec<(u8, u32)> = payload
        .chunks(6)
        .map(|one| (one[1], u32::from_be_bytes(one[2..].try_into().unwrap())))
        .collect();
    assert_eq!(
        settings,
        [
            (3, 7),         // MAX_CONCURRENT_STREAMS
            (4, 1_048_576), // INITIAL_WINDOW_SIZE
            (5, 16_384),    // MAX_FRAME_SIZE
            (6, 8_192),     // MAX_HEADER_LIST_SIZE
        ]
    );
}

#[tokio::test]
async fn headers_beyond_the_limit_are_refused_with_431() {
    let server = TestServer::start(&[]).await;
    let client = server.connect().await;
    let mut request = grpc_request(SAY_HELLO, framed(b""));
    request.headers_mut().insert("x", "x".repeat(7_500).parse().unwrap());
    assert_eq!(client.send(request).await.status, 200);

    let mut request = grpc_request(SAY_HELLO, framed(b""));
    request.headers_mut().insert("x", "x".repeat(8_192).parse().unwrap());
    assert_eq!(client.send(request).await.status, 431);
    assert!(client.say_hello("Ada").await.is_ok(), "the connection goes on");
}
