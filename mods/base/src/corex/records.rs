//! `dns_cache` and `dns_file`: DNS records that the configuration gives.

use std::net::IpAddr;

use kahea_module::{
    BindError, DnsRecord, Env, InitError, Str,
    static_dns::{StaticDns, StaticRecord},
};

/// Seconds that a record is valid where the configuration does not say.
const TTL: u32 = 3600;

/// Reads `type=A;name=example.com;addr=192.0.2.1;ttl=3600;flags=2`.
///
/// # Errors
/// An attribute is unknown, missing, or has no sense.
pub fn parse(text: &str) -> Result<StaticRecord, BindError> {
    let mut given = Given::default();
    for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').ok_or_else(|| form(text))?;
        given.take(name.trim(), value.trim())?;
    }
    given.record(text)
}

fn form(text: &str) -> BindError {
    BindError::new(format!("'{text}' is no DNS record"))
        .help("write type=A;name=example.com;addr=192.0.2.1;ttl=3600;flags=2")
}

#[derive(Default)]
struct Given<'a> {
    kind: &'a str,
    name: &'a str,
    address: &'a str,
    ttl: Option<u32>,
    priority: u16,
    weight: u16,
    port: u16,
    flags: u32,
}

impl<'a> Given<'a> {
    fn take(&mut self, name: &str, value: &'a str) -> Result<(), BindError> {
        match name {
            "type" => self.kind = value,
            "name" => self.name = value,
            "addr" => self.address = value,
            "ttl" => self.ttl = Some(number(name, value)?),
            "priority" => self.priority = number(name, value)?,
            "weight" => self.weight = number(name, value)?,
            "port" => self.port = number(name, value)?,
            "flags" => self.flags = number(name, value)?,
            _ => {
                return Err(BindError::new(format!("a DNS record has no attribute '{name}'"))
                    .help("attributes are type, name, addr, ttl, priority, weight, port, flags"));
            }
        }
        Ok(())
    }

    fn record(&self, text: &str) -> Result<StaticRecord, BindError> {
        let address = || {
            self.address.parse::<IpAddr>().map_err(|_| {
                BindError::new(format!(
                    "'{}' in the DNS record '{text}' is no IP address",
                    self.address
                ))
            })
        };
        let unresolvable = self.flags & 1 != 0;
        let record = match self.kind.to_ascii_uppercase().as_str() {
            "A" if unresolvable => DnsRecord::Address(IpAddr::from([0, 0, 0, 0])),
            "AAAA" if unresolvable => DnsRecord::Address(IpAddr::from([0u16; 8])),
            "A" => DnsRecord::Address(address().and_then(|ip| family(ip, ip.is_ipv4(), text))?),
            "AAAA" => DnsRecord::Address(address().and_then(|ip| family(ip, ip.is_ipv6(), text))?),
            "SRV" if !self.address.is_empty() || unresolvable => DnsRecord::Srv {
                priority: self.priority,
                weight: self.weight,
                port: self.port,
                target: Str::from(self.address),
            },
            _ => return Err(form(text)),
        };
        if self.name.is_empty() {
            return Err(form(text));
        }
        Ok(StaticRecord {
            name: Str::from(self.name.to_ascii_lowercase()),
            record,
            ttl: self.ttl.unwrap_or(TTL),
            unresolvable,
            permanent: self.flags & 2 != 0,
        })
    }
}

fn family(ip: IpAddr, fits: bool, text: &str) -> Result<IpAddr, BindError> {
    if fits {
        return Ok(ip);
    }
    Err(BindError::new(format!(
        "{ip} in the DNS record '{text}' is of the other IP version"
    ))
    .help("A holds an IPv4 address, AAAA an IPv6 address"))
}

fn number<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, BindError> {
    value
        .parse()
        .map_err(|_| BindError::new(format!("'{value}' is no {name} of a DNS record")))
}

/// Reads a file of records, one a line.
fn parse_file(path: &Str, content: &[u8]) -> Result<Vec<StaticRecord>, InitError> {
    let content = String::from_utf8_lossy(content);
    let lines = content.lines().zip(1usize..);
    lines
        .map(|(line, number)| (line.split('#').next().unwrap_or("").trim(), number))
        .filter(|(line, _)| !line.is_empty())
        .map(|(line, number)| {
            parse(line).map_err(|error| InitError {
                message: format!("{path}, line {number}: {}", error.message),
                help: error.help,
            })
        })
        .collect()
}

/// Hands the records to the resolver.
///
/// # Errors
/// A file cannot be read, or holds no records.
pub fn register(mut records: Vec<StaticRecord>, files: &[Str], env: &Env<'_>) -> Result<(), InitError> {
    for path in files {
        let content = (env.read_file)(&path.text())
            .map_err(|error| InitError::new(format!("cannot read dns_file {path}: {error}")))?;
        records.extend(parse_file(path, &content)?);
    }
    env.shared.keep(StaticDns::default).replace(records);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kahea_module::DnsType;

    #[test]
    fn the_examples_of_the_manual_are_records() {
        let a = parse("type=A;name=kamailio.org;addr=193.22.119.66;ttl=3600000;flags=0").unwrap();
        assert_eq!((a.kind(), a.ttl, a.permanent), (DnsType::A, 3_600_000, false));
        let aaaa = parse("type=AAAA;name=Kamailio.org;addr=2a00:d60:0:400::2;flags=2").unwrap();
        assert_eq!((aaaa.kind(), aaaa.permanent), (DnsType::Aaaa, true));
        assert_eq!(aaaa.name, "kamailio.org");
        let srv = parse("type=SRV;name=_sip._udp.x.org;addr=a.x.org;port=5070;priority=1;weight=2").unwrap();
        assert!(matches!(
            srv.record,
            DnsRecord::Srv {
                priority: 1,
                weight: 2,
                port: 5070,
                ..
            }
        ));
        assert!(parse("type=A;name=bad.org;flags=1").unwrap().unresolvable);
    }

    #[test]
    fn nonsense_is_refused_with_a_remedy() {
        for bad in [
            "",
            "type=A;name=x",
            "type=A;addr=1.2.3.4",
            "type=A;name=x;addr=::1",
            "type=MX;name=x;addr=y",
            "type=A;name=x;addr=1.2.3.4;color=red",
            "type=A;name=x;addr=1.2.3.4;ttl=-1",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn files_have_comments_and_lines() {
        let path = Str::from("records");
        let text = b"# ours\ntype=A;name=a;addr=1.2.3.4 # first\n\ntype=A;name=b;addr=1.2.3.5\n";
        assert_eq!(parse_file(&path, text).unwrap().len(), 2);
        let error = parse_file(&path, b"\nnonsense").unwrap_err();
        assert!(error.message.starts_with("records, line 2: "), "{error}");
    }
}
