//! A generated service as a plain function from request to response.

use std::convert::Infallible;

use http::{Request, Response};
use tonic::body::Body;
use tonic::codegen::BoxFuture;
use tower_service::Service;

use crate::grpc::RequestBody;

/// A generated service with its type forgotten, so that a signature is not a list of all of them.
pub(crate) type Handler = Box<dyn Fn(Request<RequestBody>) -> Responding>;

/// What every generated service returns; a failure is a response too.
type Responding = BoxFuture<Response<Body>, Infallible>;

/// Forgets the type of a generated service. It is always ready, so a function is all there is to it.
pub(crate) fn handler<S>(service: S) -> Handler
where
    S: Service<
            Request<RequestBody>,
            Response = Response<Body>,
            Error = Infallible,
            Future = Responding,
        >,
    S: Clone + 'static,
{
    Box::new(move |request| service.clone().call(request))
}
