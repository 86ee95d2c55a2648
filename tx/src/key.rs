//! Which transaction a request belongs to (RFC 3261 section 17.2.3).

use std::hash::{BuildHasher, Hash, Hasher};

use foldhash::quality::RandomState;
use kahea_sip::{
    HeaderId, Message, Method,
    view::{NameAddr, Via},
};

/// The start of the branch of every sender that follows RFC 3261.
const COOKIE: &[u8] = b"z9hG4bK";

/// What is compared beyond the branch; names and meaning as the parameters of module tm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matching {
    /// RFC 2543: the Request-URI (`ruri_matching`).
    pub ruri: bool,
    /// RFC 2543: the topmost Via (`via1_matching`).
    pub via1: bool,
    /// RFC 3261: the Call-ID besides the branch (`callid_matching`).
    pub callid: bool,
    /// Call-ID and CSeq in place of the branch (`callid_cseq_matching`).
    pub callid_cseq: bool,
}

impl Default for Matching {
    fn default() -> Matching {
        Matching {
            ruri: true,
            via1: true,
            callid: false,
            callid_cseq: false,
        }
    }
}

/// A number under which a transaction is kept. Equal requests have equal keys; whether requests with one key belong
/// together, [`Matching::same`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key(pub u64);

impl Key {
    /// The key of the transaction that the request belongs to: for an ACK, that of its INVITE.
    pub fn of(request: &Message, matching: &Matching, seed: &RandomState) -> Key {
        let method = owner(request.method());
        Key::as_method(request, method, matching, seed)
    }

    /// The key of the INVITE that a CANCEL is about.
    pub fn of_cancelled(cancel: &Message, matching: &Matching, seed: &RandomState) -> Key {
        Key::as_method(cancel, Method::Invite, matching, seed)
    }

    fn as_method(request: &Message, method: Method, matching: &Matching, seed: &RandomState) -> Key {
        let mut hash = seed.build_hasher();
        method.hash(&mut hash);
        match top_via(request).and_then(|via| modern_branch(&via, matching)) {
            Some(branch) => branch.hash(&mut hash),
            None => {
                request.call_id().hash(&mut hash);
                request.cseq().map(|(number, _)| number).hash(&mut hash);
            }
        }
        Key(hash.finish())
    }

    /// A key by Call-ID and the number of CSeq: what the ACK to a 2xx has in common with its INVITE, and what an
    /// operator names a call by.
    pub fn of_call(call_id: &[u8], cseq: u32, seed: &RandomState) -> Key {
        let mut hash = seed.build_hasher();
        call_id.hash(&mut hash);
        cseq.hash(&mut hash);
        Key(hash.finish())
    }
}

impl Matching {
    /// The request came before: `known` began the transaction, and `request` is its repetition, the ACK to its
    /// refusal, or, where `method` is INVITE, its CANCEL.
    pub fn same(&self, known: &Message, request: &Message, method: Method) -> bool {
        if owner(known.method()) != owner(method) || !same_method_text(known, request, method) {
            return false;
        }
        let (Some(first), Some(second)) = (top_via(known), top_via(request)) else {
            return false;
        };
        match (modern_branch(&first, self), modern_branch(&second, self)) {
            (Some(left), Some(right)) => {
                left == right
                    && first.host.eq_ignore_ascii_case(second.host)
                    && first.port == second.port
                    && (!self.callid || known.call_id() == request.call_id())
            }
            (None, None) if self.callid_cseq => same_call(known, request),
            (None, None) => self.same_by_rfc2543(known, request),
            _ => false,
        }
    }

    /// RFC 3261 section 17.2.3, second list.
    fn same_by_rfc2543(&self, known: &Message, request: &Message) -> bool {
        let is_ack = request.method() == Method::Ack && known.method() != Method::Ack;
        same_call(known, request)
            && tag(known, HeaderId::From) == tag(request, HeaderId::From)
            && (is_ack || tag(known, HeaderId::To) == tag(request, HeaderId::To))
            && (!self.ruri || known.uri() == request.uri())
            && (!self.via1 || via_text(known) == via_text(request))
    }

    /// The ACK to the 2xx of this INVITE: a transaction of its own with the call's Call-ID, CSeq number and tags.
    pub fn acknowledges(&self, invite: &Message, ack: &Message, to_tag: &[u8]) -> bool {
        ack.method() == Method::Ack
            && same_call(invite, ack)
            && tag(invite, HeaderId::From) == tag(ack, HeaderId::From)
            && tag(ack, HeaderId::To).is_some_and(|own| own == to_tag)
    }
}

/// Whose transaction a request of this method is part of.
fn owner(method: Method) -> Method {
    if method == Method::Ack {
        Method::Invite
    } else {
        method
    }
}

/// Methods without a number of their own are compared by name.
fn same_method_text(known: &Message, request: &Message, method: Method) -> bool {
    method != Method::Other || known.method_text() == request.method_text()
}

fn top_via(message: &Message) -> Option<Via<'_>> {
    Via::parse(via_text(message)?).ok()
}

fn via_text(message: &Message) -> Option<&[u8]> {
    message.vias().next().map(|hop| message.bytes(hop.span))
}

