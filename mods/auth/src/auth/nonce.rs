//! Nonces: a time, where needed a number, and hashes under the server's secret; nothing is stored for them.
//!
//! 24 bytes in base64: seconds since 1970, number, pool, and 15 bytes of a MAC over these. Where a nonce is bound to
//! the request (`auth_checks_*`, `protect_contacts`), 12 bytes of a second MAC over the parts of the request follow.

use kahea_module::Cx;
use kahea_sip::{HeaderId, Method};
use smallvec::SmallVec;

use super::counts::{Counts, Number};
use crate::crypto::{self, OwnKey};

const STAMP: usize = 9;
const MAC: usize = 15;
const BOUND: usize = 12;
const PLAIN: usize = STAMP + MAC;
/// The bit of the pool's byte that says that the nonce has a number.
const NUMBERED: u8 = 0x80;

/// The shortest nonce in base64.
const SHORTEST: usize = PLAIN / 3 * 4;

/// The flags of `auth_checks_register`, `auth_checks_no_dlg` and `auth_checks_in_dlg`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Checks {
    pub(super) register: i64,
    pub(super) outside: i64,
    pub(super) inside: i64,
    /// `protect_contacts`.
    pub(super) contacts: bool,
}

const URI: i64 = 1;
const CALL_ID: i64 = 2;
const FROM_TAG: i64 = 4;
const SOURCE: i64 = 8;
const CONTACTS: i64 = 16;

impl Checks {
    /// Those that count for this request.
    fn of(&self, cx: &Cx) -> i64 {
        if cx.msg.method() == Method::Register {
            self.register & 15 | if self.contacts { CONTACTS } else { 0 }
        } else if cx.to().is_ok_and(|to| to.tag().is_some()) {
            self.inside & 15
        } else {
            self.outside & 15
        }
    }
}

/// How old a nonce may be, in seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ages {
    pub(super) expire: i64,
    /// How far in the future it may seem to come from.
    pub(super) drift: i64,
}

/// What makes and reads nonces.
pub(super) struct Nonces {
    key: OwnKey,
    pub(super) checks: Checks,
    pub(super) ages: Ages,
}

/// A nonce that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) number: Option<Number>,
    /// It is bound to the request, and this is the request; where it need not be bound, true.
    pub(super) fits: bool,
}

/// Why a nonce does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bad {
    /// It is too short to be one of ours.
    Malformed,
    /// It is old, from the future, or not ours.
    Stale,
}

impl Nonces {
    /// Keyed by that secret.
    pub(super) fn new(secret: &[u8], checks: Checks, ages: Ages) -> Nonces {
        Nonces {
            key: OwnKey::new(secret),
            checks,
            ages,
        }
    }

    /// Appends a nonce for this request.
    pub(super) fn make(&self, cx: &Cx, counts: Option<&Counts>, out: &mut Vec<u8>) {
        let number = counts.and_then(|counts| counts.draw(cx.worker.index));
        let mut bytes = [0u8; PLAIN + BOUND];
        let (stamp, rest) = bytes.split_at_mut(STAMP);
        let (mac, bound) = rest.split_at_mut(MAC);
        write_stamp(stamp, seconds(cx), number);
        let salt = counts.filter(|_| number.is_some());
        mac.copy_from_slice(&self.mac(stamp, salt));
        let checks = self.checks.of(cx);
        let used = if checks == 0 {
            PLAIN
        } else {
            bound.copy_from_slice(&self.bind(cx, stamp, checks));
            PLAIN + BOUND
        };
        crypto::push_base64(bytes.get(..used).unwrap_or_default(), out);
    }

    /// Reads a nonce that came with this request.
    pub(super) fn read(&self, cx: &Cx, counts: Option<&Counts>, text: &[u8]) -> Result<Read, Bad> {
        let mut bytes = [0u8; PLAIN + BOUND];
        let used = match text.len() {
            short if short < SHORTEST => return Err(Bad::Malformed),
            SHORTEST => PLAIN,
            _ => PLAIN + BOUND,
        };
        let place = bytes.get_mut(..used).ok_or(Bad::Stale)?;
        crypto::read_base64(text, place).ok_or(Bad::Stale)?;
        let (stamp, rest) = bytes.split_at(STAMP);
        let (mac, bound) = rest.split_at(MAC);
        let (time, number) = read_stamp(stamp).ok_or(Bad::Stale)?;
        let salt = counts.filter(|_| number.is_some());
        let is_ours = crypto::same(mac, &self.mac(stamp, salt));
        let age = i64::from(seconds(cx)).saturating_sub(i64::from(time));
        if !is_ours || age > self.ages.expire || age < self.ages.drift.saturating_neg() {
            return Err(Bad::Stale);
        }
        let checks = self.checks.of(cx);
        let fits = checks == 0 || used > PLAIN && crypto::same(bound, &self.bind(cx, stamp, checks));
        Ok(Read { number, fits })
    }

