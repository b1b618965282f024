//! Any history of filters and topics: see `stonechat_fuzz::topic_match`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| stonechat_fuzz::topic_match::run(data));
