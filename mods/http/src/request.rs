//! What `xhttp` and `xmlrpc` share: which requests are theirs, the form that the script sees them in, and their order on
//! a connection.

use std::{
    cell::RefCell,
    collections::{HashMap, VecDeque},
};

use kahea_module::{Cx, Fault, InitError, Outcome, Regex, RouteId, RouteKind, Str};
use kahea_sip::{ConnectionId, Limits, Message};

/// Requests of one connection that wait for the answer to an earlier one; a client that sends more is cut off.
const MOST_WAITING: usize = 64;

/// Which targets are a module's: parameters `url_match` and `url_skip`.
#[derive(Default)]
pub struct Gate {
    wanted: Option<Regex>,
    skipped: Option<Regex>,
}

impl Gate {
    /// Of the parameters.
    ///
    /// # Errors
    /// One of them is no regular expression.
    pub fn new(wanted: Option<&Str>, skipped: Option<&Str>) -> Result<Gate, InitError> {
        let regex = |name: &str, text: Option<&Str>| {
            text.map(|text| Regex::new(text))
                .transpose()
                .map_err(|error| InitError::new(format!("{name} is no regular expression: {error}")))
        };
        Ok(Gate {
            wanted: regex("url_match", wanted)?,
            skipped: regex("url_skip", skipped)?,
        })
    }

    /// The request is the module's.
    pub fn takes(&self, cx: &Cx) -> bool {
        let target = cx.msg.uri().unwrap_or_default();
        let hit = |regex: &Option<Regex>| regex.as_ref().map(|regex| regex.is_match(target));
        hit(&self.skipped) != Some(true) && hit(&self.wanted) != Some(false)
    }
}

/// Gives the request a Via with the client's address, as the functions of SIP expect, and another target where one is
/// given.
///
/// # Errors
/// It grows beyond what a message may be.
pub fn as_sip(cx: &mut Cx, target: Option<&[u8]>) -> Result<(), Fault> {
    let msg = &cx.msg;
    let via = format!(
        "\r\nVia: SIP/2.0/{} {}\r\n",
        cx.received.transport.via_name(),
        cx.received.source
    );
    let end = usize::try_from(msg.headers_start()).unwrap_or(0);
    let rest = msg.buffer().get(end..).unwrap_or_default();
    let line = msg.bytes(msg.first_line_span());
    let line = match (target, msg.uri()) {
        (Some(target), Some(_)) => [msg.method_text(), b" ", target, b" ", msg.bytes(msg.version())].concat(),
        _ => line.to_vec(),
    };
    let data = Str::from([&line, via.as_bytes(), rest].concat());
    let limits = Limits {
        message: data.len(),
        ..Limits::default()
    };
    cx.msg = Message::parse(data, &limits).map_err(|error| Fault::peer(error.to_string()))?;
    Ok(())
}

thread_local! {
    /// The connections whose requests are in work, with those that came meanwhile. A connection belongs to one worker.
    static IN_WORK: RefCell<HashMap<ConnectionId, VecDeque<(Cx, RouteId)>>> = RefCell::default();
}

/// Runs a route for the request, after the routes of earlier ones of its connection: answers leave in the order of the
/// requests (RFC 9112 section 9.3.2).
pub fn in_turn(cx: Cx, route: RouteId) {
    let Some(connection) = cx.received.connection else {
        return start(cx, route);
    };
    if !cx.worker.net.is_open(connection) {
        return cx.finish();
    }
    let now = IN_WORK.with_borrow_mut(|all| match all.get_mut(&connection) {
        None => {
            all.insert(connection, VecDeque::new());
            Ok(Some(cx))
        }
        Some(waiting) if waiting.len() < MOST_WAITING => {
            waiting.push_back((cx, route));
            Ok(None)
        }
        Some(_) => Err(cx),
    });
    match now {
        Ok(Some(cx)) => start(cx, route),
        Ok(None) => {}
        Err(cx) => {
            kahea_module::info!(
                "xhttp",
                "Closed the connection from {}: too many requests at once.",
                cx.received.source
            );
            cx.worker.net.close(connection);
            cx.finish();
        }
    }
}

fn start(cx: Cx, route: RouteId) {
    let engine = cx.worker.engine.clone();
    engine.run_then(cx, route, Box::new(ended));
}

/// A negative return code closes the connection, as in Kamailio.
fn ended(cx: Cx, outcome: Outcome) {
    let connection = cx.received.connection;
    if let Some(connection) = connection
        && outcome.code < 0
        && !outcome.exit
        && !outcome.drop
    {
        cx.worker.net.close(connection);
    }
    cx.finish();
    let next = connection.and_then(|connection| {
        IN_WORK.with_borrow_mut(|all| {
            let next = all.get_mut(&connection)?.pop_front();
            if next.is_none() {
                all.remove(&connection);
            }
            next
        })
    });
    if let Some((mut cx, route)) = next {
        // Its `$var` values are those that the last one left.
        cx.vars = std::mem::take(&mut *cx.worker.vars.borrow_mut());
        start(cx, route);
    }
}

/// Enters an event route.
pub fn enter(cx: &mut Cx, name: &'static str) {
    cx.route = RouteKind::Event;
    cx.route_name = Str::from_static(name);
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::*;

    #[test]
    fn the_script_sees_a_via_and_the_body() {
        let server = Server::default();
        let mut cx = server.message("POST /a HTTP/1.1\nHost: h\nContent-Length: 2\n\nab");
        as_sip(&mut cx, None).expect("a message");
        assert_eq!(cx.msg.vias().count(), 1);
        assert_eq!((cx.msg.uri(), cx.msg.body()), (Some(&b"/a"[..]), &b"ab"[..]));
        as_sip(&mut cx, Some(b"sip:127.0.0.1:9")).expect("a message");
        assert_eq!(cx.msg.uri(), Some(&b"sip:127.0.0.1:9"[..]));
        assert!(cx.msg.is_http());
    }

    #[test]
    fn skipping_goes_before_matching() {
        let gate =
            Gate::new(Some(&"^/(sip|both)/".into()), Some(&"^/both/skip".into())).expect("expressions");
        let takes = |target: &str| {
            gate.takes(&Server::default().message(&format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n")))
        };
        assert!(takes("/sip/x") && takes("/both/x"));
        assert!(!takes("/both/skip") && !takes("/other"));
        assert!(Gate::new(Some(&"(".into()), None).is_err());
    }
}
