//! Any text as an ACL file: see `stonechat_fuzz::acl_file`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| stonechat_fuzz::acl_file::run(data));
