//! Fuzzes `greet_server::fuzzing::admin_host`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| greet_server::fuzzing::admin_host(data));
