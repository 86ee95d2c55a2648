//! What the views of a message cost, in nanoseconds each: `cargo bench -p kahea-sip --bench views [-- [NAME] [ROUNDS]]`;
//! `cargo xtask counts` counts instructions.
#![expect(clippy::print_stdout, reason = "the figures are the output")]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use kahea_sip::{
    sdp::Sdp,
    view::{CSeq, Credentials, NameAddr, Uri, Via},
};

const URI: &[u8] = b"sip:+12125551212@server.phone2net.com:5070;transport=tcp;lr";
const FROM: &[u8] = b"\"Alice Liddell\" <sip:alice@atlanta.example.com>;tag=1928301774";
const VIA: &[u8] = b"SIP/2.0/UDP pc33.atlanta.example.com:5066;branch=z9hG4bK776asdhds;rport";
const CREDENTIALS: &[u8] = b"Digest username=\"bob\",realm=\"biloxi.com\",nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\",\
    uri=\"sip:bob@biloxi.com\",qop=auth,nc=00000001,cnonce=\"0a4f113b\",response=\"6629fae49393a05397450978507c4ef1\"";
const SDP: &[u8] = b"v=0\r\no=alice 2890844526 2890844526 IN IP4 host.atlanta.example.com\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
    m=audio 49170 RTP/AVP 0 8 97\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:97 iLBC/8000\r\n\
    m=video 51372 RTP/AVP 31 32\r\na=rtpmap:31 H261/90000\r\na=rtpmap:32 MPV/90000\r\n";

fn main() {
    measure("Uri::parse", || Uri::parse(black_box(URI)).is_ok());
    measure("Uri::parse and transport", || {
        Uri::parse(black_box(URI)).is_ok_and(|uri| uri.transport().is_stream())
    });
    measure("NameAddr::parse", || NameAddr::parse(black_box(FROM)).is_ok());
    measure("NameAddr::parse and tag", || {
        NameAddr::parse(black_box(FROM)).is_ok_and(|from| from.tag().is_some())
    });
    measure("Via::parse", || Via::parse(black_box(VIA)).is_ok());
    measure("Via::parse and branch", || {
        Via::parse(black_box(VIA)).is_ok_and(|via| via.branch().is_some())
    });
    measure("CSeq::parse", || CSeq::parse(black_box(b"314159 INVITE")).is_ok());
    measure("Credentials::parse", || {
        Credentials::parse(black_box(CREDENTIALS)).is_ok()
    });
    measure("Sdp::parse", || Sdp::parse(black_box(SDP)).is_ok());
    measure("Sdp::parse and all codecs", || {
        Sdp::parse(black_box(SDP)).is_ok_and(|sdp| sdp.media().all(|media| !media.codecs().is_empty()))
    });
}

/// Prints the best of several batches: what disturbs a batch only makes it slower.
fn measure(name: &str, mut work: impl FnMut() -> bool) {
    const BATCHES: u32 = 100;
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with("--"))
        .collect();
    let rounds = words
        .iter()
        .find_map(|word| word.parse().ok())
        .unwrap_or(3_000_000u32);
    if words
        .iter()
        .any(|word| word != name && word.parse::<u32>().is_err())
    {
        return;
    }
    let calls = (rounds / BATCHES).max(1);
    let mut best = Duration::MAX;
    for _ in 0..BATCHES {
        let start = Instant::now();
        for _ in 0..calls {
            assert!(black_box(work()), "{name}");
        }
        best = best.min(start.elapsed());
    }
    println!("{name:28} {:7.1} ns", best.as_secs_f64() * 1e9 / f64::from(calls));
}
