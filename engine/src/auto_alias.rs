//! `auto_aliases`: names of the own addresses count as `myself`.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use kahea_module::{Str, config::Alias};
use kahea_net::{
    ListenerInfo, Net,
    dns::{RecordData, RecordKind, Resolver},
};
use parking_lot::Mutex;

/// How long the start may wait for names of addresses, all together.
const PATIENCE: Duration = Duration::from_secs(2);

/// Names of addresses that were found; kept over reloads.
#[derive(Default)]
pub struct OwnNames {
    known: Mutex<HashMap<IpAddr, Vec<String>>>,
}

impl OwnNames {
    /// The aliases of all listeners: the name they were configured by, those of `/etc/hosts`, and those of DNS.
    ///
    /// Blocks for two seconds at most, and only for addresses that are new.
    pub fn of(&self, net: &Net) -> Vec<Alias> {
        let listeners = net.listeners();
        let mut known = self.known.lock();
        let mut fresh: Vec<IpAddr> = listeners.iter().map(|listener| listener.address).collect();
        fresh.retain(|ip| has_name(*ip) && !known.contains_key(ip));
        fresh.sort_unstable();
        fresh.dedup();
        let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
        for ip in &fresh {
            known.insert(*ip, names_in(&hosts, *ip));
        }
        for (ip, name) in ask(net, fresh) {
            known.entry(ip).or_default().push(name);
        }
        let mut aliases: Vec<Alias> = Vec::new();
        for listener in &listeners {
            let found = known
                .get(&listener.address)
                .into_iter()
                .flatten()
                .map(String::as_str);
            for name in written(listener).into_iter().chain(found) {
                add(&mut aliases, listener, name);
            }
        }
        aliases
    }
}

fn has_name(ip: IpAddr) -> bool {
    !ip.is_unspecified() && !ip.is_multicast()
}

/// The host or interface name of the `listen` line.
fn written(listener: &ListenerInfo) -> Option<&str> {
    let name = listener.written.as_str();
    name.parse::<IpAddr>().is_err().then_some(name)
}

fn add(aliases: &mut Vec<Alias>, listener: &ListenerInfo, name: &str) {
    let host = Str::from(name.trim_end_matches('.'));
    let known = aliases.iter().any(|alias| {
        alias.host.eq_ignore_ascii_case(&host)
            && alias.port == listener.port
            && alias.transport == listener.transport
    });
    if !known && !host.is_empty() {
        aliases.push(Alias {
            transport: listener.transport,
            host,
            port: listener.port,
        });
    }
}

/// The names of an address in the form of hosts(5).
fn names_in(hosts: &str, ip: IpAddr) -> Vec<String> {
    let lines = hosts
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().split_whitespace());
    let mut names = Vec::new();
    for mut words in lines {
        if words.next().and_then(|word| word.parse().ok()) == Some(ip) {
            names.extend(words.map(str::to_owned));
        }
    }
    names
}

/// Asks DNS on a thread of its own: whatever it does, the start goes on in time.
fn ask(net: &Net, addresses: Vec<IpAddr>) -> Vec<(IpAddr, String)> {
    let asked: Vec<IpAddr> = addresses.into_iter().filter(|ip| !ip.is_loopback()).collect();
    if asked.is_empty() {
        return Vec::new();
    }
    let resolver = Resolver::new(&net.config().dns, net.stats().clone(), 1);
    let (sender, receiver) = std::sync::mpsc::channel();
    let thread = std::thread::Builder::new()
        .name("own-names".into())
        .spawn(move || {
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
                return;
            };
            runtime.block_on(async {
                let search = async {
                    for ip in asked {
                        for name in reverse(&resolver, ip).await {
                            // The start that asked may have gone on.
                            let _ = sender.send((ip, name));
                        }
                    }
                };
                let _ = tokio::time::timeout(PATIENCE, search).await;
            });
        });
    match thread {
        Ok(_) => receiver.iter().collect(),
        Err(_) => Vec::new(),
    }
}

async fn reverse(resolver: &Resolver, ip: IpAddr) -> Vec<String> {
    let Ok(records) = resolver.lookup(&reverse_name(ip), RecordKind::Ptr).await else {
        return Vec::new();
    };
    let names = records.iter().filter_map(|record| match &record.data {
        RecordData::Ptr(name) => Some(name.to_string()),
        _ => None,
    });
    names.collect()
}

/// The name that PTR records of an address stand under.
fn reverse_name(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(ip) => {
            let mut name = String::with_capacity(72);
            for byte in ip.octets().iter().rev() {
                name.push_str(&format!("{:x}.{:x}.", byte & 15, byte >> 4));
            }
            name + "ip6.arpa"
        }
    }
}

#[cfg(test)]
mod tests {
    use kahea_net::{Inherited, ListenAddress, ListenSpec, NetConfig};
    use kahea_sip::Transport;

    use super::*;

    #[test]
    fn names_come_from_hosts() {
        let hosts = "127.0.0.1 localhost me # not.me\n::1 six\n10.0.0.1\tother\n";
        assert_eq!(names_in(hosts, [127, 0, 0, 1].into()), ["localhost", "me"]);
        assert_eq!(names_in(hosts, "::1".parse().unwrap()), ["six"]);
        assert!(names_in(hosts, [10, 0, 0, 2].into()).is_empty());
    }

    #[test]
    fn reverse_names_are_those_of_dns() {
        assert_eq!(reverse_name([192, 0, 2, 7].into()), "7.2.0.192.in-addr.arpa");
        let six = reverse_name("2001:db8::1".parse().unwrap());
        assert!(
            six.starts_with("1.0.0.0.") && six.ends_with("8.b.d.0.1.0.0.2.ip6.arpa"),
            "{six}"
        );
    }

    #[test]
    fn the_name_of_a_listen_line_is_an_own_name() {
        let listen = ListenSpec::new(Transport::Udp, ListenAddress::Name("lo".into()), Some(0));
        let config = NetConfig {
            listen: vec![listen],
            ..NetConfig::default()
        };
        let net = Net::bind(config, 1, Inherited::default()).unwrap();
        let aliases = OwnNames::default().of(&net);
        let port = net.listeners()[0].port;
        assert!(
            aliases
                .iter()
                .any(|alias| alias.host == "lo" && alias.port == port)
        );
    }
}
