//! Implements Greeter: the reply is `Hello ` and the name, byte for byte.

use greet_proto::greet::greeter_server::Greeter;
use greet_proto::greet::{HelloReply, HelloRequest};
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// The Greeter service.
#[derive(Debug, Clone, Copy)]
pub struct GreeterService {
    max_name_bytes: usize,
}

impl GreeterService {
    /// Creates the service, which accepts names of up to `max_name_bytes` bytes of UTF-8.
    pub fn new(max_name_bytes: usize) -> GreeterService {
        GreeterService { max_name_bytes }
    }
}

#[tonic::async_trait]
impl Greeter for GreeterService {
    async fn say_hello(
        &self,
        request: Request<HelloRequest>,
    ) -> Result<Response<HelloReply>, Status> {
        let mut message = request.into_inner().name;
        if message.len() > self.max_name_bytes {
            return Err(name_too_long(message.len(), self.max_name_bytes));
        }
        message.insert_str(0, "Hello ");
        Ok(Response::new(HelloReply { message }))
    }
}

/// Returns INVALID_ARGUMENT with a `google.rpc.BadRequest`, which names the field for programs.
fn name_too_long(bytes: usize, limit: usize) -> Status {
    let description = format!("is {bytes} bytes long; the limit is {limit} bytes");
    let details = ErrorDetails::with_bad_request_violation("name", &description);
    Status::with_error_details(Code::InvalidArgument, format!("name {description}"), details)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn say_hello(name: &str) -> Result<String, Status> {
        let request = Request::new(HelloRequest { name: name.into() });
        let reply = GreeterService::new(8).say_hello(request).await?;
        Ok(reply.into_inner().message)
    }

    #[tokio::test]
    async fn reply_ends_with_the_name_byte_for_byte() {
        for name in ["Ada", "", " ", "a\0b\n", "Zoë", "\u{1f600}"] {
            assert_eq!(say_hello(name).await.unwrap(), format!("Hello {name}"));
        }
    }

    #[tokio::test]
    async fn name_over_the_limit_is_rejected() {
        assert_eq!(say_hello("12345678").await.unwrap(), "Hello 12345678");

        let status = say_hello("123456789").await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(status.message(), "name is 9 bytes long; the limit is 8 bytes");
        let details = status.get_details_bad_request().unwrap();
        let [violation] = &details.field_violations[..] else {
            panic!("not one violation: {details:?}");
        };
        assert_eq!(violation.field, "name");
    }
}
