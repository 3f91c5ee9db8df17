//! Fuzzes `greet_server::fuzzing::grpc_web_text`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| greet_server::fuzzing::grpc_web_text(data));
