//! Frames and requests of WebSocket clients: see `stonechat_fuzz::websocket`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| stonechat_fuzz::websocket::run(data));
