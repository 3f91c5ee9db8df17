//! Fuzzes `greet_cli::fuzzing::server_first_bytes`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| greet_cli::fuzzing::server_first_bytes(data));
