//! Fuzzes `greet_server::fuzzing::grpc_timeout`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| greet_server::fuzzing::grpc_timeout(data));
