//! Addresses, subnets and names by group: what `allow_address()` and its like look into.

use std::{collections::HashMap, net::IpAddr};

use ipnet::{Ipv4Net, Ipv6Net};
use kahea_module::Str;
use prefix_trie::PrefixMap;
use smallvec::SmallVec;

/// One record as a file or a table has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) group: u32,
    pub(super) place: Place,
    /// 0 is any.
    pub(super) port: u16,
    pub(super) tag: Option<Str>,
}

/// What a record is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// One address.
    Host(IpAddr),
    /// A subnet by an address of it and the length of its mask.
    Subnet(IpAddr, u8),
    /// A name, compared as it is.
    Name(Str),
}

impl Record {
    /// From the texts and numbers of a line or row; a mask of 0 or of full length is one address.
    pub(super) fn read(
        group: i64,
        place: &[u8],
        mask: i64,
        port: i64,
        tag: Option<Str>,
    ) -> Result<Record, String> {
        let group = u32::try_from(group).ok().filter(|group| *group > 0);
        let group = group.ok_or("the group is no number from 1 upwards")?;
        let port = u16::try_from(port).map_err(|_| format!("{port} is no port"))?;
        let place = match address(place) {
            Some(ip) => subnet(ip, mask)?,
            None if is_name(place) => Place::Name(Str::copy(place)),
            None => {
                let text = String::from_utf8_lossy(place);
                return Err(format!("'{text}' is neither an address nor a name"));
            }
        };
        Ok(Record {
            group,
            place,
            port,
            tag: tag.filter(|tag| !tag.is_empty()),
        })
    }
}

fn subnet(ip: IpAddr, mask: i64) -> Result<Place, String> {
    let full = if ip.is_ipv4() { 32 } else { 128 };
    match u8::try_from(mask) {
        Ok(0) => Ok(Place::Host(ip)),
        Ok(mask) if mask == full => Ok(Place::Host(ip)),
        Ok(mask) if mask < full => Ok(Place::Subnet(ip, mask)),
        _ => Err(format!("a mask of {mask} bits does not fit {ip}")),
    }
}

/// An address, with or without brackets.
pub(crate) fn address(text: &[u8]) -> Option<IpAddr> {
    let bare = text.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]"));
    std::str::from_utf8(bare.unwrap_or(text)).ok()?.parse().ok()
}

fn is_name(text: &[u8]) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._".contains(byte);
    !text.is_empty() && text.iter().all(allowed)
}

/// The number of a record: those that come first count first.
type Rank = usize;

/// All records, ready to be asked.
#[derive(Default)]
pub(super) struct Table {
    pub(super) records: Vec<Record>,
    hosts: HashMap<IpAddr, SmallVec<[Rank; 1]>>,
    v4: PrefixMap<Ipv4Net, SmallVec<[Rank; 1]>>,
    v6: PrefixMap<Ipv6Net, SmallVec<[Rank; 1]>>,
    names: HashMap<Str, SmallVec<[Rank; 1]>>,
}

/// Which of several subnets counts (`subnet_match_mode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Subnets {
    /// The one that was loaded first.
    #[default]
    First,
    /// The one with the longest mask.
    Longest,
}

/// What is looked for.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) place: &'a [u8],
    pub(super) port: u16,
    /// In this group; in any where `None`.
    pub(super) group: Option<u32>,
    pub(super) subnets: Subnets,
}

