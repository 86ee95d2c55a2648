//! `event_route[network:msg]`: the bytes of messages as they come and leave.

use std::{rc::Rc, sync::Arc};

use kahea_module::{Cx, Decl, Env, InitError, RouteId, RouteKind, Str, Value, Var, Worker};
use kahea_sip::{Destination, Limits, Message, Received};

use super::Corex;

/// The parameters that concern it.
#[derive(Default)]
pub struct Settings {
    /// `network_io_intercept`.
    pub intercept: i64,
    /// `min_msg_len`.
    pub min_len: i64,
    /// `msg_avp`.
    pub avp: Option<Str>,
}

/// The event runs with this in place of a message: what passes need not be SIP.
const FAKED: Str = Str::from_static(
    "OPTIONS sip:you@kahea.invalid SIP/2.0\r\n\
     Via: SIP/2.0/UDP 127.0.0.1\r\n\
     From: <sip:you@kahea.invalid>;tag=network\r\n\
     To: <sip:you@kahea.invalid>\r\n\
     Call-ID: network@kahea.invalid\r\n\
     CSeq: 1 OPTIONS\r\n\
     Content-Length: 0\r\n\r\n",
);

/// Which way the bytes of `$mb` go.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Direction {
    #[default]
    Unknown,
    In,
    Out,
}

/// Declares `is_incoming()`, `is_faked_msg()` and the event.
pub fn declare(d: &mut Decl<Corex>) {
    d.func(
        "is_incoming",
        [],
        is_incoming,
        "True where `$mb` in event_route[network:msg] came from the network, false where it is about to leave.",
    );
    d.func(
        "is_faked_msg",
        [],
        is_faked_msg,
        "True where the message in work was made by this server (event routes), false where it was received.",
    )
    .kemi(0, "is_faked_msg");
    d.event(
        "network:msg",
        "The bytes of a message came or are about to leave; `$mb` holds them, the variable of msg_avp replaces them, and discards them where it is empty.",
    );
}

fn is_incoming(_: &Corex, cx: &mut Cx) -> bool {
    cx.extra_ref::<Direction>() == Some(&Direction::In)
}

fn is_faked_msg(_: &Corex, cx: &mut Cx) -> bool {
    // The stand-in of event_route[network:msg] carries the bytes of another message, and so counts as received.
    cx.faked
        && cx
            .extra_ref::<Direction>()
            .is_none_or(|direction| *direction == Direction::Unknown)
}

/// The event ready to run.
struct Event {
    route: RouteId,
    min_len: usize,
    result: Option<Var>,
}

/// Puts the event into the path of bytes, where it is asked for and the script has the route.
pub fn register(settings: Settings, env: &mut Env<'_>) -> Result<(), InitError> {
    let Some(route) = env.event_route("network:msg").filter(|_| settings.intercept != 0) else {
        return Ok(());
    };
    let result = match settings.avp.filter(|name| !name.is_empty()) {
        Some(name) => Some(variable(&name, env)?),
        None => {
            kahea_module::warning!(
                "corex",
                "event_route[network:msg] changes nothing without the parameter msg_avp."
            );
            None
        }
    };
    let event = Arc::new(Event {
        route,
        min_len: usize::try_from(settings.min_len).unwrap_or(0),
        result,
    });
    let incoming = event.clone();
    env.hooks.wire_in.push(Arc::new(move |worker, received, data| {
        incoming.run(worker, *received, Direction::In, data)
    }));
    env.hooks.wire_out.push(Arc::new(move |worker, to, data| {
        let received = towards(worker, to);
        event.run(worker, received, Direction::Out, data)
    }));
    Ok(())
}

fn variable(name: &Str, env: &Env<'_>) -> Result<Var, InitError> {
    env.bind.var(&name.text()).map_err(|error| {
        InitError::new(format!("msg_avp is '{name}': {}", error.message))
            .help("give a variable such as $avp(msg)")
    })
}

/// Addresses of what leaves: the peer as source, the listener as local address.
pub(super) fn towards(worker: &Worker, to: &Destination) -> Received {
    let identity = &worker.config.identity;
    let listener = to.listener.and_then(|id| identity.listener(id)).or_else(|| {
        identity
            .listeners
            .iter()
            .find(|own| own.transport == to.transport)
    });
    Received {
        source: to.to,
        local: listener.map_or(to.to, |own| own.address),
        transport: to.transport,
        listener: listener.map_or(kahea_sip::ListenerId(0), |own| own.id),
        connection: to.connection,
        at: worker.engine.time(),
    }
}

impl Event {
    /// The bytes to go on with; `None` where the script leaves none.
    fn run(&self, worker: &Rc<Worker>, received: Received, direction: Direction, data: Str) -> Option<Str> {
        if data.len() < self.min_len {
            return Some(data);
        }
        let Ok(message) = Message::parse(FAKED, &Limits::default()) else {
            return Some(data);
        };
        let mut cx = Cx::new(message, received, worker.clone());
        cx.raw = Some(data.clone());
        cx.faked = true;
        cx.route = RouteKind::Event;
        cx.route_name = Str::from_static("network:msg");
        *cx.extra::<Direction>() = direction;
        // As in Kamailio drop has no meaning here; an empty value discards the bytes.
        worker.engine.run_now(&mut cx, self.route);
        let result = self.result.as_ref().map_or(Value::Null, |var| var.get(&mut cx));
        cx.finish();
        match result.str() {
            None => Some(data),
            Some(changed) => (!changed.is_empty()).then_some(changed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kahea_module::testing::Server;

    fn event(min_len: usize) -> Event {
        Event {
            route: RouteId(1),
            min_len,
            result: None,
        }
    }

    #[test]
    fn short_messages_pass_and_long_ones_run_the_event() {
        let server = Server::default();
        let received = server.invite().received;
        let data = Str::from("\0\x01binary");
        let run = |event: Event| event.run(&server.worker, received, Direction::In, data.clone());
        assert_eq!(run(event(32)), Some(data.clone()));
        assert!(server.engine.ran.borrow().is_empty());
        assert_eq!(run(event(8)), Some(data.clone()));
        assert_eq!(*server.engine.ran.borrow(), [RouteId(1)]);
    }

    #[test]
    fn the_variable_replaces_the_bytes() {
        let server = Server::default();
        let received = server.invite().received;
        let with = |text: &'static str| Event {
            result: Some(Var::new(Str::from("$avp(msg)"), move |_| Value::from(text), None)),
            ..event(0)
        };
        let run = |event: Event| event.run(&server.worker, received, Direction::Out, Str::from("old"));
        assert_eq!(run(with("new\0")), Some(Str::from("new\0")));
        assert_eq!(run(with("")), None);
    }

    #[test]
    fn the_direction_is_known_in_the_event_only() {
        let server = Server::default();
        let mut cx = server.invite();
        assert!(!is_incoming(&Corex, &mut cx) && !is_faked_msg(&Corex, &mut cx));
        *cx.extra::<Direction>() = Direction::In;
        assert!(is_incoming(&Corex, &mut cx));
        let to = Destination {
            to: "127.0.0.9:5070".parse().unwrap(),
            transport: kahea_sip::Transport::Udp,
            listener: None,
            connection: None,
            flags: kahea_sip::SendFlags::default(),
        };
        let received = towards(&server.worker, &to);
        assert_eq!(received.source.to_string(), "127.0.0.9:5070");
        assert_eq!(received.local.to_string(), "127.0.0.1:5060");
    }
}
