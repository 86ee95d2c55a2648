//! Names of the hosts file, `/etc/hosts`.

use std::net::IpAddr;

use hashbrown::HashMap;

/// Addresses by lower-case name.
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    names: HashMap<String, Vec<IpAddr>>,
}

impl Hosts {
    /// Reads the text of a hosts file; lines that make no sense are passed over, as the system does.
    pub fn parse(text: &str) -> Hosts {
        let mut names: HashMap<String, Vec<IpAddr>> = HashMap::new();
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_whitespace();
            let Some(ip) = words.next().and_then(|word| word.parse().ok()) else {
                continue;
            };
            for name in words {
                names.entry(name.to_ascii_lowercase()).or_default().push(ip);
            }
        }
        Hosts { names }
    }

    /// The addresses of a lower-case name.
    pub fn find(&self, name: &str) -> Option<&[IpAddr]> {
        self.names.get(name).map(Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_aliases_and_nonsense() {
        let hosts = Hosts::parse("127.0.0.1 localhost Alias # no\n\nnonsense x\n::1\tlocalhost\n#9.9.9.9 y");
        assert_eq!(hosts.find("localhost").unwrap().len(), 2);
        assert_eq!(hosts.find("alias").unwrap(), [IpAddr::from([127, 0, 0, 1])]);
        assert!(hosts.find("x").is_none() && hosts.find("y").is_none() && hosts.find("no").is_none());
    }
}
