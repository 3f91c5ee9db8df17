//! A client without the .proto can ask for it, in both versions of the protocol; and a question that
//! has no answer gets an error of its own, after which the stream goes on.

use prost::Message as _;
use prost_types::FileDescriptorProto;
use tonic::Code;

use crate::support::{Client, TestServer};

/// An answer, whatever the version.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Services(Vec<String>),
    File(String),
    Extensions(String),
    Error(i32),
}

/// The two versions have the same shape and different types.
macro_rules! ask {
    ($version:ident, $client:expr, $questions:expr) => {{
        use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
        use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
        use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;
        use tonic_reflection::pb::$version::{ExtensionRequest, ServerReflectionRequest};

        let requests = $questions.iter().map(|(kind, name)| ServerReflectionRequest {
            host: "test".into(),
            message_request: match *kind {
                "list" => Some(MessageRequest::ListServices(name.to_string())),
                "file" => Some(MessageRequest::FileByFilename(name.to_string())),
                "symbol" => Some(MessageRequest::FileContainingSymbol(name.to_string())),
                "extensions" => Some(MessageRequest::AllExtensionNumbersOfType(name.to_string())),
                "extension" => Some(MessageRequest::FileContainingExtension(ExtensionRequest {
                    containing_type: name.to_string(),
                    extension_number: 1,
                })),
                _ => None,
            },
        });
        let origin = "http://test".parse().unwrap();
        let requests = tokio_stream::iter(requests.collect::<Vec<_>>());
        let mut client = ServerReflectionClient::with_origin($client, origin);
        let mut answers = match client.server_reflection_info(requests).await {
            Ok(answers) => answers.into_inner(),
            Err(status) => return Err(status.code()),
        };
        let mut told = Vec::new();
        while let Some(answer) = answers.message().await.map_err(|status| status.code())? {
            assert_eq!(answer.valid_host, "test");
            told.push(match answer.message_response.unwrap() {
                MessageResponse::ListServicesResponse(list) => {
                    Answer::Services(list.service.into_iter().map(|service| service.name).collect())
                }
                MessageResponse::FileDescriptorResponse(files) => {
                    let file = FileDescriptorProto::decode(&files.file_descriptor_proto[0][..]);
                    Answer::File(file.unwrap().name().to_owned())
                }
                MessageResponse::AllExtensionNumbersResponse(numbers) => {
                    assert!(numbers.extension_number.is_empty());
                    Answer::Extensions(numbers.base_type_name)
                }
                MessageResponse::ErrorResponse(error) => Answer::Error(error.error_code),
            });
        }
        Ok(told)
    }};
}

async fn v1(client: Client, questions: &[(&str, &str)]) -> Result<Vec<Answer>, Code> {
    ask!(v1, client, questions)
}

async fn v1alpha(client: Client, questions: &[(&str, &str)]) -> Result<Vec<Answer>, Code> {
    ask!(v1alpha, client, questions)
}

async fn both(flags: &[&str], questions: &[(&str, &str)]) -> Result<Vec<Answer>, Code> {
    let server = TestServer::start(flags).await;
    let client = server.connect().await;
    let answers = v1(client.clone(), questions).await;
    assert_eq!(answers, v1alpha(client, questions).await, "both versions say the same");
    answers
}

#[tokio::test]
async fn the_services_are_listed_and_every_symbol_leads_to_its_file() {
    let questions = [
        ("list", ""),
        ("symbol", "greet.Greeter"),
        ("symbol", "greet.Greeter.SayHello"),
        ("symbol", "greet.HelloRequest.name"),
        ("symbol", "grpc.health.v1.HealthCheckResponse.ServingStatus"),
        ("file", "greet.proto"),
        ("extensions", "greet.HelloReply"),
    ];
    let services = [
        "greet.Greeter",
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    ];
    let file = |name: &str| Answer::File(name.to_owned());
    assert_eq!(
        both(&[], &questions).await.unwrap(),
        [
            Answer::Services(services.map(str::to_owned).to_vec()),
            file("greet.proto"),
            file("greet.proto"),
            file("greet.proto"),
            file("health.proto"),
            file("greet.proto"),
            Answer::Extensions("greet.HelloReply".to_owned()),
        ]
    );
}

#[tokio::test]
async fn what_is_unknown_is_an_error_of_its_own_and_the_stream_goes_on() {
    let questions = [
        ("symbol", "greet.Greter"),
        ("file", "no/such.proto"),
        ("extension", "greet.HelloReply"),
        ("extensions", "no.Such"),
        ("nothing", ""),
        ("symbol", "greet.Greeter"),
    ];
    let not_found = || Answer::Error(Code::NotFound as i32);
    assert_eq!(
        both(&[], &questions).await.unwrap(),
        [
            not_found(),
            not_found(),
            not_found(),
            not_found(),
            Answer::Error(Code::InvalidArgument as i32),
            Answer::File("greet.proto".to_owned()),
        ]
    );
}

#[tokio::test]
async fn no_reflection_means_unimplemented() {
    assert_eq!(both(&["--no-reflection"], &[("list", "")]).await, Err(Code::Unimplemented));
}
