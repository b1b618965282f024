//! Any packet, written and read: see `stonechat_fuzz::round_trip`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| stonechat_fuzz::round_trip::run(data));
