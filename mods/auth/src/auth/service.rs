//! The two steps of every check of credentials, for this module and for those that know where passwords are.
//!
//! [`Service::shown`] finds the credentials and judges all but the password; [`Service::check`] judges the password. In
//! between a backend may be asked, so nothing borrows from the message.

use std::sync::Arc;

use kahea_mods_base::sl::Stateful;
use kahea_module::{Cx, Fault, ReplyExtra, Str, authorized::Authorized};
use kahea_sip::{
    Header, HeaderId, Method, Span,
    view::{Credentials, Qop},
};
use smallvec::SmallVec;

use super::{
    counts::{Counts, Number, Seen},
    nonce::{Bad, Nonces},
};
use crate::digest::{self, Algorithm, Count, Hex, Protection};

/// How a check ended: the return codes that all functions of this family share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// 1: the credentials hold, or the method needs none.
    Accepted,
    /// -1: they cannot be read, lack something, or the check itself failed.
    Failed,
    /// -2: the password is wrong.
    WrongPassword,
    /// -3: there is no such user.
    UnknownUser,
    /// -4: the nonce is stale, or not for this request.
    Stale,
    /// -5: there are none for this realm.
    None,
    /// -6: the nonce may be used once, and was.
    Reused,
    /// -7: the credentials themselves are too old (`auth_ephemeral`).
    Expired,
    /// -8: they are of another user than the one that the request is about.
    OtherUser,
}

impl Verdict {
    /// The return code.
    pub const fn code(self) -> i64 {
        match self {
            Verdict::Accepted => 1,
            Verdict::Failed => -1,
            Verdict::WrongPassword => -2,
            Verdict::UnknownUser => -3,
            Verdict::Stale => -4,
            Verdict::None => -5,
            Verdict::Reused => -6,
            Verdict::Expired => -7,
            Verdict::OtherUser => -8,
        }
    }
}

impl From<Verdict> for kahea_module::Ret {
    fn from(verdict: Verdict) -> Self {
        verdict.code().into()
    }
}

/// Who asks for credentials: decides about headers and the status of the challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// A server or registrar: Authorization, 401.
    Server,
    /// A proxy: Proxy-Authorization, 407.
    Proxy,
}

impl Side {
    /// As `auth_check()` and `auth_challenge()` choose: a registrar for REGISTER, else a proxy.
    pub fn of(cx: &Cx) -> Side {
        if cx.msg.method() == Method::Register {
            Side::Server
        } else {
            Side::Proxy
        }
    }

    fn header(self) -> HeaderId {
        match self {
            Side::Server => HeaderId::Authorization,
            Side::Proxy => HeaderId::ProxyAuthorization,
        }
    }
}

/// What a user knows.
#[derive(Clone, Copy, Debug)]
pub enum Secret<'a> {
    /// The password.
    Password(&'a [u8]),
    /// The hash of user name, realm and password, in hex.
    Ha1(&'a [u8]),
}

/// Credentials whose nonce holds.
pub struct Shown {
    value: Str,
    username: Str,
    realm: Str,
    algorithm: Algorithm,
    /// To be noted where the password is right.
    count: Option<(Number, u32)>,
}

/// Credentials of a message, as they were read.
struct Found<'m> {
    header: &'m Header,
    read: Credentials<'m>,
}

/// What the first step finds out.
struct Judged {
    username: Str,
    algorithm: Algorithm,
    count: Option<(Number, u32)>,
}

impl Shown {
    /// As they stand in the header.
    ///
    /// # Errors
    /// Never: they were read before.
    pub fn credentials(&self) -> Result<Credentials<'_>, Fault> {
        Credentials::parse(&self.value)
            .map_err(|error| Fault::peer(format!("the credentials cannot be read: {error}")))
    }

    /// The user name with its domain, where it has one; without quotes.
    pub fn username(&self) -> &Str {
        &self.username
    }

    /// The part of the user name before `@`, without a scheme.
    pub fn user(&self) -> Str {
        self.username.share(user_and_domain(&self.username).0)
    }

    /// The part of the user name behind `@`.
    pub fn domain(&self) -> Option<Str> {
        let domain = user_and_domain(&self.username).1;
        domain.map(|domain| self.username.share(domain))
    }

    /// The realm asked for.
    pub fn realm(&self) -> &Str {
        &self.realm
    }

    /// The algorithm that the response is made with.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

/// A user name in its parts; `sip:` in front is passed over.
fn user_and_domain(name: &[u8]) -> (&[u8], Option<&[u8]>) {
    let bare = match name.iter().position(|byte| *byte == b':') {
        Some(at) if matches!(name.get(..at), Some(b"sip" | b"sips")) => {
            name.get(at.saturating_add(1)..).unwrap_or_default()
        }
        _ => name,
    };
    match bare.iter().position(|byte| *byte == b'@') {
        Some(at) => (
            bare.get(..at).unwrap_or_default(),
            bare.get(at.saturating_add(1)..),
        ),
        None => (bare, None),
    }
}

