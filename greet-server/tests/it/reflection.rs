//! A client without the .proto can ask for it, in both versions of the protocol.

use prost::Message as _;
use prost_types::FileDescriptorProto;
use tonic::Code;
use tonic::codec::Streaming;

use crate::support::{Client, TestServer};

/// The two versions have the same shape and different types.
macro_rules! exchange {
    ($version:ident, $client:expr) => {{
        use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
        use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
        use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;
        use tonic_reflection::pb::$version::{ServerReflectionRequest, ServerReflectionResponse};

        let request = |message_request| ServerReflectionRequest {
            host: String::new(),
            message_request: Some(message_request),
        };
        let requests = tokio_stream::iter([
            request(MessageRequest::ListServices(String::new())),
            request(MessageRequest::FileContainingSymbol("greet.Greeter".into())),
        ]);
        let origin = "http://test".parse().unwrap();
        let mut client = ServerReflectionClient::with_origin($client, origin);
        let answers: Result<Streaming<ServerReflectionResponse>, _> =
            client.server_reflection_info(requests).await.map(tonic::Response::into_inner);
        match answers {
            Err(status) => Err(status.code()),
            Ok(mut answers) => {
                let mut next = async || answers.message().await.unwrap().unwrap().message_response;
                let services = match next().await {
                    Some(MessageResponse::ListServicesResponse(list)) => {
                        list.service.into_iter().map(|service| service.name).collect()
                    }
                    other => panic!("{other:?}"),
                };
                let file = match next().await {
                    Some(MessageResponse::FileDescriptorResponse(files)) => {
                        files.file_descriptor_proto.into_iter().next().unwrap()
                    }
                    other => panic!("{other:?}"),
                };
                Ok((services, file))
            }
        }
    }};
}

type Exchange = Result<(Vec<String>, Vec<u8>), Code>;

async fn both(client: Client) -> [Exchange; 2] {
    [exchange!(v1, client.clone()), exchange!(v1alpha, client)]
}

#[tokio::test]
async fn both_versions_list_the_services_and_show_the_contract() {
    let server = TestServer::start(&[]).await;
    for exchange in both(server.connect().await).await {
        let (mut services, file) = exchange.unwrap();
        services.sort();
        assert_eq!(
            services,
            [
                "greet.Greeter",
                "grpc.health.v1.Health",
                "grpc.reflection.v1.ServerReflection",
                "grpc.reflection.v1alpha.ServerReflection",
            ]
        );
        let file = FileDescriptorProto::decode(&file[..]).unwrap();
        assert_eq!(file.name(), "greet.proto");
    }
}

#[tokio::test]
async fn no_reflection_means_unimplemented() {
    let server = TestServer::start(&["--no-reflection"]).await;
    for exchange in both(server.connect().await).await {
        assert_eq!(exchange, Err(Code::Unimplemented));
    }
}
