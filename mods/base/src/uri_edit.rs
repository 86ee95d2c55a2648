//! Changing parts of the Request-URI.

use kahea_module::{Cx, Fault, Str, value::push_int};
use kahea_sip::view::Uri;

/// A part of a SIP URI, to be replaced.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Part {
    /// The whole.
    Uri,
    /// The user, the password stays.
    User,
    /// User and password.
    UserInfo,
    /// The host, the port stays.
    Host,
    /// Host and port.
    HostPort,
    /// The port; the empty text takes it away.
    Port,
    /// Put in front of the user.
    Prefix,
    /// Takes so many characters off the start of the user.
    Strip,
    /// Takes so many characters off the end of the user.
    StripTail,
}

/// Replaces a part of the Request-URI.
///
/// # Errors
/// The Request-URI or the result is no URI, or `value` is no number where one is needed.
pub fn set(cx: &mut Cx, part: Part, value: &Str) -> Result<(), Fault> {
    if part == Part::Uri {
        return cx.set_ruri(value.clone());
    }
    let old = cx.ruri();
    let uri = Uri::parse(&old)
        .map_err(|error| Fault::script(format!("the Request-URI '{old}' cannot be changed: {error}")))?;
    let new = Str::from(changed(&uri, part, value)?);
    cx.spend_bytes(new.len())?;
    cx.set_ruri(new)
}

fn count(value: &Str) -> Result<usize, Fault> {
    kahea_module::value::parse_int(value)
        .and_then(|n| usize::try_from(n).ok())
        .ok_or_else(|| Fault::script(format!("'{value}' is no number of characters to strip")))
}

/// The user after the change, where the change is about it.
fn user(uri: &Uri<'_>, part: Part, value: &Str) -> Result<Vec<u8>, Fault> {
    let old = uri.user;
    Ok(match part {
        Part::User | Part::UserInfo => value.to_vec(),
        Part::Prefix => [&**value, old].concat(),
        Part::Strip => old.get(count(value)?..).unwrap_or_default().to_vec(),
        Part::StripTail => {
            let keep = old.len().saturating_sub(count(value)?);
            old.get(..keep).unwrap_or_default().to_vec()
        }
        _ => old.to_vec(),
    })
}

fn changed(uri: &Uri<'_>, part: Part, value: &Str) -> Result<Vec<u8>, Fault> {
    let mut out = Vec::with_capacity(uri.raw.len().saturating_add(value.len()));
    out.extend_from_slice(uri.scheme_text);
    out.push(b':');
    let user = user(uri, part, value)?;
    let password = uri.password.filter(|_| part != Part::UserInfo);
    if !user.is_empty() || password.is_some() {
        out.extend_from_slice(&user);
        if let Some(password) = password {
            out.push(b':');
            out.extend_from_slice(password);
        }
        out.push(b'@');
    }
    let new_host = matches!(part, Part::Host | Part::HostPort);
    out.extend_from_slice(if new_host { value } else { uri.host });
    let port = match part {
        Part::HostPort => None,
        Part::Port if value.is_empty() => None,
        Part::Port => Some(port(value)?),
        _ => uri.port,
    };
    if let Some(port) = port {
        out.push(b':');
        push_int(port.into(), &mut out);
    }
    out.extend_from_slice(tail(uri));
    Ok(out)
}

fn port(value: &Str) -> Result<u16, Fault> {
    kahea_module::value::parse_int(value)
        .and_then(|n| u16::try_from(n).ok())
        .ok_or_else(|| Fault::script(format!("'{value}' is no port")))
}

/// Parameters and headers, with the character that begins them.
fn tail<'a>(uri: &Uri<'a>) -> &'a [u8] {
    let after_user = uri.rest.iter().rposition(|byte| *byte == b'@');
    let from_host = match after_user.filter(|_| uri.has_userinfo()) {
        Some(at) => uri.rest.get(at.saturating_add(1)..).unwrap_or_default(),
        None => uri.rest,
    };
    from_host.get(uri.hostport().len()..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kahea_module::testing::Server;

    fn set_on(uri: &str, part: Part, value: &str) -> Result<String, Fault> {
        let mut cx = Server::default().invite();
        cx.target.ruri = Some(Str::from(uri));
        set(&mut cx, part, &Str::from(value))?;
        Ok(cx.ruri().text().into_owned())
    }

    #[test]
    fn each_part_can_be_replaced() {
        const URI: &str = "sip:bob:pw@example.com:5070;transport=udp?a=b";
        for (part, value, want) in [
            (
                Part::User,
                "carol",
                "sip:carol:pw@example.com:5070;transport=udp?a=b",
            ),
            (
                Part::UserInfo,
                "u:p",
                "sip:u:p@example.com:5070;transport=udp?a=b",
            ),
            (Part::Host, "h", "sip:bob:pw@h:5070;transport=udp?a=b"),
            (Part::HostPort, "h:1", "sip:bob:pw@h:1;transport=udp?a=b"),
            (Part::Port, "99", "sip:bob:pw@example.com:99;transport=udp?a=b"),
            (Part::Port, "", "sip:bob:pw@example.com;transport=udp?a=b"),
            (
                Part::Prefix,
                "+1",
                "sip:+1bob:pw@example.com:5070;transport=udp?a=b",
            ),
            (Part::Strip, "1", "sip:ob:pw@example.com:5070;transport=udp?a=b"),
            (
                Part::StripTail,
                "1",
                "sip:bo:pw@example.com:5070;transport=udp?a=b",
            ),
            (Part::Uri, "sip:x@y", "sip:x@y"),
        ] {
            assert_eq!(set_on(URI, part, value).unwrap(), want);
        }
    }

    #[test]
    fn a_uri_without_user_gets_one() {
        assert_eq!(
            set_on("sip:[::1]:5070;lr", Part::User, "a").unwrap(),
            "sip:a@[::1]:5070;lr"
        );
        assert_eq!(set_on("sip:a@h", Part::Strip, "9").unwrap(), "sip:h");
    }

    #[test]
    fn what_makes_no_uri_is_refused() {
        assert!(set_on("sip:a@h", Part::Uri, "nonsense").is_err());
        assert!(set_on("sip:a@h", Part::Port, "70000").is_err());
        assert!(set_on("sip:a@h", Part::Strip, "x").is_err());
    }
}
