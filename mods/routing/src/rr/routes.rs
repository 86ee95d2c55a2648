//! The route set of a request: every Route value, what of it leaves, and what of it this server owns.

use kahea_module::{Cx, Fault, Listener, Str};
use kahea_sip::{
    EditTag, HeaderId, Place, Span, Transport,
    view::{Addrs, Scheme, Uri},
};

/// One value of a Route header.
#[derive(Clone, Debug)]
pub(super) struct Route {
    /// The number of its header among the Route headers.
    header: usize,
    /// Its bytes in the message.
    span: Span,
    /// Its URI, without brackets.
    pub uri: Str,
}

/// The values of all Route headers, in order.
#[derive(Debug, Default)]
pub(super) struct RouteSet {
    routes: Vec<Route>,
}

fn broken(what: &str) -> Fault {
    Fault::peer(format!("a Route header cannot be read: {what}"))
}

/// The values of one header: RFC 3261 section 20.34 wants brackets around each URI and no empty values.
fn read(cx: &Cx, header: usize, line: Span, routes: &mut Vec<Route>) -> Result<(), Fault> {
    let value = cx.msg.bytes(line);
    let before = routes.len();
    for addr in Addrs::new(value) {
        let addr = addr.map_err(|error| broken(&error.to_string()))?;
        if !addr.bracketed {
            return Err(broken("a URI stands without its <>"));
        }
        let span = Span::within(cx.msg.buffer(), addr.raw).unwrap_or(line);
        routes.push(Route {
            header,
            span,
            uri: cx.msg.buffer().share(addr.uri),
        });
    }
    let last = value.trim_ascii_end().last();
    match routes.len() == before || last == Some(&b',') {
        true => Err(broken("a value is empty")),
        false => Ok(()),
    }
}

impl RouteSet {
    /// Reads all Route headers; without any the set is empty.
    pub fn read(cx: &Cx) -> Result<RouteSet, Fault> {
        let mut routes = Vec::new();
        for (number, header) in cx.msg.all(HeaderId::Route).enumerate() {
            read(cx, number, header.value, &mut routes)?;
        }
        Ok(RouteSet { routes })
    }

    /// The value at a place, from 0.
    pub fn get(&self, at: usize) -> Option<&Route> {
        self.routes.get(at)
    }

    /// The last value and its place.
    pub fn last(&self) -> Option<(usize, &Route)> {
        self.routes.iter().enumerate().next_back()
    }

    /// Takes the values for which `gone` holds out of the message, whole headers where nothing of them is left.
    pub fn remove(&self, cx: &mut Cx, gone: impl Fn(usize) -> bool) {
        const TAG: EditTag = EditTag::Header(HeaderId::Route);
        let lines: Vec<Span> = cx.msg.all(HeaderId::Route).map(|header| header.line).collect();
        for (number, line) in lines.into_iter().enumerate() {
            let here: Vec<(bool, Span)> = self
                .routes
                .iter()
                .enumerate()
                .filter(|(_, route)| route.header == number)
                .map(|(at, route)| (gone(at), route.span))
                .collect();
            if here.iter().all(|(gone, _)| *gone) {
                cx.edits.remove(line, TAG);
                continue;
            }
            // A value leaves with the comma behind it; those at the end with the comma before them.
            let kept_end = here
                .iter()
                .rposition(|(gone, _)| !gone)
                .map_or(0, |last| last.saturating_add(1));
            for pair in here.windows(2).take(kept_end.saturating_sub(1)) {
                if let [(true, span), (_, next)] = pair {
                    cx.edits.remove(Span::new(span.start(), next.start()), TAG);
                }
            }
            if let (Some(kept), Some((true, last))) =
                (kept_end.checked_sub(1).and_then(|at| here.get(at)), here.last())
            {
                cx.edits.remove(Span::new(kept.1.end(), last.end()), TAG);
            }
        }
    }

    /// Puts a Route header behind the others.
    pub fn append(cx: &mut Cx, uri: &[u8]) {
        let at = cx
            .msg
            .all(HeaderId::Route)
            .next_back()
            .map_or(cx.msg.headers_end(), |header| header.line.end());
        let line = Str::from([b"Route: <", uri, b">\r\n"].concat());
        cx.edits
            .insert(at, Place::After, line, EditTag::Header(HeaderId::Route));
    }
}

/// The first value of the first Route header, as far as that header can be read.
pub(super) fn first(cx: &Cx) -> Option<Str> {
    let header = cx.msg.first(HeaderId::Route)?;
    let mut routes = Vec::new();
    read(cx, 0, header.value, &mut routes).ok()?;
    routes.first().map(|route| route.uri.clone())
}

/// Reads the URI of a Route value.
pub(super) fn parse(uri: &Str) -> Result<Uri<'_>, Fault> {
    Uri::parse(uri).map_err(|error| broken(&format!("'{uri}': {error}")))
}

/// The port that a URI means (RFC 3261 section 19.1.2).
fn port(uri: &Uri<'_>) -> u16 {
    uri.port.unwrap_or(match (uri.scheme, uri.transport()) {
        (Scheme::Sips, Transport::None | Transport::Tcp) => Transport::Tls.default_port(),
        (_, transport) => transport.default_port(),
    })
}

/// The URI names this server: by an address of a listener or a name that is "myself", over any transport; where
/// `by_name` says so, by the name of a listener in `sn`.
pub(super) fn is_own(cx: &Cx, uri: &Uri<'_>, by_name: bool) -> bool {
    if !matches!(uri.scheme, Scheme::Sip | Scheme::Sips) {
        return false;
    }
    let identity = &cx.config().identity;
    by_name && uri.param("sn").is_some_and(|name| identity.listener_named(name).is_some())
        || identity.is_myself(uri.host, port(uri), Transport::None)
        // A `sips:` route over UDP or TCP was written without its port where that is 5060.
        || uri.scheme == Scheme::Sips
            && uri.port.is_none()
            && identity.is_myself(uri.host, Transport::Udp.default_port(), Transport::None)
}

/// The listener that a route value of this server names.
pub(super) fn listener<'a>(cx: &'a Cx, uri: &Uri<'_>, by_name: bool) -> Option<&'a Listener> {
    let identity = &cx.config().identity;
    if let Some(named) = uri
        .param("sn")
        .filter(|_| by_name)
        .and_then(|name| identity.listener_named(name))
    {
        return Some(named);
    }
    let stated = uri.transport();
    let wanted = match (uri.scheme, stated) {
        (Scheme::Sips, Transport::None) => Transport::Tls,
        (_, Transport::None) => Transport::Udp,
        (_, stated) => stated,
    };
    // WebSocket over TLS says `transport=ws` too.
    let secure = (wanted == Transport::Ws).then_some(Transport::Wss);
    identity
        .listener_of(uri.host, port(uri), wanted)
        .or_else(|| identity.listener_of(uri.host, uri.port.unwrap_or(443), secure?))
        .or_else(|| {
            let any = (stated == Transport::None).then_some(Transport::None)?;
            identity.listener_of(uri.host, uri.port.unwrap_or(5060), any)
        })
}
