//! Fuzzes `greet_server::fuzzing::grpc_messages`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| greet_server::fuzzing::grpc_messages(data));