    fn mac(&self, stamp: &[u8], counts: Option<&Counts>) -> [u8; MAC] {
        let salt: &[u8] = counts.map_or(&[], |counts| &counts.salt);
        cut(&self.key.mac(&[b"time", stamp, salt]))
    }

    /// The hash over the parts of the request that `checks` names, each behind its length.
    fn bind(&self, cx: &Cx, stamp: &[u8], checks: i64) -> [u8; BOUND] {
        let source = match cx.received.source.ip().to_canonical() {
            std::net::IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
            std::net::IpAddr::V6(ip) => ip.octets(),
        };
        let mut parts: SmallVec<[&[u8]; 6]> = SmallVec::new();
        let has = |check: i64| checks & check != 0;
        if has(URI) {
            parts.push(cx.msg.uri().unwrap_or_default());
        }
        if has(CALL_ID) {
            parts.push(cx.msg.call_id().unwrap_or_default());
        }
        if has(FROM_TAG) {
            parts.push(cx.from().ok().and_then(|from| from.tag()).unwrap_or_default());
        }
        if has(SOURCE) {
            parts.push(&source);
        }
        if has(CONTACTS) {
            parts.extend(cx.msg.all(HeaderId::Contact).map(|header| cx.msg.value(header)));
        }
        let lengths: SmallVec<[[u8; 8]; 6]> = parts
            .iter()
            .map(|part| u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes())
            .collect();
        let checks = checks.to_be_bytes();
        let mut pieces: SmallVec<[&[u8]; 15]> = SmallVec::from_slice(&[b"bound", stamp, &checks]);
        for (length, part) in lengths.iter().zip(&parts) {
            pieces.extend_from_slice(&[length, part]);
        }
        cut(&self.key.mac(&pieces))
    }
}

/// The first bytes of a hash.
fn cut<const N: usize>(hash: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    for (to, from) in out.iter_mut().zip(hash) {
        *to = *from;
    }
    out
}

/// Now, in seconds since 1970.
fn seconds(cx: &Cx) -> u32 {
    let since = cx.time().duration_since(std::time::SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| u32::try_from(since.as_secs()).unwrap_or(u32::MAX))
}

fn write_stamp(stamp: &mut [u8], time: u32, number: Option<Number>) {
    let Number { pool, id } = number.unwrap_or(Number { pool: 0, id: 0 });
    let kind = if number.is_some() { NUMBERED | pool & 63 } else { 0 };
    let bytes = time
        .to_be_bytes()
        .into_iter()
        .chain(id.to_be_bytes())
        .chain([kind]);
    for (to, from) in stamp.iter_mut().zip(bytes) {
        *to = from;
    }
}

