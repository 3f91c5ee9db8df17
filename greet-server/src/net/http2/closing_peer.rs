//! Serves a peer that closes right after a request that h2 rejects: one turn reads both.

use greet_testkit::http2::{
    END_HEADERS, END_STREAM, HEADERS, PREFACE, frame, header_block, settings,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
use tokio::task::LocalSet;

use super::test_connection::TestConnection;
use crate::net::transport::MAX_READ;

async fn rejection_before_the_end() {
    let (server_end, mut peer) = duplex(1_024);
    let without_method = header_block(&[(":path", "/")]);
    let request = frame(HEADERS, END_HEADERS | END_STREAM, 1, &without_method);
    peer.write_all(&[PREFACE, &settings(&[]), &request].concat()).await.unwrap();
    peer.shutdown().await.unwrap();
    let connection = TestConnection::serve(server_end, MAX_READ, |_| Vec::new()).await;
    peer.read_to_end(&mut Vec::new()).await.unwrap();
    assert_eq!(connection.metrics.requests_rejected.get(), 1);
}

#[tokio::test]
async fn request_rejected_in_the_last_turn_is_counted() {
    LocalSet::new().run_until(rejection_before_the_end()).await;
}
