//! Fuzzes `greet_cli::fuzzing::escaped_text`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| greet_cli::fuzzing::escaped_text(data));
