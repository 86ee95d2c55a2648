//! The 24 statistics, and `sl.stats`.

use kahea_module::{
    Decl, Str,
    rpc::{RpcCall, RpcResult, RpcValue},
    stats::{Counter, Stats},
};

use super::Sl;

/// Counters of replies by code.
pub struct Counters {
    by_code: Vec<Counter>,
    /// `sent_replies`.
    pub sent: Counter,
    /// `sent_err_replies`.
    pub errors: Counter,
    /// `failures`.
    pub failures: Counter,
    /// `received_ACKs`.
    pub acks: Counter,
}

/// Codes that are counted by themselves, and `NNN` for the rest of a class; the name, the key in `sl.stats`.
const CODES: [(&str, &str); 20] = [
    ("1xx_replies", ""),
    ("200_replies", "200"),
    ("202_replies", "202"),
    ("2xx_replies", "2xx"),
    ("300_replies", "300"),
    ("301_replies", "301"),
    ("302_replies", "302"),
    ("3xx_replies", "3xx"),
    ("400_replies", "400"),
    ("401_replies", "401"),
    ("403_replies", "403"),
    ("404_replies", "404"),
    ("407_replies", "407"),
    ("408_replies", "408"),
    ("483_replies", "483"),
    ("4xx_replies", "4xx"),
    ("500_replies", "500"),
    ("5xx_replies", "5xx"),
    ("6xx_replies", "6xx"),
    ("xxx_replies", "xxx"),
];

/// Where the code is counted.
fn place(status: u16) -> usize {
    let exact = status.to_string();
    let class = match status {
        100..=699 => format!("{}xx", status / 100),
        _ => "xxx".to_owned(),
    };
    let of = |key: &str| {
        CODES
            .iter()
            .position(|(name, _)| name.strip_suffix("_replies") == Some(key))
    };
    of(&exact)
        .or_else(|| of(&class))
        .unwrap_or(CODES.len().saturating_sub(1))
}

impl Counters {
    /// Of the server's statistics.
    pub fn new(stats: &Stats) -> Counters {
        let counter = |name: &str| stats.counter("sl", name, "");
        Counters {
            by_code: CODES.iter().map(|(name, _)| counter(name)).collect(),
            sent: counter("sent_replies"),
            errors: counter("sent_err_replies"),
            failures: counter("failures"),
            acks: counter("received_ACKs"),
        }
    }

    /// A reply went out.
    pub fn sent(&self, status: u16) {
        self.sent.inc();
        if let Some(counter) = self.by_code.get(place(status)) {
            counter.inc();
        }
    }
}

pub(super) fn declare(d: &mut Decl<Sl>) {
    for (name, _) in CODES {
        d.stat(
            name,
            "Stateless replies with this code, or with another of this class.",
        );
    }
    d.stat("sent_replies", "Stateless replies.");
    d.stat(
        "sent_err_replies",
        "Stateless replies that sl_reply_error() and send_reply_error() gave.",
    );
    d.stat("failures", "Stateless replies that could not be sent.");
    d.stat("received_ACKs", "ACKs to stateless replies, absorbed.");
}

pub(super) fn rpc(m: &Sl, _: &mut RpcCall) -> RpcResult {
    let members = CODES
        .iter()
        .zip(&m.counters.by_code)
        .filter(|((_, key), _)| !key.is_empty());
    let members = members.map(|((_, key), counter)| (Str::from_static(key), RpcValue::Int(counter.get())));
    Ok(vec![RpcValue::Struct(members.collect())])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_counted_once_in_its_place() {
        let name = |status| CODES[place(status)].0;
        assert_eq!(name(404), "404_replies");
        assert_eq!(name(486), "4xx_replies");
        assert_eq!(name(180), "1xx_replies");
        assert_eq!(name(603), "6xx_replies");
        assert_eq!(name(700), "xxx_replies");
    }
}
