//! Reflection, v1 and v1alpha: a client without the .proto asks the daemon for it.

use tonic_reflection::server::Builder;

use super::handler::{Handler, handler};

pub(super) const OFF: &str = "reflection is off (--no-reflection)";

pub(super) struct Reflection {
    pub(super) v1: Handler,
    pub(super) v1alpha: Handler,
}

impl Reflection {
    pub(super) fn new(max_message_bytes: usize) -> Reflection {
        let decodes = "the descriptor sets are generated with the code that serves them";
        Reflection {
            v1: handler(
                contracts().build_v1().expect(decodes).max_decoding_message_size(max_message_bytes),
            ),
            v1alpha: handler(
                contracts()
                    .build_v1alpha()
                    .expect(decodes)
                    .max_decoding_message_size(max_message_bytes),
            ),
        }
    }
}

fn contracts() -> Builder<'static> {
    Builder::configure()
        .register_encoded_file_descriptor_set(greet_proto::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET)
        .include_reflection_service(false) // both versions are in the list already
}
