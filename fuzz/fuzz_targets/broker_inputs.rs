//! Any sequence of inputs, to one broker or several: see `stonechat_fuzz::broker_inputs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| stonechat_fuzz::broker_inputs::run(data));
