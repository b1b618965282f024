//! Spoiled logs, and files that never were logs: see `stonechat_fuzz::log_recovery`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| stonechat_fuzz::log_recovery::run(data));
