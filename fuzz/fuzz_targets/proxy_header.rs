//! Headers of the PROXY protocol: see `stonechat_fuzz::proxy_header`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| stonechat_fuzz::proxy_header::run(data));
