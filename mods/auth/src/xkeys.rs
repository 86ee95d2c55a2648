//! Module `auth_xkeys`: a header that proves to a peer that its sender knows a key, without a challenge.
//!
//! Keys stand in groups. The one added last makes the header, all of the group are tried where one is checked, so that
//! keys can be exchanged while messages are under way.

use std::{sync::Arc, time::SystemTime};

use arc_swap::ArcSwap;
use kahea_module::{
    ANY, Bind, BindError, Cx, Decl, Env, Fault, InitError, Module, Str, Value,
    rpc::{RpcCall, RpcFault, RpcResult, RpcValue},
    value::parse_int,
};
use kahea_sip::{EditTag, HeaderId, Place};
use sha2::{Digest, Sha256, Sha384, Sha512};

use crate::crypto::{self, HmacKey};

/// The module's instance.
pub struct Xkeys {
    keys: Arc<Keys>,
    hmac: bool,
}

/// All keys, the one added last first; commands change them.
struct Keys(ArcSwap<Vec<Key>>);

#[derive(Clone, Debug, PartialEq)]
struct Key {
    group: Str,
    name: Str,
    value: Str,
    /// Seconds that it holds; without end where 0.
    expires: u64,
    since: SystemTime,
}

impl Key {
    fn holds(&self, now: SystemTime) -> bool {
        let age = now.duration_since(self.since).unwrap_or_default();
        self.expires == 0 || age.as_secs() < self.expires
    }
}

/// How the value of the header is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    Sha256,
    Sha384,
    Sha512,
    HmacSha256,
    HmacSha384,
    HmacSha512,
}

impl Algorithm {
    fn parse(name: &[u8], hmac: bool) -> Option<Algorithm> {
        let known = [
            ("sha256", Algorithm::Sha256),
            ("sha384", Algorithm::Sha384),
            ("sha512", Algorithm::Sha512),
            ("hmac-sha256", Algorithm::HmacSha256),
            ("hmac-sha384", Algorithm::HmacSha384),
            ("hmac-sha512", Algorithm::HmacSha512),
        ];
        let count = if hmac { 6 } else { 3 };
        let mut known = known.into_iter().take(count);
        known
            .find(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes()))
            .map(|(_, algorithm)| algorithm)
    }

    /// The value of the header in hex: a hash over key, colon and data, or an HMAC of the data.
    fn value(self, key: &[u8], data: &[u8]) -> Vec<u8> {
        let mut hex = Vec::with_capacity(128);
        match self {
            Algorithm::Sha256 => crypto::push_hex(&plain::<Sha256>(key, data), &mut hex),
            Algorithm::Sha384 => crypto::push_hex(&plain::<Sha384>(key, data), &mut hex),
            Algorithm::Sha512 => crypto::push_hex(&plain::<Sha512>(key, data), &mut hex),
            Algorithm::HmacSha256 => crypto::push_hex(&HmacKey::<Sha256>::new(key).mac(&[data]), &mut hex),
            Algorithm::HmacSha384 => crypto::push_hex(&HmacKey::<Sha384>::new(key).mac(&[data]), &mut hex),
            Algorithm::HmacSha512 => crypto::push_hex(&HmacKey::<Sha512>::new(key).mac(&[data]), &mut hex),
        }
        hex
    }
}

fn plain<D: Digest>(key: &[u8], data: &[u8]) -> sha2::digest::Output<D> {
    D::new_with_prefix(key)
        .chain_update(b":")
        .chain_update(data)
        .finalize()
}

/// The parameters.
#[derive(Default)]
pub struct Params {
    keys: Vec<Written>,
    hmac_engine: Option<Str>,
}

/// A key as its parameter says.
#[derive(Clone, Debug, Default, PartialEq)]
struct Written {
    group: Str,
    name: Str,
    value: Str,
    expires: u64,
}

/// What the parameters of the last configuration said, and the keys as commands changed them since.
struct Kept(parking_lot::Mutex<Option<(Vec<Written>, Arc<Keys>)>>);

