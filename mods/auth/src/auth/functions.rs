//! The functions that check passwords which the script knows, and those that look after credentials.

use kahea_module::{Cx, Fault, Given, Ret, Str, Value, Var};
use kahea_sip::{EditTag, HeaderId, view::Credentials};

use super::{
    Auth, challenge,
    service::{How, Left, Secret, Side, Verdict},
};

/// The password is an HA1.
const HA1: i64 = 1;
/// A wrong password does not use up the nonce count (Kamailio 6).
const KEEP_COUNT: i64 = 32;

/// One call of `pv_www_authenticate()` or `pv_proxy_authenticate()`.
struct Call<'a> {
    realm: &'a Str,
    password: &'a Str,
    flags: i64,
    method: Option<&'a Str>,
}

fn authenticate(m: &Auth, cx: &mut Cx, side: Side, call: &Call<'_>) -> Verdict {
    let how = How {
        keep_count: call.flags & KEEP_COUNT != 0,
    };
    let verdict = match m.service.shown(cx, call.realm, side, how) {
        Ok(None) => return Verdict::Accepted,
        Ok(Some(shown)) => {
            let secret = if call.flags & HA1 == 0 {
                Secret::Password(call.password)
            } else {
                Secret::Ha1(call.password)
            };
            m.service
                .check(cx, &shown, call.method.map(|method| &**method), secret)
        }
        Err(verdict) => verdict,
    };
    if let Some(terms) = challenge::wanted_in_avp(call.flags).filter(|_| verdict != Verdict::Accepted) {
        m.service.leave_in_avp(cx, side, call.realm, terms);
    }
    verdict
}

pub(super) fn pv_www(
    m: &Auth,
    cx: &mut Cx,
    realm: Str,
    password: Str,
    flags: i64,
    method: Option<Str>,
) -> Verdict {
    let call = Call {
        realm: &realm,
        password: &password,
        flags,
        method: method.as_ref(),
    };
    authenticate(m, cx, Side::Server, &call)
}

pub(super) fn pv_proxy(m: &Auth, cx: &mut Cx, realm: Str, password: Str, flags: i64) -> Verdict {
    let call = Call {
        realm: &realm,
        password: &password,
        flags,
        method: None,
    };
    authenticate(m, cx, Side::Proxy, &call)
}

pub(super) fn pv_auth_check(
    m: &Auth,
    cx: &mut Cx,
    realm: Str,
    password: Str,
    flags: i64,
    checks: i64,
) -> Verdict {
    let side = Side::of(cx);
    let call = Call {
        realm: &realm,
        password: &password,
        flags,
        method: None,
    };
    let verdict = authenticate(m, cx, side, &call);
    if verdict != Verdict::Accepted || checks & 1 == 0 {
        return verdict;
    }
    match m.service.user_shown(cx, &realm, side) {
        Some(user) => m.service.is_own_user(cx, &user, m.service.use_domain()),
        None => Verdict::Accepted,
    }
}

/// Credentials for exactly this realm are there, be they right or not.
pub(super) fn has_credentials(_: &Auth, cx: &mut Cx, realm: Str) -> bool {
    let both = [HeaderId::Authorization, HeaderId::ProxyAuthorization];
    !realm.is_empty()
        && both.into_iter().any(|id| {
            cx.msg.all(id).any(|header| {
                let shown = Credentials::parse(cx.msg.value(header)).ok();
                shown.is_some_and(|shown| {
                    shown.is_digest() && shown.realm.is_some_and(|own| own.eq_ignore_ascii_case(&realm))
                })
            })
        })
}

/// Takes out the credentials that were judged here.
pub(super) fn consume_credentials(_: &Auth, cx: &mut Cx) -> Result<bool, Fault> {
    let lines = cx
        .extra_ref::<Left>()
        .map(|left| left.lines.clone())
        .unwrap_or_default();
    if lines.is_empty() {
        return Err(Fault::script(
            "no credentials of this message were judged: call consume_credentials() behind a function that checks them",
        ));
    }
    for line in lines {
        if !cx.edits.is_removed(line) {
            cx.edits.remove(line, EditTag::Header(HeaderId::Authorization));
        }
    }
    Ok(true)
}

pub(super) fn auth_get_www_authenticate(m: &Auth, cx: &mut Cx, realm: Str, flags: i64, to: Var) -> Ret {
    match challenge::www_authenticate_text(m, cx, &realm, flags) {
        Ok(text) => to.set(cx, Value::Str(text)).map(|()| true).into(),
        Err(fault) => fault.into(),
    }
}

/// The same for embedded languages, which get the text back.
pub(super) fn kemi_get_www_authenticate(m: &Auth, cx: &mut Cx, realm: Str, flags: i64, to: Str) -> Ret {
    match challenge::www_authenticate_text(m, cx, &realm, flags) {
        Ok(text) => {
            let bind = cx.bind();
            if let Ok(var) = bind.var(&to.text()) {
                return var.set(cx, Value::Str(text)).map(|()| true).into();
            }
            Given::set(cx, text);
            Ret::TRUE
        }
        Err(fault) => fault.into(),
    }
}
