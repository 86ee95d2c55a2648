//! The ACK to a 2xx for an INVITE of this server (RFC 3261 section 13.2.2.4).

use std::{net::SocketAddr, rc::Rc, sync::Arc};

use kahea_module::{Config, Cx, Fault, Hop, Str, Worker, info, proxy};
use kahea_sip::{
    Destination, Edits, HeaderId, Limits, Message, Received, Transport,
    build::{RequestParts, request},
    view::{Addrs, NameAddr},
};
use kahea_tx::BranchId;

use super::{
    cell::{Cell, Held, Switches},
    further::AckTo,
    local::run_on,
    uac::user_agent,
};

/// Where requests of the dialog go: Request-URI, Route values, and the URI of the next hop.
#[derive(Debug, PartialEq, Eq)]
struct Path {
    ruri: Str,
    routes: Vec<Str>,
    next: Str,
}

/// The path that a 2xx lays (RFC 3261 sections 12.1.2 and 12.2.1.1); `sent` is the INVITE.
fn path(sent: &Message, reply: &Message) -> Path {
    let contact = reply
        .first(HeaderId::Contact)
        .map(|header| reply.value_text(header));
    let contact = contact.and_then(|text| {
        let first = Addrs::new(&text).next()?.ok()?;
        Some(text.share(first.uri))
    });
    let target = contact.unwrap_or_else(|| sent.uri().map_or(Str::EMPTY, Str::copy));
    let mut routes: Vec<Str> = Vec::new();
    for header in reply.all(HeaderId::RecordRoute) {
        let value = reply.value_text(header);
        routes.extend(Addrs::new(&value).flatten().map(|addr| value.share(addr.raw)));
    }
    routes.reverse();
    let first = routes.first().and_then(|first| {
        let addr = NameAddr::parse(first).ok()?;
        Some((first.share(addr.uri), addr.parse_uri().ok()?.lr()))
    });
    match first {
        Some((next, true)) => Path {
            ruri: target,
            routes,
            next,
        },
        // A strict router finds itself in the Request-URI, and the target at the end.
        Some((next, false)) => {
            routes.remove(0);
            routes.push(Str::from([b"<", &*target, b">"].concat()));
            Path {
                ruri: next.clone(),
                routes,
                next,
            }
        }
        None => Path {
            next: target.clone(),
            ruri: target,
            routes,
        },
    }
}

/// What the script adds to an ACK.
#[derive(Clone, Default)]
pub struct Addition {
    /// Header lines, each with its line end.
    pub headers: Str,
    /// The body.
    pub body: Str,
}

/// Acknowledges the 2xx that `cx` holds, or keeps it for `t_uac_ack_local()` where the script wants to.
pub fn send(cell: &Arc<Cell>, branch: BranchId, cx: &mut Cx) {
    {
        let mut state = cell.state.lock();
        if state.switches.has(Switches::NO_AUTO_ACK) {
            if let Some(local) = &mut state.local {
                local.unacknowledged = Some((branch, Box::new(Held::copy(cx))));
            }
            return;
        }
    }
    acknowledge(cell, branch, cx, Addition::default());
}

/// Acknowledges the 2xx that `cx` holds.
pub fn acknowledge(cell: &Arc<Cell>, branch: BranchId, cx: &mut Cx, addition: Addition) {
    let (data, to) = {
        let state = cell.state.lock();
        match state.branches.get(branch.index()) {
            Some(known) => (cell.sent_on(known), known.to),
            None => return,
        }
    };
    let Ok(sent) = Message::parse(data, &Limits::default()) else {
        return;
    };
    let path = path(&sent, &cx.msg);
    let ack = Ack {
        cell: cell.clone(),
        branch,
        sent,
        reply: cx.msg.clone(),
        received: cx.received,
        to,
        addition,
    };
    match cell.core.options().further.ack_to {
        AckTo::Invite => ack.leave(cx, &path, to),
        AckTo::Source => ack.leave(cx, &path, to_source(&cx.received)),
        AckTo::RouteSet => match proxy::hop_of_uri(&path.next) {
            Ok(hop) => ack.resolve(cx, path, hop),
            Err(fault) => info!("tm", "No ACK: {fault}."),
        },
    }
}

