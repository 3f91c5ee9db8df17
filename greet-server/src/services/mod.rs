//! The services themselves, and which of them answers a method.

pub(crate) mod greeter;
mod health;
mod reflection;

use std::sync::Arc;

use greet_proto::{Greeter, GreeterServer};
use http::{Request, Response};
use tokio::sync::watch;
use tonic::Status;
use tonic::body::Body;
use tonic::codec::CompressionEncoding;
use tonic_health::pb::health_server::HealthServer;

use self::health::Health;
use self::reflection::Reflection;
use crate::config::Limits;
use crate::grpc::handler::{Handler, handler};
use crate::grpc::method::Method;
use crate::grpc::request_body::RequestBody;
use crate::lifecycle::phase::Phase;

/// One worker's own copies: cloning an `Arc` that workers share would move its cache line between
/// cores at every call.
pub(crate) struct Services {
    /// For calls that come the short way.
    pub(crate) greeter: Arc<dyn Greeter>,
    greeter_generated: Handler,
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
            greeter_generated: handler(
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

    pub(crate) async fn dispatch(
        &self,
        method: Method,
        request: Request<RequestBody>,
    ) -> Response<Body> {
        let handler = match (method, &self.reflection) {
            (Method::SayHello, _) => &self.greeter_generated,
            (Method::HealthCheck | Method::HealthWatch, _) => &self.health,
            (Method::ReflectionV1, Some(reflection)) => &reflection.v1,
            (Method::ReflectionV1Alpha, Some(reflection)) => &reflection.v1alpha,
            (Method::ReflectionV1 | Method::ReflectionV1Alpha, None) => {
                return Status::unimplemented(reflection::OFF).into_http();
            }
        };
        let Ok(response) = handler(request).await;
        response
    }
}
