//! Fuzzes `greet_cli::fuzzing::proxy_reply`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| greet_cli::fuzzing::proxy_reply(data));
