//! Fuzzes `greet_server::fuzzing::connection`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| greet_server::fuzzing::connection(data));
