//! Module `auth_ephemeral`: credentials that a web service makes with a shared secret and that end by themselves
//! (draft-uberti-behave-turn-rest).
//!
//! The user name holds the time of its end; the password is the base64 of an HMAC of the user name under the secret.

use std::sync::Arc;

use arc_swap::ArcSwap;
use kahea_module::{
    BindError, Cx, Decl, Env, Fault, InitError, Module, REQUEST, Ret, Str, Value,
    rpc::{RpcCall, RpcFault, RpcResult},
    value::parse_int,
};
use kahea_sip::view::Uri;
use sha1::Sha1;
use sha2::{Sha256, Sha384, Sha512};

use crate::{
    auth::{How, Secret, Service, Side, Verdict},
    crypto::{self, HmacKey},
};

/// The module's instance.
pub struct Ephemeral {
    auth: Option<Arc<Service>>,
    secrets: Arc<Secrets>,
    name_first: bool,
    hash: Hash,
}

/// The secrets in use, the one added last first. Those that commands add outlive a reload.
struct Secrets(ArcSwap<Vec<Key>>);

/// A secret, made ready.
#[derive(Clone)]
struct Key {
    text: Str,
    mac: Mac,
}

/// The hash of the passwords.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Hash {
    #[default]
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

#[derive(Clone)]
enum Mac {
    Sha1(HmacKey<Sha1>),
    Sha256(HmacKey<Sha256>),
    Sha384(HmacKey<Sha384>),
    Sha512(HmacKey<Sha512>),
}

impl Key {
    fn new(hash: Hash, text: Str) -> Key {
        let mac = match hash {
            Hash::Sha1 => Mac::Sha1(HmacKey::new(&text)),
            Hash::Sha256 => Mac::Sha256(HmacKey::new(&text)),
            Hash::Sha384 => Mac::Sha384(HmacKey::new(&text)),
            Hash::Sha512 => Mac::Sha512(HmacKey::new(&text)),
        };
        Key { text, mac }
    }

    /// The password of a user name.
    fn password(&self, name: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(88);
        match &self.mac {
            Mac::Sha1(key) => crypto::push_base64(&key.mac(&[name]), &mut out),
            Mac::Sha256(key) => crypto::push_base64(&key.mac(&[name]), &mut out),
            Mac::Sha384(key) => crypto::push_base64(&key.mac(&[name]), &mut out),
            Mac::Sha512(key) => crypto::push_base64(&key.mac(&[name]), &mut out),
        }
        out
    }
}

/// The parameters.
pub struct Params {
    secrets: Vec<Str>,
    username_format: i64,
    sha_algorithm: i64,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            secrets: Vec::new(),
            username_format: 1,
            sha_algorithm: 0,
        }
    }
}

/// What a configuration's parameters say, to tell a reload that changes the secrets from one that does not.
struct Kept(parking_lot::Mutex<Option<Said>>);

/// The secrets that the parameters give, their hash, and what became of them.
type Said = (Vec<Str>, Hash, Arc<Secrets>);

impl Module for Ephemeral {
    const NAME: &'static str = "auth_ephemeral";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        d.param_fn(
            "secret",
            "string",
            add_secret_param,
            "A secret shared with the web service; may be given several times, the last one is tried first.",
        );
        d.param(
            "username_format",
            |p| &mut p.username_format,
            "0: `name:time`, 1: `time:name`, the time in seconds since 1970.",
        );
        d.param(
            "sha_algorithm",
            |p| &mut p.sha_algorithm,
            "The hash of passwords: 0 SHA-1, 1 SHA-256, 2 SHA-384, 3 SHA-512.",
        );
        checks(d);
        names(d);
        d.rpc(
            "autheph.add_secret",
            add_secret,
            "Adds a secret, to be tried first.",
        );
        d.rpc(
            "autheph.dump_secrets",
            dump_secrets,
            "Lists the secrets with their numbers.",
        );
        d.rpc(
            "autheph.rm_secret",
            rm_secret,
            "Takes out the secret of that number.",
        );
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Ephemeral, InitError> {
        let hash = match params.sha_algorithm {
            0 => Hash::Sha1,
            1 => Hash::Sha256,
            2 => Hash::Sha384,
            3 => Hash::Sha512,
            other => {
                return Err(InitError::new(format!("sha_algorithm is {other}"))
                    .help("give 0 (SHA-1), 1 (SHA-256), 2 (SHA-384) or 3 (SHA-512)"));
            }
        };
        let name_first = match params.username_format {
            0 => true,
            1 => false,
            other => return Err(InitError::new(format!("username_format is {other}")).help("give 0 or 1")),
        };
        if params.secrets.is_empty() {
            return Err(InitError::new("auth_ephemeral has no secret")
                .help("set the parameter secret to what the web service uses"));
        }
        Ok(Ephemeral {
            auth: env.service(),
            secrets: secrets(env, params.secrets, hash),
            name_first,
            hash,
        })
    }
}