impl Table {
    /// # Errors
    /// More subnets than `max_subnets`.
    pub(super) fn new(records: Vec<Record>, max_subnets: usize) -> Result<Table, String> {
        let mut table = Table::default();
        let mut subnets = 0usize;
        for (rank, record) in records.iter().enumerate() {
            let ranks = match &record.place {
                Place::Host(ip) => table.hosts.entry(*ip).or_default(),
                Place::Name(name) => table.names.entry(name.clone()).or_default(),
                Place::Subnet(ip, mask) => {
                    subnets = subnets.saturating_add(1);
                    match ip {
                        IpAddr::V4(ip) => slot(&mut table.v4, net(*ip, *mask, Ipv4Net::new)?),
                        IpAddr::V6(ip) => slot(&mut table.v6, net(*ip, *mask, Ipv6Net::new)?),
                    }
                }
            };
            ranks.push(rank);
        }
        if subnets > max_subnets {
            return Err(format!(
                "there are {subnets} subnets, more than max_subnets allows ({max_subnets}): raise it"
            ));
        }
        table.records = records;
        Ok(table)
    }

    /// The record that matches: an address or name before a subnet.
    pub(super) fn find(&self, wanted: Wanted<'_>) -> Option<&Record> {
        match address(wanted.place) {
            Some(ip) => self.find_ip(ip.to_canonical(), wanted),
            None => self.first(self.names.get(wanted.place)?.iter(), wanted),
        }
    }

    fn find_ip(&self, ip: IpAddr, wanted: Wanted<'_>) -> Option<&Record> {
        let hosts = self.hosts.get(&ip).into_iter().flatten();
        self.first(hosts, wanted).or_else(|| match ip {
            IpAddr::V4(ip) => self.find_subnet(&self.v4, Ipv4Net::from(ip), wanted),
            IpAddr::V6(ip) => self.find_subnet(&self.v6, Ipv6Net::from(ip), wanted),
        })
    }

    fn find_subnet<P: prefix_trie::Prefix>(
        &self,
        subnets: &PrefixMap<P, SmallVec<[Rank; 1]>>,
        ip: P,
        wanted: Wanted<'_>,
    ) -> Option<&Record> {
        let covering = subnets.cover(&ip).map(|(_, ranks)| ranks);
        match wanted.subnets {
            Subnets::First => self.first(covering.flatten(), wanted),
            Subnets::Longest => covering
                .filter_map(|ranks| self.first(ranks.iter(), wanted))
                .last(),
        }
    }

    /// Of the lowest group, and of these the one that was loaded first.
    fn first<'a>(&self, ranks: impl Iterator<Item = &'a Rank>, wanted: Wanted<'_>) -> Option<&Record> {
        let fits = |record: &&Record| {
            wanted.group.is_none_or(|group| record.group == group)
                && (record.port == 0 || record.port == wanted.port)
        };
        let fitting = ranks.filter_map(|rank| Some((rank, self.records.get(*rank).filter(fits)?)));
        fitting
            .min_by_key(|(rank, record)| (record.group, **rank))
            .map(|(_, record)| record)
    }
}

fn net<A: std::fmt::Display + Copy, N, E>(
    ip: A,
    mask: u8,
    new: fn(A, u8) -> Result<N, E>,
) -> Result<N, String> {
    new(ip, mask).map_err(|_| format!("a mask of {mask} bits does not fit {ip}"))
}

fn slot<P: prefix_trie::Prefix>(
    map: &mut PrefixMap<P, SmallVec<[Rank; 1]>>,
    net: P,
) -> &mut SmallVec<[Rank; 1]> {
    map.entry(net).or_default()
}

/// Reads an address file: `group address [mask [port [tag]]]`, `#` begins a comment.
///
/// # Errors
/// The number of the first bad line, and why.
pub(super) fn parse_file(text: &[u8]) -> Result<Vec<Record>, (usize, String)> {
    let mut records = Vec::new();
    for (at, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let line = line.split(|byte| *byte == b'#').next().unwrap_or_default();
        let words: SmallVec<[&[u8]; 5]> = line
            .split(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty())
            .collect();
        if !words.is_empty() {
            let record = parse_line(&words).map_err(|why| (at.saturating_add(1), why))?;
            records.push(record);
        }
    }
    Ok(records)
}