/// The branch, where it alone names the transaction.
fn modern_branch<'a>(via: &Via<'a>, matching: &Matching) -> Option<&'a [u8]> {
    let branch = via.branch()?;
    let names = branch.len() > COOKIE.len()
        && branch
            .get(..COOKIE.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(COOKIE));
    (names && !matching.callid_cseq).then_some(branch)
}

fn same_call(left: &Message, right: &Message) -> bool {
    let number = |message: &Message| message.cseq().map(|(number, _)| number);
    left.call_id() == right.call_id() && number(left).is_some() && number(left) == number(right)
}

fn tag(message: &Message, header: HeaderId) -> Option<&[u8]> {
    NameAddr::parse(message.value(message.first(header)?)).ok()?.tag()
}

#[cfg(test)]
mod tests {
    use kahea_sip::{Limits, Str};

    use super::*;

    fn request(method: &str, via: &str, more: &str) -> Message {
        let text = format!(
            "{method} sip:b@example.com SIP/2.0\r\nVia: {via}\r\nFrom: <sip:a@x>;tag=f\r\nTo: <sip:b@x>{more}\r\n\
             Call-ID: c1\r\nCSeq: 7 {method}\r\n\r\n"
        );
        Message::parse(Str::from(text), &Limits::default()).unwrap()
    }

    const MODERN: &str = "SIP/2.0/UDP h:5061;branch=z9hG4bKx";
    const OLD: &str = "SIP/2.0/UDP h:5061;branch=1";

    #[test]
    fn repetitions_and_acks_find_their_invite() {
        let (seed, matching) = (RandomState::default(), Matching::default());
        for via in [MODERN, OLD] {
            let invite = request("INVITE", via, "");
            let key = Key::of(&invite, &matching, &seed);
            for other in [request("INVITE", via, ""), request("ACK", via, ";tag=t")] {
                assert_eq!(Key::of(&other, &matching, &seed), key);
                assert!(matching.same(&invite, &other, other.method()), "{via}");
            }
            let cancel = request("CANCEL", via, "");
            assert_ne!(Key::of(&cancel, &matching, &seed), key);
            assert_eq!(Key::of_cancelled(&cancel, &matching, &seed), key);
            assert!(matching.same(&invite, &cancel, Method::Invite));
            assert!(!matching.same(&invite, &cancel, Method::Cancel));
        }
    }

    #[test]
    fn another_sender_with_the_same_branch_is_another_transaction() {
        let matching = Matching::default();
        let invite = request("INVITE", MODERN, "");
        let other = request("INVITE", "SIP/2.0/UDP other:5061;branch=z9hG4bKx", "");
        assert!(!matching.same(&invite, &other, Method::Invite));
    }

    #[test]
    fn the_call_alone_can_be_made_to_count() {
        let matching = Matching {
            callid_cseq: true,
            ..Matching::default()
        };
        let (one, other) = (
            request("BYE", MODERN, ""),
            request("BYE", "SIP/2.0/UDP h:5061;branch=z9hG4bKy", ""),
        );
        let seed = RandomState::default();
        assert_eq!(Key::of(&one, &matching, &seed), Key::of(&other, &matching, &seed));
        assert!(matching.same(&one, &other, Method::Bye));
    }

    #[test]
    fn the_ack_to_a_2xx_is_known_by_call_and_tags() {
        let matching = Matching::default();
        let invite = request("INVITE", MODERN, "");
        let ack = request("ACK", "SIP/2.0/UDP h:5061;branch=z9hG4bKother", ";tag=t");
        assert!(!matching.same(&invite, &ack, Method::Ack));
        assert!(matching.acknowledges(&invite, &ack, b"t"));
        assert!(!matching.acknowledges(&invite, &ack, b"u"));
    }

    /// Same key, and belonging together?
    fn meet(matching: &Matching, known: &Message, other: &Message) -> (bool, bool) {
        let seed = RandomState::default();
        let keys = (Key::of(known, matching, &seed), Key::of(other, matching, &seed));
        (keys.0 == keys.1, matching.same(known, other, other.method()))
    }

    fn text(text: &str) -> Message {
        Message::parse(Str::from(text.to_owned()), &Limits::default()).unwrap()
    }

    #[test]
    fn rfc2543_compares_uri_and_via_where_that_is_wanted() {
        let known = request("OPTIONS", OLD, "");
        let other_via = request("OPTIONS", "SIP/2.0/UDP h:5061;branch=2", "");
        let other_uri = text(
            &known
                .buffer()
                .text()
                .replace("sip:b@example.com", "sip:b@example.org"),
        );
        for (ruri, via1) in [(true, true), (true, false), (false, true), (false, false)] {
            let matching = Matching {
                ruri,
                via1,
                ..Matching::default()
            };
            assert_eq!(meet(&matching, &known, &other_via), (true, !via1));
            assert_eq!(meet(&matching, &known, &other_uri), (true, !ruri));
            assert_eq!(
                meet(&matching, &known, &request("OPTIONS", OLD, "")),
                (true, true)
            );
        }
    }

