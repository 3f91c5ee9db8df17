//! tonic with the runtime and the allocator of greet-server, which shows how much of the difference they
//! make.

mod greeter;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    greeter::serve().await
}
