//! What a transaction keeps of messages, in as little room as it takes: there are very many transactions at once.

use kahea_module::{Cx, Lates, MessageFlags, ReplyExtra, Str, Target};
use kahea_sip::{Edits, SendFlags, Transport};

/// Fewer bytes in common are not worth their bookkeeping.
const SHORTEST_TAIL: usize = 32;

/// A branch's request as it left. Where it ends as the received request does, the end is kept once, with that.
#[derive(Clone, Default)]
pub struct SentRequest {
    head: Str,
    /// How many of the received request's last bytes follow.
    tail: u32,
}

impl SentRequest {
    /// Nothing was sent.
    pub const NONE: SentRequest = SentRequest {
        head: Str::EMPTY,
        tail: 0,
    };

    /// Of the bytes that left.
    pub fn of(sent: &[u8], received: &[u8]) -> SentRequest {
        let common = common_end(sent, received);
        let split = u32::try_from(common)
            .ok()
            .filter(|_| common >= SHORTEST_TAIL)
            .and_then(|tail| Some((tail, sent.get(..sent.len().checked_sub(common)?)?)));
        let (tail, head) = split.unwrap_or((0, sent));
        SentRequest {
            head: Str::copy(head),
            tail,
        }
    }

    /// Nothing was sent.
    pub fn is_empty(&self) -> bool {
        self.head.is_empty() && self.tail == 0
    }

    /// The bytes that left.
    pub fn bytes(&self, received: &Str) -> Str {
        let tail = usize::try_from(self.tail).unwrap_or(0);
        let start = received.len().saturating_sub(tail);
        match received.get(start..) {
            Some(tail) if !tail.is_empty() => Str::from([&*self.head, tail].concat()),
            _ => self.head.clone(),
        }
    }
}

/// The number of bytes with which both end.
fn common_end(left: &[u8], right: &[u8]) -> usize {
    const STEP: usize = 32;
    let mut common = 0_usize;
    for (left, right) in left.rchunks_exact(STEP).zip(right.rchunks_exact(STEP)) {
        if left != right {
            break;
        }
        common = common.saturating_add(STEP);
    }
    let rest = |all: &'_ [u8]| all.len().saturating_sub(common);
    let left = left.get(..rest(left)).unwrap_or_default();
    let right = right.get(..rest(right)).unwrap_or_default();
    let more = left.iter().rev().zip(right.iter().rev());
    common.saturating_add(more.take_while(|(left, right)| left == right).count())
}

/// A [`Target`] of which most have little more than URIs.
#[derive(Clone, Default)]
pub struct SavedTarget {
    /// As [`Target::ruri`].
    pub ruri: Option<Str>,
    /// As [`Target::flags`].
    pub flags: u32,
    dst_uri: Option<Str>,
    /// The rest, where there is any.
    more: Option<Box<Target>>,
}

impl From<&Target> for SavedTarget {
    fn from(target: &Target) -> SavedTarget {
        let Target {
            ruri,
            dst_uri,
            path,
            send_socket,
            flags,
            q,
            instance,
            reg_id,
            ruid,
            location_ua,
            connection,
        } = target;
        let plain = path.is_none()
            && send_socket.is_none()
            && q.is_none()
            && instance.is_none()
            && *reg_id == 0
            && ruid.is_none()
            && location_ua.is_none()
            && connection.is_none();
        SavedTarget {
            ruri: ruri.clone(),
            flags: *flags,
            dst_uri: dst_uri.clone(),
            more: (!plain).then(|| Box::new(target.clone())),
        }
    }
}

impl SavedTarget {
    /// As it was.
    pub fn target(&self) -> Target {
        Target {
            ruri: self.ruri.clone(),
            dst_uri: self.dst_uri.clone(),
            flags: self.flags,
            ..self.more.as_deref().cloned().unwrap_or_default()
        }
    }

    /// As [`Target::ruid`].
    pub fn ruid(&self) -> Option<&Str> {
        self.more.as_ref()?.ruid.as_ref()
    }

    /// As [`Target::instance`].
    pub fn instance(&self) -> Option<&Str> {
        self.more.as_ref()?.instance.as_ref()
    }
}

/// `set_advertised_address()` and `set_advertised_port()`.
#[derive(Clone)]
struct Advertised {
    host: Option<Str>,
    port: Option<u16>,
}