fn to_source(received: &Received) -> Destination {
    Destination {
        to: received.source,
        transport: received.transport,
        listener: Some(received.listener),
        connection: received.connection,
        flags: kahea_sip::SendFlags::default(),
    }
}

/// An ACK on its way.
struct Ack {
    cell: Arc<Cell>,
    branch: BranchId,
    sent: Message,
    reply: Message,
    received: Received,
    /// Where the INVITE went.
    to: Destination,
    addition: Addition,
}

impl Ack {
    fn resolve(self, cx: &mut Cx, path: Path, hop: Hop) {
        if let Some(known) = cx.worker.net.resolve_now(&hop) {
            return match self.destination(&cx.worker, known) {
                Ok(to) => self.leave(cx, &path, to),
                Err(fault) => info!("tm", "No ACK: {fault}."),
            };
        }
        let worker = cx.worker.clone();
        let engine = worker.engine.clone();
        engine.spawn(Box::pin(async move {
            let known = worker.net.resolve(hop).await;
            match self.destination(&worker, known) {
                Ok(to) => {
                    let mut cx = Cx::new(self.reply.clone(), self.received, worker);
                    self.leave(&mut cx, &path, to);
                    cx.finish();
                }
                Err(fault) => info!("tm", "No ACK: {fault}."),
            }
        }));
    }

    fn destination(
        &self,
        worker: &Rc<Worker>,
        known: Result<Vec<(SocketAddr, Transport)>, Fault>,
    ) -> Result<Destination, Fault> {
        let (to, transport) = *known?
            .first()
            .ok_or_else(|| Fault::peer("the Contact of the 2xx has no address"))?;
        let listener = worker.net.listener_for(to, transport, self.to.listener);
        let listener = listener.ok_or_else(|| Fault::script(format!("there is no {transport} listener")))?;
        Ok(Destination {
            to,
            transport,
            listener: Some(listener),
            connection: None,
            flags: self.to.flags,
        })
    }

    fn leave(&self, cx: &mut Cx, path: &Path, to: Destination) {
        let config = cx.worker.config.clone();
        let data = text(
            &self.sent,
            &self.reply,
            path,
            &self.via(cx, &config, to),
            &user_agent(&config),
            &self.addition,
        );
        let further = &self.cell.core.options().further;
        let data = match further.local_request.filter(|_| further.event_for_ack) {
            Some(route) => routed(cx, data, route),
            None => data,
        };
        if let Err(fault) = proxy::send_raw(&cx.worker, &to, data.clone()) {
            return info!("tm", "Could not send the ACK to {}: {fault}.", to.to);
        }
        if let Some(route) = further.local_ack_sent
            && let Ok(ack) = Message::parse(data, &Limits::default())
        {
            run_on(cx, ack, &[route]);
        }
    }

    /// Its Via line: that of the INVITE, or one of its own where the branch or the way is another.
    fn via(&self, cx: &Cx, config: &Config, to: Destination) -> Vec<u8> {
        let own_branch = self.cell.core.options().further.ack_branch;
        let same_way = to.transport == self.to.transport && to.listener == self.to.listener;
        let top = self.sent.vias().next();
        if let Some(hop) = top.filter(|_| same_way && !own_branch) {
            return [b"Via: ", self.sent.bytes(hop.span).trim_ascii(), b"\r\n"].concat();
        }
        let mut out = Vec::with_capacity(96);
        let id = self.cell.id;
        let listener = to.listener.and_then(|id| config.identity.listener(id));
        if let Some(listener) = listener {
            // No branch of the transaction has this form, so nothing can be taken for a reply to one.
            let text = format!("{:x}.{:016x}.a.{:x}", id.index, id.label, self.branch.0);
            proxy::own_via_text(cx, listener, to.transport, text.as_bytes(), &mut out);
        }
        out
    }
}

