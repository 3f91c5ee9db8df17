//! Generates the Rust side of `proto/greet.proto`: messages, client and server stubs, and the
//! descriptor set for reflection. The compiler is protox, so `protoc` need not be installed.

use std::error::Error;
use std::{env, fs, path::Path};

use prost::Message as _;

const PROTO_DIR: &str = "../proto";
const PROTO_FILE: &str = "greet.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={PROTO_DIR}/{PROTO_FILE}");

    let descriptors = protox::compile([PROTO_FILE], [PROTO_DIR])?;

    let out_dir = env::var("OUT_DIR")?;
    fs::write(Path::new(&out_dir).join("greet.binpb"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
