//! What a REGISTER asks for (RFC 3261 section 10.3), read from the message before anything is changed.

use std::{borrow::Cow, sync::Arc};

use kahea_module::{Cx, RouteKind, Str, xavp::Xavps};
use kahea_sip::{
    HeaderId, Insert, Span,
    view::{Addrs, CSeq, NameAddr, Tokens, Uri, percent_decode, unquote},
};

use super::{
    live::Live,
    methods,
    params::{Fixed, Outbound, PathMode},
    refusal::Refusal,
    socket, xavps,
};
use crate::usrloc::{self, Contact, Draft, Part};

/// Columns hold no more of these.
const LONGEST_AGENT: usize = 255;
const LONGEST_CALL_ID: usize = 255;
const LONGEST_RECEIVED: usize = 255;

/// What the user agent says that it can do.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Options {
    pub path: bool,
    pub gruu: bool,
    /// In Supported or in Require.
    pub outbound: bool,
    pub requires_outbound: bool,
    /// There is a Supported header at all.
    pub says_something: bool,
}

/// A contact as it would be kept, and for how long.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub contact: Contact,
    /// 0 to remove it.
    pub seconds: u32,
}

/// What is asked for.
#[derive(Debug)]
pub(crate) enum Asked {
    /// Nothing but the list of contacts.
    List,
    /// All contacts are to go.
    RemoveAll,
    /// These are to be added, changed or removed; or why they cannot be, which is told with the list of contacts.
    Change(Result<Vec<Wanted>, Refusal>),
}

/// A REGISTER.
#[derive(Debug)]
pub(crate) struct Registration {
    pub aor: Str,
    pub asked: Asked,
    pub options: Options,
    /// The Path headers as one value.
    pub path: Option<Str>,
}

/// The parts of a message that every contact of it shares.
struct Common<'a> {
    cx: &'a Cx,
    fixed: &'a Fixed,
    live: &'a Live,
    options: Options,
    header_expires: Option<&'a [u8]>,
    aor: &'a [u8],
    call_id: &'a [u8],
    agent: &'a [u8],
    path: &'a [u8],
    received: &'a [u8],
    socket: &'a [u8],
    cseq: u32,
    methods: u32,
    cflags: u32,
    now: u32,
    server_id: i32,
    randomly: bool,
    attributes: Option<Arc<Xavps>>,
    q: Option<i64>,
    expires: Option<i64>,
}

/// What `save()` knows besides the message.
pub(crate) struct Around<'a> {
    pub fixed: &'a Fixed,
    pub live: &'a Live,
    /// `received_avp` as it is now.
    pub received: Str,
    /// In place of the To URI.
    pub uri: Option<Str>,
    /// `expires_range` and `default_expires_range` count.
    pub randomly: bool,
    /// Of `set_q_override()`, in thousandths.
    pub q: Option<i64>,
    pub use_domain: bool,
    pub nat_flag: u32,
    pub server_id: i32,
    /// `xavp_contact`.
    pub attributes: Option<&'a Str>,
}

/// Reads what the message asks for. `ruid` gives identifiers for contacts.
pub(crate) fn read(cx: &Cx, around: &Around<'_>, ruid: impl Fn() -> String) -> Result<Registration, Refusal> {
    let aor = aor(cx, around)?;
    let options = options(cx);
    check_outbound(around.fixed, options)?;
    let path = path(cx, around.fixed);
    let listed = listed(cx)?;
    let header_expires = cx.msg.first(HeaderId::Expires).map(|header| cx.msg.value(header));
    let asked = match listed {
        Listed::None => Asked::List,
        Listed::Star => match header_expires.and_then(leading_number) {
            Some(0) => Asked::RemoveAll,
            _ => return Err(Refusal::StarExpires),
        },
        Listed::Contacts(contacts) => {
            let call_id = cx.msg.call_id().ok_or(Refusal::Message)?;
            if call_id.len() > LONGEST_CALL_ID {
                return Err(Refusal::CallIdLength);
            }
            check_lengths(around.fixed, &contacts, &around.received)?;
            let wanted = wanted(cx, around, &aor, options, path.as_ref(), &contacts, &ruid);
            if let Err(refusal @ Refusal::TooBrief) = wanted {
                return Err(refusal);
            }
            Asked::Change(wanted)
        }
    };
    Ok(Registration {
        aor,
        asked,
        options,
        path,
    })
}

fn aor(cx: &Cx, around: &Around<'_>) -> Result<Str, Refusal> {
    let rules = around.live.rules(around.use_domain);
    match &around.uri {
        Some(uri) => rules.aor(uri),
        None => {
            let to = cx.to().map_err(|_| Refusal::AorParse)?;
            rules.aor(to.uri)
        }
    }
}

