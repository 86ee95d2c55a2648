//! `event_route[corex:reply-out]`: replies as they leave.

use std::{rc::Rc, sync::Arc};

use kahea_module::{Cx, Decl, Env, RouteId, RouteKind, Str, Worker};
use kahea_sip::{Limits, Message, Received};

use super::{Corex, network::towards};

/// Declares the event.
pub fn declare(d: &mut Decl<Corex>) {
    d.event(
        "corex:reply-out",
        "A reply is sent, made here or sent on: the message of the route is the reply, its source the address that it goes to.",
    );
}

/// Runs the event for every reply that leaves, where the script has it; `callback` names an embedded function instead.
pub fn register(callback: Option<Str>, env: &mut Env<'_>) {
    let route = callback
        .and_then(|name| env.event_route(&name.text()))
        .or_else(|| env.event_route("corex:reply-out"));
    if let Some(route) = route {
        env.hooks.wire_out.push(Arc::new(move |worker, to, data| {
            if data.starts_with(b"SIP/2.0 ") {
                run(worker, towards(worker, to), route, &data);
            }
            Some(data)
        }));
    }
}

fn run(worker: &Rc<Worker>, received: Received, route: RouteId, data: &Str) {
    let Ok(message) = Message::parse(data.clone(), &Limits::default()) else {
        return;
    };
    let mut cx = Cx::new(message, received, worker.clone());
    cx.faked = true;
    cx.route = RouteKind::Event;
    cx.route_name = Str::from_static("corex:reply-out");
    worker.engine.run_now(&mut cx, route);
    cx.finish();
}

#[cfg(test)]
mod tests {
    use super::*;
    use kahea_module::testing::Server;

    #[test]
    fn replies_run_the_event_and_what_is_no_reply_does_not() {
        let server = Server::default();
        let received = server.invite().received;
        let reply = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP a\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:b@c>;tag=2\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n\r\n";
        run(&server.worker, received, RouteId(3), &Str::from(reply));
        assert_eq!(*server.engine.ran.borrow(), [RouteId(3)]);
        run(
            &server.worker,
            received,
            RouteId(3),
            &Str::from("SIP/2.0 nonsense"),
        );
        assert_eq!(server.engine.ran.borrow().len(), 1);
    }
}
