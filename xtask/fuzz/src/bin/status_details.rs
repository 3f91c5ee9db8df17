//! Fuzzes `greet_cli::fuzzing::status_details`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| greet_cli::fuzzing::status_details(data));