/// Those of the configuration before where the parameters are the same, with what commands changed; else new ones.
fn secrets(env: &Env<'_>, texts: Vec<Str>, hash: Hash) -> Arc<Secrets> {
    let kept = env.shared.keep(|| Kept(parking_lot::Mutex::default()));
    let mut kept = kept.0.lock();
    if let Some((_, _, secrets)) = kept
        .as_ref()
        .filter(|(known, of, _)| *known == texts && *of == hash)
    {
        return secrets.clone();
    }
    let keys = texts
        .iter()
        .rev()
        .map(|text| Key::new(hash, text.clone()))
        .collect();
    let made = Arc::new(Secrets(ArcSwap::from_pointee(keys)));
    *kept = Some((texts, hash, made.clone()));
    made
}

fn add_secret_param(p: &mut Params, value: &Value, _: &dyn kahea_module::Bind) -> Result<(), BindError> {
    match value {
        Value::Str(text) if !text.is_empty() => p.secrets.push(text.clone()),
        _ => return Err(BindError::new("a secret is a text that is not empty")),
    }
    Ok(())
}

fn checks(d: &mut Decl<Ephemeral>) {
    d.func("autheph_check", ["realm"], check, "Checks the credentials: those of a registrar for REGISTER, else of a proxy; codes as pv_www_authenticate(), and -7 where they have ended.")
        .routes(REQUEST)
        .kemi(1, "autheph_check")
        .example("if (!autheph_check(\"$fd\")) { auth_challenge(\"$fd\", \"1\"); exit; }");
    d.func(
        "autheph_www",
        ["realm", "method"],
        www,
        "Checks the credentials of Authorization.",
    )
    .routes(REQUEST)
    .kemi(1, "autheph_www")
    .kemi(2, "autheph_www_method");
    d.func(
        "autheph_proxy",
        ["realm"],
        proxy,
        "Checks the credentials of Proxy-Authorization.",
    )
    .routes(REQUEST)
    .kemi(1, "autheph_proxy");
    d.func(
        "autheph_authenticate",
        ["username", "password"],
        authenticate,
        "The password is that of the user name, which has not ended (-7).",
    )
    .routes(REQUEST)
    .kemi(2, "autheph_authenticate");
}

fn names(d: &mut Decl<Ephemeral>) {
    d.func("autheph_check_from", ["username"], check_from, "The user in From is the one of the credentials, or of the user name given; -2 where there is none in it.")
        .routes(REQUEST);
    d.func("autheph_check_to", ["username"], check_to, "The user in To is the one of the credentials, or of the user name given; -2 where there is none in it.")
        .routes(REQUEST);
    d.func(
        "autheph_check_timestamp",
        ["username"],
        check_timestamp,
        "The user name has not ended.",
    )
    .routes(REQUEST);
}

impl Ephemeral {
    fn auth(&self) -> Result<&Service, Fault> {
        self.auth.as_deref().ok_or_else(|| {
            Fault::script("digest credentials need the auth module: load it before auth_ephemeral")
        })
    }

