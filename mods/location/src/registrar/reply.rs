//! The reply to a REGISTER.

use std::sync::Arc;

use kahea_mods_base::sl::Stateful;
use kahea_module::{Cx, ReplyExtra, Ret, Str, proxy, value::push_int};
use kahea_sip::view::{Uri, quote, user_escape};

use super::{
    live::Live,
    params::{Fixed, Outbound, PathMode},
    refusal::Refusal,
    request::Options,
};
use crate::usrloc::{Contact, Contacts};

/// What the reply to a REGISTER says; kept with the message for `reg_send_reply()`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    pub refusal: Option<Refusal>,
    /// The header lines.
    pub lines: Vec<Str>,
    /// The lines are among the message's own ones already.
    pub added: bool,
}

/// The outcome of the last `save()` of a message.
#[derive(Debug, Default)]
pub(crate) struct LastOutcome(pub Option<Outcome>);

/// What the lines are made of.
pub(crate) struct Told<'a> {
    pub fixed: &'a Fixed,
    pub live: &'a Live,
    pub options: Options,
    pub path: Option<&'a Str>,
    pub now: u32,
}

impl Told<'_> {
    /// The reply that takes the registration.
    pub fn accepted(&self, cx: &Cx, contacts: &Contacts) -> Outcome {
        let mut lines = Vec::with_capacity(4);
        lines.extend(self.contact_line(cx, contacts));
        let shows = match self.fixed.path {
            PathMode::Unused | PathMode::Silent => false,
            PathMode::Lazy | PathMode::Strict => self.options.path,
        };
        if let Some(path) = self.path.filter(|_| shows) {
            lines.push(Str::from([b"Path: ", &**path, b"\r\n"].concat()));
        }
        if self.fixed.outbound != Outbound::No {
            self.outbound_lines(&mut lines);
        }
        Outcome {
            refusal: None,
            lines,
            added: false,
        }
    }

    /// RFC 5626 section 6.
    fn outbound_lines(&self, lines: &mut Vec<Str>) {
        if self.options.outbound {
            lines.push(Str::from_static("Require: outbound\r\n"));
            if self.fixed.flow_timer > 0 {
                lines.push(Str::from(format!("Flow-Timer: {}\r\n", self.fixed.flow_timer)));
            }
        }
        lines.push(Str::from_static("Supported: outbound\r\n"));
    }

    /// The reply that refuses it.
    pub fn refused(&self, cx: &Cx, refusal: Refusal, contacts: &Contacts) -> Outcome {
        let mut lines = Vec::with_capacity(4);
        lines.extend(self.contact_line(cx, contacts));
        lines.push(Str::from(format!("P-Registrar-Error: {}\r\n", refusal.reason())));
        match refusal {
            Refusal::PathUnsupported => {
                lines.push(Str::from_static("Unsupported: path\r\n"));
                if let Some(path) = self.path {
                    lines.push(Str::from([b"Path: ", &**path, b"\r\n"].concat()));
                }
            }
            Refusal::OutboundUnsupported => lines.push(Str::from_static("Unsupported: outbound\r\n")),
            Refusal::OutboundRequired => lines.push(Str::from_static("Require: outbound\r\n")),
            Refusal::TooBrief => {
                lines.push(Str::from(format!("Min-Expires: {}\r\n", self.live.min_expires)));
            }
            _ => {}
        }
        let (status, _) = refusal.status();
        if status >= 500 && self.live.retry_after > 0 {
            lines.push(Str::from(format!("Retry-After: {}\r\n", self.live.retry_after)));
        }
        Outcome {
            refusal: Some(refusal),
            lines,
            added: false,
        }
    }

    /// All contacts that have not ended, in one header.
    fn contact_line(&self, cx: &Cx, contacts: &Contacts) -> Option<Str> {
        let mut valid = contacts
            .iter()
            .filter(|contact| contact.is_valid(self.now))
            .peekable();
        valid.peek()?;
        let mut out = Vec::with_capacity(128);
        out.extend_from_slice(b"Contact: ");
        for (at, contact) in valid.enumerate() {
            if at > 0 {
                out.extend_from_slice(b", ");
            }
            self.push_contact(cx, contact, &mut out);
        }
        out.extend_from_slice(b"\r\n");
        Some(Str::from(out))
    }

    fn push_contact(&self, cx: &Cx, contact: &Contact, out: &mut Vec<u8>) {
        out.push(b'<');
        out.extend_from_slice(contact.address());
        out.push(b'>');
        if let Some(q) = contact.q() {
            out.extend_from_slice(b";q=");
            push_q(q, out);
        }
        out.extend_from_slice(b";expires=");
        push_int(contact.seconds_left(self.now).unwrap_or(u32::MAX).into(), out);
        if let Some(received) = contact
            .received()
            .filter(|_| !self.fixed.received_param.is_empty())
        {
            out.push(b';');
            out.extend_from_slice(&self.fixed.received_param);
            out.push(b'=');
            out.extend_from_slice(&quote(received));
        }
        let Some(instance) = contact.instance() else {
            return;
        };
        if self.fixed.gruu && self.options.gruu {
            push_gruus(cx, contact, instance, out);
        }
        out.extend_from_slice(b";+sip.instance=");
        out.extend_from_slice(&quote(instance));
        if contact.reg_id() > 0 {
            out.extend_from_slice(b";reg-id=");
            push_int(contact.reg_id().into(), out);
        }
    }
}

