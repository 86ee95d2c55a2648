//! A short, seeded run of the views' fuzz entry: texts as they should be, cut, changed and joined.

#![expect(clippy::indexing_slicing, reason = "a mistake here may end the test")]

use std::time::{Duration, Instant};

use kahea_sip::view::fuzz_views;

/// One of each kind, so that changes of them reach every branch.
const SEEDS: [&str; 19] = [
    "sips:alice;p=1:pw@[2001:db8::1]:5061;transport=TLS;lr;x=%61?Subject=a&Route=%3Csip%3Ab%3E",
    "tel:+1-201-555-0123;ext=7;phone-context=example.com",
    "urn:gsma:imei:90420156-025763-0;svn=1",
    "\"A \\\"B\\\" C\" <sip:agb@bell.example;lr>\r\n ;tag=a48s;q=0.5;expires=60, sip:c@d;x=\"<;>\", *",
    "SIP / 2.0\r\n /UDP [2001:db8::9:1]:5061;received=192.0.2.1;rport=4444;branch=z9hG4bKas3 (c,(d)), SIP/2.0/TCP b",
    "4711 INVITE",
    "776656 1 INVITE",
    "Digest username=\"bob@x\", realm=\"bi\\\"l,com\", nonce=\"dcd98b\", uri=\"sip:b@b\", qop=auth, nc=0000000A, \
     cnonce=\"0a4f\", response=\"6629\", algorithm=SHA-256, Digest realm=\"c\"",
    "Q.850;cause=16;text=\"Terminated, ok\", SIP;cause=200",
    "307 isi.edu \"Session parameter 'foo' not understood\", 399 x \"\"",
    "120 (In (a) meeting);duration=3600",
    "98asjd@x;to-tag=a;from-tag=b;early-only",
    "eyJh.eyJk.c2ln;info=<https://cert.example.org/a.cer>;alg=ES256;ppt=shaken",
    "icid-value=\"12;34\";icid-generated-at=192.0.2.1;orig-ioi=home1.net",
    "Sat, 13 Nov 2010 23:29:00 GMT",
    "multipart/mixed;boundary=\"a b\", text/*;q=0.5",
    "presence.winfo;id=7;reason=timeout;expires=600",
    "v=0\r\no=a 1 2 IN IP4 h\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nb=AS:64\r\nm=audio 49170/2 RTP/AVP 0 96\r\na=rtpmap:96 opus/48000/2\r\n\
     a=fmtp:96 x=1\r\na=candidate:1 1 UDP 21 192.0.2.1 49170 typ srflx raddr 10.0.0.1\r\na=inactive\r\nm=image 0 udptl t38\n",
    "--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--b\r\nc: text/plain;\r\n x=1\r\n\r\nhello\r\n--b--\r\nend",
];

/// Bytes that mean something to one view or another.
const TELLING: &[u8] = b"\"\\<>;,=:@()[]%?&/*- \t\r\n\x00\xff0aZ";

/// xorshift64: small, and the same on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }
}

fn change(text: &mut Vec<u8>, random: &mut Random) {
    let at = random.below(text.len());
    let byte = TELLING[random.below(TELLING.len())];
    match random.below(6) {
        0 => text.truncate(at),
        1 => text.insert(at, byte),
        2 if !text.is_empty() => text[at] = byte,
        3 if !text.is_empty() => drop(text.remove(at)),
        4 => {
            let other = SEEDS[random.below(SEEDS.len())].as_bytes();
            text.splice(at..at, other[..random.below(other.len())].iter().copied());
        }
        _ => {
            let end = (at + random.below(12)).min(text.len());
            let piece = text[at..end].to_vec();
            text.extend(piece);
        }
    }
}

#[test]
fn every_seed_is_taken_by_a_view() {
    for seed in SEEDS {
        assert!(fuzz_views(seed.as_bytes()) > 0, "{seed}");
    }
}

#[test]
fn every_prefix_of_every_seed() {
    for seed in SEEDS {
        for end in 0..seed.len() {
            fuzz_views(&seed.as_bytes()[..end]);
        }
    }
}

#[test]
fn changed_seeds() {
    let mut random = Random(0x6b61_6865_6121);
    for round in 0..20_000 {
        let mut text = SEEDS[round % SEEDS.len()].as_bytes().to_vec();
        for _ in 0..=random.below(6) {
            change(&mut text, &mut random);
        }
        fuzz_views(&text);
    }
}

/// Long runs of one telling byte or pair keep every piece in its place.
#[test]
fn long_runs() {
    for first in TELLING {
        for second in TELLING {
            let text: Vec<u8> = [*first, *second].repeat(500);
            for start in ["", "Digest ", "sip:a@b;", "m=audio 1 RTP/AVP "] {
                fuzz_views(&[start.as_bytes(), &text[..]].concat());
            }
        }
    }
}

/// Work stays in proportion to the length: eight times the text may not take thirty-two times as long.
#[test]
fn work_is_linear() {
    let runs = [
        "\"",
        "<",
        "(",
        ":",
        ",",
        ";a",
        "a:<b>,",
        "=,",
        "m=\n",
        "a=rtpmap:1 x\n",
        "--b\n",
        "Digest a,",
        "\"\",",
    ];
    for run in runs {
        for start in [
            "",
            "sip:a@b;",
            "Digest ",
            "--b\n",
            "c=IN IP4 0.0.0.0\nm=audio 1 RTP/AVP ",
        ] {
            let text = |size: usize| [start, &"a".repeat(size), &run.repeat(size / run.len())].concat();
            let (short, long) = (text(2_000), text(16_000));
            // A machine that is busy may disturb every round of one measurement, but hardly of four.
            let in_proportion = || time(&long) < time(&short) * 32;
            assert!((0..4).any(|_| in_proportion()), "{start:?} and {run:?}");
        }
    }
}

/// The best of some rounds: what disturbs a round only makes it slower.
#[expect(clippy::disallowed_methods, reason = "it measures real time")]
fn time(text: &str) -> Duration {
    let round = |_| {
        let start = Instant::now();
        fuzz_views(text.as_bytes());
        start.elapsed()
    };
    (0..5).map(round).min().unwrap_or_default()
}
