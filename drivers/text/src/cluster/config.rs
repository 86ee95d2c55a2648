//! The parameters `connection` and `cluster`.

use kahea_db::Url;
use kahea_module::BindError;

/// A database by the name that clusters call it by.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub(crate) name: String,
    pub(crate) url: Url,
}

/// A cluster.
#[derive(Debug)]
pub(crate) struct Definition {
    pub(crate) name: String,
    pub(crate) members: Vec<(Given, Usage)>,
}

/// How a connection is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) read: Rank,
    pub(crate) write: Rank,
}

/// A priority, 9 first and 0 never, and how connections of the same priority share the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rank {
    pub(crate) priority: u8,
    pub(crate) mode: Mode,
}

/// How connections of the same priority share the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The first one; the next where it fails.
    Serial,
    /// Each in its turn.
    RoundRobin,
    /// All of them.
    Parallel,
}

/// `ID=>URL`
pub(crate) fn connection(text: &str) -> Result<Given, BindError> {
    let (name, url) = named(text, "con1=>mysql://user:password@host/database")?;
    let url = Url::parse(url).map_err(BindError::new)?;
    if url.scheme == "cluster" {
        return Err(BindError::new("a cluster cannot be a connection of a cluster"));
    }
    Ok(Given {
        name: name.to_owned(),
        url,
    })
}

/// `ID=>CONNECTION=9s8p;CONNECTION=9s8p`
pub(crate) fn cluster(text: &str, known: &[Given]) -> Result<Definition, BindError> {
    let (name, list) = named(text, "cls1=>con1=9s8p;con2=9s8p")?;
    let mut members = Vec::new();
    for part in list.split(';').map(str::trim).filter(|part| !part.is_empty()) {
        let (id, usage) = part.split_once('=').unwrap_or((part, ""));
        let given = known
            .iter()
            .find(|given| given.name == id.trim())
            .ok_or_else(|| {
                BindError::new(format!("invalid connection id [{id}]"))
                    .help("define it by a connection parameter on a line before this one")
            })?;
        let usage = read_usage(usage.trim()).ok_or_else(|| {
            BindError::new(format!("invalid parameter [{usage}] for connection id [{id}]")).help(
                "write priority and mode for reading (s or r), then for writing (s, r or p), such as 9s8p",
            )
        })?;
        members.push((given.clone(), usage));
    }
    match members.is_empty() {
        true => Err(BindError::new(format!("cluster {name} has no connections"))),
        false => Ok(Definition {
            name: name.to_owned(),
            members,
        }),
    }
}

fn named<'a>(text: &'a str, example: &str) -> Result<(&'a str, &'a str), BindError> {
    let wrong =
        || BindError::new(format!("\"{text}\" has no id")).help(format!("write for example {example}"));
    let (name, rest) = text.split_once("=>").ok_or_else(wrong)?;
    match name.trim() {
        "" => Err(wrong()),
        name => Ok((name, rest.trim())),
    }
}

fn read_usage(text: &str) -> Option<Usage> {
    let [read, reading, write, writing] = text.as_bytes() else {
        return None;
    };
    let read = rank(*read, *reading)?;
    let write = rank(*write, *writing)?;
    (read.mode != Mode::Parallel).then_some(Usage { read, write })
}

fn rank(priority: u8, mode: u8) -> Option<Rank> {
    let mode = match mode {
        b's' | b'S' => Mode::Serial,
        b'r' | b'R' => Mode::RoundRobin,
        b'p' | b'P' => Mode::Parallel,
        _ => return None,
    };
    let priority = priority.is_ascii_digit().then(|| priority.wrapping_sub(b'0'))?;
    Some(Rank { priority, mode })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Vec<Given> {
        ["c1", "c2"]
            .iter()
            .filter_map(|name| connection(&format!("{name}=>text:///tmp/{name}")).ok())
            .collect()
    }

    #[test]
    fn clusters_are_read() {
        let read = cluster("k1=>c1=9s8p;c2=0r7r;", &known()).expect("it is a cluster");
        assert_eq!((read.name.as_str(), read.members.len()), ("k1", 2));
        let rank = |priority, mode| Rank { priority, mode };
        let first = Usage {
            read: rank(9, Mode::Serial),
            write: rank(8, Mode::Parallel),
        };
        assert_eq!(read.members.first().map(|(_, usage)| *usage), Some(first));
    }

    #[test]
    fn mistakes_are_named_as_kamailio_names_them() {
        for (text, why) in [
            ("k1=>c9=9s8p", "invalid connection id [c9]"),
            ("k1=>c1=9p8s", "invalid parameter [9p8s] for connection id [c1]"),
            ("k1=>c1=9s8", "invalid parameter [9s8]"),
            ("k1=>c1=xs8p", "invalid parameter [xs8p]"),
            ("k1", "has no id"),
            ("k1=>", "has no connections"),
        ] {
            assert!(
                cluster(text, &known()).is_err_and(|error| error.message.contains(why)),
                "{text}"
            );
        }
        assert!(connection("c1").is_err() && connection("c1=>cluster://k").is_err());
    }
}