    #[test]
    fn rfc2543_compares_tags_call_and_number() {
        let matching = Matching::default();
        let known = request("INVITE", OLD, "");
        let raw = known.buffer().text().into_owned();
        let changed = |from: &str, to: &str| text(&raw.replace(from, to));
        assert_eq!(meet(&matching, &known, &changed("tag=f", "tag=g")), (true, false));
        assert_eq!(meet(&matching, &known, &changed("c1", "c2")), (false, false));
        assert_eq!(
            meet(&matching, &known, &changed("CSeq: 7", "CSeq: 8")),
            (false, false)
        );
        let in_dialog = request("INVITE", OLD, ";tag=t");
        assert_eq!(meet(&matching, &known, &in_dialog), (true, false));
        // An ACK has the tag of the reply, which the INVITE has not.
        assert_eq!(
            meet(&matching, &known, &request("ACK", OLD, ";tag=t")),
            (true, true)
        );
    }

    #[test]
    fn an_old_and_a_new_branch_never_meet() {
        let matching = Matching::default();
        let (old, new) = (request("INVITE", OLD, ""), request("INVITE", MODERN, ""));
        assert_eq!(meet(&matching, &old, &new), (false, false));
        let bare = request("INVITE", "SIP/2.0/UDP h:5061;branch=z9hG4bK", "");
        assert_eq!(
            meet(&matching, &bare, &new),
            (false, false),
            "the cookie alone names nothing"
        );
        let none = request("INVITE", "SIP/2.0/UDP h:5061", "");
        assert_eq!(
            meet(&matching, &none, &request("INVITE", "SIP/2.0/UDP h:5061", "")),
            (true, true)
        );
    }

    #[test]
    fn the_cookie_is_known_in_any_case_and_the_rest_is_taken_as_it_is() {
        let matching = Matching::default();
        let via = |branch: &str| request("INVITE", &format!("SIP/2.0/UDP h;branch={branch}"), "");
        let known = via("Z9HG4BKabc");
        assert_eq!(meet(&matching, &known, &via("Z9HG4BKabc")), (true, true));
        assert_eq!(meet(&matching, &known, &via("Z9HG4BKABC")), (false, false));
        // Known as modern: what else differs does not count.
        let elsewhere = text(
            &known
                .buffer()
                .text()
                .replace("sip:b@example.com", "sip:c@example.org"),
        );
        assert_eq!(meet(&matching, &known, &elsewhere), (true, true));
    }

    #[test]
    fn a_sender_is_known_by_host_and_port() {
        let matching = Matching::default();
        let via = |sent_by: &str| request("INVITE", &format!("SIP/2.0/UDP {sent_by};branch=z9hG4bKx"), "");
        let known = via("[2001:db8::1]:5061");
        for (other, same) in [
            ("[2001:db8::1]:5061", true),
            ("[2001:DB8::1]:5061", true),
            ("[2001:db8::1]", false),
            ("[2001:db8::1]:5062", false),
            ("[2001:db8::2]:5061", false),
        ] {
            assert_eq!(meet(&matching, &known, &via(other)), (true, same), "{other}");
        }
        assert!(matching.same(
            &via("Proxy.Example.com"),
            &via("proxy.example.COM"),
            Method::Invite
        ));
    }

    #[test]
    fn what_a_server_adds_to_the_via_does_not_count() {
        let matching = Matching::default();
        let via = |more: &str| request("BYE", &format!("{MODERN}{more}"), "");
        let known = via(";rport");
        for more in [";rport", "", ";rport=5061", ";rport=1;received=192.0.2.1"] {
            assert_eq!(meet(&matching, &known, &via(more)), (true, true), "{more}");
        }
        let old = |more: &str| request("BYE", &format!("{OLD}{more}"), "");
        assert_eq!(meet(&matching, &old(";rport"), &old(";rport")), (true, true));
        assert_eq!(
            meet(&matching, &old(";rport"), &old("")),
            (true, false),
            "RFC 2543 takes the whole hop"
        );
    }

    #[test]
    fn methods_that_nobody_knows_are_told_apart_by_name() {
        let matching = Matching::default();
        for via in [MODERN, OLD] {
            let known = request("FROBNICATE", via, "");
            assert_eq!(known.method(), Method::Other);
            assert_eq!(
                meet(&matching, &known, &request("FROBNICATE", via, "")),
                (true, true)
            );
            assert!(!meet(&matching, &known, &request("TWIDDLE", via, "")).1);
            assert!(
                !meet(&matching, &known, &request("frobnicate", via, "")).1,
                "methods have a case"
            );
            assert_eq!(
                meet(&matching, &known, &request("INVITE", via, "")),
                (false, false)
            );
        }
    }

    #[test]
    fn the_call_id_can_be_asked_for_besides_the_branch() {
        let matching = Matching {
            callid: true,
            ..Matching::default()
        };
        let known = request("INVITE", MODERN, "");
        let other = text(&known.buffer().text().replace("c1", "c2"));
        assert_eq!(meet(&matching, &known, &other), (true, false));
        assert_eq!(meet(&Matching::default(), &known, &other), (true, true));
    }
}
