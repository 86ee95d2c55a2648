//! What `rtpengine_manage()` and `rtpproxy_manage()` do with a message.

use kahea_mods_transaction::tm::service::Transactions;
use kahea_module::{Cx, RouteKind};

/// A step in the life of a call's media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A description goes to the other side.
    Offer,
    /// A description comes back.
    Answer,
    /// The end.
    Delete,
}

/// What a description in a PRACK is (RFC 3262 section 5 allows both).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InPrack {
    /// As `rtpproxy_manage()` takes it.
    Offer,
    /// As `rtpengine_manage()` takes it.
    Answer,
}

/// The step for a message; `None` for none. Whether a reply is an offer depends on its transaction's request.
pub fn step(tm: Option<&Transactions>, cx: &Cx, has_sdp: bool, prack: InPrack) -> Option<Step> {
    use kahea_sip::Method::{Ack, Bye, Cancel, Invite, Prack, Update};
    let method = cx.method();
    if tm.is_some_and(|tm| tm.is_branch_failure(cx)) {
        return None;
    }
    match method {
        Bye | Cancel => return Some(Step::Delete),
        Invite | Update | Ack | Prack => {}
        _ => return None,
    }
    if cx.route == RouteKind::Failure {
        return Some(Step::Delete);
    }
    match cx.msg.status() {
        Some(300..) => Some(Step::Delete),
        _ if !has_sdp => None,
        None if method == Ack || method == Prack && prack == InPrack::Answer => Some(Step::Answer),
        None => Some(Step::Offer),
        Some(_) if method != Invite => Some(Step::Answer),
        Some(_) => match tm.and_then(|tm| tm.request_has_sdp(cx)) {
            Some(false) => Some(Step::Offer),
            Some(true) | None => Some(Step::Answer),
        },
    }
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::*;

    #[test]
    fn method_status_and_route_decide() {
        let server = Server::default();
        let of = |text: &str, has_sdp| step(None, &server.message(text), has_sdp, InPrack::Answer);
        let invite = "INVITE sip:a@h SIP/2.0\nCSeq: 1 INVITE\n\n";
        assert_eq!((of(invite, true), of(invite, false)), (Some(Step::Offer), None));
        assert_eq!(
            of("ACK sip:a@h SIP/2.0\nCSeq: 1 ACK\n\n", true),
            Some(Step::Answer)
        );
        assert_eq!(
            of("BYE sip:a@h SIP/2.0\nCSeq: 1 BYE\n\n", false),
            Some(Step::Delete)
        );
        assert_eq!(of("INFO sip:a@h SIP/2.0\nCSeq: 1 INFO\n\n", true), None);
        assert_eq!(of("SIP/2.0 486 X\nCSeq: 1 INVITE\n\n", false), Some(Step::Delete));
        assert_eq!(of("SIP/2.0 180 X\nCSeq: 1 INVITE\n\n", false), None);
        assert_eq!(of("SIP/2.0 200 X\nCSeq: 1 INVITE\n\n", true), Some(Step::Answer));
        assert_eq!(of("SIP/2.0 200 X\nCSeq: 1 BYE\n\n", true), Some(Step::Delete));
        let prack = server.message("PRACK sip:a@h SIP/2.0\nCSeq: 1 PRACK\n\n");
        assert_eq!(step(None, &prack, true, InPrack::Offer), Some(Step::Offer));
        assert_eq!(step(None, &prack, true, InPrack::Answer), Some(Step::Answer));
        let mut cx = server.invite();
        cx.route = RouteKind::Failure;
        assert_eq!(step(None, &cx, true, InPrack::Answer), Some(Step::Delete));
    }
}
