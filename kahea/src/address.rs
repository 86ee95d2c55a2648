//! Addresses of the command line: `-l [proto:]host[:port][/advertised[:port]]` and `--alias [proto:]host[:port]`.

use kahea_module::{
    Str,
    globals::{Advertise, AliasSpec, ListenHost, ListenSpec},
};
use kahea_sip::Transport;

/// Reads the value of `-l`; a list of hosts in parentheses gives several listeners.
///
/// # Errors
/// One sentence in Kamailio's words.
pub fn listen(text: &str) -> Result<Vec<ListenSpec>, String> {
    let bad = || format!("bad -l address specifier: {text}");
    let (own, advertised) = match text.split_once('/') {
        Some((own, advertised)) => (own, Some(advertised)),
        None => (text, None),
    };
    let (transport, rest) = transport(own);
    let (hosts, port) = match rest.strip_prefix('(') {
        Some(list) => {
            let (hosts, behind) = list.split_once(')').ok_or_else(bad)?;
            let port = match behind.strip_prefix(':') {
                Some(port) => Some(number(port).ok_or_else(bad)?),
                None if behind.is_empty() => None,
                None => return Err(bad()),
            };
            (hosts.split(',').map(str::trim).collect(), port)
        }
        None => {
            let (host, port) = host_and_port(rest).ok_or_else(bad)?;
            (vec![host], port)
        }
    };
    let advertise = match advertised {
        Some(told) => {
            let (host, port) = host_and_port(told).ok_or_else(bad)?;
            Some(Advertise {
                host: Str::from(host),
                port,
                transport: None,
            })
        }
        None => None,
    };
    if hosts.iter().any(|host| host.is_empty()) {
        return Err(bad());
    }
    let spec = |host: &&str| ListenSpec {
        advertise: advertise.clone(),
        ..ListenSpec::new(transport, ListenHost::parse(host), port)
    };
    Ok(hosts.iter().map(spec).collect())
}

/// Reads the value of `--alias`.
///
/// # Errors
/// One sentence.
pub fn alias(text: &str) -> Result<AliasSpec, String> {
    let (transport, rest) = transport(text);
    let (host, port) =
        host_and_port(rest).ok_or_else(|| format!("bad alias: {text} (the form is [proto:]host[:port])"))?;
    Ok(AliasSpec {
        transport,
        host: Str::from(host),
        port,
    })
}

fn transport(text: &str) -> (Option<Transport>, &str) {
    let known = text.split_once(':').and_then(|(word, rest)| {
        let transport =
            Transport::parse(word.as_bytes()).filter(|transport| *transport != Transport::None)?;
        Some((Some(transport), rest))
    });
    known.unwrap_or((None, text))
}

/// A host, an address, or an IPv6 address in brackets (which stay), with a port.
fn host_and_port(text: &str) -> Option<(&str, Option<u16>)> {
    if text.starts_with('[') {
        let end = text.find(']')?.checked_add(1)?;
        let (host, behind) = text.split_at_checked(end)?;
        return match behind.strip_prefix(':') {
            Some(port) => Some((host, Some(number(port)?))),
            None => behind.is_empty().then_some((host, None)),
        };
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(number(port)?)),
        None => (text, None),
    };
    (!host.is_empty()).then_some((host, port))
}

fn number(text: &str) -> Option<u16> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_are_read_as_kamailio_shows_them() {
        let one = |text: &str| listen(text).unwrap().remove(0);
        assert_eq!(one("localhost").host, ListenHost::Name("localhost".into()));
        let full = one("udp:127.0.0.1:5080/1.2.3.4:5060");
        assert_eq!((full.transport, full.port), (Some(Transport::Udp), Some(5080)));
        assert_eq!(
            full.advertise.map(|told| (told.host, told.port)),
            Some(("1.2.3.4".into(), Some(5060)))
        );
        assert_eq!(one("tcp:[::1]:5062").host, ListenHost::Ip("::1".parse().unwrap()));
        assert_eq!(listen("(eth0, eth1, 127.0.0.1):5065").unwrap().len(), 3);
        assert_eq!(one("eth0:5062").transport, None);
        for bad in [
            "foo:bar:baz",
            "udp:",
            "(eth0",
            "(eth0)x",
            "[::1",
            "a:70000",
            "a/b:c",
        ] {
            assert!(listen(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn aliases_are_read() {
        let read = alias("tcp:example.com:5060").unwrap();
        assert_eq!(
            (read.transport, &*read.host, read.port),
            (Some(Transport::Tcp), &b"example.com"[..], Some(5060))
        );
        assert_eq!(alias("example.com").unwrap().port, None);
        assert!(alias("").is_err());
    }
}
