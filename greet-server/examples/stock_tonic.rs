//! The Greeter as tonic's own documentation builds it: the peer that `cargo xtask bench` measures
//! greet-server against. Nothing here is tuned, and nothing is bounded.

use std::env;

use greet_proto::{Greeter, GreeterServer, HelloReply, HelloRequest};
use tonic::transport::Server;
use tonic::{Request, Response, Status};

struct MyGreeter {}

#[tonic::async_trait]
impl Greeter for MyGreeter {
    async fn say_hello(
        &self,
        request: Request<HelloRequest>,
    ) -> Result<Response<HelloReply>, Status> {
        let message = format!("Hello {}", request.into_inner().name);
        Ok(Response::new(HelloReply { message }))
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:50051".into());
    Server::builder().add_service(GreeterServer::new(MyGreeter {})).serve(address.parse()?).await?;
    Ok(())
}
