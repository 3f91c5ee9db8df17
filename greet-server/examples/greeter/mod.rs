//! The Greeter as tonic's own documentation builds it, without tuning and without limits.

use std::env;
use std::io::{self, Write as _};

use greet_proto::greet::greeter_server::{Greeter, GreeterServer};
use greet_proto::greet::{HelloReply, HelloRequest};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
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

pub(crate) async fn serve() -> anyhow::Result<()> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:50051".into());
    let incoming = TcpIncoming::bind(address.parse()?)?.with_nodelay(Some(true)); // as `serve` has it
    writeln!(io::stdout(), "listening on http://{}", incoming.local_addr()?)?;
    let greeter = GreeterServer::new(MyGreeter {});
    Server::builder().add_service(greeter).serve_with_incoming(incoming).await?;
    Ok(())
}
