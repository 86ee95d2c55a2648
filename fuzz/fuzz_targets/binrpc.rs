#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    kahea_rpc::fuzz::packet(data);
});
