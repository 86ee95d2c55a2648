//! The destination blocklist: addresses that failed lately (`use_dst_blocklist`).

use std::{net::SocketAddr, time::Duration};

use hashbrown::HashMap;
use kahea_sip::Transport;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::BlocklistConfig;

/// Why a destination is listed; the numbers are Kamailio's bits, used in `dst_blocklist_*_imask`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockReason {
    /// Sending failed.
    Send = 1 << 1,
    /// No connection could be opened.
    Connect = 1 << 2,
    /// An ICMP error came back.
    Icmp = 1 << 3,
    /// A transaction had no answer.
    Timeout = 1 << 4,
    /// A 503 came back.
    Reply503 = 1 << 5,
    /// An operator or a script listed it.
    Admin = 1 << 6,
}

/// One row of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockEntry {
    /// The destination.
    pub address: SocketAddr,
    /// Its transport.
    pub transport: Transport,
    /// Why.
    pub reason: BlockReason,
    /// Listed for this much longer.
    pub remaining: Duration,
}

type Key = (SocketAddr, Transport);

/// Destinations to avoid for a while. Time is tokio's, so that tests can move it.
#[derive(Debug)]
pub struct Blocklist {
    config: Mutex<BlocklistConfig>,
    entries: Mutex<HashMap<Key, (BlockReason, Instant)>>,
}

/// What an entry costs in memory, rounded up; turns `dst_blocklist_mem` into a count.
const ENTRY_BYTES: usize = 96;

impl Blocklist {
    /// An empty list.
    pub fn new(config: &BlocklistConfig) -> Blocklist {
        Blocklist {
            config: Mutex::new(config.clone()),
            entries: Mutex::default(),
        }
    }

    /// Lists a destination for `expire`, or for `dst_blocklist_expire` where `None`. False where the list is off for this
    /// reason or full.
    pub fn add(
        &self,
        address: SocketAddr,
        transport: Transport,
        reason: BlockReason,
        expire: Option<Duration>,
    ) -> bool {
        let admin = reason == BlockReason::Admin;
        let config = self.config.lock().clone();
        if !admin && (!config.use_dst_blocklist || ignored(&config, transport) & reason as i64 != 0) {
            return false;
        }
        let now = Instant::now();
        let life = expire.unwrap_or(Duration::from_secs(config.expire.max(0) as u64));
        let mut entries = self.entries.lock();
        let limit = config.mem.saturating_mul(1024) / ENTRY_BYTES;
        if entries.len() >= limit && !entries.contains_key(&(address, transport)) {
            entries.retain(|_, (_, until)| *until > now);
            if entries.len() >= limit {
                return false;
            }
        }
        let Some(until) = now.checked_add(life) else {
            return false;
        };
        entries.insert((address, transport), (reason, until));
        true
    }

    /// Takes other settings; entries stay.
    pub fn configure(&self, config: &BlocklistConfig) {
        *self.config.lock() = config.clone();
    }

    /// The destination is to be avoided now, and why.
    pub fn check(&self, address: SocketAddr, transport: Transport) -> Option<BlockReason> {
        let mut entries = self.entries.lock();
        let (reason, until) = entries.get(&(address, transport)).copied()?;
        if until > Instant::now() {
            return Some(reason);
        }
        entries.remove(&(address, transport));
        None
    }

    /// Takes a destination off the list; false where it was not on it.
    pub fn remove(&self, address: SocketAddr, transport: Transport) -> bool {
        self.entries.lock().remove(&(address, transport)).is_some()
    }

    /// Everything on the list (`dst_blocklist.view`).
    pub fn list(&self) -> Vec<BlockEntry> {
        let now = Instant::now();
        let entries = self.entries.lock();
        let live = entries.iter().filter(|(_, (_, until))| *until > now);
        live.map(|(&(address, transport), &(reason, until))| BlockEntry {
            address,
            transport,
            reason,
            remaining: until.duration_since(now),
        })
        .collect()
    }

    /// Empties the list (`dst_blocklist.delete_all`).
    pub fn clear(&self) {
        let mut entries = self.entries.lock();
        entries.clear();
        entries.shrink_to_fit();
    }
}

/// The reasons that do not count for a transport.
fn ignored(config: &BlocklistConfig, transport: Transport) -> i64 {
    match transport {
        Transport::Udp => config.udp_imask,
        Transport::Tcp | Transport::Ws => config.tcp_imask,
        Transport::Tls | Transport::Wss => config.tls_imask,
        Transport::Sctp => config.sctp_imask,
        Transport::None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(config: BlocklistConfig) -> (Blocklist, SocketAddr) {
        (Blocklist::new(&config), "192.0.2.1:5060".parse().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn entries_expire_and_are_kept_apart_by_transport() {
        let (list, to) = list(BlocklistConfig {
            use_dst_blocklist: true,
            ..Default::default()
        });
        assert!(list.add(to, Transport::Udp, BlockReason::Send, None));
        assert_eq!(list.check(to, Transport::Udp), Some(BlockReason::Send));
        assert_eq!(list.check(to, Transport::Tcp), None);
        tokio::time::advance(Duration::from_secs(61)).await;
        assert_eq!(list.check(to, Transport::Udp), None);
        assert!(list.list().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn masks_limits_and_the_switch_hold_but_not_for_operators() {
        let (off, to) = list(BlocklistConfig::default());
        assert!(!off.add(to, Transport::Udp, BlockReason::Timeout, None));
        assert!(off.add(
            to,
            Transport::Udp,
            BlockReason::Admin,
            Some(Duration::from_secs(1))
        ));
        off.clear();
        assert!(off.list().is_empty());
        let masked = BlocklistConfig {
            use_dst_blocklist: true,
            udp_imask: 1 << 4,
            mem: 0,
            ..Default::default()
        };
        let (masked, to) = list(masked);
        assert!(
            !masked.add(to, Transport::Udp, BlockReason::Timeout, None),
            "masked"
        );
        assert!(!masked.add(to, Transport::Udp, BlockReason::Send, None), "full");
    }
}