    /// The time and the name in a user name; a name without a colon is a time alone.
    fn parts<'n>(&self, username: &'n [u8]) -> (&'n [u8], Option<&'n [u8]>) {
        let colon = if self.name_first {
            username.iter().rposition(|byte| *byte == b':')
        } else {
            username.iter().position(|byte| *byte == b':')
        };
        let Some((before, after)) = colon.map(|at| username.split_at(at)) else {
            return (username, None);
        };
        let after = after.get(1..).unwrap_or_default();
        if self.name_first {
            (after, Some(before))
        } else {
            (before, Some(after))
        }
    }

    /// Failed where the time is none, expired where it is over.
    fn ends(&self, cx: &Cx, username: &[u8]) -> Verdict {
        let (time, _) = self.parts(username);
        let digits = time.iter().all(u8::is_ascii_digit);
        // Kamailio reads 32 bits; what is beyond would be a time that has passed.
        let time = parse_int(time)
            .filter(|_| digits)
            .and_then(|time| u32::try_from(time).ok());
        let now = cx.time().duration_since(std::time::SystemTime::UNIX_EPOCH);
        let now = now.map_or(0, |now| now.as_secs());
        match time {
            None => Verdict::Failed,
            Some(time) if u64::from(time) <= now => Verdict::Expired,
            Some(_) => Verdict::Accepted,
        }
    }

    fn digest(&self, cx: &mut Cx, realm: &Str, side: Side, method: Option<&[u8]>) -> Ret {
        let auth = match self.auth() {
            Ok(auth) => auth,
            Err(fault) => return fault.into(),
        };
        if realm.is_empty() {
            return Fault::script("the realm is empty").into();
        }
        // Several secrets may be tried: the count is noted by the one that fits.
        let how = How { keep_count: true };
        let shown = match auth.shown(cx, realm, side, how) {
            Ok(Some(shown)) => shown,
            Ok(None) => return Verdict::Accepted.into(),
            Err(verdict) => return verdict.into(),
        };
        let username = shown.username().clone();
        match self.ends(cx, &username) {
            Verdict::Accepted => {}
            verdict => return verdict.into(),
        }
        let mut last = Verdict::Failed;
        for key in self.secrets.0.load().iter() {
            let password = key.password(&username);
            last = auth.check(cx, &shown, method, Secret::Password(&password));
            if last != Verdict::WrongPassword {
                break;
            }
        }
        last.into()
    }
}

fn check(m: &Ephemeral, cx: &mut Cx, realm: Str) -> Ret {
    let side = Side::of(cx);
    m.digest(cx, &realm, side, None)
}

fn www(m: &Ephemeral, cx: &mut Cx, realm: Str, method: Option<Str>) -> Ret {
    m.digest(cx, &realm, Side::Server, method.as_deref())
}

fn proxy(m: &Ephemeral, cx: &mut Cx, realm: Str) -> Ret {
    m.digest(cx, &realm, Side::Proxy, None)
}

fn authenticate(m: &Ephemeral, cx: &mut Cx, username: Str, password: Str) -> Verdict {
    if username.is_empty() || password.is_empty() {
        return Verdict::Failed;
    }
    match m.ends(cx, &username) {
        Verdict::Accepted => {}
        verdict => return verdict,
    }
    let keys = m.secrets.0.load();
    // Every secret is tried, so that the time taken does not tell which one fits.
    let fits = keys
        .iter()
        .filter(|key| crypto::same(&key.password(&username), &password))
        .count();
    if fits > 0 {
        Verdict::Accepted
    } else {
        Verdict::Failed
    }
}

fn check_timestamp(m: &Ephemeral, cx: &mut Cx, username: Str) -> bool {
    m.ends(cx, &username) == Verdict::Accepted
}

/// The user, or user and domain, in a user name are those of the URI.
fn same_user(m: &Ephemeral, username: &[u8], uri: &Uri<'_>) -> i64 {
    let (_, Some(name)) = m.parts(username) else {
        return -2;
    };
    let (user, domain) = match name.iter().position(|byte| *byte == b'@') {
        Some(at) => (
            name.get(..at).unwrap_or_default(),
            name.get(at.saturating_add(1)..),
        ),
        None => (name, None),
    };
    let same = uri.user == user && domain.is_none_or(|domain| uri.host == domain);
    if same { 1 } else { -1 }
}

fn check_uri(
    m: &Ephemeral,
    cx: &Cx,
    username: Option<Str>,
    uri: Result<kahea_sip::view::NameAddr<'_>, Fault>,
) -> Ret {
    let username = match username {
        Some(username) => username,
        None => match m.auth().map(|auth| auth.judged_username(cx)) {
            Ok(Some(username)) => username,
            Ok(None) => return Ret::FALSE,
            Err(fault) => return fault.into(),
        },
    };
    match uri.map(|addr| addr.parse_uri().map(|uri| same_user(m, &username, &uri))) {
        Ok(Ok(code)) => code.into(),
        Ok(Err(error)) => Fault::peer(format!("the URI cannot be read: {error}")).into(),
        Err(fault) => fault.into(),
    }
}

fn check_from(m: &Ephemeral, cx: &mut Cx, username: Option<Str>) -> Ret {
    check_uri(m, cx, username, cx.from())
}

fn check_to(m: &Ephemeral, cx: &mut Cx, username: Option<Str>) -> Ret {
    check_uri(m, cx, username, cx.to())
}

fn missing() -> RpcFault {
    RpcFault::new(500, "Not enough parameters")
}

