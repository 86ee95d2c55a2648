//! Codecs of a media section, with the static payload types of RFC 3551 section 6.

/// A codec that a media section offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Codec<'a> {
    /// The format as the `m=` line has it: a payload type for RTP.
    pub format: &'a [u8],
    /// The name by `a=rtpmap`, else by the static table; the format itself for what is not RTP, else empty.
    pub name: &'a [u8],
    /// The clock rate in hertz.
    pub clock: Option<u32>,
    /// The channels.
    pub channels: Option<u32>,
}

/// A payload type that needs no `a=rtpmap`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StaticPayload {
    /// The payload type.
    pub number: u8,
    /// The codec's name.
    pub name: &'static str,
    /// The clock rate in hertz.
    pub clock: u32,
    /// The channels; `None` for video.
    pub channels: Option<u32>,
}

const fn audio(number: u8, name: &'static str, clock: u32, channels: u32) -> StaticPayload {
    StaticPayload {
        number,
        name,
        clock,
        channels: Some(channels),
    }
}

const fn video(number: u8, name: &'static str) -> StaticPayload {
    StaticPayload {
        number,
        name,
        clock: 90_000,
        channels: None,
    }
}

/// Tables 4 and 5 of RFC 3551.
const STATIC: [StaticPayload; 24] = [
    audio(0, "PCMU", 8000, 1),
    audio(3, "GSM", 8000, 1),
    audio(4, "G723", 8000, 1),
    audio(5, "DVI4", 8000, 1),
    audio(6, "DVI4", 16000, 1),
    audio(7, "LPC", 8000, 1),
    audio(8, "PCMA", 8000, 1),
    audio(9, "G722", 8000, 1),
    audio(10, "L16", 44100, 2),
    audio(11, "L16", 44100, 1),
    audio(12, "QCELP", 8000, 1),
    audio(13, "CN", 8000, 1),
    audio(14, "MPA", 90_000, 1),
    audio(15, "G728", 8000, 1),
    audio(16, "DVI4", 11025, 1),
    audio(17, "DVI4", 22050, 1),
    audio(18, "G729", 8000, 1),
    video(25, "CelB"),
    video(26, "JPEG"),
    video(28, "nv"),
    video(31, "H261"),
    video(32, "MPV"),
    video(33, "MP2T"),
    video(34, "H263"),
];

/// What RFC 3551 says about the payload type `number`.
pub fn static_payload(number: u8) -> Option<StaticPayload> {
    STATIC.into_iter().find(|payload| payload.number == number)
}

/// The static payload types of the codec `name`, in any case.
pub fn static_payloads_named(name: &[u8]) -> impl Iterator<Item = StaticPayload> {
    STATIC
        .into_iter()
        .filter(move |payload| name.eq_ignore_ascii_case(payload.name.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_found_both_ways() {
        assert!(STATIC.windows(2).all(|pair| pair[0].number < pair[1].number));
        assert_eq!(static_payload(18).unwrap().name, "G729");
        assert_eq!(static_payload(2), None);
        let numbers: Vec<_> = static_payloads_named(b"dvi4")
            .map(|payload| payload.number)
            .collect();
        assert_eq!(numbers, [5, 6, 16, 17]);
    }
}
