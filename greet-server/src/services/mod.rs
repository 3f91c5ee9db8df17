//! Lists the served methods and connects each to the service that implements it.
//!
//! To add a method, implement it (for Greeter in `greeter.rs`), then add its index, its entry in
//! [`METHODS`] and its handler in [`Services::new`]. A new service also has an entry in
//! [`DESCRIBED`] and in the list of health-checked services. No other file names a service or a method.

pub(crate) mod greeter;
mod health;
mod reflection;

use std::rc::Rc;
use std::sync::Arc;

use greet_proto::grpc::health::v1::health_server::HealthServer;
use greet_proto::grpc::reflection::v1::server_reflection_server as v1;
use greet_proto::grpc::reflection::v1alpha::server_reflection_server as v1alpha;
use greet_proto::service::GeneratedService as _;
use greet_proto::{Greeter, GreeterServer, HelloRequest};
use http::{HeaderName, Request};
use tokio::sync::watch;
use tonic::Status;
use tonic::server::NamedService;

use self::health::Health;
use self::reflection::Reflection;
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

/// The served services and their descriptors, which reflection returns.
const DESCRIBED: [(&str, &[u8]); 4] = [
    (GreeterServer::<()>::NAME, greet_proto::FILE_DESCRIPTOR_SET),
    (HealthServer::<()>::NAME, greet_proto::FILE_DESCRIPTOR_SET),
    (v1::ServerReflectionServer::<()>::NAME, greet_proto::FILE_DESCRIPTOR_SET),
    (v1alpha::ServerReflectionServer::<()>::NAME, greet_proto::FILE_DESCRIPTOR_SET),
];

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

        let service = GreeterServer::from_shared(greeter.clone(), max);
        handlers[SAY_HELLO] = Some(handler(service));

        let checked = vec![(GreeterServer::<()>::NAME, watch::channel(true).1)];
        let service = HealthServer::from_shared(Arc::new(Health::new(phase, checked)), max);
        handlers[HEALTH_CHECK] = Some(handler(service.clone()));
        handlers[HEALTH_LIST] = Some(handler(service.clone()));
        handlers[HEALTH_WATCH] = Some(handler(service));

        if with_reflection {
            let reflection = Arc::new(Reflection::new(&DESCRIBED));
            let v1 = v1::ServerReflectionServer::from_shared(reflection.clone(), max);
            let v1alpha = v1alpha::ServerReflectionServer::from_shared(reflection, max);
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
        for file in FileDescriptorSet::decode(greet_proto::FILE_DESCRIPTOR_SET).unwrap().file {
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
