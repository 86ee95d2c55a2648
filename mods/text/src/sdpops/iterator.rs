//! Walks over the lines of the session description.

use kahea_module::{Cx, Index, Str, Value, ret::Given};
use kahea_sip::{EditTag, Place, Span, sdp::Lines};

use super::{SdpOps, body::find};

/// As many walks at a time as Kamailio has room for.
const WALKS: usize = 4;

/// The walks of a message.
#[derive(Default)]
struct Walks(Vec<Walk>);

struct Walk {
    name: Str,
    /// The message that the places are of: `msg_apply_changes()` makes another one, which ends the walk.
    message: Str,
    /// What is yet to come.
    rest: Span,
    /// The line that the walk is at.
    line: Option<Span>,
}

impl Walk {
    fn is_of(&self, message: &Str) -> bool {
        std::ptr::eq(self.message.as_bytes(), message.as_bytes())
    }
}

pub(super) fn start(_: &SdpOps, cx: &mut Cx, name: Str) -> bool {
    let message = cx.msg.buffer().clone();
    let Some(rest) = find(&cx.msg)
        .sdp()
        .and_then(|sdp| Span::within(&message, sdp.raw))
    else {
        return false;
    };
    let walks = &mut cx.extra::<Walks>().0;
    walks.retain(|walk| walk.name != *name);
    if walks.len() >= WALKS {
        return false;
    }
    walks.push(Walk {
        name: name.detach(),
        message,
        rest,
        line: None,
    });
    true
}

pub(super) fn end(_: &SdpOps, cx: &mut Cx, name: Str) -> bool {
    let walks = &mut cx.extra::<Walks>().0;
    let before = walks.len();
    walks.retain(|walk| walk.name != *name);
    walks.len() < before
}

pub(super) fn next(_: &SdpOps, cx: &mut Cx, name: Str) -> bool {
    let message = cx.msg.buffer().clone();
    let walks = &mut cx.extra::<Walks>().0;
    let Some(walk) = walks
        .iter_mut()
        .find(|walk| walk.name == *name && walk.is_of(&message))
    else {
        return false;
    };
    let line = Lines::new(walk.rest.of_bytes(&message)).next();
    walk.line = line.and_then(|line| Span::within(&message, line.whole));
    if let Some(line) = walk.line {
        walk.rest = Span::new(line.end(), walk.rest.end());
    }
    walk.line.is_some()
}

/// Where the walk of this name is.
fn line(cx: &Cx, name: &[u8]) -> Option<Span> {
    let walks = cx.extra_ref::<Walks>()?;
    let mut found = walks.0.iter().filter(|walk| *walk.name == *name);
    found.find(|walk| walk.is_of(cx.msg.buffer()))?.line
}

pub(super) fn remove(_: &SdpOps, cx: &mut Cx, name: Str) -> bool {
    let Some(span) = line(cx, &name) else {
        return false;
    };
    cx.edits.remove(span, EditTag::Body);
    true
}

pub(super) fn append(_: &SdpOps, cx: &mut Cx, name: Str, text: Str) -> bool {
    let Some(span) = line(cx, &name) else {
        return false;
    };
    cx.edits.insert(span.end(), Place::After, text, EditTag::Body);
    true
}

pub(super) fn insert(_: &SdpOps, cx: &mut Cx, name: Str, text: Str) -> bool {
    let Some(span) = line(cx, &name) else {
        return false;
    };
    cx.edits.insert(span.start(), Place::Before, text, EditTag::Body);
    true
}

pub(super) fn value(_: &SdpOps, cx: &mut Cx, name: &Str, _: Index) -> Value {
    line(cx, name).map(|span| cx.msg.text(span)).into()
}

/// Gives embedded languages the line, null where there is none.
pub(super) fn give_value(m: &SdpOps, cx: &mut Cx, name: Str) {
    let line = value(m, cx, &name, Index::None);
    Given::set(cx, line);
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::{
        super::{body::tests::message, codecs::tests::after},
        *,
    };

    #[test]
    fn lines_are_seen_removed_and_added() {
        let text = after(|cx| {
            let name = || Str::from("s1");
            assert!(start(&SdpOps, cx, name()));
            assert!(value(&SdpOps, cx, &name(), Index::None).is_null());
            while next(&SdpOps, cx, name()) {
                let line = value(&SdpOps, cx, &name(), Index::None).str_or_empty();
                give_value(&SdpOps, cx, name());
                assert_eq!(Given::take(cx), Some(line.clone().into()));
                if line == "a=sendrecv\r\n" {
                    assert!(insert(&SdpOps, cx, name(), Str::from("a=before\r\n")));
                    assert!(append(&SdpOps, cx, name(), Str::from("a=after\r\n")));
                }
                if line.starts_with(b"a=rt") {
                    assert!(remove(&SdpOps, cx, name()));
                }
            }
            assert!(end(&SdpOps, cx, name()) && !end(&SdpOps, cx, name()));
        });
        assert_eq!(
            text,
            "m=audio 4 RTP/AVP 0 8 101\na=fmtp:101 0-16\na=before\na=sendrecv\na=after\nm=video 6 RTP/AVP 99 101\na=foo:99\n"
        );
    }

    #[test]
    fn there_are_four_walks() {
        let server = Server::default();
        let mut cx = message(
            &server,
            "application/sdp",
            "v=0\no=- 7 8 IN IP4 1.2.3.4\ns=-\nt=0 0\n",
        );
        for name in ["a", "b", "c", "d", "a"] {
            assert!(start(&SdpOps, &mut cx, Str::from(name)));
        }
        assert!(!start(&SdpOps, &mut cx, Str::from("e")));
        assert!(!next(&SdpOps, &mut cx, Str::from("e")) && !remove(&SdpOps, &mut cx, Str::from("a")));
        let mut none = message(&server, "", "");
        assert!(!start(&SdpOps, &mut none, Str::from("a")));
    }
}
