//! Parses an 850-byte INVITE over and over: `cargo bench -p kahea-sip --bench parse [-- [NAME] [ROUNDS]]` prints the time
//! of one round of each case, or of that one; `cargo xtask counts` counts its instructions.
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark measures time and prints it"
)]

use std::{hint::black_box, time::Instant};

use kahea_sip::{
    Edits, HeaderId, Limits, Message, Str,
    build::{self, RequestParts, ViaFix},
};

const INVITE: &str = "INVITE sip:bob@biloxi.example.com SIP/2.0\r\n\
Via: SIP/2.0/UDP pc33.atlanta.example.com:5060;branch=z9hG4bK776asdhds;rport\r\n\
Max-Forwards: 70\r\n\
To: \"Bob\" <sip:bob@biloxi.example.com>\r\n\
From: \"Alice\" <sip:alice@atlanta.example.com>;tag=1928301774\r\n\
Call-ID: a84b4c76e66710@pc33.atlanta.example.com\r\n\
CSeq: 314159 INVITE\r\n\
Contact: <sip:alice@pc33.atlanta.example.com:5060;transport=udp>\r\n\
Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, NOTIFY, MESSAGE, SUBSCRIBE, INFO\r\n\
Supported: replaces, timer, path\r\n\
User-Agent: Softphone 3.2.1 (build 10472)\r\n\
Session-Expires: 1800;refresher=uac\r\n\
Content-Type: application/sdp\r\n\
Content-Length: 260\r\n\
\r\n\
v=0\r\n\
o=alice 2890844526 2890844526 IN IP4 192.0.2.101\r\n\
s=-\r\n\
c=IN IP4 192.0.2.101\r\n\
t=0 0\r\n\
m=audio 49172 RTP/AVP 0 8 18 101\r\n\
a=rtpmap:0 PCMU/8000\r\n\
a=rtpmap:8 PCMA/8000\r\n\
a=rtpmap:18 G729/8000\r\n\
a=rtpmap:101 telephone-event/8000\r\n\
a=fmtp:101 0-15\r\n\
a=ptime:20\r\n\
a=sendrecv\r\n";

fn main() {
    let rounds = std::env::args()
        .filter_map(|word| word.parse().ok())
        .next()
        .unwrap_or(1_000_000u32);
    let buffer = Str::from(INVITE);
    let limits = Limits::default();
    time("parse", rounds, || {
        black_box(Message::parse(black_box(buffer.clone()), &limits).is_ok());
    });
    let Ok(message) = Message::parse(buffer.clone(), &limits) else {
        return println!("the INVITE is broken");
    };
    time("first(User-Agent)", rounds, || {
        black_box(message.first(black_box(HeaderId::UserAgent)));
    });
    let edits = Edits::new();
    let mut out = Vec::new();
    let source = ([127, 0, 0, 1], 5060).into();
    let parts = RequestParts {
        new_via: Some(b"Via: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKcydzigwkX\r\n"),
        via_fix: Some(ViaFix {
            source,
            force_rport: false,
        }),
        ..RequestParts::default()
    };
    time("forward", rounds, || {
        out.clear();
        build::request(black_box(&message), &edits, &parts, &mut |_, _| {}, &mut out);
        black_box(out.len());
    });
    println!("{} bytes, {} headers", INVITE.len(), message.headers().len());
}

/// The fastest of a hundred batches: what other programs on the machine take is not ours.
fn time(what: &str, rounds: u32, mut work: impl FnMut()) {
    let asked = std::env::args().skip(1).find(|word| !word.starts_with("--"));
    if asked.is_some_and(|name| name != what && name.parse::<u32>().is_err()) {
        return;
    }
    let batch = (rounds / 100).max(1);
    let fastest = (0..100).map(|_| {
        let start = Instant::now();
        (0..batch).for_each(|_| work());
        start.elapsed()
    });
    let fastest = fastest.min().unwrap_or_default();
    println!("{what}: {:.0} ns", fastest.as_nanos() as f64 / f64::from(batch));
}
