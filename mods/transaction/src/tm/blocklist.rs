//! Destinations that did not answer, or sent 503, are left alone for a while (`use_dst_blocklist`).

use std::{net::SocketAddr, rc::Rc, time::Duration};

use kahea_module::Worker;
use kahea_sip::{HeaderId, Message, Method, Transport};
use kahea_tx::{BranchId, Outcome};

use super::cell::{Cell, State};

/// What `blst_503` and `blst_methods_*` say.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// A 503 puts its sender on the list (`blst_503`).
    pub on_503: bool,
    /// Seconds for a 503 without Retry-After; 0: it does not count.
    pub default: u64,
    /// The fewest seconds for a 503.
    pub min: u64,
    /// The most.
    pub max: u64,
    /// Methods whose timeout puts the destination on the list.
    pub add: u64,
    /// Methods that are not sent to a destination on it.
    pub lookup: u64,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            on_503: false,
            default: 0,
            min: 0,
            max: 3_600,
            add: 1,
            lookup: 0xffff_fff7,
        }
    }
}

/// Kamailio's bit of a method in `blst_methods_*`.
fn bit(method: Method) -> u64 {
    match method {
        Method::Invite => 1,
        Method::Cancel => 2,
        Method::Ack => 4,
        Method::Bye => 8,
        Method::Info => 16,
        Method::Register => 32,
        Method::Subscribe => 64,
        Method::Notify => 128,
        _ => 256,
    }
}

impl Rules {
    /// The request must not go there.
    pub fn forbid(&self, worker: &Worker, method: Method, to: SocketAddr, transport: Transport) -> bool {
        worker.config.globals.use_dst_blocklist
            && self.lookup & bit(method) != 0
            && worker.net.is_blocked(to, transport)
    }

    /// A branch has ended: its destination may have to be left alone.
    pub fn note(&self, worker: &Rc<Worker>, cell: &Cell, state: &State, branch: BranchId) {
        if !worker.config.globals.use_dst_blocklist {
            return;
        }
        let (Some(known), Some(client)) = (state.branches.get(branch.index()), state.tx.client(branch))
        else {
            return;
        };
        let life = match client.outcome() {
            Outcome::TimedOut if client.last_status() == 0 && self.add & bit(cell.method) != 0 => None,
            Outcome::Reply(503) if self.on_503 => {
                let stated = known.held.as_deref().and_then(|held| retry_after(&held.msg));
                match stated
                    .unwrap_or(self.default)
                    .clamp(self.min, self.max.max(self.min))
                {
                    0 => return,
                    seconds => Some(Duration::from_secs(seconds)),
                }
            }
            _ => return,
        };
        worker.net.block(known.to.to, known.to.transport, life);
    }
}

/// The seconds of a Retry-After header (RFC 3261 section 20.33).
fn retry_after(reply: &Message) -> Option<u64> {
    let value = reply.value(reply.first(HeaderId::RetryAfter)?);
    let digits = value.split(|byte| !byte.is_ascii_digit()).next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use kahea_sip::{Limits, Str};

    use super::*;

    #[test]
    fn retry_after_is_read_up_to_its_comment() {
        let read = |value: &str| {
            let text = format!("SIP/2.0 503 Away\r\nVia: SIP/2.0/UDP h\r\nRetry-After: {value}\r\n\r\n");
            retry_after(&Message::parse(Str::from(text), &Limits::default()).unwrap())
        };
        assert_eq!(read("30 (maintenance);duration=60"), Some(30));
        assert_eq!(read("soon"), None);
    }

    #[test]
    fn methods_have_kamailios_bits() {
        let rules = Rules::default();
        assert!(rules.add & bit(Method::Invite) != 0 && rules.add & bit(Method::Register) == 0);
        assert!(rules.lookup & bit(Method::Options) != 0 && rules.lookup & bit(Method::Bye) == 0);
    }
}
