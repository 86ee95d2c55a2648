//! Properties that hold for any input; the promises themselves are in `kahea_sip::fuzz`.

use kahea_sip::fuzz;
use proptest::{collection::vec, prelude::*};

fn line_end() -> impl Strategy<Value = &'static str> {
    prop_oneof![4 => Just("\r\n"), 1 => Just("\n")]
}

/// Header lines as peers write them, and as they should not.
fn header() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        Just("Via".to_owned()),
        Just("v ".to_owned()),
        Just("TO".to_owned()),
        Just("From\t".to_owned()),
        Just("i".to_owned()),
        Just("CSeq".to_owned()),
        Just("Route\u{1}".to_owned()),
        Just("l".to_owned()),
        "[A-Za-z-]{1,12}",
        "[ -~]{0,5}",
    ];
    let value = prop_oneof![
        Just("SIP/2.0/UDP h;rport, SIP/2.0/TCP [::1]:5".to_owned()),
        Just("<sip:a@b>;tag=".to_owned()),
        Just("1 INVITE".to_owned()),
        "[0-9]{1,3}",
        "[ -~\u{e9}\u{4e2d}]{0,30}",
        "[a-z\",;]{0,9}\r\n [a-z]{0,9}",
    ];
    (name, value).prop_map(|(name, value)| format!("{name}:{value}"))
}

prop_compose! {
    fn message()(
        first in prop_oneof![Just("INVITE sip:a@b SIP/2.0"), Just("SIP/2.0 200 OK"), Just("GET / HTTP/1.1"), Just("X")],
        end in line_end(),
        headers in vec(header(), 0..12),
        body in vec(any::<u8>(), 0..40),
    ) -> Vec<u8> {
        let mut text = format!("{first}{end}").into_bytes();
        for header in headers {
            text.extend_from_slice(header.as_bytes());
            text.extend_from_slice(end.as_bytes());
        }
        text.extend_from_slice(end.as_bytes());
        text.extend_from_slice(&body);
        text
    }
}

proptest! {
    #[test]
    fn no_bytes_break_the_parser(data in vec(any::<u8>(), 0..600)) {
        fuzz::message(&data);
    }

    #[test]
    fn messages_leave_unchanged_and_replies_are_well_formed(data in message()) {
        fuzz::message(&data);
    }

    #[test]
    fn random_edits_keep_every_untouched_byte_in_order(data in vec(any::<u8>(), 0..60)) {
        fuzz::edits(&data);
    }

    #[test]
    fn a_stream_cut_anywhere_gives_the_same_frames(cut in 1u8.., stream in vec(message(), 1..4)) {
        let mut data = vec![cut];
        data.extend(stream.concat());
        fuzz::framing(&data);
    }
}
