//! Fuzzes `greet_server::fuzzing::traceparent`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| greet_server::fuzzing::traceparent(data));