fn read_stamp(stamp: &[u8]) -> Option<(u32, Option<Number>)> {
    let (time, rest) = stamp.split_first_chunk()?;
    let (id, rest) = rest.split_first_chunk()?;
    let kind = *rest.first()?;
    let number = Number {
        pool: kind & 63,
        id: u32::from_be_bytes(*id),
    };
    Some((
        u32::from_be_bytes(*time),
        (kind & NUMBERED != 0).then_some(number),
    ))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kahea_module::testing::{INVITE, Server};

    use super::{super::counts::Sizes, *};

    const AGES: Ages = Ages {
        expire: 300,
        drift: 3,
    };

    fn nonces(checks: Checks) -> Nonces {
        Nonces::new(b"a secret of some length", checks, AGES)
    }

    fn made(nonces: &Nonces, cx: &Cx, counts: Option<&Counts>) -> Vec<u8> {
        let mut out = Vec::new();
        nonces.make(cx, counts, &mut out);
        out
    }

    #[test]
    fn a_nonce_holds_for_its_time() {
        let server = Server::default();
        let (all, cx) = (nonces(Checks::default()), server.invite());
        let nonce = made(&all, &cx, None);
        assert_eq!(nonce.len(), 32);
        let good = Ok(Read {
            number: None,
            fits: true,
        });
        assert_eq!(all.read(&cx, None, &nonce), good);
        server.engine.advance(Duration::from_secs(300));
        assert_eq!(all.read(&cx, None, &nonce), good);
        server.engine.advance(Duration::from_secs(1));
        assert_eq!(all.read(&cx, None, &nonce), Err(Bad::Stale));
    }

    #[test]
    fn one_from_the_future_holds_within_the_drift() {
        let (early, late) = (Server::default(), Server::default());
        let all = nonces(Checks::default());
        late.engine.advance(Duration::from_secs(3));
        let nonce = made(&all, &late.invite(), None);
        assert!(all.read(&early.invite(), None, &nonce).is_ok());
        late.engine.advance(Duration::from_secs(1));
        let nonce = made(&all, &late.invite(), None);
        assert_eq!(all.read(&early.invite(), None, &nonce), Err(Bad::Stale));
    }

    #[test]
    fn no_byte_can_be_changed() {
        let server = Server::default();
        let (all, cx) = (
            nonces(Checks {
                outside: 15,
                ..Checks::default()
            }),
            server.invite(),
        );
        let nonce = made(&all, &cx, None);
        assert_eq!(nonce.len(), 48);
        for at in 0..nonce.len() {
            let mut forged = nonce.clone();
            forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
            let read = all.read(&cx, None, &forged);
            assert!(read.is_err() || read.is_ok_and(|read| !read.fits), "{at}");
        }
        assert_eq!(all.read(&cx, None, &nonce[..31]), Err(Bad::Malformed));
        assert_eq!(all.read(&cx, None, &nonce[..36]), Err(Bad::Stale));
        let other = Nonces::new(b"another secret", Checks::default(), AGES);
        assert_eq!(other.read(&cx, None, &nonce), Err(Bad::Stale));
    }

    #[test]
    fn it_is_bound_to_the_parts_that_are_checked() {
        let server = Server::default();
        let original = server.invite();
        let variants = [
            (URI, INVITE.replace("INVITE sip:bob@", "INVITE sip:eve@")),
            (CALL_ID, INVITE.replace("a84b4c76e66710", "other")),
            (FROM_TAG, INVITE.replace("tag=1928301774", "tag=x")),
        ];
        for (check, text) in variants {
            let changed = server.message(&text);
            for checks in 0..16 {
                let all = nonces(Checks {
                    outside: checks,
                    ..Checks::default()
                });
                let nonce = made(&all, &original, None);
                let fits = all.read(&changed, None, &nonce).unwrap().fits;
                assert_eq!(fits, checks & check == 0, "check {check} of {checks}");
                assert!(all.read(&original, None, &nonce).unwrap().fits);
            }
        }
        let mut moved = server.invite();
        moved.received.source = "127.0.0.2:5061".parse().unwrap();
        let all = nonces(Checks {
            outside: SOURCE,
            ..Checks::default()
        });
        assert!(!all.read(&moved, None, &made(&all, &original, None)).unwrap().fits);
    }

    #[test]
    fn each_kind_of_request_has_its_checks() {
        let server = Server::default();
        let all = nonces(Checks {
            register: 1,
            outside: 2,
            inside: 4,
            contacts: true,
        });
        let register = server.message("REGISTER sip:a SIP/2.0\nTo: <sip:a>\nContact: <sip:x>\n\n");
        let inside = server.message("BYE sip:a SIP/2.0\nTo: <sip:a>;tag=1\n\n");
        assert_eq!(all.checks.of(&register), 17);
        assert_eq!((all.checks.of(&inside), all.checks.of(&server.invite())), (4, 2));
        let moved = server.message("REGISTER sip:a SIP/2.0\nTo: <sip:a>\nContact: <sip:y>\n\n");
        assert!(!all.read(&moved, None, &made(&all, &register, None)).unwrap().fits);
    }

    #[test]
    fn numbers_survive_and_are_bound_to_their_arrays() {
        let server = Server::default();
        let (all, cx) = (nonces(Checks::default()), server.invite());
        let sizes = Sizes {
            counts: Some(8),
            once: None,
            pools: 0,
        };
        let (counts, others) = (Counts::new(sizes), Counts::new(sizes));
        let first = made(&all, &cx, Some(&counts));
        let second = made(&all, &cx, Some(&counts));
        assert_eq!(
            all.read(&cx, Some(&counts), &first).unwrap().number,
            Some(Number { pool: 0, id: 0 })
        );
        assert_eq!(
            all.read(&cx, Some(&counts), &second).unwrap().number,
            Some(Number { pool: 0, id: 1 })
        );
        assert_eq!(
            all.read(&cx, Some(&others), &first),
            Err(Bad::Stale),
            "a restart forgets"
        );
    }
}
