//! Who has a port: for the error about a port in use.

use std::{
    fmt, fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use kahea_sip::Transport;

/// A process that holds a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    pid: u32,
    command: String,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.command, self.pid)
    }
}

/// The process that has `address` (or all addresses) bound, as far as `/proc` tells this user.
pub fn of(transport: Transport, address: SocketAddr) -> Option<Owner> {
    let table = if transport == Transport::Udp { "udp" } else { "tcp" };
    let inode = ["", "6"].iter().find_map(|family| {
        let text = fs::read_to_string(format!("/proc/net/{table}{family}")).ok()?;
        text.lines()
            .skip(1)
            .find_map(|line| inode_at(line, transport, address))
    })?;
    let wanted = format!("socket:[{inode}]");
    fs::read_dir("/proc")
        .ok()?
        .flatten()
        .find_map(|entry| holds(&entry.file_name().to_string_lossy(), &wanted))
}

/// The inode of a row of `/proc/net/udp` and the like, where the row is a listener on `address`.
fn inode_at(line: &str, transport: Transport, address: SocketAddr) -> Option<u64> {
    const LISTEN: &str = "0A";
    let fields: Vec<&str> = line.split_whitespace().collect();
    if transport == Transport::Tcp && *fields.get(3)? != LISTEN {
        return None;
    }
    let (host, port) = fields.get(1)?.split_once(':')?;
    let host = kernel_address(host)?;
    let same_host = host == address.ip() || host.is_unspecified() || address.ip().is_unspecified();
    let same_port = u16::from_str_radix(port, 16).ok()? == address.port();
    (same_host && same_port).then(|| fields.get(9)?.parse().ok())?
}

/// The kernel prints each 32-bit word of an address as a native-endian number.
fn kernel_address(text: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        u32::from_str_radix(text.get(at..at.checked_add(8)?)?, 16)
            .ok()
            .map(u32::to_ne_bytes)
    };
    if text.len() == 8 {
        return Some(Ipv4Addr::from(word(0)?).into());
    }
    let words = [word(0)?, word(8)?, word(16)?, word(24)?];
    let ip = Ipv6Addr::from(<[u8; 16]>::try_from(words.concat()).ok()?);
    Some(ip.to_ipv4_mapped().map_or(ip.into(), IpAddr::from))
}

fn holds(pid: &str, wanted: &str) -> Option<Owner> {
    let number = pid.parse().ok()?;
    let mut files = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten();
    let held = |file: fs::DirEntry| fs::read_link(file.path()).is_ok_and(|to| to.to_string_lossy() == wanted);
    files.any(held).then(|| {
        let command = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        Owner {
            pid: number,
            command: command.trim().to_owned(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_words_are_read() {
        let v4 = format!("{:08X}", u32::from_ne_bytes([127, 0, 0, 1]));
        assert_eq!(kernel_address(&v4), Some(Ipv4Addr::LOCALHOST.into()));
        let last = format!("{:08X}", u32::from_ne_bytes([0, 0, 0, 1]));
        assert_eq!(
            kernel_address(&format!("{}{last}", "0".repeat(24))),
            Some(Ipv6Addr::LOCALHOST.into())
        );
        assert_eq!(kernel_address("zz"), None);
    }
}
