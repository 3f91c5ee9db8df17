//! Fuzzes `greet_cli::fuzzing::reply_excerpt`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| greet_cli::fuzzing::reply_excerpt(data));
