//! Fuzzes `greet_server::fuzzing::frame_heads`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| greet_server::fuzzing::frame_heads(data));
