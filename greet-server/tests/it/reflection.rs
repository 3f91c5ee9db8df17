//! Server reflection in both versions of the protocol. An invalid request gets an error response
//! and the stream continues.

use greet_testkit::{Client, TestServer};
use prost::Message as _;
use prost_types::FileDescriptorProto;
use tonic::Code;

/// A response of either version.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reflected {
    Services(Vec<String>),
    File(String),
    Extensions(String),
    Error(i32),
}

/// Sends one request for each query. The types of the two versions differ only in their module.
macro_rules! reflect {
    ($version:ident, $client:expr, $queries:expr) => {{
        use greet_proto::grpc::reflection::$version::server_reflection_client::ServerReflectionClient;
        use greet_proto::grpc::reflection::$version::server_reflection_request::MessageRequest;
        use greet_proto::grpc::reflection::$version::server_reflection_response::MessageResponse;
        use greet_proto::grpc::reflection::$version::{ExtensionRequest, ServerReflectionRequest};

        let requests = $queries.iter().map(|(kind, name)| ServerReflectionRequest {
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
        let requests = tokio_stream::iter(requests.collect::<Vec<_>>());
        let mut client = ServerReflectionClient::new($client);
        let mut responses = match client.server_reflection_info(requests).await {
            Ok(responses) => responses.into_inner(),
            Err(status) => return Err(status.code()),
        };
        let mut reflected = Vec::new();
        while let Some(response) = responses.message().await.map_err(|status| status.code())? {
            assert_eq!(response.valid_host, "test");
            reflected.push(match response.message_response.unwrap() {
                MessageResponse::ListServicesResponse(list) => Reflected::Services(
                    list.service.into_iter().map(|service| service.name).collect(),
                ),
                MessageResponse::FileDescriptorResponse(files) => {
                    let file = FileDescriptorProto::decode(&files.file_descriptor_proto[0][..]);
                    Reflected::File(file.unwrap().name().to_owned())
                }
                MessageResponse::AllExtensionNumbersResponse(numbers) => {
                    assert!(numbers.extension_number.is_empty());
                    Reflected::Extensions(numbers.base_type_name)
                }
                MessageResponse::ErrorResponse(error) => Reflected::Error(error.error_code),
            });
        }
        Ok(reflected)
    }};
}

async fn v1(client: Client, queries: &[(&str, &str)]) -> Result<Vec<Reflected>, Code> {
    reflect!(v1, client, queries)
}

async fn v1alpha(client: Client, queries: &[(&str, &str)]) -> Result<Vec<Reflected>, Code> {
    reflect!(v1alpha, client, queries)
}

/// Sends the queries in both versions of the protocol, which must have the same answers.
pub(crate) async fn reflect(
    client: &Client,
    queries: &[(&str, &str)],
) -> Result<Vec<Reflected>, Code> {
    let reflected = v1(client.clone(), queries).await;
    assert_eq!(reflected, v1alpha(client.clone(), queries).await);
    reflected
}

async fn both_versions(flags: &[&str], queries: &[(&str, &str)]) -> Result<Vec<Reflected>, Code> {
    let server = TestServer::start(flags);
    reflect(&server.connect().await, queries).await
}

#[tokio::test]
async fn symbols_resolve_to_their_file() {
    let queries = [
        ("symbol", "probe.Probe"),
        ("symbol", "probe.Probe.Echo"),
        ("symbol", "probe.ProbeRequest.payload"),
        ("symbol", "grpc.health.v1.HealthCheckResponse.ServingStatus"),
        ("file", "probe.proto"),
        ("extensions", "probe.ProbeReply"),
    ];
    let file = |name: &str| Reflected::File(name.to_owned());
    assert_eq!(
        both_versions(&[], &queries).await.unwrap(),
        [
            file("probe.proto"),
            file("probe.proto"),
            file("probe.proto"),
            file("grpc/health/v1/health.proto"),
            file("probe.proto"),
            Reflected::Extensions("probe.ProbeReply".to_owned()),
        ]
    );
}

#[tokio::test]
async fn unknown_name_is_an_error_and_the_stream_continues() {
    let queries = [
        ("symbol", "probe.Prob"),
        ("file", "no/such.proto"),
        ("extension", "probe.ProbeReply"),
        ("extensions", "no.Such"),
        ("nothing", ""),
        ("symbol", "probe.Probe"),
    ];
    let not_found = || Reflected::Error(Code::NotFound as i32);
    assert_eq!(
        both_versions(&[], &queries).await.unwrap(),
        [
            not_found(),
            not_found(),
            not_found(),
            not_found(),
            Reflected::Error(Code::InvalidArgument as i32),
            Reflected::File("probe.proto".to_owned()),
        ]
    );
}

#[tokio::test]
async fn no_reflection_is_unimplemented() {
    assert_eq!(
        both_versions(&["--no-reflection"], &[("list", "")]).await,
        Err(Code::Unimplemented)
    );
}
