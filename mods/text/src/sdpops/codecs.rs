//! Codecs of the media streams, by payload type and by name.

use kahea_module::{Cx, Str};
use kahea_sip::{
    EditTag, Span,
    sdp::{Media, Sdp, static_payloads_named},
};

use super::{
    SdpOps,
    body::{Found, find},
    media::of_type,
};

/// What the script lists.
enum List {
    /// Payload types.
    Ids(Str),
    /// Codec names.
    Names(Str),
}

/// What happens to the listed codecs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    Remove,
    Keep,
}

pub(super) fn remove_by_id(_: &SdpOps, cx: &mut Cx, list: Str, mtype: Option<Str>) -> bool {
    edit(cx, &List::Ids(list), mtype.as_deref(), Action::Remove)
}

pub(super) fn remove_by_name(_: &SdpOps, cx: &mut Cx, list: Str, mtype: Option<Str>) -> bool {
    edit(cx, &List::Names(list), mtype.as_deref(), Action::Remove)
}

pub(super) fn keep_by_id(_: &SdpOps, cx: &mut Cx, list: Str, mtype: Option<Str>) -> bool {
    edit(cx, &List::Ids(list), mtype.as_deref(), Action::Keep)
}

pub(super) fn keep_by_name(_: &SdpOps, cx: &mut Cx, list: Str, mtype: Option<Str>) -> bool {
    edit(cx, &List::Names(list), mtype.as_deref(), Action::Keep)
}

pub(super) fn with_by_id(_: &SdpOps, cx: &mut Cx, list: Str) -> i64 {
    match find(&cx.msg) {
        Found::Sdp(sdp) => offered(&sdp, &List::Ids(list)),
        Found::None | Found::Unreadable => -2,
    }
}

pub(super) fn with_by_name(_: &SdpOps, cx: &mut Cx, list: Str) -> i64 {
    match find(&cx.msg) {
        Found::Sdp(sdp) => offered(&sdp, &List::Names(list)),
        Found::None | Found::Unreadable => -1,
    }
}

/// 1: every stream has all of them, 2: some stream has one, -1: none has.
fn offered(sdp: &Sdp<'_>, list: &List) -> i64 {
    let (mut with, mut without) = (false, false);
    for media in sdp.media() {
        for item in list.each() {
            match item.formats(&media).is_empty() {
                true => without = true,
                false => with = true,
            }
        }
    }
    match (with, without) {
        (false, _) => -1,
        (true, false) => 1,
        (true, true) => 2,
    }
}

fn edit(cx: &mut Cx, list: &List, mtype: Option<&[u8]>, action: Action) -> bool {
    let Some(sdp) = find(&cx.msg).sdp() else {
        return false;
    };
    if !list.is_known(&sdp) {
        return false;
    }
    let mut gone = Vec::new();
    for media in sdp.media().filter(|media| of_type(media, mtype)) {
        let listed = list.formats(&media);
        let leaves = |format: &&[u8]| listed.contains(format) == (action == Action::Remove);
        let formats: Vec<&[u8]> = media.formats().filter(leaves).collect();
        take_out(cx.msg.buffer(), &media, &formats, &mut gone);
    }
    for span in gone {
        cx.edits.remove(span, EditTag::Body);
    }
    true
}

/// The places of formats with the blank before each, and of the attributes that are about them.
fn take_out(buffer: &[u8], media: &Media<'_>, formats: &[&[u8]], gone: &mut Vec<Span>) {
    for format in formats {
        if let Some(span) = Span::within(buffer, format) {
            gone.push(Span::new(span.start().saturating_sub(1), span.end()));
        }
    }
    for attribute in media.attributes() {
        let about = ["rtpmap", "fmtp", "rtcp-fb"]
            .iter()
            .any(|name| attribute.is(name));
        let format = attribute.value.map(first_word).filter(|_| about);
        if format.is_some_and(|format| formats.contains(&format)) {
            gone.extend(Span::within(buffer, attribute.line.whole));
        }
    }
}

fn first_word(value: &[u8]) -> &[u8] {
    let value = value.trim_ascii_start();
    value.split(u8::is_ascii_whitespace).next().unwrap_or_default()
}

impl List {
    /// Lists of one element each.
    fn each(&self) -> impl Iterator<Item = List> {
        let (List::Ids(text) | List::Names(text)) = self;
        items(text).map(|item| match self {
            List::Ids(_) => List::Ids(text.share(item)),
            List::Names(_) => List::Names(text.share(item)),
        })
    }

    /// The listed formats that the stream offers. A name counts as what it means in this very stream: Kamailio mixes up
    /// two streams that use one dynamic payload type for different codecs.
    fn formats<'a>(&self, media: &Media<'a>) -> Vec<&'a [u8]> {
        match self {
            List::Ids(ids) => media
                .formats()
                .filter(|format| items(ids).any(|id| id == *format))
                .collect(),
            List::Names(names) => {
                let named = |name: &[u8]| items(names).any(|item| item.eq_ignore_ascii_case(name));
                let codecs = media.codecs().into_iter();
                codecs
                    .filter(|codec| !codec.name.is_empty() && named(codec.name))
                    .map(|codec| codec.format)
                    .collect()
            }
        }
    }

    /// The list means something: payload types always, a name where a stream or RFC 3551 has a codec of it.
    fn is_known(&self, sdp: &Sdp<'_>) -> bool {
        match self {
            List::Ids(_) => true,
            List::Names(names) => {
                items(names).any(|name| static_payloads_named(name).next().is_some())
                    || sdp.media().any(|media| !self.formats(&media).is_empty())
            }
        }
    }
}