impl Module for Xkeys {
    const NAME: &'static str = "auth_xkeys";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        d.param_fn(
            "xkey",
            "string",
            add_key,
            "A key: `id=GROUP;name=NAME;value=SECRET;expires=SECONDS`; may be given several times.",
        );
        d.param("hmac_engine", |p| &mut p.hmac_engine, "Where set, the algorithms hmac-sha256, hmac-sha384 and hmac-sha512 are known too; which module Kamailio would compute them with is of no meaning here.");
        d.func("auth_xkeys_add", ["header", "group", "algorithm", "data"], add, "Adds a header with the hash of the data under the newest key of the group; sha256, sha384 or sha512.")
            .routes(ANY)
            .kemi(4, "auth_xkeys_add")
            .example("auth_xkeys_add(\"X-My-Key\", \"abc\", \"sha256\", \"$Ri:$fu:$ru\");");
        d.func(
            "auth_xkeys_check",
            ["header", "group", "algorithm", "data"],
            check,
            "The first header of that name has the hash of the data under a key of the group.",
        )
        .routes(ANY)
        .kemi(4, "auth_xkeys_check")
        .example("if (!auth_xkeys_check(\"X-My-Key\", \"abc\", \"sha256\", \"$si:$fu:$ru\")) { exit; }");
        d.rpc(
            "auth_xkeys_.list",
            list,
            "Lists the keys without their values; those of one group where it is named.",
        );
        d.rpc("auth_xkeys_.set", set, "Sets the value and the life of a key.");
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Xkeys, InitError> {
        let kept = env.shared.keep(|| Kept(parking_lot::Mutex::default()));
        let mut kept = kept.0.lock();
        let same = kept
            .as_ref()
            .filter(|(written, _)| *written == params.keys)
            .map(|(_, keys)| keys.clone());
        let keys = same.unwrap_or_else(|| {
            let since = env.shared.started;
            let keys = params.keys.iter().rev().map(|key| Key {
                group: key.group.clone(),
                name: key.name.clone(),
                value: key.value.clone(),
                expires: key.expires,
                since,
            });
            Arc::new(Keys(ArcSwap::from_pointee(keys.collect())))
        });
        *kept = Some((params.keys, keys.clone()));
        Ok(Xkeys {
            keys,
            hmac: params.hmac_engine.is_some_and(|engine| !engine.is_empty()),
        })
    }
}

fn add_key(p: &mut Params, value: &Value, _: &dyn Bind) -> Result<(), BindError> {
    p.keys.push(written(&value.str_or_empty())?);
    Ok(())
}

fn written(text: &Str) -> Result<Written, BindError> {
    let form = "write id=GROUP;name=NAME;value=SECRET;expires=SECONDS";
    let mut key = Written::default();
    for part in text
        .split(|byte| *byte == b';')
        .map(<[u8]>::trim_ascii)
        .filter(|part| !part.is_empty())
    {
        let at = part.iter().position(|byte| *byte == b'=');
        let (name, value) = at.map_or((part, &b""[..]), |at| {
            (
                part.get(..at).unwrap_or_default(),
                part.get(at.saturating_add(1)..).unwrap_or_default(),
            )
        });
        match name.trim_ascii() {
            b"id" => key.group = text.share(value.trim_ascii()),
            b"name" => key.name = text.share(value.trim_ascii()),
            b"value" => key.value = text.share(value.trim_ascii()),
            b"expires" => {
                let seconds = parse_int(value.trim_ascii()).and_then(|n| u64::try_from(n).ok());
                key.expires =
                    seconds.ok_or_else(|| BindError::new("expires is no number of seconds").help(form))?;
            }
            other => {
                let other = String::from_utf8_lossy(other);
                return Err(BindError::new(format!("a key has no attribute '{other}'")).help(form));
            }
        }
    }
    if key.group.is_empty() || key.name.is_empty() || key.value.is_empty() {
        return Err(BindError::new("a key needs id, name and value").help(form));
    }
    Ok(key)
}

