//! Fuzzes `greet_cli::fuzzing::tls_first_bytes`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| greet_cli::fuzzing::tls_first_bytes(data));
