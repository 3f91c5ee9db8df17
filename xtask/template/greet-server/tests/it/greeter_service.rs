//! The service: the reply of SayHello, its health and its reflection.

use greet_proto::greet::HelloRequest;
use greet_proto::greet::greeter_client::GreeterClient;
use greet_proto::grpc::health::v1::health_check_response::ServingStatus;
use greet_testkit::TestServer;
use tonic::Code;

use crate::health::check;
use crate::reflection::{Reflected, reflect};

#[tokio::test]
async fn reply_has_the_name_of_the_request() {
    let server = TestServer::of_daemon(&[]);
    let mut client = GreeterClient::new(server.connect().await);
    let request = HelloRequest { name: "Ada".to_owned() };
    let reply = client.say_hello(request).await.unwrap().into_inner();
    assert_eq!(reply.message, "Hello Ada");

    let report = server.stop().await;
    assert_eq!((report.answered, report.cut), (1, 0));
}

#[tokio::test]
async fn name_over_the_limit_is_invalid_argument() {
    let server = TestServer::of_daemon(&["--max-name-bytes=3"]);
    let mut client = GreeterClient::new(server.connect().await);
    let mut call = async |name: &str| client.say_hello(HelloRequest { name: name.into() }).await;
    assert!(call("Ada").await.is_ok());
    assert_eq!(call("Adam").await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn health_and_reflection_know_the_service() {
    let server = TestServer::of_daemon(&[]);
    let client = server.connect().await;
    assert_eq!(check(&client, "greet.Greeter").await, Ok(ServingStatus::Serving));
    let reflected = reflect(&client, &[("symbol", "greet.Greeter.SayHello")]).await.unwrap();
    assert_eq!(reflected, [Reflected::File("greet.proto".to_owned())]);
}
