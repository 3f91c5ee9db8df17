//! tonic with the runtime of its documentation and the system's allocator. `cargo xtask bench` compares
//! greet-server with it.

mod greeter;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    greeter::serve().await
}