fn options(cx: &Cx) -> Options {
    let has = |id: HeaderId, token: &str| {
        let mut headers = cx.msg.all(id);
        headers.any(|header| Tokens::new(cx.msg.value(header)).contains(token))
    };
    let requires_outbound = has(HeaderId::Require, "outbound");
    Options {
        path: has(HeaderId::Supported, "path"),
        gruu: has(HeaderId::Supported, "gruu"),
        outbound: requires_outbound || has(HeaderId::Supported, "outbound"),
        requires_outbound,
        says_something: cx.msg.has(HeaderId::Supported),
    }
}

fn check_outbound(fixed: &Fixed, options: Options) -> Result<(), Refusal> {
    match fixed.outbound {
        Outbound::No if options.requires_outbound => Err(Refusal::OutboundUnsupported),
        Outbound::Required if !options.outbound => Err(Refusal::OutboundRequired),
        _ => Ok(()),
    }
}

/// The Path headers as one value; `None` without, or where they do not count.
fn path(cx: &Cx, fixed: &Fixed) -> Option<Str> {
    if fixed.path == PathMode::Unused {
        return None;
    }
    let mut headers = cx.msg.all(HeaderId::Path);
    let first = cx.msg.value_text(headers.next()?);
    let mut rest = headers.peekable();
    if rest.peek().is_none() {
        return Some(first);
    }
    let mut all = first.to_vec();
    for header in rest {
        all.push(b',');
        all.extend_from_slice(cx.msg.value(header));
    }
    Some(Str::from(all))
}

/// The Contact headers of a message.
enum Listed<'a> {
    None,
    Star,
    Contacts(Vec<NameAddr<'a>>),
}

fn listed(cx: &Cx) -> Result<Listed<'_>, Refusal> {
    let mut contacts = Vec::new();
    let mut stars = 0u32;
    for header in cx.msg.all(HeaderId::Contact) {
        let value = cx.msg.value(header);
        if value.trim_ascii().is_empty() {
            return Err(Refusal::Contact);
        }
        for contact in Addrs::new(value) {
            let mut contact = contact.map_err(|_| Refusal::Contact)?;
            if let Some(text) = rewritten(cx, contact.uri) {
                contact.uri = text;
            }
            match contact.is_star() {
                true => stars = stars.saturating_add(1),
                false => contacts.push(contact),
            }
        }
    }
    match (stars, contacts.is_empty()) {
        (0, true) => Ok(Listed::None),
        (0, false) => Ok(Listed::Contacts(contacts)),
        (1, true) => Ok(Listed::Star),
        _ => Err(Refusal::StarAndMore),
    }
}

/// What the script put in the place of a contact's URI (`fix_nated_contact()`, `set_contact_alias()`).
fn rewritten<'a>(cx: &'a Cx, uri: &[u8]) -> Option<&'a [u8]> {
    let place = Span::within(cx.msg.buffer(), uri)?;
    let (_, edit) = cx
        .edits
        .iter()
        .find(|(_, edit)| edit.removed == place && !uri.is_empty())?;
    match &edit.insert {
        Some(Insert::Text(text)) => Some(text),
        Some(Insert::Late(_)) | None => None,
    }
}

