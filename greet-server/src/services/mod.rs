//! Lists the served methods and connects each to the service that implements it.
//!
//! To add a method, implement it (for Greeter in `greeter.rs`), then add its index, its entry in
//! [`METHODS`] and its handler in [`Services::new`]. A new service also has an entry in
//! [`DESCRIPTOR_SETS`] and in [`HEALTH_CHECKED`]. No other file names a service or a method.

pub(crate) mod greeter;
mod health;
mod reflection;

use std::rc::Rc;
use std::sync::Arc;

use greet_proto::grpc::health::v1::health_server::HealthServer;
use greet_proto::{Greeter, GreeterServer, HelloRequest};
use http::{HeaderName, Request};
use tokio::sync::watch;
use tonic::Status;
use tonic::codec::CompressionEncoding::Gzip;
use tonic::server::NamedService;

use self::health::Health;
use crate::grpc::{AdmittedCall, DecodedBody, Dispatch, Handler, Method, ResponseFuture, handler};
use crate::lifecycle::phase::Phase;

/// Every served method, at the position of its index.
pub(crate) static METHODS: [Method; 6] = [
    Method::unary(SAY_HELLO, "/greet.Greeter/SayHello"),
    Method::unary(HEALTH_CHECK, "/grpc.health.v1.Health/Check"),
    Method::unary(HEALTH_LIST, "/grpc.health.v1.Health/List"),
    Method::server_streaming(HEALTH_WATCH, "/grpc.health.v1.Health/Watch"),
    Method::bidi_streaming(
        REFLECTION_V1,
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    ),
    Method::bidi_streaming(
        REFLECTION_V1ALPHA,
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    ),
];

const SAY_HELLO: usize = 0;
const HEALTH_CHECK: usize = 1;
const HEALTH_LIST: usize = 2;
const HEALTH_WATCH: usize = 3;
const REFLECTION_V1: usize = 4;
const REFLECTION_V1ALPHA: usize = 5;

/// The descriptors of the served methods, which reflection returns.
const DESCRIPTOR_SETS: [&[u8]; 1] = [greet_proto::FILE_DESCRIPTOR_SET];

/// The services that a health check can name.
const HEALTH_CHECKED: &[&str] = &[GreeterServer::<()>::NAME];

const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");

/// The services of one worker. Workers share none, because the reference count of a shared `Arc`
/// would move between cores at every call.
pub(crate) struct Services {
    greeter: Arc<dyn Greeter>,
    /// By method index; `None` if the configuration disables the method.
    handlers: [Option<Handler>; METHODS.len()],
}

impl Services {
    pub(crate) fn new(
        greeter: impl Greeter,
        phase: watch::Receiver<Phase>,
        with_reflection: bool,
        max_message_bytes: usize,
    ) -> Services {
        // The request body enforces the same limit first, with the published status code.
        let max = max_message_bytes;
        let greeter = Arc::new(greeter);
        let mut handlers = [const { None }; METHODS.len()];

        let service = GreeterServer::from_arc(greeter.clone());
        let service = service.accept_compressed(Gzip).max_decoding_message_size(max);
        handlers[SAY_HELLO] = Some(handler(service));

        let service = HealthServer::new(Health::new(phase, HEALTH_CHECKED));
        let service = service.accept_compressed(Gzip).max_decoding_message_size(max);
        handlers[HEALTH_CHECK] = Some(handler(service.clone()));
        handlers[HEALTH_LIST] = Some(handler(service.clone()));
        handlers[HEALTH_WATCH] = Some(handler(service));

        if with_reflection {
            let (v1, v1alpha) = reflection::services(&DESCRIPTOR_SETS);
            let v1 = v1.accept_compressed(Gzip).max_decoding_message_size(max);
            let v1alpha = v1alpha.accept_compressed(Gzip).max_decoding_message_size(max);
            handlers[REFLECTION_V1] = Some(handler(v1));
            handlers[REFLECTION_V1ALPHA] = Some(handler(v1alpha));
        }
        Services { greeter, handlers }
    }

    /// Answers SayHello without the generated service: its codec costs more than the greeting.
    fn say_hello(
        self: Rc<Self>,
        call: AdmittedCall,
        request: Request<DecodedBody>,
    ) -> ResponseFuture {
        let in_flight = call.in_flight();
        call.unary(request, async move |request: tonic::Request<HelloRequest>| {
            in_flight.set_name_bytes(request.get_ref().name.len());
            self.greeter.say_hello(request).await
        })
    }
}

impl Dispatch for Services {
    fn method(&self, path: &str) -> Option<&'static Method> {
        METHODS.iter().find(|method| method.path == path)
    }

    fn dispatch(
        self: Rc<Self>,
        call: AdmittedCall,
        request: Request<DecodedBody>,
    ) -> ResponseFuture {
        let index = call.method().index;
        if index == SAY_HELLO && !request.headers().contains_key(GRPC_ENCODING) {
            return self.say_hello(call, request);
        }
        match &self.handlers[index] {
            Some(handler) => call.generated(request, handler.clone()),
            None => call.fail(Status::unimplemented("reflection is off (--no-reflection)")),
        }
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::greeter::Greeting;
    use super::*;

    #[test]
    fn methods_match_the_descriptors() {
        let mut described = 0;
        for set in DESCRIPTOR_SETS {
            for file in FileDescriptorSet::decode(set).unwrap().file {
                for service in &file.service {
                    for method in &service.method {
                        let (package, service) = (file.package(), service.name());
                        let path = format!("/{package}.{service}/{}", method.name());
                        let listed = METHODS.iter().find(|listed| listed.path == path);
                        let listed = listed.unwrap_or_else(|| panic!("{path} is not listed"));
                        let listed = (listed.is_client_streaming, listed.is_server_streaming);
                        let expected = (method.client_streaming(), method.server_streaming());
                        assert_eq!(listed, expected, "{path}");
                        described += 1;
                    }
                }
            }
        }
        assert_eq!(described, METHODS.len());
    }

    #[test]
    fn every_method_has_its_index_and_a_handler() {
        let (_phase, phase) = watch::channel(Phase::Serving);
        let services = Services::new(Greeting::new(1), phase, true, 1);
        for (position, method) in METHODS.iter().enumerate() {
            assert_eq!(method.index, position, "{}", method.path);
            assert!(services.handlers[position].is_some(), "{}", method.path);
        }
    }
}
