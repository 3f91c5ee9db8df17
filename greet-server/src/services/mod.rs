//! The list of services: a service, and each of its methods, is added here and nowhere else.
//!
//! Each worker has its own instances. Cloning an `Arc` that workers share would move its cache line
//! between cores at every call.

pub(crate) mod greeter;
mod handler;
mod health;
mod reflection;

use std::rc::Rc;
use std::sync::Arc;

use greet_proto::{Greeter, GreeterServer, HelloRequest};
use http::{HeaderName, Request, Response};
use tokio::sync::watch;
use tonic::Status;
use tonic::body::Body;
use tonic::codec::CompressionEncoding;
use tonic_health::pb::health_server::HealthServer;

use self::handler::{Handler, handler};
use self::health::Health;
use self::reflection::Reflection;
use crate::config::Limits;
use crate::grpc::{AdmittedCall, Answer, DecodedBody, Dispatch, Method, RequestBody};
use crate::lifecycle::phase::Phase;

/// Every method that is served, each at the position of its index.
pub(crate) static METHODS: [Method; 5] = [
    Method::unary(SAY_HELLO, "/greet.Greeter/SayHello"),
    Method::unary(HEALTH_CHECK, "/grpc.health.v1.Health/Check"),
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
const HEALTH_WATCH: usize = 2;
const REFLECTION_V1: usize = 3;
const REFLECTION_V1ALPHA: usize = 4;

/// The compression of the request's messages; only a call without it takes the fast path.
const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");

/// The services of one worker.
pub(crate) struct Services {
    greeter: Arc<dyn Greeter>,
    generated_greeter: Handler,
    health: Handler,
    reflection: Option<Reflection>,
}

impl Services {
    pub(crate) fn new(
        greeter: impl Greeter,
        phase: watch::Receiver<Phase>,
        with_reflection: bool,
        limits: &Limits,
    ) -> Services {
        // The codec's own limit would answer OUT_OF_RANGE; ours comes first and is the published one.
        let bytes = limits.max_message_bytes;
        let greeter = Arc::new(greeter);
        Services {
            greeter: greeter.clone(),
            generated_greeter: handler(
                GreeterServer::from_arc(greeter)
                    .accept_compressed(CompressionEncoding::Gzip)
                    .max_decoding_message_size(bytes),
            ),
            health: handler(
                HealthServer::new(Health::new(phase))
                    .accept_compressed(CompressionEncoding::Gzip)
                    .max_decoding_message_size(bytes),
            ),
            reflection: with_reflection.then(|| Reflection::new(bytes)),
        }
    }

    async fn generated(&self, method: &Method, request: Request<RequestBody>) -> Response<Body> {
        let handler = match (method.index, &self.reflection) {
            (SAY_HELLO, _) => &self.generated_greeter,
            (HEALTH_CHECK | HEALTH_WATCH, _) => &self.health,
            (REFLECTION_V1, Some(reflection)) => &reflection.v1,
            (REFLECTION_V1ALPHA, Some(reflection)) => &reflection.v1alpha,
            _ => return Status::unimplemented(reflection::OFF).into_http(),
        };
        let Ok(response) = handler(request).await;
        response
    }
}

impl Dispatch for Services {
    fn method(&self, path: &str) -> Option<&'static Method> {
        METHODS.iter().find(|method| method.path() == path)
    }

    fn dispatch(self: Rc<Self>, call: AdmittedCall, request: Request<DecodedBody>) -> Answer {
        let method = call.method();
        if method.index != SAY_HELLO || request.headers().contains_key(GRPC_ENCODING) {
            return call
                .generated(request, async move |request| self.generated(method, request).await);
        }
        let in_flight = call.in_flight();
        call.unary(request, async move |request: tonic::Request<HelloRequest>| {
            if let Some(record) = in_flight.record() {
                record.named(request.get_ref().name.len());
            }
            self.greeter.say_hello(request).await
        })
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::*;

    #[test]
    fn the_list_agrees_with_every_descriptor_that_is_served() {
        let served = [
            greet_proto::FILE_DESCRIPTOR_SET,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ];
        let mut described = 0;
        for set in served {
            for file in FileDescriptorSet::decode(set).unwrap().file {
                for service in &file.service {
                    for method in &service.method {
                        let (package, service) = (file.package(), service.name());
                        let path = format!("/{package}.{service}/{}", method.name());
                        let listed = METHODS.iter().find(|listed| listed.path() == path);
                        let listed = listed.unwrap_or_else(|| panic!("{path} is not listed"));
                        let streaming = (listed.is_client_streaming, listed.is_server_streaming);
                        let described_as = (method.client_streaming(), method.server_streaming());
                        assert_eq!(streaming, described_as, "{path}");
                        described += 1;
                    }
                }
            }
        }
        assert_eq!(described, METHODS.len());
    }

    #[test]
    fn each_method_stands_at_its_index() {
        for (position, method) in METHODS.iter().enumerate() {
            assert_eq!(method.index, position, "{}", method.path());
        }
    }
}
