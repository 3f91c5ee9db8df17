//! Fuzzes `greet_cli::fuzzing::grpc_status`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| greet_cli::fuzzing::grpc_status(data));
