//! Permissions from rule files: `allow_routing()`, `allow_register()`, `allow_uri()`.
//!
//! Names of files are literals: all files are read when a configuration is loaded, and again at its reload, never for
//! a message.

use std::{
    io::ErrorKind,
    sync::{Arc, OnceLock},
};

use kahea_module::{Bind, BindError, Cx, Env, Fault, Lit, Literal, Str, Value, log, log::Level};
use kahea_sip::{
    HeaderId,
    view::{Contacts, Uri},
};

use super::{Permissions, rules::Rules};
use crate::pending::Pending;

/// The rules that one call looks into.
#[derive(Clone, Copy)]
pub(super) struct Pair<'a> {
    allow: &'a Rules,
    deny: &'a Rules,
}

impl Pair<'_> {
    /// What allows goes before what denies; what neither knows is allowed.
    pub(super) fn allows(self, left: &[u8], right: &[u8]) -> bool {
        self.allow.matches(left, right) || !self.deny.matches(left, right)
    }

    fn is_empty(self) -> bool {
        self.allow.is_empty() && self.deny.is_empty()
    }
}

/// A name in the script; its files are read when the module starts, which knows the suffixes.
struct Named {
    text: String,
    /// It stands for two files, with a suffix each, and not for one.
    base: bool,
    /// What allows, or the only file; and what denies.
    rules: OnceLock<[Rules; 2]>,
}

/// The base name of two files.
pub(super) struct Base(Arc<Named>);

/// The name of one file.
pub(super) struct File(Arc<Named>);

/// Names that a configuration's calls hold and that its module has yet to read.
static TO_READ: Pending<Named> = Pending::new();

impl Named {
    fn to_read(text: &str, base: bool, bind: &dyn Bind) -> Result<Arc<Named>, BindError> {
        if text.is_empty() {
            return Err(BindError::new("the name of the rule files is empty"));
        }
        let named = Arc::new(Named {
            text: text.to_owned(),
            base,
            rules: OnceLock::new(),
        });
        TO_READ.push(bind, &named);
        Ok(named)
    }

    fn rules(&self) -> Result<&[Rules; 2], Fault> {
        self.rules.get().ok_or_else(|| {
            Fault::script("rule files are read at start: write their name as a text without variables")
        })
    }
}

impl Literal for Base {
    const WHAT: &'static str = "the name of two rule files without their suffixes";

    fn parse(text: &str, bind: &dyn Bind) -> Result<Base, BindError> {
        Named::to_read(text, true, bind).map(Base)
    }
}

impl Literal for File {
    const WHAT: &'static str = "the name of a rule file";

    fn parse(text: &str, bind: &dyn Bind) -> Result<File, BindError> {
        Named::to_read(text, false, bind).map(File)
    }
}

impl Base {
    fn pair(&self) -> Result<Pair<'_>, Fault> {
        let [allow, deny] = self.0.rules()?;
        Ok(Pair { allow, deny })
    }
}

fn pair<'a>(allow: &'a File, deny: &'a File) -> Result<Pair<'a>, Fault> {
    let ([allow, _], [deny, _]) = (allow.0.rules()?, deny.0.rules()?);
    Ok(Pair { allow, deny })
}

/// The files of this configuration: by name for `permissions.testUri`, and the default ones.
pub(super) struct Files {
    named: Vec<Arc<Named>>,
    default: [Rules; 2],
}

impl Files {
    /// Reads all files that the configuration's calls name.
    pub(super) fn read(env: &Env<'_>, default: [Option<&Str>; 2], suffixes: &[Str; 2]) -> Files {
        let named = TO_READ.take(&*env.bind);
        for name in &named {
            let rules = if name.base {
                suffixes
                    .each_ref()
                    .map(|suffix| read(env, &format!("{}{suffix}", name.text)))
            } else {
                [read(env, &name.text), Rules::default()]
            };
            let _ = name.rules.set(rules);
        }
        Files {
            named,
            default: default.map(|name| name.map_or_else(Rules::default, |name| read(env, &name.text()))),
        }
    }

    /// The files of a base name that some call of the script gives.
    pub(super) fn named(&self, base: &[u8]) -> Option<Pair<'_>> {
        let found = self
            .named
            .iter()
            .find(|named| named.base && named.text.as_bytes() == base);
        found
            .and_then(|named| named.rules.get())
            .map(|[allow, deny]| Pair { allow, deny })
    }

    fn default(&self) -> Pair<'_> {
        let [allow, deny] = &self.default;
        Pair { allow, deny }
    }
}

/// A file that is not there has no rules.
fn read(env: &Env<'_>, name: &str) -> Rules {
    let path = env.bind.beside(name);
    let text = match (env.read_file)(&path) {
        Ok(text) => text,
        Err(error) => {
            let level = if error.kind() == ErrorKind::NotFound {
                Level::Info
            } else {
                Level::Error
            };
            log::write(
                level,
                "permissions",
                format_args!("{path} cannot be read ({error}): it counts as empty"),
            );
            return Rules::default();
        }
    };
    let (rules, bad) = Rules::parse(&text);
    for bad in bad {
        let (number, why) = (bad.number, bad.why);
        log::write(
            Level::Error,
            "permissions",
            format_args!("{path}:{number} is no rule and is passed over: {why}"),
        );
    }
    rules
}