/// What this message's checks left behind.
#[derive(Default)]
pub(super) struct Left {
    /// The lines of credentials that were ours to judge, for `consume_credentials()`.
    pub(super) lines: SmallVec<[Span; 1]>,
    /// The last check failed because of its nonce: the next challenge says so.
    pub(super) stale: bool,
    /// `auth_algorithm()`.
    pub(super) algorithms: Option<SmallVec<[Algorithm; 1]>>,
}

/// How a check is made.
#[derive(Clone, Copy, Debug, Default)]
pub struct How {
    /// A wrong password does not use up the nonce count.
    pub keep_count: bool,
}

/// The authentication of this configuration.
pub struct Service {
    pub(super) nonces: Nonces,
    pub(super) counts: Option<Arc<Counts>>,
    pub(super) nonce_count: bool,
    pub(super) one_time: bool,
    /// In the order in which challenges offer them; empty for MD5 that is not named.
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) realm_prefix: Str,
    pub(super) use_domain: bool,
    pub(super) add_info: bool,
    pub(super) qop: Option<Qop>,
    pub(super) headers: [Str; 2],
    pub(super) avp: Str,
    /// `None` with `force_stateless_reply`.
    pub(super) stateful: Option<Arc<Stateful>>,
}

impl Service {
    /// Finds the credentials for a realm and judges all but the password; `None` where the method needs none (ACK,
    /// CANCEL and PRACK cannot be challenged, RFC 3261 section 22.1).
    ///
    /// # Errors
    /// Failed, none, stale or reused.
    pub fn shown(&self, cx: &mut Cx, realm: &[u8], side: Side, how: How) -> Result<Option<Shown>, Verdict> {
        if matches!(cx.msg.method(), Method::Ack | Method::Cancel | Method::Prack) {
            return Ok(None);
        }
        let realm = self.bare_realm(realm);
        if realm.is_empty() {
            return Err(Verdict::Failed);
        }
        let (value, line, judged) = {
            let found = self.find(cx, realm, side)?;
            let value = cx.msg.value_text(found.header);
            let judged = self.judge(cx, &value, &found.read, how);
            (value, found.header.line, judged)
        };
        let left = cx.extra::<Left>();
        if !left.lines.contains(&line) {
            left.lines.push(line);
        }
        left.stale = matches!(judged, Err(Verdict::Stale | Verdict::Reused));
        let Judged {
            username,
            algorithm,
            count,
        } = judged?;
        Ok(Some(Shown {
            value,
            username,
            realm: Str::copy(realm),
            algorithm,
            count,
        }))
    }

