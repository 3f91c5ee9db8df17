//! Fuzzes `greet_server::fuzzing::preface`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| greet_server::fuzzing::preface(data));