/// What the script had done to the request when it was relayed: failure routes and late replies begin from there.
#[derive(Clone)]
pub struct Snapshot {
    edits: Edits,
    late: Lates,
    target: SavedTarget,
    reply_extra: Vec<ReplyExtra>,
    iflags: MessageFlags,
    force_rport: bool,
    local_rport: bool,
    forward_flags: SendFlags,
    reply_flags: SendFlags,
    udp_mtu_try: Option<Transport>,
    advertised: Option<Box<Advertised>>,
    number: u64,
}

impl Snapshot {
    /// Of the message as it stands.
    pub fn of(cx: &Cx) -> Snapshot {
        let plain = cx.advertised_host.is_none() && cx.advertised_port.is_none();
        Snapshot {
            edits: cx.edits.clone(),
            late: cx.late.clone(),
            target: SavedTarget::from(&cx.target),
            reply_extra: cx.reply_extra.clone(),
            iflags: cx.iflags,
            force_rport: cx.force_rport,
            local_rport: cx.local_rport,
            forward_flags: cx.forward_flags,
            reply_flags: cx.reply_flags,
            udp_mtu_try: cx.udp_mtu_try,
            advertised: (!plain).then(|| {
                Box::new(Advertised {
                    host: cx.advertised_host.clone(),
                    port: cx.advertised_port,
                })
            }),
            number: cx.number,
        }
    }

    /// The message stands as it did then.
    pub fn put_into(&self, cx: &mut Cx) {
        cx.edits = self.edits.clone();
        cx.late = self.late.clone();
        cx.target = self.target.target();
        cx.reply_extra = self.reply_extra.clone();
        cx.iflags = self.iflags;
        cx.force_rport = self.force_rport;
        cx.local_rport = self.local_rport;
        cx.forward_flags = self.forward_flags;
        cx.reply_flags = self.reply_flags;
        cx.udp_mtu_try = self.udp_mtu_try;
        cx.advertised_host = self.advertised.as_ref().and_then(|known| known.host.clone());
        cx.advertised_port = self.advertised.as_ref().and_then(|known| known.port);
        cx.number = self.number;
    }
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::*;

    #[test]
    fn what_was_sent_comes_back_byte_for_byte() {
        let long = "Content-Length: 0\r\nSubject: the common end of both\r\n\r\n";
        let received = Str::from(format!("INVITE sip:a@b SIP/2.0\r\nVia: x\r\n{long}"));
        for sent in [
            format!("INVITE sip:c@d SIP/2.0\r\nVia: p\r\nVia: x\r\n{long}"),
            received.text().into_owned(),
            format!("{}more", received.text()),
            long.to_owned(),
            "short\r\n\r\n".to_owned(),
        ] {
            let kept = SentRequest::of(sent.as_bytes(), &received);
            assert_eq!(kept.bytes(&received).text(), sent);
            assert!(!kept.is_empty());
        }
        let copy = SentRequest::of(&received, &received);
        assert!(copy.head.is_empty(), "the same request takes no room");
        assert!(SentRequest::NONE.is_empty() && SentRequest::NONE.bytes(&received).is_empty());
    }

    #[test]
    fn the_common_end_is_found_across_steps() {
        for (common, extra) in [(0, 5), (1, 0), (31, 3), (32, 3), (33, 0), (100, 64)] {
            let end = "e".repeat(common);
            let left = format!("{}l{end}", "x".repeat(extra));
            let right = format!("r{end}");
            assert_eq!(common_end(left.as_bytes(), right.as_bytes()), common);
        }
        assert_eq!(common_end(b"", b"abc"), 0);
    }

    #[test]
    fn a_target_comes_back_whole() {
        let plain = Target {
            ruri: Some("sip:a@b".into()),
            flags: 3,
            ..Target::default()
        };
        let rich = Target {
            dst_uri: Some("sip:p".into()),
            path: Some("<sip:e;lr>".into()),
            q: Some(500),
            ruid: Some("r-1".into()),
            ..plain.clone()
        };
        for target in [Target::default(), plain, rich] {
            let saved = SavedTarget::from(&target);
            assert_eq!(format!("{:?}", saved.target()), format!("{target:?}"));
            assert_eq!(saved.ruid(), target.ruid.as_ref());
        }
    }

    #[test]
    fn a_snapshot_puts_the_message_back() {
        let server = Server::default();
        let mut cx = server.invite();
        cx.force_rport = true;
        cx.advertised_port = Some(5099);
        cx.target.dst_uri = Some("sip:next".into());
        let snapshot = Snapshot::of(&cx);
        let mut again = server.invite();
        snapshot.put_into(&mut again);
        assert_eq!((again.force_rport, again.advertised_port), (true, Some(5099)));
        assert_eq!(again.target.dst_uri, cx.target.dst_uri);
    }
}
