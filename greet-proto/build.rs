//! Generates the Rust side of every file in `proto/` with protox, so no `protoc` needs to be
//! installed.

#[path = "build/codegen.rs"]
mod codegen;

use std::error::Error;

const PROTO_DIR: &str = "../proto";

fn main() -> Result<(), Box<dyn Error>> {
    codegen::generate(PROTO_DIR)
}