impl Xkeys {
    fn algorithm(&self, name: &Str) -> Result<Algorithm, Fault> {
        Algorithm::parse(name, self.hmac).ok_or_else(|| {
            let more = if self.hmac {
                ", or the same with hmac- in front"
            } else {
                ""
            };
            Fault::script(format!(
                "'{name}' is no algorithm for keys: write sha256, sha384 or sha512{more}"
            ))
        })
    }
}

fn add(m: &Xkeys, cx: &mut Cx, header: Str, group: Str, algorithm: Str, data: Str) -> Result<bool, Fault> {
    let algorithm = m.algorithm(&algorithm)?;
    let keys = m.keys.0.load();
    let now = cx.time();
    let mut fitting = keys.iter().filter(|key| key.group == group && key.holds(now));
    let key = fitting
        .next()
        .ok_or_else(|| Fault::script(format!("there is no key of group '{group}'")))?;
    if header.is_empty()
        || header
            .iter()
            .any(|byte| !byte.is_ascii_graphic() || *byte == b':')
    {
        return Err(Fault::script(format!("'{header}' is no name of a header")));
    }
    let value = algorithm.value(&key.value, &data);
    let line = [&header, &b": "[..], &value, b"\r\n"].concat();
    let id = HeaderId::parse(&header);
    cx.edits.insert(
        cx.msg.headers_end(),
        Place::After,
        Str::from(line),
        EditTag::Header(id),
    );
    Ok(true)
}

fn check(m: &Xkeys, cx: &mut Cx, header: Str, group: Str, algorithm: Str, data: Str) -> Result<bool, Fault> {
    let algorithm = m.algorithm(&algorithm)?;
    let Some(found) = cx.msg.named(&header).next() else {
        return Ok(false);
    };
    let given = cx.msg.value(found).to_ascii_lowercase();
    let keys = m.keys.0.load();
    let now = cx.time();
    let fitting = keys.iter().filter(|key| key.group == group && key.holds(now));
    Ok(fitting
        .filter(|key| crypto::same(&algorithm.value(&key.value, &data), &given))
        .count()
        > 0)
}

fn list(m: &Xkeys, call: &mut RpcCall) -> RpcResult {
    let group = call.optional_text()?;
    let keys = m.keys.0.load();
    let wanted = keys
        .iter()
        .filter(|key| group.as_ref().is_none_or(|group| key.group == *group));
    let now = call.worker.engine.time();
    let shown = wanted.map(|key| {
        let age = now.duration_since(key.since).unwrap_or_default().as_secs();
        RpcValue::members([
            ("id", RpcValue::Str(key.group.clone())),
            ("name", RpcValue::Str(key.name.clone())),
            (
                "expires",
                RpcValue::Int(i64::try_from(key.expires.saturating_sub(age)).unwrap_or(i64::MAX)),
            ),
        ])
    });
    Ok(shown.collect())
}

