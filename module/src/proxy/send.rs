//! The last steps of sending: `onsend_route`, hooks on raw bytes, the socket.

use std::rc::Rc;

use kahea_sip::Destination;

use crate::{Cx, Fault, RouteKind, Sending, Str, Worker};

/// Sends a message built from `cx`, after `onsend_route` where `through_route` says so.
///
/// # Errors
/// The network refuses it. A message that `onsend_route` drops is no error.
pub fn deliver(cx: &mut Cx, to: Destination, data: Str, through_route: bool) -> Result<(), Fault> {
    if through_route && let Some(route) = cx.config().onsend {
        let from = to
            .listener
            .and_then(|id| cx.config().identity.listener(id))
            .map_or(cx.received.local, |l| l.address);
        let before = cx.sending.replace(Sending {
            to,
            from,
            data: data.clone(),
        });
        let kind = std::mem::replace(&mut cx.route, RouteKind::OnSend);
        let engine = cx.worker.engine.clone();
        let outcome = engine.run_now(cx, route);
        cx.route = kind;
        cx.sending = before;
        if outcome.drop {
            return Ok(());
        }
    }
    send_raw(&cx.worker, &to, data)
}

/// Sends bytes as they are, through the hooks on outgoing bytes (`event_route[network:msg]`).
///
/// # Errors
/// The network refuses them.
pub fn send_raw(worker: &Rc<Worker>, to: &Destination, data: Str) -> Result<(), Fault> {
    let mut data = data;
    for hook in &worker.config.hooks.wire_out {
        match hook(worker, to, data) {
            Some(changed) => data = changed,
            None => return Ok(()),
        }
    }
    worker.net.send(to, data)
}
