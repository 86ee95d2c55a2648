//! From and To: `$fu`, `$fU`, `$fn`, `$tu` and their like. Assignments are recorded as edits of the message: as in
//! Kamailio a variable shows the received value until `msg_apply_changes()`.

use kahea_module::{Cx, Decl, Fault, Str, Value};
use kahea_sip::{
    Edit, EditTag, HeaderId, Insert, Place, Span,
    view::{NameAddr, Scheme, Uri},
};

use super::{
    Pv,
    text::{self, filled, piece},
};

/// Which of the two headers.
#[derive(Clone, Copy, Debug)]
pub enum Party {
    /// From.
    From,
    /// To.
    To,
}

impl Party {
    fn header(self) -> HeaderId {
        match self {
            Party::From => HeaderId::From,
            Party::To => HeaderId::To,
        }
    }

    fn name(self) -> &'static str {
        self.header().name()
    }

    /// Its value, taken apart.
    pub fn read(self, cx: &Cx) -> Option<NameAddr<'_>> {
        match self {
            Party::From => cx.from().ok(),
            Party::To => cx.to().ok(),
        }
    }
}

/// Declares the variables.
pub fn declare(d: &mut Decl<Pv>) {
    from(d);
    to(d);
}

fn from(d: &mut Decl<Pv>) {
    for name in ["fu", "from"] {
        d.var_rw(
            name,
            |_, cx, _| uri(cx, Party::From),
            |_, cx, _, v| set_uri(cx, Party::From, v),
            "The URI in From.",
        );
    }
    for name in ["fU", "from.user"] {
        d.var_rw(
            name,
            |_, cx, _| user(cx, Party::From),
            |_, cx, _, v| set_user(cx, Party::From, v),
            "The user of the URI in From; `$null` takes it away.",
        );
    }
    for name in ["fd", "from.domain"] {
        d.var_rw(
            name,
            |_, cx, _| host(cx, Party::From),
            |_, cx, _, v| set_host(cx, Party::From, v),
            "The host of the URI in From.",
        );
    }
    d.var_rw(
        "fn",
        |_, cx, _| display(cx, Party::From),
        |_, cx, _, v| set_display(cx, Party::From, v),
        "The display name in From as it is written, quotes included; `$null` takes it away.",
    );
    d.var("ft", |_, cx, _| tag(cx, Party::From), "The tag in From.");
    d.var(
        "fUl",
        |_, cx, _| user_length(cx, Party::From),
        "The length of the user in From.",
    );
    d.var(
        "ful",
        |_, cx, _| uri_length(cx, Party::From),
        "The length of the URI in From.",
    );
}

fn to(d: &mut Decl<Pv>) {
    for name in ["tu", "to"] {
        d.var_rw(
            name,
            |_, cx, _| uri(cx, Party::To),
            |_, cx, _, v| set_uri(cx, Party::To, v),
            "The URI in To.",
        );
    }
    for name in ["tU", "to.user"] {
        d.var_rw(
            name,
            |_, cx, _| user(cx, Party::To),
            |_, cx, _, v| set_user(cx, Party::To, v),
            "The user of the URI in To; `$null` takes it away.",
        );
    }
    for name in ["td", "to.domain"] {
        d.var_rw(
            name,
            |_, cx, _| host(cx, Party::To),
            |_, cx, _, v| set_host(cx, Party::To, v),
            "The host of the URI in To.",
        );
    }
    d.var_rw(
        "tn",
        |_, cx, _| display(cx, Party::To),
        |_, cx, _, v| set_display(cx, Party::To, v),
        "The display name in To as it is written, quotes included; `$null` takes it away.",
    );
    d.var("tt", |_, cx, _| tag(cx, Party::To), "The tag in To.");
    d.var(
        "tts",
        |_, cx, _| Value::Int(Party::To.read(cx).is_some_and(|to| to.tag().is_some()).into()),
        "1 where To has a tag, else 0.",
    );
    d.var_rw(
        "tUl",
        |_, cx, _| user_length(cx, Party::To),
        |_, cx, _, v| set_user(cx, Party::To, v),
        "The length of the user in To; an assignment sets the user, as Kamailio's does.",
    );
    d.var(
        "tul",
        |_, cx, _| uri_length(cx, Party::To),
        "The length of the URI in To.",
    );
}

