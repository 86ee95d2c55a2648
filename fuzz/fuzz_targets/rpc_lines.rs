#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    kahea_rpc::fuzz::line_request(data);
});
