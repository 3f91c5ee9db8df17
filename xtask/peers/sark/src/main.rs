//! The Greeter on sark-grpc, which serves HTTP/2 on io_uring with a thread for each core.

use std::{env, io};

use dope::launcher::Launcher;
use sark_grpc::server::{Cfg, Config, Routes, Unary, UnaryHandler, serve};
use sark_grpc::{ProstCodec, UnaryRequest, UnaryResponse};

#[derive(prost::Message)]
struct HelloRequest {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(prost::Message)]
struct HelloReply {
    #[prost(string, tag = "1")]
    message: String,
}

struct Greeter;

impl UnaryHandler for Greeter {
    type Request = HelloRequest;
    type Response = HelloReply;
    type Codec = ProstCodec<HelloReply, HelloRequest>;

    fn on_unary(&mut self, request: UnaryRequest<HelloRequest>) -> UnaryResponse<HelloReply> {
        UnaryResponse::new(HelloReply { message: format!("Hello {}", request.message.name) })
    }
}

fn main() -> io::Result<()> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:50051".into());
    let config = Cfg {
        bind: address.parse().map_err(io::Error::other)?,
        readiness: None,
        max_conn: 8_192, // half of it from one client; the benchmark opens 2 000
        backlog: 4_096,
        grpc: Config::default(),
    };
    Launcher::from_affinity().run(|core| {
        let greeter = Unary::new(Greeter, ProstCodec::new());
        serve(Routes::new().route(b"/greet.Greeter/SayHello", greeter), config.clone(), core, None)
    })
}
