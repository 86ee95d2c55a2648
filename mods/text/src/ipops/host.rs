//! `$HN(…)`: what this machine is called. Read at start, so that no message waits for it.

use kahea_module::{Bind, BindError, Cx, Index, Str, Value};

use super::{IpOps, address::pure};

/// Names of this machine; empty where they are not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Host {
    name: Str,
    full: Str,
    domain: Str,
    address: Str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Name,
    Full,
    Domain,
    Address,
}

impl Host {
    /// From the system's files, as far as they are there.
    pub(super) fn read(file: &dyn Fn(&str) -> std::io::Result<Vec<u8>>) -> Host {
        let name = file("/proc/sys/kernel/hostname").or_else(|_| file("/etc/hostname"));
        let hosts = file("/etc/hosts").unwrap_or_default();
        Host::of(name.unwrap_or_default().trim_ascii(), &hosts)
    }

    fn of(name: &[u8], hosts: &[u8]) -> Host {
        let own = (!name.is_empty()).then(|| entry(hosts, name)).flatten();
        let (address, full) = own.unwrap_or((b"", name));
        let full = if name.contains(&b'.') { name } else { full };
        let domain = full.iter().position(|b| *b == b'.').and_then(|at| full.get(at..));
        Host {
            name: Str::copy(name),
            full: Str::copy(full),
            domain: Str::copy(
                domain
                    .and_then(|domain| domain.strip_prefix(b"."))
                    .unwrap_or_default(),
            ),
            address: Str::copy(address),
        }
    }
}

/// The line of the hosts file that has `name`: its address, and the first name on it that has a domain.
fn entry<'a>(hosts: &'a [u8], name: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    hosts.split(|b| *b == b'\n').find_map(|line| {
        let line = line.split(|b| *b == b'#').next()?;
        let mut words = line
            .split(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty());
        let address = words.next().filter(|word| pure(word).is_some())?;
        let names: Vec<&[u8]> = words.collect();
        if !names.contains(&name) {
            return None;
        }
        let full = names.iter().find(|known| {
            known
                .strip_prefix(name)
                .is_some_and(|rest| rest.starts_with(b"."))
        });
        Some((address, full.copied().unwrap_or(name)))
    })
}

pub(super) fn parse(name: &str, _: &dyn Bind) -> Result<Part, BindError> {
    Ok(match name {
        "n" => Part::Name,
        "f" => Part::Full,
        "d" => Part::Domain,
        "i" => Part::Address,
        _ => return Err(BindError::new(format!("$HN has no part '{name}'")).help("write n, f, d or i")),
    })
}

pub(super) fn get(m: &IpOps, _: &mut Cx, part: &Part, _: Index) -> Value {
    let text = match part {
        Part::Name => &m.host.name,
        Part::Full => &m.host.full,
        Part::Domain => &m.host.domain,
        Part::Address => &m.host.address,
    };
    if text.is_empty() {
        Value::Null
    } else {
        Value::Str(text.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(host: &Host) -> [String; 4] {
        [&host.name, &host.full, &host.domain, &host.address].map(|text| text.text().into_owned())
    }

    #[test]
    fn names_come_from_the_systems_files() {
        let hosts = b"127.0.0.1 localhost\n# 9.9.9.9 box\n10.0.0.7\tbox.example.org box # own\n";
        assert_eq!(
            shown(&Host::of(b"box", hosts)),
            ["box", "box.example.org", "example.org", "10.0.0.7"]
        );
        assert_eq!(shown(&Host::of(b"other", hosts)), ["other", "other", "", ""]);
        assert_eq!(shown(&Host::of(b"a.b.c", b"")), ["a.b.c", "a.b.c", "b.c", ""]);
        assert_eq!(Host::of(b"", hosts), Host::default());
        let none = |_: &str| Err(std::io::ErrorKind::NotFound.into());
        assert_eq!(Host::read(&none), Host::default());
    }
}
