//! Fuzzes `greet_server::fuzzing::content_type`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| greet_server::fuzzing::content_type(data));
