//! The configuration that comes with Kamailio parses fast; `kahea/tests/samples.rs` checks what is found in it.

use std::{fs, io};

use kahea_lang::{
    parser,
    source::{Options, Sources},
};

struct Disk;

impl Sources for Disk {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn env(&self, _: &str) -> Option<String> {
        None
    }
}

/// The newest stock configuration parses fast enough for an editor to check it at each key.
#[test]
fn largest_stock_configuration_is_fast() {
    let path = "/etc/kamailio/kamailio.cfg";
    let text = fs::read(path).expect("apt-get install kamailio");
    assert!(text.len() > 10_000, "not the stock configuration");
    let mut times: Vec<_> = (0..5)
        .map(|_| {
            #[expect(clippy::disallowed_methods, reason = "this test measures time")]
            let start = std::time::Instant::now();
            parser::parse(path, &Disk, &Options::default());
            start.elapsed()
        })
        .collect();
    times.sort();
    assert!(times[0] < std::time::Duration::from_millis(10), "{times:?}");
}