fn uri(cx: &Cx, party: Party) -> Value {
    party.read(cx).map_or(Value::Null, |addr| piece(cx, addr.uri))
}

fn with_uri(cx: &Cx, party: Party, read: impl FnOnce(&Uri<'_>) -> Value) -> Value {
    let Some(addr) = party.read(cx) else {
        return Value::Null;
    };
    addr.parse_uri().map_or(Value::Null, |uri| read(&uri))
}

fn user(cx: &Cx, party: Party) -> Value {
    let phone2tel = cx.config().globals.phone2tel;
    with_uri(cx, party, |uri| filled(cx, uri.script_user(phone2tel)))
}

fn host(cx: &Cx, party: Party) -> Value {
    with_uri(cx, party, |uri| filled(cx, uri.host))
}

fn user_length(cx: &Cx, party: Party) -> Value {
    let phone2tel = cx.config().globals.phone2tel;
    with_uri(cx, party, |uri| {
        Value::Int(text::length(uri.script_user(phone2tel)))
    })
}

fn uri_length(cx: &Cx, party: Party) -> Value {
    party
        .read(cx)
        .map_or(Value::Null, |addr| Value::Int(text::length(addr.uri)))
}

fn display(cx: &Cx, party: Party) -> Value {
    party
        .read(cx)
        .map_or(Value::Null, |addr| filled(cx, addr.display))
}

fn tag(cx: &Cx, party: Party) -> Value {
    party
        .read(cx)
        .and_then(|addr| addr.tag())
        .map_or(Value::Null, |tag| piece(cx, tag))
}

/// Where the pieces of the header are in the message.
struct Places {
    tag: EditTag,
    display: Span,
    uri: Span,
    bracketed: bool,
}

impl Places {
    fn of(cx: &Cx, party: Party) -> Result<Places, Fault> {
        let addr = match party {
            Party::From => cx.from()?,
            Party::To => cx.to()?,
        };
        Ok(Places {
            tag: EditTag::Header(party.header()),
            display: span(cx, addr.display)?,
            uri: span(cx, addr.uri)?,
            bracketed: addr.bracketed,
        })
    }
}

fn span(cx: &Cx, piece: &[u8]) -> Result<Span, Fault> {
    Span::within(cx.msg.buffer(), piece).ok_or_else(|| {
        Fault::new(
            kahea_module::Blame::Ours,
            "a header's piece lies outside of its message",
        )
    })
}

/// Replaces a stretch; an earlier replacement of the same stretch gives way.
fn replace(cx: &mut Cx, removed: Span, place: Place, text: Str, tag: EditTag) {
    let earlier = find(cx, removed, place, tag);
    if let Some(edit) = earlier.and_then(|id| cx.edits.get_mut(id)) {
        edit.insert = Some(Insert::Text(text));
        return;
    }
    cx.edits.push(Edit {
        removed,
        insert: Some(Insert::Text(text)),
        place,
        tag,
    });
}

fn find(cx: &Cx, removed: Span, place: Place, tag: EditTag) -> Option<kahea_sip::EditId> {
    cx.edits
        .iter()
        .find(|(_, edit)| edit.removed == removed && edit.place == place && edit.tag == tag)
        .map(|(id, _)| id)
}

/// What was put in front of a URI that had neither name nor brackets: a display name, then perhaps `<`.
fn head(cx: &Cx, places: &Places) -> Vec<u8> {
    let edit =
        find(cx, Span::at(places.uri.start()), Place::After, places.tag).and_then(|id| cx.edits.get(id));
    match edit.and_then(|edit| edit.insert.as_ref()) {
        Some(Insert::Text(text)) => text.to_vec(),
        _ => Vec::new(),
    }
}

fn set_head(cx: &mut Cx, places: &Places, head: Vec<u8>) {
    replace(
        cx,
        Span::at(places.uri.start()),
        Place::After,
        Str::from(head),
        places.tag,
    );
}

/// Puts brackets around a bare URI, once.
fn add_brackets(cx: &mut Cx, places: &Places) {
    if places.bracketed {
        return;
    }
    let mut head = head(cx, places);
    if !head.ends_with(b"<") {
        head.push(b'<');
        set_head(cx, places, head);
    }
    replace(
        cx,
        Span::at(places.uri.end()),
        Place::After,
        Str::from_static(">"),
        places.tag,
    );
}

fn set_uri(cx: &mut Cx, party: Party, value: Value) -> Result<(), Fault> {
    let uri = match value {
        Value::Str(uri) if !uri.is_empty() => uri,
        _ => return Err(Fault::script(format!("the URI in {} takes a URI", party.name()))),
    };
    if let Err(error) = Uri::parse(&uri) {
        return Err(Fault::script(format!(
            "'{uri}' cannot be the URI in {}: {error}",
            party.name()
        )));
    }
    let places = Places::of(cx, party)?;
    if uri.iter().any(|b| matches!(b, b';' | b'?' | b',')) {
        add_brackets(cx, &places);
    }
    replace(cx, places.uri, Place::Before, uri, places.tag);
    Ok(())
}

fn set_user(cx: &mut Cx, party: Party, value: Value) -> Result<(), Fault> {
    let user = match value {
        Value::Null => Str::EMPTY,
        value => text::text_only(value, "the user of a URI")?,
    };
    let places = Places::of(cx, party)?;
    let whole = cx.msg.text(places.uri);
    let uri = Uri::parse(&whole)
        .map_err(|error| Fault::peer(format!("the URI in {} cannot be read: {error}", party.name())))?;
    let (start, old_end) = user_place(&uri);
    let new = match (uri.scheme, user.is_empty(), uri.password) {
        (Scheme::Tel | Scheme::Tels, true, _) => {
            return Err(Fault::script("a telephone number cannot be taken away"));
        }
        (Scheme::Tel | Scheme::Tels, ..) => user,
        (_, true, _) => Str::EMPTY,
        (_, false, Some(password)) => Str::from([&user[..], b":", password, b"@"].concat()),
        (_, false, None) => Str::from([&user[..], b"@"].concat()),
    };
    if new.is_empty() && start == old_end {
        return Ok(());
    }
    let base = places.uri.start();
    let at = |offset: usize| base.saturating_add(u32::try_from(offset).unwrap_or(u32::MAX));
    replace(
        cx,
        Span::new(at(start), at(old_end)),
        Place::Before,
        new,
        places.tag,
    );
    Ok(())
}

/// Where the user stands in the URI, with what belongs to it: password and `@`.
fn user_place(uri: &Uri<'_>) -> (usize, usize) {
    let start = uri.scheme_text.len().saturating_add(1);
    let end = match uri.scheme {
        Scheme::Sip | Scheme::Sips if uri.has_userinfo() => uri
            .raw
            .iter()
            .position(|b| *b == b'@')
            .map_or(start, |at| at.saturating_add(1)),
        Scheme::Tel | Scheme::Tels => start.saturating_add(uri.user.len()),
        _ => start,
    };
    (start, end)
}

fn set_host(cx: &mut Cx, party: Party, value: Value) -> Result<(), Fault> {
    let host = match value {
        Value::Str(host) if !host.is_empty() => host,
        _ => {
            return Err(Fault::script(format!(
                "the host of the URI in {} takes a host",
                party.name()
            )));
        }
    };
    let places = Places::of(cx, party)?;
    let whole = cx.msg.text(places.uri);
    let old = Uri::parse(&whole).map(|uri| uri.host).unwrap_or_default();
    if old.is_empty() {
        return Err(Fault::script(format!(
            "the URI in {} has no host to change",
            party.name()
        )));
    }
    let place = span(cx, old)?;
    replace(cx, place, Place::Before, host, places.tag);
    Ok(())
}

fn set_display(cx: &mut Cx, party: Party, value: Value) -> Result<(), Fault> {
    let name = match value {
        Value::Null => Str::EMPTY,
        value => text::text_only(value, "a display name")?,
    };
    let places = Places::of(cx, party)?;
    if !places.display.is_empty() {
        replace(cx, places.display, Place::Before, name, places.tag);
        return Ok(());
    }
    if places.bracketed {
        let start = places.uri.start().saturating_sub(1);
        let text = if name.is_empty() {
            name
        } else {
            Str::from([&name[..], b" "].concat())
        };
        replace(cx, Span::at(start), Place::After, text, places.tag);
        return Ok(());
    }
    let has_bracket = head(cx, &places).ends_with(b"<");
    if name.is_empty() && !has_bracket {
        return Ok(());
    }
    let mut head = name.to_vec();
    if !head.is_empty() {
        head.push(b' ');
    }
    if has_bracket {
        head.push(b'<');
    }
    set_head(cx, &places, head);
    add_brackets(cx, &places);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kahea_module::testing::Server;

    fn from_after(from: &str, change: impl Fn(&mut Cx)) -> String {
        let server = Server::default();
        let mut cx = server.message(&format!(
            "OPTIONS sip:h SIP/2.0\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\nFrom: {from}\nTo: <sip:t@h>\nCall-ID: c\nCSeq: 1 OPTIONS\n\n"
        ));
        change(&mut cx);
        let header = *cx.msg.first(HeaderId::From).expect("From");
        let mut out = Vec::new();
        let range = header.line.start()..header.line.end();
        cx.edits.apply(&cx.msg, &mut out, range, &mut |_, _| {});
        String::from_utf8(out).expect("text").trim().to_owned()
    }

    fn text(text: &'static str) -> Value {
        Value::from(text)
    }

    #[test]
    fn pieces_of_an_address_are_replaced() {
        let from = "\"Alice\" <sip:alice:pw@a.org:5070;x=1>;tag=1";
        let out = from_after(from, |cx| {
            set_user(cx, Party::From, text("nu")).expect("user");
            set_host(cx, Party::From, text("nd")).expect("host");
            set_display(cx, Party::From, text("Nn")).expect("name");
        });
        assert_eq!(out, "From: Nn <sip:nu:pw@nd:5070;x=1>;tag=1");
        let out = from_after("<sip:h.org:99>;tag=1", |cx| {
            set_user(cx, Party::From, text("nu")).expect("user");
            set_display(cx, Party::From, text("Nn")).expect("name");
        });
        assert_eq!(out, "From: Nn <sip:nu@h.org:99>;tag=1");
    }

    #[test]
    fn the_last_assignment_counts() {
        let out = from_after("<sip:a@h>;tag=1", |cx| {
            set_user(cx, Party::From, text("one")).expect("user");
            set_user(cx, Party::From, text("two")).expect("user");
            set_display(cx, Party::From, text("One")).expect("name");
            set_display(cx, Party::From, text("Two")).expect("name");
        });
        assert_eq!(out, "From: Two <sip:two@h>;tag=1");
    }

    #[test]
    fn a_bare_uri_gets_brackets_where_it_needs_them() {
        let name_last = from_after("sip:a@h;tag=1", |cx| {
            set_uri(cx, Party::From, text("sip:b@h;x=1")).expect("uri");
            set_display(cx, Party::From, text("Nn")).expect("name");
        });
        let name_first = from_after("sip:a@h;tag=1", |cx| {
            set_display(cx, Party::From, text("Nn")).expect("name");
            set_uri(cx, Party::From, text("sip:b@h;x=1")).expect("uri");
        });
        assert_eq!(name_last, "From: Nn <sip:b@h;x=1>;tag=1");
        assert_eq!(name_first, name_last);
    }

    #[test]
    fn null_takes_user_and_name_away() {
        let out = from_after("\"A\" <sip:a:pw@h>;tag=1", |cx| {
            set_user(cx, Party::From, Value::Null).expect("user");
            set_display(cx, Party::From, Value::Null).expect("name");
        });
        assert_eq!(out, "From:  <sip:h>;tag=1");
        let refused = from_after("<sip:a@h>;tag=1", |cx| {
            assert!(set_uri(cx, Party::From, Value::Null).is_err());
            assert!(set_host(cx, Party::From, text("")).is_err());
            assert!(set_user(cx, Party::From, Value::Int(5)).is_err());
        });
        assert_eq!(refused, "From: <sip:a@h>;tag=1");
    }
}
