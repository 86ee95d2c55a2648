//! Packets of HEP that reach this server: taken off the wire, told to the event route, and given to the script as the
//! message that was captured, with its addresses.

use std::{rc::Rc, sync::Arc};

use kahea_module::{Cx, Env, InitError, RouteId, RouteKind, Str, Worker, stats::Counter};
use kahea_sip::{Limits, Message, Received, Transport};

use super::{
    params::Params,
    row::{Captured, Original},
};
use crate::hep;

/// The message of the event, and that of what cannot be read.
const STAND_IN: Str = Str::from_static(
    "OPTIONS sip:you@kahea.invalid SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1\r\nFrom: <sip:you@kahea.invalid>;tag=1\r\n\
     To: <sip:you@kahea.invalid>\r\nCall-ID: sipcapture\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n",
);

struct Intake {
    event: Option<RouteId>,
    request: Option<RouteId>,
    reply: Option<RouteId>,
    /// Messages that cannot be read go to the script too.
    bad: bool,
    unread: Counter,
}

/// Puts itself before the messages.
pub fn register(params: &Params, env: &mut Env<'_>) -> Result<(), InitError> {
    let callback = params.event_callback.as_ref().filter(|name| !name.is_empty());
    let name = callback.map_or_else(|| "sipcapture:request".into(), |name| name.text());
    let event = match params.nonsip_hook != 0 {
        true => Some(env.event_route(&name).ok_or_else(|| {
            InitError::new(format!("nonsip_hook is set, but there is no event_route[{name}]"))
                .help("add the event route, or set nonsip_hook to 0")
        })?),
        false => None,
    };
    let intake = Intake {
        event,
        request: env.bind.route(RouteKind::Request, ""),
        reply: env.bind.route(RouteKind::Reply, ""),
        bad: params.capture_bad_msgs != 0,
        unread: env.counter("bad_packets"),
    };
    env.hooks.wire_in.push(Arc::new(move |worker, received, data| {
        if !hep::Packet::is_likely(&data) {
            return Some(data);
        }
        intake.take(worker, received, &data);
        None
    }));
    Ok(())
}

impl Intake {
    fn take(&self, worker: &Rc<Worker>, received: &Received, data: &Str) {
        let packet = match hep::Packet::decode(data) {
            Ok(packet) => packet,
            Err(error) => {
                self.unread.inc();
                kahea_module::debug!(
                    "sipcapture",
                    "A packet from {} is no HEP: {error}.",
                    received.source
                );
                return;
            }
        };
        if let Some(route) = self.event
            && !is_wanted(worker, received, &packet, data, route)
        {
            return;
        }
        let parsed = Message::parse(packet.payload.clone(), &Limits::default());
        let message = match parsed {
            Ok(message) => message,
            Err(_) if self.bad => match Message::salvage(packet.payload.clone(), &Limits::default()) {
                Some(message) => message,
                None => return,
            },
            Err(error) => {
                kahea_module::debug!(
                    "sipcapture",
                    "What was captured from {} is no SIP: {error}.",
                    packet.source
                );
                return;
            }
        };
        self.run(worker, received, message, packet, data);
    }

    /// The script sees the message as if it had come from where it was captured. It goes no further than the script.
    fn run(
        &self,
        worker: &Rc<Worker>,
        received: &Received,
        message: Message,
        packet: hep::Packet,
        data: &Str,
    ) {
        let (kind, route) = match message.is_request() {
            true => (RouteKind::Request, self.request),
            false => (RouteKind::Reply, self.reply),
        };
        let Some(route) = route else { return };
        let transport = match packet.protocol {
            hep::TCP => Transport::Tcp,
            hep::SCTP => Transport::Sctp,
            _ => Transport::Udp,
        };
        let as_captured = Received {
            source: packet.source,
            transport,
            connection: None,
            ..*received
        };
        let mut cx = Cx::new(message, as_captured, worker.clone());
        cx.route = kind;
        cx.extra::<Captured>().0 = Some(packet);
        cx.extra::<Original>().0 = data.clone();
        worker.engine.run_then(cx, route, Box::new(|cx, _| cx.finish()));
    }
}

/// Runs the event route: a packet is wanted unless it returns 0 or drops it.
fn is_wanted(
    worker: &Rc<Worker>,
    received: &Received,
    packet: &hep::Packet,
    data: &Str,
    route: RouteId,
) -> bool {
    let Ok(message) = Message::parse(STAND_IN, &Limits::default()) else {
        return true;
    };
    let mut cx = Cx::new(message, *received, worker.clone());
    cx.faked = true;
    cx.route = RouteKind::Event;
    cx.route_name = Str::from_static("sipcapture:request");
    cx.extra::<Captured>().0 = Some(packet.clone());
    cx.extra::<Original>().0 = data.clone();
    let outcome = worker.engine.run_now(&mut cx, route);
    cx.finish();
    !outcome.drop && outcome.code != 0
}
