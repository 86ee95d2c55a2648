//! The next address of a hop, where one does not answer or is overloaded (RFC 3263 section 4.3).

use std::{net::SocketAddr, rc::Rc, sync::Arc};

use kahea_module::{Cx, Str, Targets, Worker, info, proxy};
use kahea_sip::{Destination, Limits, Message, Transport};
use kahea_tx::{BranchId, Outcome};

use super::{
    cell::{Branch, Cell, State, Switches},
    core::now,
    kept::SentRequest,
    replies::branch_text,
};

/// Tries the next address of the branch's hop in a new branch; false where there is none or none is due.
pub fn next_address(cell: &Arc<Cell>, worker: &Rc<Worker>, branch: BranchId) -> bool {
    let mut rest = {
        let mut state = cell.state.lock();
        if !is_due(cell, &state, branch) {
            return false;
        }
        let known = state.branches.get_mut(branch.index());
        known
            .map(|known| std::mem::take(&mut known.rest))
            .unwrap_or_default()
    };
    let rules = &cell.core.options().further.blocklist;
    let next = allowed(&mut rest, |to, transport| {
        !rules.forbid(worker, cell.method, to, transport)
    });
    let (Some(to), Ok(cx)) = (next, cell.request_cx(worker.clone())) else {
        return false;
    };
    let begun = begin(cell, &cx, branch, to, rest);
    cx.finish();
    begun
}

/// Takes the first address that may be asked out of the list, with those before it.
pub fn allowed(
    addresses: &mut Targets,
    may: impl Fn(SocketAddr, Transport) -> bool,
) -> Option<(SocketAddr, Transport)> {
    let at = addresses
        .iter()
        .position(|(to, transport)| may(*to, *transport))?;
    addresses.drain(..=at).next_back()
}

fn is_due(cell: &Cell, state: &State, branch: BranchId) -> bool {
    let Some(client) = state.tx.client(branch) else {
        return false;
    };
    let failed = match client.outcome() {
        Outcome::TimedOut => client.last_status() == 0,
        Outcome::Unsent(_) => true,
        Outcome::Reply(status) => {
            let options = cell.core.options();
            let further = options.failover_codes.iter().any(|codes| codes.contains(&status));
            status == 503 || further
        }
        Outcome::Cancelled | Outcome::Pending => false,
    };
    failed
        && cell.config.globals.use_dns_failover
        && !state.switches.has(Switches::NO_FAILOVER)
        && !state.tx.is_cancelled()
        && !state.tx.server().is_final()
}

fn begin(
    cell: &Arc<Cell>,
    cx: &Cx,
    failed: BranchId,
    (to, transport): (SocketAddr, Transport),
    rest: Vec<(SocketAddr, Transport)>,
) -> bool {
    let worker = &cx.worker;
    let Some(id) = worker.net.listener_for(to, transport, cx.target.send_socket) else {
        return false;
    };
    let config = worker.config.clone();
    let Some(listener) = config.identity.listener(id) else {
        return false;
    };
    let (destination, data) = {
        let mut state = cell.state.lock();
        let Some(old) = state.branches.get(failed.index()) else {
            return false;
        };
        let branch = BranchId::at(state.branches.len());
        let mut via = Vec::with_capacity(96);
        proxy::own_via_text(cx, listener, transport, &branch_text(cell.id, branch), &mut via);
        let Some(data) = with_via(&cell.sent_on(old), &via) else {
            return false;
        };
        let destination = Destination {
            to,
            transport,
            listener: Some(id),
            connection: None,
            flags: old.to.flags,
        };
        let next = Branch {
            to: destination,
            sent: SentRequest::of(&data, &cell.request),
            target: old.target.clone(),
            rest,
            on_reply: old.on_reply,
            on_failure: old.on_failure,
            on_branch_failure: old.on_branch_failure,
            held: None,
            cancel: None,
        };
        state.branches.push(next);
        let added = state.tx.add_branch();
        state.tx.sent(now(worker), added, transport.is_stream());
        (destination, data)
    };
    info!("tm", "Trying the next address of the hop: {to}.");
    if let Err(fault) = proxy::send_raw(worker, &destination, data) {
        info!("tm", "Could not send to {to}: {fault}.");
    }
    true
}

/// The request with another topmost Via.
fn with_via(data: &Str, via: &[u8]) -> Option<Str> {
    let message = Message::parse(data.clone(), &Limits::default()).ok()?;
    let top = message.vias().next()?;
    let line = message.headers().get(top.header)?.line;
    let start = usize::try_from(line.start()).ok()?;
    let end = usize::try_from(line.end()).ok()?;
    let out = [data.get(..start)?, via, data.get(end..)?].concat();
    Some(Str::from(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_may_not_be_asked_are_passed_over() {
        let address = |port| (SocketAddr::from(([127, 0, 0, 1], port)), Transport::Udp);
        let mut all: Targets = (1..=4).map(address).collect();
        let odd = |to: SocketAddr, _| to.port() % 2 == 1;
        assert_eq!(allowed(&mut all, odd), Some(address(1)));
        assert_eq!(allowed(&mut all, odd), Some(address(3)));
        assert_eq!(all, [address(4)]);
        assert_eq!(allowed(&mut all, odd), None);
    }
}
