//! Fuzzes `greet_cli::fuzzing::certificate`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| greet_cli::fuzzing::certificate(data));