/// The elements of a comma separated list without blanks around them.
fn items(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|b| *b == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|item| !item.is_empty())
}

#[cfg(test)]
pub(crate) mod tests {
    use kahea_module::testing::Server;
    use kahea_sip::build::edited;

    use super::{super::body::tests::message, *};

    const SDP: &str = "v=0\no=- 7 8 IN IP4 1.2.3.4\ns=-\nt=0 0\nm=audio 4 RTP/AVP 0 8 101\na=rtpmap:0 PCMU/8000\n\
        a=rtpmap:101 telephone-event/8000\na=fmtp:101 0-16\na=sendrecv\nm=video 6 RTP/AVP 99 101\n\
        a=rtpmap:99 H264/90000\na=rtcp-fb:99 nack\na=rtcp-fb:* ccm fir\na=foo:99\na=rtpmap:101 VP8/90000\n";

    /// The lines of the streams after `change`.
    pub(crate) fn after(change: impl FnOnce(&mut Cx)) -> String {
        let server = Server::default();
        let mut cx = message(&server, "application/sdp", SDP);
        change(&mut cx);
        let mut out = Vec::new();
        edited(&cx.msg, &cx.edits, &mut |_, _| {}, &mut out);
        let text = String::from_utf8(out).unwrap().replace("\r\n", "\n");
        let (_, body) = text.split_once("\n\n").unwrap();
        body.split_once("t=0 0\n").unwrap().1.to_owned()
    }

    fn name(text: &str) -> Str {
        Str::from(text)
    }

    #[test]
    fn a_codec_leaves_with_its_attributes_and_a_second_call_changes_nothing() {
        let once = after(|cx| assert!(remove_by_id(&SdpOps, cx, name("0,99"), None)));
        assert_eq!(
            once,
            "m=audio 4 RTP/AVP 8 101\na=rtpmap:101 telephone-event/8000\na=fmtp:101 0-16\na=sendrecv\n\
             m=video 6 RTP/AVP 101\na=rtcp-fb:* ccm fir\na=foo:99\na=rtpmap:101 VP8/90000\n"
        );
        let twice = after(|cx| {
            assert!(remove_by_id(&SdpOps, cx, name("0,99"), None));
            assert!(remove_by_name(&SdpOps, cx, name("pcmu"), None));
        });
        assert_eq!(once, twice);
    }

    #[test]
    fn a_name_means_what_its_own_stream_says() {
        let text = after(|cx| assert!(remove_by_name(&SdpOps, cx, name("VP8"), None)));
        assert!(text.contains("m=audio 4 RTP/AVP 0 8 101\n") && text.contains("m=video 6 RTP/AVP 99\n"));
    }

    #[test]
    fn keeping_empties_a_stream_that_has_none_of_them() {
        let text = after(|cx| assert!(keep_by_name(&SdpOps, cx, name("PCMA"), None)));
        assert_eq!(
            text,
            "m=audio 4 RTP/AVP 8\na=sendrecv\nm=video 6 RTP/AVP\na=rtcp-fb:* ccm fir\na=foo:99\n"
        );
        let text = after(|cx| assert!(keep_by_id(&SdpOps, cx, name("8 , 0"), Some(name("audio")))));
        assert!(text.starts_with("m=audio 4 RTP/AVP 0 8\n") && text.contains("m=video 6 RTP/AVP 99 101\n"));
    }

    #[test]
    fn unknown_names_are_refused_and_leave_all_as_it_was() {
        let text = after(|cx| {
            assert!(!remove_by_name(&SdpOps, cx, name("opus"), None));
            assert!(!keep_by_name(&SdpOps, cx, name("opus"), None));
            assert!(
                remove_by_name(&SdpOps, cx, name("G729"), None),
                "RFC 3551 knows it"
            );
            assert!(cx.edits.is_empty());
        });
        assert!(text.starts_with("m=audio 4 RTP/AVP 0 8 101\n"));
    }

    #[test]
    fn codes_tell_all_streams_from_some() {
        let server = Server::default();
        let mut cx = message(&server, "application/sdp", SDP);
        assert_eq!(with_by_id(&SdpOps, &mut cx, name("101")), 1);
        assert_eq!(with_by_id(&SdpOps, &mut cx, name("77, 0")), 2);
        assert_eq!(with_by_id(&SdpOps, &mut cx, name("101, 0")), 2);
        assert_eq!(with_by_id(&SdpOps, &mut cx, name("77")), -1);
        assert_eq!(with_by_name(&SdpOps, &mut cx, name("pcma")), 2);
        assert_eq!(with_by_name(&SdpOps, &mut cx, name("opus")), -1);
        let mut none = message(&server, "", "");
        assert_eq!(with_by_id(&SdpOps, &mut none, name("0")), -2);
        assert_eq!(with_by_name(&SdpOps, &mut none, name("PCMU")), -1);
    }
}