fn add_secret(m: &Ephemeral, call: &mut RpcCall) -> RpcResult {
    let text = call
        .optional_text()?
        .filter(|text| !text.is_empty())
        .ok_or_else(missing)?;
    let key = Key::new(m.hash, text);
    m.secrets.0.rcu(|keys| {
        let mut all = vec![key.clone()];
        all.extend_from_slice(keys);
        all
    });
    Ok(Vec::new())
}

fn dump_secrets(m: &Ephemeral, _: &mut RpcCall) -> RpcResult {
    let keys = m.secrets.0.load();
    Ok(keys
        .iter()
        .enumerate()
        .map(|(at, key)| format!("ID {at}: {}", key.text).into())
        .collect())
}

fn rm_secret(m: &Ephemeral, call: &mut RpcCall) -> RpcResult {
    let at = call.optional_int()?.ok_or_else(missing)?;
    let at = usize::try_from(at).unwrap_or(usize::MAX);
    if at >= m.secrets.0.load().len() {
        return Err(RpcFault::new(500, "Failed removing secret"));
    }
    m.secrets.0.rcu(|keys| {
        let mut left = Vec::clone(keys);
        if at < left.len() {
            left.remove(at);
        }
        left
    });
    Ok(Vec::new())
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::{EPOCH_SECONDS, Server};

    use super::*;

    fn module(hash: Hash, name_first: bool) -> Ephemeral {
        let keys = ["new", "old"].map(|text| Key::new(hash, Str::from(text)));
        Ephemeral {
            auth: None,
            secrets: Arc::new(Secrets(ArcSwap::from_pointee(keys.to_vec()))),
            name_first,
            hash,
        }
    }

    #[test]
    fn passwords_of_every_secret_hold_until_their_end() {
        let server = Server::default();
        let cx = &mut server.invite();
        for hash in [Hash::Sha1, Hash::Sha256, Hash::Sha384, Hash::Sha512] {
            let m = module(hash, false);
            let name = Str::from(format!("{}:alice", EPOCH_SECONDS + 1));
            let password = |secret: &str| Str::from(Key::new(hash, Str::from(secret)).password(&name));
            assert_eq!(
                authenticate(&m, cx, name.clone(), password("old")),
                Verdict::Accepted
            );
            assert_eq!(
                authenticate(&m, cx, name.clone(), password("other")),
                Verdict::Failed
            );
        }
        let over = Str::from(format!("{EPOCH_SECONDS}:alice"));
        let m = module(Hash::Sha1, false);
        assert_eq!(authenticate(&m, cx, over.clone(), "x".into()), Verdict::Expired);
        assert!(!check_timestamp(&m, cx, over) && !check_timestamp(&m, cx, "4294967297:a".into()));
    }

    #[test]
    fn names_in_both_formats() {
        assert_eq!(
            module(Hash::Sha1, false).parts(b"1:a:b"),
            (&b"1"[..], Some(&b"a:b"[..]))
        );
        assert_eq!(
            module(Hash::Sha1, true).parts(b"a:b:1"),
            (&b"1"[..], Some(&b"a:b"[..]))
        );
        assert_eq!(module(Hash::Sha1, true).parts(b"1"), (&b"1"[..], None));
        let uri = Uri::parse(b"sip:alice@example.com").unwrap();
        let m = module(Hash::Sha1, false);
        let code = |name: &str| same_user(&m, name.as_bytes(), &uri);
        assert_eq!(
            (code("1:alice"), code("1:alice@example.com"), code("1:alice@x")),
            (1, 1, -1)
        );
        assert_eq!((code("1:bob"), code("1")), (-1, -2));
    }

    #[test]
    fn secrets_come_and_go() {
        let server = Server::default();
        let m = module(Hash::Sha1, false);
        let call = |args: Vec<kahea_module::rpc::RpcValue>| RpcCall::new(server.worker.clone(), args);
        add_secret(&m, &mut call(vec!["third".into()])).unwrap();
        assert_eq!(
            dump_secrets(&m, &mut call(vec![])).unwrap(),
            ["ID 0: third", "ID 1: new", "ID 2: old"].map(Into::into)
        );
        rm_secret(&m, &mut call(vec![1.into()])).unwrap();
        assert_eq!(
            dump_secrets(&m, &mut call(vec![])).unwrap(),
            ["ID 0: third", "ID 1: old"].map(Into::into)
        );
        assert!(
            rm_secret(&m, &mut call(vec![7.into()])).is_err() && rm_secret(&m, &mut call(vec![])).is_err()
        );
    }
}