    /// Without `realm_prefix`.
    pub fn bare_realm<'r>(&self, realm: &'r [u8]) -> &'r [u8] {
        realm.strip_prefix(&*self.realm_prefix).unwrap_or(realm)
    }

    /// `use_domain`.
    pub fn use_domain(&self) -> bool {
        self.use_domain
    }

    /// The credentials of that realm; of several the first with an algorithm that is offered (RFC 8760 section 2.4).
    fn find<'m>(&self, cx: &'m Cx, realm: &[u8], side: Side) -> Result<Found<'m>, Verdict> {
        let mut second = None;
        for header in cx.msg.all(side.header()) {
            let value = cx.msg.value(header);
            // Other schemes are none of ours, readable or not.
            if !value
                .get(..6)
                .is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"Digest"))
            {
                continue;
            }
            let read = Credentials::parse(value).map_err(|_| Verdict::Failed)?;
            let ours = read.is_digest() && read.realm.is_some_and(|own| own.eq_ignore_ascii_case(realm));
            if !ours {
                continue;
            }
            let named = read.algorithm_text.and_then(Algorithm::parse).unwrap_or_default();
            let found = Found { header, read };
            if self.offered(cx).contains(&named) {
                return Ok(found);
            }
            second.get_or_insert(found);
        }
        second.ok_or(Verdict::None)
    }

    /// The user of the credentials for a realm, be they right or not, without its domain; `None` where there are none.
    pub fn user_shown(&self, cx: &Cx, realm: &[u8], side: Side) -> Option<Str> {
        let found = self.find(cx, self.bare_realm(realm), side).ok()?;
        Some(cx.msg.buffer().share(user_and_domain(found.read.username?).0))
    }

    /// The user name of the credentials of this message that were judged last, be they right or not.
    pub fn judged_username(&self, cx: &Cx) -> Option<Str> {
        let line = *cx.extra_ref::<Left>()?.lines.last()?;
        let header = cx.msg.headers().iter().find(|header| header.line == line)?;
        let name = Credentials::parse(cx.msg.value(header)).ok()?.username?;
        Some(cx.msg.buffer().share(name))
    }

    /// The algorithms that count for this message.
    fn offered<'a>(&'a self, cx: &'a Cx) -> &'a [Algorithm] {
        match cx.extra_ref::<Left>().and_then(|left| left.algorithms.as_ref()) {
            Some(own) => own,
            None if self.algorithms.is_empty() => &[Algorithm::Md5],
            None => &self.algorithms,
        }
    }

    /// What the response must have been made with: what the credentials name, where it is offered.
    fn algorithm(&self, cx: &Cx, shown: &Credentials<'_>) -> Algorithm {
        let offered = self.offered(cx);
        let named = match shown.algorithm_text {
            Some(name) => Algorithm::parse(name),
            None => Some(Algorithm::Md5),
        };
        let named = named.filter(|named| offered.contains(named));
        named.or(offered.first().copied()).unwrap_or_default()
    }

    /// All parts are there, the response is of the right length, and the nonce holds.
    fn judge(&self, cx: &Cx, value: &Str, shown: &Credentials<'_>, how: How) -> Result<Judged, Verdict> {
        let counted = shown.qop_text.is_none()
            || shown.cnonce.is_some_and(|cnonce| !cnonce.is_empty())
                && shown.nc_text.is_some_and(|nc| !nc.is_empty());
        let (Some(username), Some(nonce), Some(_), Some(response), true) =
            (shown.username, shown.nonce, shown.uri, shown.response, counted)
        else {
            return Err(Verdict::Failed);
        };
        let algorithm = self.algorithm(cx, shown);
        if response.len() != algorithm.hex_len() {
            return Err(Verdict::Failed);
        }
        let count = self.judge_nonce(cx, shown, nonce, how)?;
        Ok(Judged {
            username: value.share(username),
            algorithm,
            count,
        })
    }

    fn judge_nonce(
        &self,
        cx: &Cx,
        shown: &Credentials<'_>,
        nonce: &[u8],
        how: How,
    ) -> Result<Option<(Number, u32)>, Verdict> {
        let counts = self.counts.as_deref();
        let read = self.nonces.read(cx, counts, nonce).map_err(|bad| match bad {
            Bad::Malformed => Verdict::Failed,
            Bad::Stale => Verdict::Stale,
        })?;
        let state = counts.zip(read.number);
        if self.nonce_count && shown.qop_text.is_some() {
            // A count replaces the other checks: it protects better than they do.
            let digits = shown.nc_text.is_some_and(|nc| nc.len() == 8);
            let count = shown.nc().filter(|_| digits).ok_or(Verdict::Failed)?;
            let (counts, number) = state.ok_or(Verdict::Stale)?;
            let seen = if how.keep_count {
                counts.look(number, count)
            } else {
                counts.take(number, count)
            };
            let keep = how.keep_count.then_some((number, count));
            return if seen == Seen::Fresh {
                Ok(keep)
            } else {
                Err(Verdict::Stale)
            };
        }
        if !read.fits {
            return Err(Verdict::Stale);
        }
        if self.one_time {
            let (counts, number) = state.ok_or(Verdict::Stale)?;
            return match counts.take_once(number) {
                Seen::Fresh => Ok(None),
                Seen::Used => Err(Verdict::Reused),
                Seen::Unknown => Err(Verdict::Stale),
            };
        }
        Ok(None)
    }

    /// Judges the password; `method` stands for the request's where given. Where it is right, replies to this message
    /// carry Authentication-Info as `add_authinfo_hdr` says.
    pub fn check(&self, cx: &mut Cx, shown: &Shown, method: Option<&[u8]>, secret: Secret<'_>) -> Verdict {
        let Ok(credentials) = shown.credentials() else {
            return Verdict::Failed;
        };
        let algorithm = shown.algorithm;
        let username = credentials.username.unwrap_or_default();
        let ha1 = match secret {
            Secret::Password(password) => algorithm.hash(&[username, &shown.realm, password]),
            Secret::Ha1(hex) => match Hex::read(hex).filter(|_| hex.len() == algorithm.hex_len()) {
                Some(hex) => hex,
                None => return Verdict::WrongPassword,
            },
        };
        let method = method.unwrap_or(cx.msg.method_text());
        let protection = protection(cx, &credentials);
        let nonce = credentials.nonce.unwrap_or_default();
        let uri = credentials.uri.unwrap_or_default();
        let expected = digest::response(algorithm, &ha1, nonce, method, uri, protection);
        if !digest::is_response(credentials.response.unwrap_or_default(), &expected) {
            return Verdict::WrongPassword;
        }
        if let Some((number, count)) = shown.count {
            let seen = self.counts.as_deref().map(|counts| counts.take(number, count));
            if seen != Some(Seen::Fresh) {
                cx.extra::<Left>().stale = true;
                return Verdict::Stale;
            }
        }
        if self.add_info {
            let info = self.info(cx, &credentials, algorithm, &ha1);
            cx.reply_extra.push(ReplyExtra::Header(info));
        }
        let who = Authorized {
            user: shown.user(),
            domain: shown.domain(),
            realm: shown.realm.clone(),
        };
        who.note(cx);
        Verdict::Accepted
    }

    /// Does the work of [`Service::check`] for a user that does not exist, so that nobody learns from the time taken
    /// which users there are.
    pub fn check_nobody(&self, cx: &mut Cx, shown: &Shown) -> Verdict {
        let Ok(credentials) = shown.credentials() else {
            return Verdict::UnknownUser;
        };
        let ha1 = shown.algorithm.hash(&[b"", &shown.realm, b""]);
        let protection = protection(cx, &credentials);
        let (nonce, uri) = (
            credentials.nonce.unwrap_or_default(),
            credentials.uri.unwrap_or_default(),
        );
        let expected = digest::response(
            shown.algorithm,
            &ha1,
            nonce,
            cx.msg.method_text(),
            uri,
            protection,
        );
        std::hint::black_box(digest::is_response(
            credentials.response.unwrap_or_default(),
            &expected,
        ));
        Verdict::UnknownUser
    }

    /// The Authentication-Info line (RFC 7615): what shows that the server knows the password too.
    fn info(&self, cx: &Cx, shown: &Credentials<'_>, algorithm: Algorithm, ha1: &Hex) -> Str {
        let nonce = shown.nonce.unwrap_or_default();
        let rspauth = digest::response(
            algorithm,
            ha1,
            nonce,
            b"",
            shown.uri.unwrap_or_default(),
            protection(cx, shown),
        );
        let mut out = b"Authentication-Info: nextnonce=\"".to_vec();
        if self.one_time {
            self.nonces.make(cx, self.counts.as_deref(), &mut out);
        } else {
            out.extend_from_slice(nonce);
        }
        out.push(b'"');
        if let Some(qop) = shown.qop_text {
            out.extend_from_slice(b", qop=");
            out.extend_from_slice(qop);
        }
        out.extend_from_slice(b", rspauth=\"");
        out.extend_from_slice(rspauth.as_bytes());
        out.push(b'"');
        if let (Some(_), Some(cnonce), Some(nc)) = (shown.qop_text, shown.cnonce, shown.nc_text) {
            out.extend_from_slice(b", cnonce=\"");
            out.extend_from_slice(cnonce);
            out.extend_from_slice(b"\", nc=");
            out.extend_from_slice(nc);
        }
        out.extend_from_slice(b"\r\n");
        Str::from(out)
    }

    /// The user of the credentials is the one that the request is about: that of From, for REGISTER and PUBLISH of To
    /// as well, for PUBLISH of the Request-URI too; with `use_domain` the domains of these are one.
    pub fn is_own_user(&self, cx: &Cx, user: &[u8], use_domain: bool) -> Verdict {
        let (Ok(from), Ok(to)) = (cx.from(), cx.to()) else {
            return Verdict::Failed;
        };
        let (Ok(from), Ok(to)) = (from.parse_uri(), to.parse_uri()) else {
            return Verdict::Failed;
        };
        let publish = cx.msg.method() == Method::Publish;
        let both = publish || cx.msg.method() == Method::Register;
        let like_from = |other_user: &[u8], other_host: &[u8]| {
            other_user == user && (!use_domain || other_host.eq_ignore_ascii_case(from.host))
        };
        let target = !publish || cx.with_ruri(|ruri| ruri.is_ok_and(|ruri| like_from(ruri.user, ruri.host)));
        let to = !both || like_from(to.user, to.host);
        if from.user == user && to && target {
            Verdict::Accepted
        } else {
            Verdict::OtherUser
        }
    }
}

/// The protection that the credentials state, with the body where it counts.
fn protection<'a>(cx: &'a Cx, shown: &Credentials<'a>) -> Protection<'a> {
    let Some(qop) = shown.qop_text else {
        return Protection::None;
    };
    let count = Count {
        qop,
        nc: shown.nc_text.unwrap_or_default(),
        cnonce: shown.cnonce.unwrap_or_default(),
    };
    match Qop::parse(qop) {
        Qop::AuthInt => Protection::AuthInt(count, cx.msg.body()),
        Qop::Auth | Qop::Other => Protection::Auth(count),
    }
}
