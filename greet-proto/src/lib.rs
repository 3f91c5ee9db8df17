//! The wire types of Greet, generated from `proto/greet.proto` when the crate is built, and the parts of
//! gRPC that server and client share: the names of the status codes, the framing of a message, and the
//! escaping of text from a peer.
//!
//! This is the only crate that knows protobuf tooling: server and client use what stands here and
//! never see a compiler, a descriptor or a generated file.

pub mod escape;
pub mod framing;
pub mod status;

pub use generated::greeter_client::GreeterClient;
pub use generated::greeter_server::{Greeter, GreeterServer};
pub use generated::{HelloReply, HelloRequest};

/// The contract itself as an encoded `google.protobuf.FileDescriptorSet`, comments included;
/// reflection answers from it.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/greet.binpb"));

#[expect(
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    unreachable_pub,
    unused_qualifications,
    reason = "written by tonic-prost-build, which documents what the .proto documents"
)]
mod generated {
    tonic::include_proto!("greet");
}