/// The ACK with what `event_route[tm:local-request]` changed in it.
fn routed(cx: &mut Cx, data: Str, route: kahea_module::RouteId) -> Str {
    let Ok(ack) = Message::parse(data.clone(), &Limits::default()) else {
        return data;
    };
    let msg = std::mem::replace(&mut cx.msg, ack);
    let edits = std::mem::take(&mut cx.edits);
    let engine = cx.worker.engine.clone();
    let kind = std::mem::replace(&mut cx.route, kahea_module::RouteKind::Event);
    engine.run_now(cx, route);
    let ack = std::mem::replace(&mut cx.msg, msg);
    let changes: Edits = std::mem::replace(&mut cx.edits, edits);
    cx.route = kind;
    let parts = RequestParts {
        ruri: None,
        new_via: None,
        via_fix: None,
        stream: false,
    };
    let mut out = Vec::with_capacity(data.len());
    request(&ack, &changes, &parts, &mut |_, _| {}, &mut out);
    Str::from(out)
}

fn text(
    sent: &Message,
    reply: &Message,
    path: &Path,
    via: &[u8],
    user_agent: &[u8],
    addition: &Addition,
) -> Str {
    let line = |message: &Message, id: HeaderId| {
        message
            .first(id)
            .map_or(Vec::new(), |header| message.bytes(header.line).to_vec())
    };
    let mut out = Vec::with_capacity(512);
    let mut put = |piece: &[u8]| out.extend_from_slice(piece);
    put(b"ACK ");
    put(&path.ruri);
    put(b" SIP/2.0\r\n");
    put(via);
    put(&line(sent, HeaderId::From));
    put(&line(sent, HeaderId::CallId));
    put(&line(reply, HeaderId::To));
    let number = sent.cseq().map_or(0, |(number, _)| number);
    put(format!("CSeq: {number} ACK\r\n").as_bytes());
    if !path.routes.is_empty() {
        put(b"Route: ");
        put(&path.routes.join(&b", "[..]));
        put(b"\r\n");
    }
    put(user_agent);
    put(&addition.headers);
    if !addition.headers.is_empty() && !addition.headers.ends_with(b"\n") {
        put(b"\r\n");
    }
    put(format!("Content-Length: {}\r\n\r\n", addition.body.len()).as_bytes());
    put(&addition.body);
    Str::from(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Message {
        Message::parse(Str::from(text), &Limits::default()).unwrap()
    }

    fn invite() -> Message {
        parse(
            "INVITE sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP p;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\nCall-ID: c\r\nCSeq: 3 INVITE\r\n\r\n",
        )
    }

    fn reply(headers: &str) -> Message {
        parse(&format!("SIP/2.0 200 OK\r\nTo: <sip:b@h>;tag=2\r\n{headers}\r\n"))
    }

    #[test]
    fn the_route_set_is_the_record_route_backwards() {
        let path = path(
            &invite(),
            &reply("Contact: <sip:b@c>\r\nRecord-Route: <sip:r1;lr>, <sip:r2;lr>\r\n"),
        );
        assert_eq!((&*path.ruri.text(), &*path.next.text()), ("sip:b@c", "sip:r2;lr"));
        let ack = text(
            &invite(),
            &reply(""),
            &path,
            b"Via: x\r\n",
            b"",
            &Addition::default(),
        );
        assert_eq!(
            ack.text(),
            "ACK sip:b@c SIP/2.0\r\nVia: x\r\nFrom: <sip:a@h>;tag=1\r\nCall-ID: c\r\nTo: <sip:b@h>;tag=2\r\n\
             CSeq: 3 ACK\r\nRoute: <sip:r2;lr>, <sip:r1;lr>\r\nContent-Length: 0\r\n\r\n"
        );
    }

    #[test]
    fn a_strict_router_gets_its_own_uri() {
        let path = path(
            &invite(),
            &reply("Contact: <sip:b@c>\r\nRecord-Route: <sip:r1;lr>, <sip:r2>\r\n"),
        );
        assert_eq!((&*path.ruri.text(), &*path.next.text()), ("sip:r2", "sip:r2"));
        assert_eq!(path.routes, ["<sip:r1;lr>", "<sip:b@c>"]);
    }

    #[test]
    fn without_contact_it_goes_where_the_invite_went() {
        let path = path(&invite(), &reply(""));
        assert_eq!((&*path.ruri.text(), path.routes.len()), ("sip:b@h", 0));
    }
}
