//! The filter for ACKs to stateless replies: such an ACK carries the To-tag that the reply gave.

use std::sync::Arc;

use kahea_module::{Cx, Env, RouteId, config::Flow, proxy};
use kahea_sip::Method;

use super::stats::Counters;

/// Puts the filter before the script.
pub(super) fn filter(env: &mut Env<'_>, counters: Arc<Counters>, event: Option<RouteId>) {
    env.hooks
        .request
        .push(Arc::new(move |cx| absorb(cx, &counters, event)));
}

fn absorb(cx: &mut Cx, counters: &Counters, event: Option<RouteId>) -> Flow {
    if cx.msg.method() != Method::Ack || !is_ours(cx) {
        return Flow::Continue;
    }
    counters.acks.inc();
    if let Some(route) = event {
        cx.worker.clone().engine.run_now(cx, route);
    }
    Flow::Stop
}

fn is_ours(cx: &Cx) -> bool {
    cx.to()
        .ok()
        .and_then(|to| to.tag())
        .is_some_and(|tag| proxy::is_local_tag(cx, tag))
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::{INVITE, Server};

    use super::*;

    #[test]
    fn only_the_ack_to_an_own_reply_is_absorbed() {
        let server = Server::default();
        let tag = proxy::local_tag(&server.invite());
        let counters = Counters::new(&server.worker.config.shared.stats);
        let ack = |tag: &str| {
            let ack = INVITE.replace("INVITE", "ACK").replace(
                "To: <sip:bob@example.com>",
                &format!("To: <sip:bob@example.com>;tag={tag}"),
            );
            server.message(&ack)
        };
        assert_eq!(
            absorb(&mut ack(&tag.text()), &counters, Some(RouteId(7))),
            Flow::Stop
        );
        assert_eq!(*server.engine.ran.borrow(), [RouteId(7)]);
        assert_eq!(absorb(&mut ack("other"), &counters, None), Flow::Continue);
        assert_eq!(absorb(&mut server.invite(), &counters, None), Flow::Continue);
        assert_eq!(counters.acks.get(), 1);
    }
}
