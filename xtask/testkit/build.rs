//! Generates the services that exist for tests only, by the rules of the served ones.

#[cfg(feature = "probe")]
#[path = "../../greet-proto/build/codegen.rs"]
mod codegen;

#[cfg(feature = "probe")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    codegen::generate("proto")
}

#[cfg(not(feature = "probe"))]
fn main() {}
