#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    kahea_sip::view::fuzz_views(data);
});
