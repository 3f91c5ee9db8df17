//! The Greeter: the reply of SayHello, the limit of its name, and the flag of that limit.

use greet_proto::greet::HelloRequest;
use greet_proto::greet::greeter_client::GreeterClient;
use greet_proto::grpc::health::v1::health_check_response::ServingStatus;
use greet_testkit::{Client, TestServer};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::configuration::{error, run_with_file};
use crate::health::check;
use crate::reflection::{Reflected, reflect};
use crate::support::process::{daemon, run};

async fn say_hello(client: &Client, name: &str) -> Result<String, Status> {
    let request = HelloRequest { name: name.into() };
    let reply = GreeterClient::new(client.clone()).say_hello(request).await?;
    Ok(reply.into_inner().message)
}

#[tokio::test]
async fn reply_is_hello_and_the_name() {
    let server = TestServer::of_daemon(&[]);
    let client = server.connect().await;
    for name in ["Ada", "", " ", "line\nbreak", "nul\0", "Zoë", "\u{1f600}"] {
        assert_eq!(say_hello(&client, name).await.unwrap(), format!("Hello {name}"));
    }
    assert_eq!(server.stop().await.answered, 7);
}

#[tokio::test]
async fn health_and_reflection_know_the_greeter() {
    let server = TestServer::of_daemon(&[]);
    let client = server.connect().await;
    assert_eq!(check(&client, "greet.Greeter").await, Ok(ServingStatus::Serving));
    let queries = [("symbol", "greet.Greeter.SayHello"), ("symbol", "greet.HelloRequest.name")];
    let file = || Reflected::File("greet.proto".to_owned());
    assert_eq!(reflect(&client, &queries).await.unwrap(), [file(), file()]);
}

#[tokio::test]
async fn name_over_the_limit_is_invalid_argument_with_the_field() {
    let server = TestServer::of_daemon(&["--max-name-bytes=4096"]);
    let client = server.connect().await;
    assert!(say_hello(&client, &"x".repeat(4_096)).await.is_ok());

    let status = say_hello(&client, &"x".repeat(4_097)).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let details = status.get_details_bad_request().unwrap();
    assert_eq!(details.field_violations[0].field, "name");
    assert_eq!(
        details.field_violations[0].description,
        "is 4097 bytes long; the limit is 4096 bytes"
    );
}

#[test]
fn name_limit_above_message_limit_is_rejected() {
    let expected = "greet.toml:2:18: max-name-bytes: 8 is above --max-message-bytes, which is 7";
    let file = "max-message-bytes = 7\nmax-name-bytes = 8\n";
    assert_eq!(error(run_with_file(file, &["--check"])), expected);
    let equal = ["--check", "--max-message-bytes=7", "--max-name-bytes=7"];
    assert_eq!(run(&mut daemon(&equal)).0, Some(0));
    // A default contradicts nothing.
    assert_eq!(run(&mut daemon(&["--check", "--max-message-bytes=7"])).0, Some(0));
    let message = error(run(&mut daemon(&["--check", "--max-name-bytes=131072"])));
    assert_eq!(message, "--max-name-bytes: 131072 is above --max-message-bytes, which is 16384");
}
