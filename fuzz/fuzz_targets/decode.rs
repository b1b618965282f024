//! Any bytes, as a stream of packets: see `stonechat_fuzz::decode`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| stonechat_fuzz::decode::run(data));