fn check_lengths(fixed: &Fixed, contacts: &[NameAddr<'_>], received: &[u8]) -> Result<(), Refusal> {
    if received.len() > LONGEST_RECEIVED {
        return Err(Refusal::ContactLength);
    }
    for contact in contacts {
        if contact.uri.len() > fixed.contact_max_size {
            return Err(Refusal::ContactLength);
        }
        // `sip:user@` names no host; anything with a scheme else is for others to judge.
        if !contact.uri.contains(&b':') || contact.uri.iter().any(u8::is_ascii_control) {
            return Err(Refusal::Contact);
        }
    }
    Ok(())
}

fn wanted(
    cx: &Cx,
    around: &Around<'_>,
    aor: &[u8],
    options: Options,
    path: Option<&Str>,
    contacts: &[NameAddr<'_>],
    ruid: &impl Fn() -> String,
) -> Result<Vec<Wanted>, Refusal> {
    let fixed = around.fixed;
    if path.is_some() && fixed.path == PathMode::Strict && !options.path {
        return Err(Refusal::PathUnsupported);
    }
    let first_hop = path.map(|path| check_path(path)).transpose()?;
    let from_path = first_hop.flatten().filter(|_| fixed.path_use_received);
    let cseq = cx
        .msg
        .first(HeaderId::CSeq)
        .map(|header| CSeq::parse(cx.msg.value(header)));
    let agent = cx
        .msg
        .first(HeaderId::UserAgent)
        .map(|header| cx.msg.value(header));
    let agent = agent.filter(|agent| !agent.is_empty()).unwrap_or(b"n/a");
    let socket = socket::of_message(fixed, cx);
    let natted = if from_path.is_some() { around.nat_flag } else { 0 };
    let class = fixed.xavp_cfg.as_ref();
    let common = Common {
        cx,
        fixed,
        live: around.live,
        options,
        header_expires: cx.msg.first(HeaderId::Expires).map(|header| cx.msg.value(header)),
        aor,
        call_id: cx.msg.call_id().ok_or(Refusal::Message)?,
        agent: agent.get(..LONGEST_AGENT).unwrap_or(agent),
        path: path.map_or(b"", |path| path),
        received: from_path.as_deref().unwrap_or(&around.received),
        socket: &socket,
        cseq: cseq.and_then(Result::ok).ok_or(Refusal::Message)?.number,
        methods: methods::allowed(cx),
        cflags: cx.target.flags | natted,
        now: usrloc::now(&cx.worker),
        server_id: around.server_id,
        randomly: around.randomly,
        attributes: xavps::to_keep(cx, around.attributes),
        q: around.q.or_else(|| xavps::number(cx, class, b"q")),
        expires: xavps::number(cx, class, b"expires"),
    };
    let wanted: Result<Vec<Wanted>, Refusal> = contacts
        .iter()
        .map(|contact| common.wanted(contact, &ruid()))
        .collect();
    wanted
}

/// The first hop's `received`, where all of the Path can be read.
fn check_path(path: &[u8]) -> Result<Option<Vec<u8>>, Refusal> {
    let mut first = None;
    for (at, hop) in Addrs::new(path).enumerate() {
        let hop = hop.map_err(|_| Refusal::PathParse)?;
        let uri = Uri::parse(hop.uri).map_err(|_| Refusal::PathParse)?;
        if uri.host.is_empty() {
            return Err(Refusal::PathParse);
        }
        if at == 0 {
            first = uri
                .param("received")
                .map(|value| percent_decode(&unquote(value)).into_owned());
        }
    }
    Ok(first.filter(|uri| !uri.is_empty()))
}

impl Common<'_> {
    fn wanted(&self, contact: &NameAddr<'_>, ruid: &str) -> Result<Wanted, Refusal> {
        let seconds = self.seconds(contact)?;
        let instance = contact.instance().unwrap_or(Cow::Borrowed(b""));
        let draft = Draft {
            expires: self.now.saturating_add(seconds),
            modified: self.now,
            cseq: self.cseq,
            q: self.q(contact)?,
            flags: 0,
            cflags: self.cflags,
            methods: match contact.params.get("methods") {
                Some(list) => methods::of_list(&list.unquoted()),
                None => self.methods,
            },
            reg_id: self.reg_id(contact, &instance)?,
            server_id: self.server_id,
            connection: self
                .cx
                .received
                .connection
                .filter(|_| self.cx.route != RouteKind::Reply),
            attributes: self.attributes.clone(),
            ..Draft::default()
        };
        let draft = draft
            .with(Part::Aor, self.aor)
            .with(Part::Address, contact.uri)
            .with(Part::Received, self.received)
            .with(Part::Path, self.path)
            .with(Part::UserAgent, self.agent)
            .with(Part::CallId, self.call_id)
            .with(Part::Ruid, ruid.as_bytes())
            .with(Part::Instance, &instance)
            .with(Part::Socket, self.socket);
        let contact = Contact::new(&draft).map_err(|_| Refusal::ContactLength)?;
        Ok(Wanted { contact, seconds })
    }

    /// For how long: what the script says, the contact, the header, or the default, within the limits.
    fn seconds(&self, contact: &NameAddr<'_>) -> Result<u32, Refusal> {
        let live = self.live;
        if let Some(seconds) = self.expires {
            return Ok(u32::try_from(seconds.max(0)).unwrap_or(u32::MAX));
        }
        let stated = contact.params.value("expires").filter(|text| !text.is_empty());
        let (seconds, range) = match (stated, self.header_expires) {
            (Some(text), _) => match whole_number(text) {
                Some(seconds) => (seconds, live.expires_range),
                None => (live.default_expires, live.default_expires_range),
            },
            (None, Some(text)) => match leading_number(text) {
                Some(seconds) => (seconds, live.expires_range),
                None => (live.default_expires, live.default_expires_range),
            },
            (None, None) => (live.default_expires, live.default_expires_range),
        };
        if seconds == 0 {
            return Ok(0);
        }
        let seconds = self.shortened(seconds, range);
        if seconds < live.min_expires {
            return match self.fixed.refuse_brief {
                true => Err(Refusal::TooBrief),
                false => Ok(live.min_expires),
            };
        }
        Ok(match live.max_expires {
            0 => seconds,
            most => seconds.min(most),
        })
    }

    /// Less by chance, by up to `percent`.
    fn shortened(&self, seconds: u32, percent: u32) -> u32 {
        let most = u64::from(seconds).saturating_mul(percent.into()) / 100;
        if most == 0 || !self.randomly {
            return seconds;
        }
        let lot = self
            .cx
            .worker
            .random()
            .checked_rem(most.saturating_add(1))
            .unwrap_or(0);
        seconds.saturating_sub(u32::try_from(lot).unwrap_or(0))
    }

    fn q(&self, contact: &NameAddr<'_>) -> Result<Option<u16>, Refusal> {
        if let Some(q) = self.q {
            let q = u16::try_from(q).ok().filter(|q| *q <= 1000);
            return q.map(Some).ok_or(Refusal::Q);
        }
        match contact.params.value("q").filter(|text| !text.is_empty()) {
            None => Ok(self.live.default_q),
            Some(text) => thousandths(text).map(Some).ok_or(Refusal::Q),
        }
    }

    /// `reg-id` counts with an instance only (RFC 5626 section 4.2), and unless the user agent lists what it supports
    /// without outbound among it.
    fn reg_id(&self, contact: &NameAddr<'_>, instance: &[u8]) -> Result<u32, Refusal> {
        let counts = self.options.outbound || self.fixed.regid_always || !self.options.says_something;
        if instance.is_empty() || !counts || !contact.params.has("reg-id") {
            return Ok(0);
        }
        let reg_id = contact.reg_id().filter(|id| *id > 0).ok_or(Refusal::RegId)?;
        let behind = self.cx.msg.vias().nth(1).is_some();
        if self.fixed.outbound != Outbound::No && behind && !self.edge_has_outbound() {
            return Err(Refusal::OutboundEdge);
        }
        Ok(reg_id)
    }

    /// The proxy next to the user agent keeps its flow: its Path URI, the last one, has `ob`.
    fn edge_has_outbound(&self) -> bool {
        let last = Addrs::new(self.path).filter_map(Result::ok).last();
        last.is_some_and(|hop| hop.parse_uri().is_ok_and(|uri| uri.ob()))
    }
}

/// Seconds that are nothing but digits, in quotes or not.
fn whole_number(text: &[u8]) -> Option<u32> {
    let text = unquote(text);
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(&text).ok().filter(|_| digits)?.parse().ok()
}

/// Seconds at the start of a header's value.
fn leading_number(text: &[u8]) -> Option<u32> {
    let text = text.trim_ascii();
    let end = text
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(text.len());
    whole_number(text.get(..end)?)
}

/// A q in thousandths; what is finer is cut off.
fn thousandths(text: &[u8]) -> Option<u16> {
    let (whole, fraction) = match text.iter().position(|byte| *byte == b'.') {
        Some(at) => (text.get(..at)?, text.get(at.checked_add(1)?..)?),
        None => (text, &b""[..]),
    };
    let digits = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
    if text.len() < 2 && whole.is_empty() || !digits(whole) || !digits(fraction) {
        return None;
    }
    let mut value = match whole {
        b"" | b"0" => 0u16,
        b"1" => 1000,
        _ => return None,
    };
    for (byte, weight) in fraction.iter().zip([100u16, 10, 1]) {
        let digit = u16::from(byte.saturating_sub(b'0'));
        value = value.saturating_add(digit.saturating_mul(weight));
    }
    (value <= 1000).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_kamailio_does() {
        assert_eq!(whole_number(b"600"), Some(600));
        assert_eq!(whole_number(b"\"600\""), Some(600));
        assert_eq!(whole_number(b"-5"), None);
        assert_eq!(whole_number(b"99999999999"), None);
        assert_eq!(leading_number(b" 1 2"), Some(1));
        assert_eq!(leading_number(b"abc"), None);
    }

    #[test]
    fn q_is_cut_to_thousandths() {
        assert_eq!(thousandths(b"0.12345"), Some(123));
        assert_eq!(thousandths(b"1"), Some(1000));
        assert_eq!(thousandths(b".5"), Some(500));
        assert_eq!(thousandths(b"1.0"), Some(1000));
        for wrong in [&b"2"[..], b"-1", b"abc", b"1.5", b".", b"0.1x"] {
            assert_eq!(thousandths(wrong), None, "{}", String::from_utf8_lossy(wrong));
        }
    }

    #[test]
    fn paths_are_read_whole() {
        let received = check_path(b"<sip:10.0.0.2;received=sip%3A1.2.3.4%3A5;lr>, <sip:10.0.0.3;lr>");
        assert_eq!(received, Ok(Some(b"sip:1.2.3.4:5".to_vec())));
        assert_eq!(check_path(b"<sip:10.0.0.2;lr>;received=x"), Ok(None));
        assert_eq!(check_path(b"nonsense"), Err(Refusal::PathParse));
        assert_eq!(check_path(b"<sip:10.0.0.1"), Err(Refusal::PathParse));
    }
}
