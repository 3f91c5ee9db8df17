//! A handler that panics costs its own call and nothing else.

use tonic::Code;

use crate::support::{Faulty, TestServer};

#[tokio::test]
async fn a_panic_is_internal_for_its_call_and_the_connections_other_calls_go_on() {
    let greeter = Faulty::new();
    let server = TestServer::with_greeter(&["--workers=1"], greeter.clone()).await;
    let client = server.connect().await;
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.say_hello("wait").await }
    });
    greeter.has_begun(1).await;

    let status = client.say_hello("panic").await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    assert!(!status.message().contains("as asked"), "what went wrong inside stays inside");

    greeter.release.add_permits(1);
    assert_eq!(waiting.await.unwrap().unwrap(), "Hello wait");
    assert_eq!(client.say_hello("Ada").await.unwrap(), "Hello Ada");
    assert_eq!(server.stop().await.answered, 3);
}
