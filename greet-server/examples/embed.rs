//! A program that embeds the server: its own service with state, on a free port, until Ctrl-C.
//!
//! ```text
//! cargo run -p greet-server --example embed
//! ```

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use greet_proto::greet::greeter_server::{Greeter, GreeterServer};
use greet_proto::greet::{HelloReply, HelloRequest};
use greet_server::config::Config;
use greet_server::{Server, Service, ServiceHealth};
use tonic::{Request, Response, Status};

/// Replies with the number of the call, and serves no more than `max_calls`.
struct Numbering {
    calls: AtomicU64,
    max_calls: u64,
    health: ServiceHealth,
}

#[tonic::async_trait]
impl Greeter for Numbering {
    async fn say_hello(
        &self,
        request: Request<HelloRequest>,
    ) -> Result<Response<HelloReply>, Status> {
        let number = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        if number >= self.max_calls {
            self.health.set_serving(false); // clients and load balancers see NOT_SERVING
        }
        if number > self.max_calls {
            return Err(Status::resource_exhausted("all numbers are taken"));
        }
        let message = format!("{number}: {}", request.into_inner().name);
        Ok(Response::new(HelloReply { message }))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut stdout = io::stdout();
    let health = ServiceHealth::default();
    // Each worker calls `services`; the `Arc` makes the state that of the whole process.
    let state = Arc::new(Numbering { calls: 0.into(), max_calls: 3, health: health.clone() });
    let services = {
        let state = state.clone();
        move |config: &Config| {
            let service = Service::of::<GreeterServer<Numbering>>(config, state.clone());
            vec![service.with_health(&health)]
        }
    };
    let listen = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()];
    let server = Server::bind(Config { listen, ..Config::default() }, services).await?;
    for address in server.addresses() {
        writeln!(stdout, "listening on {address}; Ctrl-C drains")?;
    }
    let interrupted = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await; // no handler; a signal ends the program
        }
    };
    let report = server.run(interrupted, std::future::pending()).await?;
    let calls = state.calls.load(Ordering::Relaxed);
    writeln!(stdout, "{calls} calls, {} answered, {} cut", report.answered, report.cut)?;
    Ok(())
}
