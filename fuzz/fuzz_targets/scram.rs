//! Exchanges of SCRAM, honest and not: see `stonechat_fuzz::scram`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| stonechat_fuzz::scram::run(data));
