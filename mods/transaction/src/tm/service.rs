//! What other modules may ask about the transaction of a message.

use kahea_module::{Cx, Str};
use kahea_sip::{Message, view::MediaType};

use super::{
    attached::{Role, cell, role},
    replies::branch_text,
};

/// Questions about transactions; modules loaded behind `tm` find it as a service.
#[derive(Debug)]
pub struct Transactions;

impl Transactions {
    /// The request of the message's transaction came with a session description; `None` where it has no transaction.
    pub fn request_has_sdp(&self, cx: &Cx) -> Option<bool> {
        let request = cell(cx)?.message().ok()?;
        Some(has_sdp(&request))
    }

    /// The Via branch that the branch in work will have; `None` outside of a `branch_route`, where none is chosen yet.
    pub fn next_branch(&self, cx: &Cx) -> Option<Str> {
        let Role::Branch(branch) = role(cx) else {
            return None;
        };
        let text = branch_text(cell(cx)?.id, branch);
        Some(Str::from([b"z9hG4bK".as_slice(), &text].concat()))
    }

    /// The message is in `event_route[tm:branch-failure:…]`.
    pub fn is_branch_failure(&self, cx: &Cx) -> bool {
        matches!(role(cx), Role::BranchFailure(_))
    }
}

/// By its type alone, or by that of a part.
fn has_sdp(request: &Message) -> bool {
    let kind = request
        .first(kahea_sip::HeaderId::ContentType)
        .map(|header| request.value(header));
    let Some(kind) = kind.filter(|_| !request.body().is_empty()) else {
        return false;
    };
    MediaType::parse(kind).is_ok_and(|kind| kind.is("application", "sdp"))
        || kahea_sip::multipart::Multipart::parse(kind, request.body())
            .is_ok_and(|parts| parts.find("application", "sdp").is_some())
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::*;

    #[test]
    fn without_a_transaction_nothing_is_known() {
        let server = Server::default();
        let cx = server.invite();
        assert!(has_sdp(&cx.msg));
        assert_eq!(Transactions.request_has_sdp(&cx), None);
        assert_eq!(Transactions.next_branch(&cx), None);
        assert!(!Transactions.is_branch_failure(&cx));
    }
}