fn set(m: &Xkeys, call: &mut RpcCall) -> RpcResult {
    let (group, name, value) = (call.text()?, call.text()?, call.text()?);
    let expires = call.optional_int()?.map_or(Ok(0), u64::try_from);
    let expires = expires.map_err(|_| RpcFault::new(400, "expires is below 0"))?;
    if group.is_empty() || name.is_empty() || value.is_empty() {
        return Err(RpcFault::new(400, "group, name and value must not be empty"));
    }
    let key = Key {
        group,
        name,
        value,
        expires,
        since: call.worker.engine.time(),
    };
    m.keys.0.rcu(|keys| {
        let mut all = Vec::clone(keys);
        match all
            .iter_mut()
            .find(|known| known.group == key.group && known.name == key.name)
        {
            Some(known) => *known = key.clone(),
            None => all.insert(0, key.clone()),
        }
        all
    });
    Ok(Vec::new())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kahea_module::testing::{INVITE, Server};

    use super::*;

    fn module(server: &Server, hmac: bool) -> Xkeys {
        let since = server.worker.engine.time();
        let key = |group: &str, name: &str, value: &str, expires| Key {
            group: group.into(),
            name: name.into(),
            value: value.into(),
            expires,
            since,
        };
        let keys = vec![key("abc", "k2", "secret2", 0), key("abc", "k1", "secret1", 60)];
        Xkeys {
            keys: Arc::new(Keys(ArcSwap::from_pointee(keys))),
            hmac,
        }
    }

    fn checked(m: &Xkeys, cx: &mut Cx, algorithm: &str) -> Result<bool, Fault> {
        check(
            m,
            cx,
            "X-Key".into(),
            "abc".into(),
            algorithm.into(),
            "data one".into(),
        )
    }

    fn with_header(server: &Server, algorithm: Algorithm, key: &str) -> Cx {
        let value = String::from_utf8(algorithm.value(key.as_bytes(), b"data one")).unwrap();
        server.message(&INVITE.replace("User-Agent: phone", &format!("X-Key: {value}")))
    }

    #[test]
    fn every_key_of_a_group_is_tried_while_it_holds() {
        let server = Server::default();
        let m = module(&server, false);
        let mut cx = with_header(&server, Algorithm::Sha256, "secret1");
        assert_eq!(checked(&m, &mut cx, "SHA256"), Ok(true));
        assert_eq!(checked(&m, &mut cx, "sha512"), Ok(false));
        server.engine.advance(Duration::from_secs(60));
        assert_eq!(checked(&m, &mut cx, "sha256"), Ok(false), "the key has ended");
        let mut cx = with_header(&server, Algorithm::Sha384, "secret2");
        assert_eq!(checked(&m, &mut cx, "sha384"), Ok(true));
    }

    #[test]
    fn hmacs_need_the_parameter() {
        let server = Server::default();
        let mut cx = with_header(&server, Algorithm::HmacSha512, "secret2");
        assert!(checked(&module(&server, false), &mut cx, "hmac-sha512").is_err());
        assert_eq!(checked(&module(&server, true), &mut cx, "hmac-sha512"), Ok(true));
    }

    #[test]
    fn parameters_and_commands() {
        let key = written(&"id=abc;name=xyz;value=secret;expires=72000".into()).unwrap();
        assert_eq!((key.group, key.expires), ("abc".into(), 72000));
        for bad in [
            "id=abc;name=x",
            "id=a;name=b;value=c;expires=soon",
            "id=a;name=b;value=c;colour=red",
        ] {
            assert!(written(&bad.into()).is_err(), "{bad}");
        }
        let server = Server::default();
        let m = module(&server, false);
        let call = |args: &[&str]| {
            RpcCall::new(
                server.worker.clone(),
                args.iter().map(|arg| (*arg).into()).collect(),
            )
        };
        set(&m, &mut call(&["abc", "k1", "other", "5"])).unwrap();
        set(&m, &mut call(&["def", "k9", "new"])).unwrap();
        assert_eq!(list(&m, &mut call(&[])).unwrap().len(), 3);
        assert_eq!(list(&m, &mut call(&["def"])).unwrap().len(), 1);
        assert!(set(&m, &mut call(&["def"])).is_err());
    }

    #[test]
    fn a_header_is_added_under_the_newest_key() {
        let server = Server::default();
        let (m, mut cx) = (module(&server, false), server.invite());
        let mut added = |header: &str, group: &str| {
            add(
                &m,
                &mut cx,
                header.into(),
                group.into(),
                "sha256".into(),
                "data one".into(),
            )
        };
        assert_eq!(added("X-Key", "abc"), Ok(true));
        assert!(added("X-Key", "none").is_err() && added("X Key", "abc").is_err());
        let (_, edit) = cx.edits.iter().next().unwrap();
        let text = format!("{:?}", edit.insert);
        assert!(
            text.contains("fac8f40802e847a7ca06eb4aae6cdccd33a3612b988e46f8d8b72baffd1656fa"),
            "{text}"
        );
    }
}
