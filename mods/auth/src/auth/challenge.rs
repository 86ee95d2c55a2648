//! Challenges: their header lines, and the replies that carry them.

use kahea_module::{
    Cx, Fault, ReplyExtra, Ret, Str, Value,
    avp::{AvpClass, AvpName},
    proxy,
};
use kahea_sip::{Method, view::Qop};
use smallvec::SmallVec;

use super::{
    Auth,
    service::{Left, Service, Side},
};
use crate::digest::Algorithm;

/// What a challenge says beside its realm and nonce.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) qop: Option<Qop>,
    pub(super) stale: bool,
}

/// The flags of the functions that challenge.
#[derive(Clone, Copy)]
struct Flags(i64);

impl Flags {
    const QOP_AUTH: i64 = 1;
    const QOP_AUTH_INT: i64 = 2;
    const NO_500: i64 = 4;
    const STALE: i64 = 16;

    fn has(self, flag: i64) -> bool {
        self.0 & flag != 0
    }

    /// The qop asked for; else that of the parameter `qop`.
    fn terms(self, service: &Service) -> Terms {
        let qop = match () {
            () if self.has(Flags::QOP_AUTH_INT) => Some(Qop::AuthInt),
            () if self.has(Flags::QOP_AUTH) => Some(Qop::Auth),
            () => service.qop,
        };
        Terms {
            qop,
            stale: self.has(Flags::STALE),
        }
    }
}

/// The flags of the functions that check a password, as far as they ask for a challenge in the AVP.
pub(super) fn wanted_in_avp(flags: i64) -> Option<Terms> {
    let qop = match flags {
        _ if flags & 8 != 0 => Some(Qop::AuthInt),
        _ if flags & 4 != 0 => Some(Qop::Auth),
        _ if flags & 2 != 0 => None,
        _ => return None,
    };
    Some(Terms { qop, stale: false })
}

impl Service {
    /// Appends a challenge line, `WWW-Authenticate: Digest realm="…", nonce="…"` and so on, without its end.
    ///
    /// It says `stale=true` where the last check of this message failed because of its nonce: the client then
    /// computes anew without asking its user (RFC 7616 section 3.3).
    pub(super) fn challenge(
        &self,
        cx: &Cx,
        side: Side,
        realm: &[u8],
        algorithm: Option<Algorithm>,
        terms: Terms,
        out: &mut Vec<u8>,
    ) {
        let [www, proxy] = &self.headers;
        out.extend_from_slice(if side == Side::Server { www } else { proxy });
        out.extend_from_slice(b": Digest realm=\"");
        push_quoted(self.bare_realm(realm), out);
        out.extend_from_slice(b"\", nonce=\"");
        self.nonces.make(cx, self.counts.as_deref(), out);
        out.push(b'"');
        match terms.qop {
            Some(Qop::Auth) => out.extend_from_slice(b", qop=\"auth\""),
            Some(Qop::AuthInt) => out.extend_from_slice(b", qop=\"auth-int\""),
            Some(Qop::Other) | None => {}
        }
        if terms.stale || cx.extra_ref::<Left>().is_some_and(|left| left.stale) {
            out.extend_from_slice(b", stale=true");
        }
        if let Some(algorithm) = algorithm {
            out.extend_from_slice(b", algorithm=");
            out.extend_from_slice(algorithm.name().as_bytes());
        }
    }

    /// One line for each algorithm that is offered, each with its end: the one that the server likes best comes first
    /// (RFC 8760 section 2.3).
    pub(super) fn challenges(
        &self,
        cx: &Cx,
        side: Side,
        realm: &[u8],
        own: Option<&[Algorithm]>,
        terms: Terms,
    ) -> Str {
        let of_message = cx.extra_ref::<Left>().and_then(|left| left.algorithms.as_deref());
        let algorithms = own.or(of_message).unwrap_or(&self.algorithms);
        let mut out = Vec::with_capacity(160);
        if algorithms.is_empty() {
            self.challenge(cx, side, realm, None, terms, &mut out);
            out.extend_from_slice(b"\r\n");
        }
        for algorithm in algorithms {
            self.challenge(cx, side, realm, Some(*algorithm), terms, &mut out);
            out.extend_from_slice(b"\r\n");
        }
        Str::from(out)
    }

    /// Puts a challenge into the AVP, as SER's modules do: with qop=auth unless the parameter says otherwise.
    pub fn leave_challenge(&self, cx: &mut Cx, side: Side, realm: &[u8]) {
        let terms = Terms {
            qop: Some(self.qop.unwrap_or(Qop::Auth)),
            stale: false,
        };
        self.leave_in_avp(cx, side, realm, terms);
    }

    /// Puts a challenge into the AVP.
    pub(super) fn leave_in_avp(&self, cx: &mut Cx, side: Side, realm: &[u8], terms: Terms) {
        let mut line = Vec::with_capacity(128);
        self.challenge(
            cx,
            side,
            realm,
            self.algorithms.first().copied(),
            terms,
            &mut line,
        );
        let name = AvpName::Str(self.avp.clone());
        cx.avps.add(AvpClass::FromUser, name, Value::Str(Str::from(line)));
    }