/// A public and a temporary GRUU (RFC 5627 sections 3.1.1 and 3.1.2).
fn push_gruus(cx: &Cx, contact: &Contact, instance: &[u8], out: &mut Vec<u8>) {
    let (user, domain) = match contact.aor().iter().rposition(|byte| *byte == b'@') {
        Some(at) => contact.aor().split_at(at),
        None => (contact.aor(), &b""[..]),
    };
    let to = cx.to().ok();
    let host = to
        .and_then(|to| Uri::parse(to.uri).ok())
        .map_or(&b""[..], |uri| uri.host);
    let domain = domain.strip_prefix(b"@").unwrap_or(host);
    out.extend_from_slice(b";pub-gruu=\"sip:");
    out.extend_from_slice(&user_escape(user));
    out.push(b'@');
    out.extend_from_slice(domain);
    out.extend_from_slice(b";gr=");
    out.extend_from_slice(&kahea_sip::view::param_escape(bare(instance)));
    out.extend_from_slice(b"\";temp-gruu=\"sip:");
    out.extend_from_slice(contact.ruid());
    out.extend_from_slice(TEMPORARY);
    out.push(b'@');
    out.extend_from_slice(domain);
    out.extend_from_slice(b";gr\"");
}

/// What the user of a temporary GRUU has behind the identifier of its contact.
pub(crate) const TEMPORARY: &[u8] = b"-0";

/// An instance without its angle brackets.
pub(crate) fn bare(instance: &[u8]) -> &[u8] {
    let inner = instance
        .strip_prefix(b"<")
        .and_then(|text| text.strip_suffix(b">"));
    inner.unwrap_or(instance)
}

/// Thousandths as `1`, `0.5`, `0.333`.
fn push_q(q: u16, out: &mut Vec<u8>) {
    match q {
        0 => out.push(b'0'),
        1000.. => out.push(b'1'),
        _ => {
            let digits = format!("{q:03}");
            out.extend_from_slice(b"0.");
            out.extend_from_slice(digits.trim_end_matches('0').as_bytes());
        }
    }
}

/// Sends the reply: in the transaction where there is one.
pub(crate) fn send(stateful: &Arc<Stateful>, cx: &mut Cx, outcome: &Outcome) -> Ret {
    let (status, reason) = outcome.refusal.map_or((200, "OK"), Refusal::status);
    let reason = Str::from_static(reason);
    let before = cx.reply_extra.len();
    if !outcome.added {
        let lines = outcome.lines.iter().cloned().map(ReplyExtra::Header);
        cx.reply_extra.extend(lines);
    }
    let sent = stateful.get().and_then(|tm| tm.reply(cx, status, &reason));
    let ret = sent.unwrap_or_else(|| proxy::reply(cx, status, reason));
    cx.reply_extra.truncate(before);
    ret
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q_is_written_short() {
        let text = |q| {
            let mut out = Vec::new();
            push_q(q, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            [0, 5, 250, 333, 500, 1000].map(text),
            ["0", "0.005", "0.25", "0.333", "0.5", "1"]
        );
    }

    #[test]
    fn brackets_of_an_instance_come_off() {
        assert_eq!(bare(b"<urn:uuid:1>"), b"urn:uuid:1");
        assert_eq!(bare(b"bare"), b"bare");
        assert_eq!(bare(b"<half"), b"<half");
    }
}
