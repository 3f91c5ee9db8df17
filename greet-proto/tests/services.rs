//! Checks the descriptions that the build script generates: the embedded files, and the methods of
//! each service.

use std::sync::Arc;

use futures_util::FutureExt as _;
use greet_proto::grpc::health::v1::health_server::{Health, HealthServer};
use greet_proto::grpc::health::v1::{HealthCheckRequest, HealthCheckResponse};
use greet_proto::grpc::reflection::v1::server_reflection_server::{
    ServerReflection, ServerReflectionServer,
};
use greet_proto::service::{GeneratedService, HandlerFuture, MethodDescriptor, MethodVisitor};
use prost::Message as _;
use prost_types::{FileDescriptorProto, FileDescriptorSet};
use tonic::codegen::http;
use tonic::{Request, Response, Status};

/// Answers Check, and leaves all other methods to the default stubs.
struct Double;

#[tonic::async_trait]
impl Health for Double {
    async fn check(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        Ok(Response::new(HealthCheckResponse { status: 7 }))
    }
}

impl ServerReflection for Double {}

/// Records every method, with what the handler of a unary one returns to an empty request.
struct Recorder {
    methods: Vec<MethodDescriptor>,
    replies: Vec<Result<Vec<u8>, tonic::Code>>,
}

impl MethodVisitor<Double> for Recorder {
    fn unary<Req, Res>(
        &mut self,
        method: MethodDescriptor,
        call: for<'a> fn(&'a Double, Request<Req>) -> HandlerFuture<'a, Res>,
    ) where
        Req: prost::Message + Default + 'static,
        Res: prost::Message + 'static,
    {
        self.methods.push(method);
        let reply = call(&Double, Request::new(Req::default())).now_or_never();
        let reply = reply.expect("the doubles return at once");
        self.replies.push(match reply {
            Ok(reply) => Ok(reply.get_ref().encode_to_vec()),
            Err(status) => Err(status.code()),
        });
    }

    fn streaming(&mut self, method: MethodDescriptor) {
        self.methods.push(method);
    }
}

fn record<G: GeneratedService<Implementation = Double>>() -> Recorder {
    let mut recorder = Recorder { methods: Vec::new(), replies: Vec::new() };
    G::visit_methods(&mut recorder);
    recorder
}

fn method(
    path: &'static str,
    is_client_streaming: bool,
    is_server_streaming: bool,
) -> MethodDescriptor {
    MethodDescriptor { path, is_client_streaming, is_server_streaming }
}

#[test]
fn descriptor_set_has_every_file_under_its_canonical_name() {
    let set = FileDescriptorSet::decode(greet_proto::FILE_DESCRIPTOR_SET).unwrap();
    let names: Vec<_> = set.file.iter().map(FileDescriptorProto::name).collect();
    let expected = [
        "grpc/health/v1/health.proto",
        "grpc/reflection/v1/reflection.proto",
        "grpc/reflection/v1alpha/reflection.proto",
    ];
    for name in expected {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
    assert_eq!(HealthServer::<Double>::DESCRIPTOR_SET, greet_proto::FILE_DESCRIPTOR_SET);
}

#[test]
fn methods_are_visited_in_order_with_their_streams() {
    let expected = [
        method("/grpc.health.v1.Health/Check", false, false),
        method("/grpc.health.v1.Health/List", false, false),
        method("/grpc.health.v1.Health/Watch", false, true),
    ];
    assert_eq!(record::<HealthServer<Double>>().methods, expected);

    let path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    let expected = [method(path, true, true)];
    assert_eq!(record::<ServerReflectionServer<Double>>().methods, expected);
}

#[test]
fn visitor_runs_the_handler_of_a_unary_method_or_its_default_stub() {
    let checked = HealthCheckResponse { status: 7 }.encode_to_vec();
    let replies = record::<HealthServer<Double>>().replies;
    assert_eq!(replies, [Ok(checked), Err(tonic::Code::Unimplemented)]);
}

#[test]
fn server_shares_the_implementation_and_answers_a_call() {
    let double = Arc::new(Double);
    let server = HealthServer::from_shared(double.clone(), 1);
    assert_eq!(Arc::strong_count(&double), 2);

    // A message of two bytes, one more than the limit.
    let body = tonic::body::Body::new("\0\0\0\0\x02\x0a\0".to_owned());
    let request = http::Request::post("/grpc.health.v1.Health/Check").body(body).unwrap();
    let response = server.serve(request).now_or_never().unwrap().unwrap();
    let status = &response.headers()["grpc-status"];
    assert_eq!(status, &(tonic::Code::OutOfRange as i32).to_string());
}