    /// Replies in the request's transaction where there is one and the parameters allow, else without.
    fn reply(&self, cx: &mut Cx, status: u16, reason: &'static str) -> Ret {
        let reason = Str::from_static(reason);
        let stateful = self.stateful.clone();
        let stateful = stateful.as_ref().and_then(|slot| slot.get());
        let replied = stateful.and_then(|tm| tm.reply(cx, status, &reason));
        replied.unwrap_or_else(|| proxy::reply(cx, status, reason))
    }
}

/// Escaped for a quoted string; control characters, which would end the line, are left out.
fn push_quoted(text: &[u8], out: &mut Vec<u8>) {
    for byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        if !byte.is_ascii_control() {
            out.push(*byte);
        }
    }
}

/// A list of algorithms, `SHA-256,MD5`.
///
/// # Errors
/// The first name that is not known.
pub(super) fn algorithms(text: &[u8]) -> Result<SmallVec<[Algorithm; 1]>, Str> {
    let names = text.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    names
        .filter(|name| !name.is_empty())
        .map(|name| Algorithm::parse(name).ok_or_else(|| Str::copy(name)))
        .collect()
}

fn unknown(name: &Str) -> Fault {
    Fault::script(format!(
        "'{name}' is no digest algorithm of this server: write MD5, SHA-256, SHA-512-256 or SHA-512"
    ))
}

/// Challenges; false with a reply 500, unless the flags forbid it, where the arguments cannot be right.
fn challenge(m: &Auth, cx: &mut Cx, side: Side, realm: &Value, flags: &Value, own: Option<&Str>) -> Ret {
    if matches!(cx.msg.method(), Method::Ack | Method::Cancel) {
        return Ret::TRUE;
    }
    match terms(m, realm, flags, own) {
        Ok((realm, terms, own)) => {
            let line = m.service.challenges(cx, side, &realm, own.as_deref(), terms);
            let before = cx.reply_extra.len();
            cx.reply_extra.push(ReplyExtra::Header(line));
            let ret = match side {
                Side::Server => m.service.reply(cx, 401, "Unauthorized"),
                Side::Proxy => m.service.reply(cx, 407, "Proxy Authentication Required"),
            };
            cx.reply_extra.truncate(before);
            ret
        }
        Err(fault) => {
            let known = flags.int().filter(|_| !realm.is_null());
            let silent = known.is_some_and(|flags| Flags(flags).has(Flags::NO_500));
            match (!silent).then(|| m.service.reply(cx, 500, "Internal Server Error")) {
                Some(Ret::Fault(unsent)) => unsent.into(),
                _ => fault.into(),
            }
        }
    }
}

type Agreed = (Str, Terms, Option<SmallVec<[Algorithm; 1]>>);

fn terms(m: &Auth, realm: &Value, flags: &Value, own: Option<&Str>) -> Result<Agreed, Fault> {
    let realm = realm
        .str()
        .filter(|realm| !realm.is_empty())
        .ok_or_else(|| Fault::script("the realm of a challenge must not be empty or $null"))?;
    let flags = flags
        .int()
        .ok_or_else(|| Fault::script(format!("the flags of a challenge are a number, not '{flags}'")))?;
    let own = own.map(|list| algorithms(list).map_err(|name| unknown(&name)));
    let own = own.transpose()?.filter(|list| !list.is_empty());
    Ok((realm, Flags(flags).terms(&m.service), own))
}

pub(super) fn www_challenge(m: &Auth, cx: &mut Cx, realm: Value, flags: Value, own: Option<Str>) -> Ret {
    challenge(m, cx, Side::Server, &realm, &flags, own.as_ref())
}

pub(super) fn proxy_challenge(m: &Auth, cx: &mut Cx, realm: Value, flags: Value, own: Option<Str>) -> Ret {
    challenge(m, cx, Side::Proxy, &realm, &flags, own.as_ref())
}

pub(super) fn auth_challenge(m: &Auth, cx: &mut Cx, realm: Value, flags: Value, own: Option<Str>) -> Ret {
    let side = Side::of(cx);
    challenge(m, cx, side, &realm, &flags, own.as_ref())
}

/// Builds the lines without sending them.
///
/// # Errors
/// No realm.
pub(super) fn www_authenticate_text(m: &Auth, cx: &Cx, realm: &Str, flags: i64) -> Result<Str, Fault> {
    let realm = Value::Str(realm.clone());
    let (realm, terms, own) = terms(m, &realm, &Value::Int(flags), None)?;
    Ok(m.service
        .challenges(cx, Side::Server, &realm, own.as_deref(), terms))
}

pub(super) fn auth_algorithm(_: &Auth, cx: &mut Cx, list: Str) -> Result<bool, Fault> {
    let list = algorithms(&list).map_err(|name| unknown(&name))?;
    cx.extra::<Left>().algorithms = (!list.is_empty()).then_some(list);
    Ok(true)
}