/// `sip:user@host` of a URI, as rules compare it: without port and parameters; with its port where wanted.
fn plain(uri: &[u8], with_port: bool) -> Result<Vec<u8>, Fault> {
    let parsed = Uri::parse(uri)
        .map_err(|error| Fault::peer(format!("'{}' is no URI: {error}", String::from_utf8_lossy(uri))))?;
    let mut out = b"sip:".to_vec();
    if !parsed.user.is_empty() {
        out.extend_from_slice(parsed.user);
        out.push(b'@');
    }
    out.extend_from_slice(if with_port { parsed.hostport() } else { parsed.host });
    Ok(out)
}

fn routing(m: &Permissions, cx: &mut Cx, pair: Pair<'_>) -> Result<bool, Fault> {
    if pair.is_empty() {
        return Ok(true);
    }
    let from = cx.from()?.uri;
    if !pair.allows(from, &plain(&cx.ruri(), false)?) {
        return Ok(false);
    }
    let branches = if m.check_all_branches {
        cx.branches.as_slice()
    } else {
        &[]
    };
    for uri in branches.iter().filter_map(|branch| branch.ruri.as_ref()) {
        if !pair.allows(from, &plain(uri, false)?) {
            return Ok(false);
        }
    }
    Ok(true)
}

pub(super) fn allow_routing(m: &Permissions, cx: &mut Cx, base: Option<Lit<Base>>) -> Result<bool, Fault> {
    match base {
        Some(base) => routing(m, cx, base.pair()?),
        None => routing(m, cx, m.files.default()),
    }
}

pub(super) fn allow_routing_files(
    m: &Permissions,
    cx: &mut Cx,
    allow: Lit<File>,
    deny: Lit<File>,
) -> Result<bool, Fault> {
    routing(m, cx, pair(&allow, &deny)?)
}

fn register(cx: &Cx, pair: Pair<'_>, with_port: bool) -> Result<bool, Fault> {
    if pair.is_empty() {
        return Ok(true);
    }
    let to = cx.to()?.uri;
    for header in cx.msg.all(HeaderId::Contact) {
        let Contacts::List(contacts) = Contacts::parse(cx.msg.value(header)) else {
            return Ok(true);
        };
        for contact in contacts {
            let contact =
                contact.map_err(|error| Fault::peer(format!("a Contact cannot be read: {error}")))?;
            if !pair.allows(to, &plain(contact.uri, with_port)?) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

pub(super) fn allow_register(_: &Permissions, cx: &mut Cx, base: Lit<Base>) -> Result<bool, Fault> {
    register(cx, base.pair()?, false)
}

pub(super) fn allow_register_files(
    _: &Permissions,
    cx: &mut Cx,
    allow: Lit<File>,
    deny: Lit<File>,
) -> Result<bool, Fault> {
    register(cx, pair(&allow, &deny)?, false)
}

pub(super) fn allow_register_port(_: &Permissions, cx: &mut Cx, base: Lit<Base>) -> Result<bool, Fault> {
    register(cx, base.pair()?, true)
}

pub(super) fn allow_register_port_files(
    _: &Permissions,
    cx: &mut Cx,
    allow: Lit<File>,
    deny: Lit<File>,
) -> Result<bool, Fault> {
    register(cx, pair(&allow, &deny)?, true)
}

pub(super) fn allow_uri(_: &Permissions, cx: &mut Cx, base: Lit<Base>, uri: Value) -> Result<bool, Fault> {
    let Some(uri) = uri.str() else {
        return Err(Fault::script(
            "allow_uri() needs a URI, its second argument is $null",
        ));
    };
    let from = cx.from()?.uri;
    Ok(base.pair()?.allows(from, &uri))
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::{FakeBind, Server};

    use super::*;

    fn base(allow: &str, deny: &str) -> Base {
        let rules = [allow, deny].map(|text| Rules::parse(text.as_bytes()).0);
        Base(Arc::new(Named {
            text: "x".to_owned(),
            base: true,
            rules: OnceLock::from(rules),
        }))
    }

    #[test]
    fn ports_count_only_where_they_are_wanted() {
        let server = Server::default();
        let cx = server.message(
            "REGISTER sip:h SIP/2.0\nTo: <sip:a@h>\nContact: <sip:a@10.0.0.1:5099;x>, <sip:b@h2>\n\n",
        );
        let base = base("", "ALL : \":5099$\"\nALL : \"^sip:c@\"");
        assert_eq!(register(&cx, base.pair().unwrap(), false), Ok(true));
        assert_eq!(register(&cx, base.pair().unwrap(), true), Ok(false));
        let star = server.message("REGISTER sip:h SIP/2.0\nTo: <sip:a@h>\nContact: *\n\n");
        assert_eq!(register(&star, base.pair().unwrap(), true), Ok(true));
        let broken = server.message("REGISTER sip:h SIP/2.0\nTo: <sip:a@h>\nContact: <no uri>\n\n");
        assert!(register(&broken, base.pair().unwrap(), true).is_err());
    }

    #[test]
    fn names_are_read_by_the_module_alone() {
        let bind = FakeBind::default();
        let named = Named::to_read("rules", true, &bind).unwrap();
        assert!(named.rules().is_err());
        assert!(Named::to_read("", true, &bind).is_err());
    }
}