fn parse_line(words: &[&[u8]]) -> Result<Record, String> {
    let number = |word: Option<&&[u8]>, what: &str| match word {
        None => Ok(0),
        Some(word) => kahea_module::value::parse_int(word)
            .ok_or_else(|| format!("the {what} '{}' is no number", String::from_utf8_lossy(word))),
    };
    let mut words = words.iter();
    let group = number(words.next(), "group")?;
    let place = words.next().ok_or("the address is missing")?;
    let mask = number(words.next(), "mask")?;
    let port = number(words.next(), "port")?;
    let tag = words.next().map(|tag| Str::copy(tag));
    if words.next().is_some() {
        return Err("there is more behind the tag, which must be one word".to_owned());
    }
    Record::read(group, place, mask, port, tag)
}

impl Place {
    /// As commands print it, and the length of a subnet's mask.
    pub(super) fn text(&self) -> (Str, Option<u8>) {
        match self {
            Place::Host(ip) => (Str::from(ip.to_string()), None),
            Place::Subnet(ip, mask) => (Str::from(ip.to_string()), Some(*mask)),
            Place::Name(name) => (name.clone(), None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "1 127.0.0.1 32 0 one\n5 10.1.0.0 16 # all\n5 10.1.2.0 24 0 inner\n6 10.1.2.3 32 5061 exact\n\
        3 [1:5ee::900d:c0de]\n3 2001:db8:: 32 0 six\n4 gw.example.com 0 5070 name\n2 10.1.2.0 24 0 low\n";

    fn table() -> Table {
        Table::new(parse_file(FILE.as_bytes()).unwrap(), 4).unwrap()
    }

    fn find(place: &str, port: u16, group: Option<u32>, subnets: Subnets) -> Option<(u32, Option<String>)> {
        let table = table();
        let wanted = Wanted {
            place: place.as_bytes(),
            port,
            group,
            subnets,
        };
        table
            .find(wanted)
            .map(|found| (found.group, found.tag.as_ref().map(|tag| tag.text().into_owned())))
    }

    #[test]
    fn addresses_ports_and_names() {
        let one = |place, port, group| find(place, port, Some(group), Subnets::First).is_some();
        assert!(one("127.0.0.1", 9, 1) && !one("127.0.0.1", 9, 2) && one("::ffff:127.0.0.1", 9, 1));
        assert!(one("10.1.2.3", 5061, 6) && !one("10.1.2.3", 5062, 6));
        assert!(one("[1:5ee::900d:c0de]", 1, 3) && one("2001:db8:1::5", 1, 3) && !one("2001:db9::", 1, 3));
        assert!(
            one("gw.example.com", 5070, 4) && !one("GW.example.com", 5070, 4) && !one("gw.example.com", 1, 4)
        );
    }

    #[test]
    fn of_several_subnets_the_first_or_the_longest() {
        let tag = |mode| find("10.1.2.9", 1, Some(5), mode).unwrap().1;
        assert_eq!(
            (tag(Subnets::First), tag(Subnets::Longest)),
            (None, Some("inner".to_owned()))
        );
        assert_eq!(
            find("10.1.2.3", 5061, None, Subnets::First).unwrap().0,
            6,
            "an address goes first"
        );
        assert_eq!(
            find("10.1.2.3", 1, None, Subnets::First).unwrap().0,
            2,
            "then the lowest group"
        );
        assert_eq!(find("8.8.8.8", 1, None, Subnets::Longest), None);
    }

    #[test]
    fn bad_lines_say_why() {
        for bad in [
            "7 10.2.0.5 33",
            "0 10.4.0.4",
            "-1 10.5.0.5",
            "9 not/a/name",
            "x 10.6.0.6",
            "1",
            "1 ::1 129",
            "1 1.1.1.1 32 70000",
            "1 1.1.1.1 32 0 a b",
        ] {
            let text = format!("# fine\n{bad}\n");
            assert_eq!(parse_file(text.as_bytes()).unwrap_err().0, 2, "{bad}");
        }
        assert!(Table::new(parse_file(FILE.as_bytes()).unwrap(), 3).is_err());
    }
}
