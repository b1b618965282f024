//! Password files, broken and whole: see `stonechat_fuzz::password_file`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| stonechat_fuzz::password_file::run(data));
