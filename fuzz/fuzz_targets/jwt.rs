//! Tokens, signed and not, and keys: see `stonechat_fuzz::jwt`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| stonechat_fuzz::jwt::run(data));
