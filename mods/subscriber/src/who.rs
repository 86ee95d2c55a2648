//! The users that functions ask about.

use kahea_module::{Bind, BindError, Cx, Str, Var, arg::Literal, authorized::Authorized};
use kahea_sip::view::{Scheme, Uri};

/// A user at a host, as a URI or credentials name them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// The user; empty where the URI has none.
    pub user: Str,
    /// The host, or the realm.
    pub host: Str,
}

impl Account {
    /// Of a URI; `None` where it cannot be read. A telephone number is a user without a host.
    pub fn of_uri(text: &Str) -> Option<Account> {
        let uri = Uri::parse(text).ok()?;
        let host = match uri.scheme {
            Scheme::Sip | Scheme::Sips => text.share(uri.host),
            Scheme::Tel | Scheme::Tels => Str::EMPTY,
            Scheme::Urn | Scheme::Other => return None,
        };
        Some(Account {
            user: text.share(uri.user),
            host,
        })
    }

    /// The host without this prefix, where it has it.
    pub fn without_prefix(mut self, prefix: &Str) -> Account {
        if !prefix.is_empty()
            && let Some(rest) = self.host.strip_prefix(&**prefix)
        {
            self.host = self.host.share(rest);
        }
        self
    }

    /// Of the From header.
    pub fn of_from(cx: &Cx) -> Option<Account> {
        let uri = cx.from().ok()?.uri;
        Account::of_uri(&cx.msg.buffer().share(uri))
    }

    /// Of the To header.
    pub fn of_to(cx: &Cx) -> Option<Account> {
        let uri = cx.to().ok()?.uri;
        Account::of_uri(&cx.msg.buffer().share(uri))
    }
}

/// Whom a function asks about: `Request-URI`, `To`, `From`, `Credentials`, or the URI in an AVP.
pub enum Who {
    /// The Request-URI.
    Target,
    /// The To header.
    To,
    /// The From header.
    From,
    /// The credentials that were found right.
    Credentials,
    /// The URI in a variable.
    Var(Var),
}

impl Who {
    /// The account; `None` where there is none, or none that can be read.
    pub fn account(&self, cx: &mut Cx) -> Option<Account> {
        match self {
            Who::Target => Account::of_uri(&cx.ruri()),
            Who::To => Account::of_to(cx),
            Who::From => Account::of_from(cx),
            Who::Credentials => Authorized::of(cx).map(|known| Account {
                user: known.user.clone(),
                host: known.domain.clone().unwrap_or_else(|| known.realm.clone()),
            }),
            Who::Var(var) => Account::of_uri(&var.get(cx).str()?),
        }
    }
}

impl Literal for Who {
    const WHAT: &'static str = "Request-URI, To, From, Credentials, or an AVP with a URI";

    fn parse(text: &str, bind: &dyn Bind) -> Result<Who, BindError> {
        let text = text.trim();
        for (name, who) in [
            ("Request-URI", Who::Target),
            ("To", Who::To),
            ("From", Who::From),
            ("Credentials", Who::Credentials),
        ] {
            if text.eq_ignore_ascii_case(name) {
                return Ok(who);
            }
        }
        if text.starts_with("$avp(") || text.starts_with("$(avp(") {
            return bind.var(text).map(Who::Var);
        }
        Err(BindError::new(format!("'{text}' names nobody"))
            .help("write Request-URI, To, From, Credentials, or $avp(name) that holds a URI"))
    }
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::{FakeBind, Server};

    use super::*;

    #[test]
    fn accounts_come_from_uris() {
        let of = |text: &'static str| {
            Account::of_uri(&text.into()).map(|a| (a.user.text().into_owned(), a.host.text().into_owned()))
        };
        assert_eq!(of("sip:a:pw@h:5070;x=y"), Some(("a".into(), "h".into())));
        assert_eq!(of("sip:h"), Some((String::new(), "h".into())));
        assert_eq!(of("tel:100"), Some(("100".into(), String::new())));
        assert_eq!(of("nonsense"), None);
    }

    #[test]
    fn a_prefix_of_the_host_goes() {
        let account = Account::of_uri(&"sip:a@sip.h".into()).unwrap();
        assert_eq!(account.clone().without_prefix(&"sip.".into()).host, "h");
        assert_eq!(account.without_prefix(&Str::EMPTY).host, "sip.h");
    }

    #[test]
    fn those_who_are_asked_about_are_named() {
        let bind = FakeBind::default();
        let mut cx = Server::default().invite();
        let user = |name: &str, cx: &mut Cx| Who::parse(name, &bind).unwrap().account(cx).map(|a| a.user);
        assert_eq!(user("Request-URI", &mut cx), Some("bob".into()));
        assert_eq!(user("from", &mut cx), Some("alice".into()));
        assert_eq!(user("To", &mut cx), Some("bob".into()));
        assert_eq!(user("Credentials", &mut cx), None);
        let carol = Authorized {
            user: "carol".into(),
            domain: None,
            realm: "r".into(),
        };
        carol.note(&mut cx);
        assert_eq!(user("Credentials", &mut cx), Some("carol".into()));
        assert!(Who::parse("$fu", &bind).is_err());
    }
}
