//! Module `path`: Path headers, which put this server on the way back to who registers through it (RFC 3327).

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use kahea_module::{
    Cx, Decl, EVENT, Env, Fault, InitError, Listener, Module, Outgoing, REQUEST, Str,
    log::{self, Level},
};
use kahea_sip::{
    EditTag, HeaderId, Place, Received, Transport,
    view::{Params as UriParams, percent_decode, unquote},
};

use crate::{outbound, rr};

/// The module's instance.
pub struct Path {
    received_name: Str,
    short_format: bool,
    two: bool,
    sockname: bool,
    outbound: Option<Arc<outbound::Service>>,
}

/// Its parameters.
pub struct Params {
    use_received: bool,
    received_format: i64,
    enable_r2: bool,
    sockname_mode: bool,
    received_name: Str,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            use_received: false,
            received_format: 0,
            enable_r2: false,
            sockname_mode: false,
            received_name: Str::from_static("received"),
        }
    }
}

impl Module for Path {
    const NAME: &'static str = "path";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        declare_params(d);
        d.func(
            "add_path",
            ["user", "params"],
            add_path,
            "Adds a Path header with the address that the request leaves from, and a user and parameters if given.",
        )
        .routes(REQUEST | EVENT)
        .kemi(0, "add_path")
        .kemi(1, "add_path_user")
        .kemi(2, "add_path_user_params")
        .example("add_path();");
        d.func(
            "add_path_received",
            ["user", "params"],
            add_path_received,
            "Adds a Path header that also says in \"received\" where the request came from.",
        )
        .routes(REQUEST | EVENT)
        .kemi(0, "add_path_received")
        .kemi(1, "add_path_received_user")
        .kemi(2, "add_path_received_user_params")
        .example("add_path_received(\"edge\", \"ob\");");
        d.func(
            "add_path_advertised_address",
            ["address", "user", "params"],
            add_path_advertised_address,
            "Adds a Path header with this address in place of the listener's.",
        )
        .routes(REQUEST | EVENT)
        .kemi(1, "add_path_advertised_address")
        .kemi(2, "add_path_advertised_address_user")
        .kemi(3, "add_path_advertised_address_user_params")
        .example("add_path_advertised_address(\"edge.example.com\");");
        d.func(
            "add_path_received_advertised_address",
            ["address", "user", "params"],
            add_path_received_advertised_address,
            "Adds a Path header with this address that also says where the request came from.",
        )
        .routes(REQUEST | EVENT)
        .kemi(1, "add_path_received_advertised_address")
        .kemi(2, "add_path_received_advertised_address_user")
        .kemi(3, "add_path_received_advertised_address_user_params")
        .example("add_path_received_advertised_address(\"edge.example.com\");");
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Path, InitError> {
        if params.received_name.is_empty() || !is_token(&params.received_name) {
            return Err(InitError::new(format!(
                "received_name '{}' is no name of a parameter",
                params.received_name
            )));
        }
        let short_format = params.received_format == 1;
        if params.use_received {
            let service = env.service::<rr::Service>().ok_or_else(|| {
                InitError::new("use_received needs the module rr").help("load rr before path")
            })?;
            let name = params.received_name.clone();
            service.on_route(Arc::new(move |cx, route| {
                route_back(cx, route, &name, short_format);
            }));
        }
        Ok(Path {
            received_name: params.received_name,
            short_format,
            two: params.enable_r2,
            sockname: params.sockname_mode,
            outbound: env.service::<outbound::Service>(),
        })
    }
}

fn declare_params(d: &mut Decl<Path>) {
    d.param(
        "use_received",
        |p| &mut p.use_received,
        "Sends requests to the address in \"received\" of the own Route value; needs rr.",
    );
    d.param(
        "received_format",
        |p| &mut p.received_format,
        "How addresses are written and read in \"received\": 0 as an escaped SIP URI, 1 as IP~PORT~PROTOCOL.",
    );
    d.param(
        "received_name",
        |p| &mut p.received_name,
        "The name of the parameter that holds the address.",
    );
    d.param(
        "enable_r2",
        |p| &mut p.enable_r2,
        "Adds two headers, for the side that the request goes to and for the one that it came from.",
    );
    d.param(
        "sockname_mode",
        |p| &mut p.sockname_mode,
        "Writes the name of the listener as \"sn\".",
    );
}

fn is_token(text: &[u8]) -> bool {
    text.iter()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(byte))
}

/// What the headers say besides the listener.
struct Spec {
    address: Option<Str>,
    user: Str,
    /// All that follows `;lr`.
    params: Vec<u8>,
    two: bool,
    sockname: bool,
}

impl Spec {
    fn write(&self, way: &Outgoing<'_>, out: &mut Vec<u8>) {
        let mut address = Vec::new();
        way.push_near(&mut address);
        self.header(&address, Some(way.listener), way.transport, out);
        if self.two {
            address.clear();
            way.push_far(&mut address);
            self.header(&address, way.arrival(), way.received.transport, out);
        }
    }

    fn header(&self, own: &[u8], listener: Option<&Listener>, transport: Transport, out: &mut Vec<u8>) {
        out.extend_from_slice(b"Path: <sip:");
        if !self.user.is_empty() {
            out.extend_from_slice(&self.user);
            out.push(b'@');
        }
        out.extend_from_slice(self.address.as_deref().unwrap_or(own));
        if transport != Transport::Udp {
            out.extend_from_slice(b";transport=");
            out.extend_from_slice(transport.uri_name().as_bytes());
        }
        if let Some(name) = listener
            .and_then(|listener| listener.name.as_ref())
            .filter(|_| self.sockname)
        {
            out.extend_from_slice(b";sn=");
            out.extend_from_slice(name);
        }
        out.extend_from_slice(b";lr");
        out.extend_from_slice(&self.params);
        if self.two {
            out.extend_from_slice(b";r2=on");
        }
        out.extend_from_slice(b">\r\n");
    }
}

/// What a call asks for.
#[derive(Default)]
struct Wish {
    address: Option<Str>,
    user: Option<Str>,
    params: Option<Str>,
    received: bool,
}

fn add(m: &Path, cx: &mut Cx, wish: Wish) -> Result<bool, Fault> {
    let parts = [&wish.address, &wish.user, &wish.params];
    if parts
        .into_iter()
        .flatten()
        .any(|part| part.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)))
    {
        return Err(Fault::script(
            "an argument holds a line end or NUL, which would break the header",
        ));
    }
    let mut user = wish.user.unwrap_or_default();
    let mut params = Vec::new();
    if wish.received {
        params.push(b';');
        params.extend_from_slice(&m.received_name);
        params.push(b'=');
        push_received(&cx.received, m.short_format, &mut params);
    }
    if let Some(outbound) = &m.outbound
        && user.is_empty()
        && outbound.wants_flow(cx)
    {
        user = outbound.token(&cx.received);
        // The registrar learns that the first hop keeps the flow (RFC 5626 section 5.1).
        if cx.msg.vias().nth(1).is_none() {
            params.extend_from_slice(b";ob");
        }
    }
    if let Some(more) = wish.params.filter(|more| !more.is_empty()) {
        if !more.starts_with(b";") {
            params.push(b';');
        }
        params.extend_from_slice(&more);
    }
    let spec = Spec {
        address: wish.address,
        user,
        params,
        two: m.two,
        sockname: m.sockname,
    };
    put(cx, spec).map(|()| true)
}

/// Before the Path headers that are there, else behind all others.
fn put(cx: &mut Cx, spec: Spec) -> Result<(), Fault> {
    let text = Arc::new(move |way: &Outgoing<'_>, out: &mut Vec<u8>| spec.write(way, out));
    let late = cx.late.add(text)?;
    let tag = EditTag::Header(HeaderId::Path);
    match cx.msg.first(HeaderId::Path).map(|header| header.line.start()) {
        Some(at) => cx.edits.insert(at, Place::Before, late, tag),
        None => cx.edits.insert(cx.msg.headers_end(), Place::After, late, tag),
    };
    Ok(())
}

/// Where the message came from, as one value of a URI parameter.
fn push_received(received: &Received, short: bool, out: &mut Vec<u8>) {
    let (source, transport) = (received.source, received.transport);
    let ip = match source.ip() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    let text = match (short, transport) {
        (true, _) => format!("{ip}~{}~{}", source.port(), transport.number()),
        (false, Transport::Udp) => format!("sip:{ip}:{}", source.port()),
        (false, _) => format!(
            "sip:{ip}:{}%3Btransport%3D{}",
            source.port(),
            transport.uri_name()
        ),
    };
    out.extend_from_slice(text.as_bytes());
}

/// Sends the request to the address that the own Route value has of it.
fn route_back(cx: &mut Cx, route: &Str, name: &Str, short: bool) {
    // As a header's parameters: some peers put the address into quotes.
    let params = UriParams::header(route);
    let Some(value) = params.value(name).filter(|value| !value.is_empty()) else {
        return;
    };
    let target = match short {
        true => short_target(value),
        false => Some(percent_decode(&unquote(value)).into_owned()),
    };
    let target = target
        .map(Str::from)
        .filter(|uri| kahea_sip::view::Uri::parse(uri).is_ok_and(|uri| !uri.host.is_empty()));
    match target {
        Some(uri) => cx.target.dst_uri = Some(uri),
        None => log::write(
            Level::Info,
            "path",
            format_args!(
                "'{}' in a Route header is no address: the request goes on without it",
                String::from_utf8_lossy(value)
            ),
        ),
    }
}

/// `IP~PORT~PROTOCOL` as a URI.
fn short_target(value: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(value).ok()?;
    let mut parts = text.splitn(3, '~');
    let (ip, port, number) = (parts.next()?, parts.next()?, parts.next()?);
    let ip: IpAddr = ip.trim_matches(['[', ']']).parse().ok()?;
    let address = SocketAddr::new(ip, port.parse().ok()?);
    let number: i64 = number.parse().ok()?;
    use Transport::*;
    let transport = [Udp, Tcp, Tls, Sctp, Ws, Wss]
        .into_iter()
        .find(|transport| transport.number() == number)?;
    Some(match transport {
        Udp => format!("sip:{address}").into_bytes(),
        _ => format!("sip:{address};transport={}", transport.uri_name()).into_bytes(),
    })
}

fn add_path(m: &Path, cx: &mut Cx, user: Option<Str>, params: Option<Str>) -> Result<bool, Fault> {
    let wish = Wish {
        user,
        params,
        ..Wish::default()
    };
    add(m, cx, wish)
}

fn add_path_received(m: &Path, cx: &mut Cx, user: Option<Str>, params: Option<Str>) -> Result<bool, Fault> {
    let wish = Wish {
        user,
        params,
        received: true,
        ..Wish::default()
    };
    add(m, cx, wish)
}

fn add_path_advertised_address(
    m: &Path,
    cx: &mut Cx,
    address: Str,
    user: Option<Str>,
    params: Option<Str>,
) -> Result<bool, Fault> {
    let wish = Wish {
        address: Some(address),
        user,
        params,
        received: false,
    };
    add(m, cx, wish)
}

fn add_path_received_advertised_address(
    m: &Path,
    cx: &mut Cx,
    address: Str,
    user: Option<Str>,
    params: Option<Str>,
) -> Result<bool, Fault> {
    let wish = Wish {
        address: Some(address),
        user,
        params,
        received: true,
    };
    add(m, cx, wish)
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::*;

    fn path(short_format: bool) -> Path {
        Path {
            received_name: Str::from_static("received"),
            short_format,
            two: false,
            sockname: false,
            outbound: None,
        }
    }

    fn built(cx: &Cx) -> String {
        let mut out = Vec::new();
        let way = Outgoing::new(
            cx,
            &cx.config().identity.listeners[0],
            Transport::Udp,
            cx.received.source,
        );
        let late = &mut |id, out: &mut Vec<u8>| cx.late.resolve(id, &way, out);
        kahea_sip::build::edited(&cx.msg, &cx.edits, late, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_path_names_this_server_and_where_the_request_came_from() {
        let server = Server::default();
        let mut cx = server.invite();
        cx.received.transport = Transport::Tcp;
        assert_eq!(
            add_path_received(&path(false), &mut cx, Some("edge".into()), Some("x=1".into())),
            Ok(true)
        );
        assert!(
            built(&cx).contains(
                "Path: <sip:edge@127.0.0.1;lr;received=sip:127.0.0.1:5061%3Btransport%3Dtcp;x=1>\r\n"
            ),
            "{}",
            built(&cx)
        );
        let mut cx = server.invite();
        add_path_received_advertised_address(&path(true), &mut cx, "edge.example.com".into(), None, None)
            .unwrap();
        assert!(built(&cx).contains("Path: <sip:edge.example.com;lr;received=127.0.0.1~5061~1>\r\n"));
    }

    #[test]
    fn line_ends_do_not_come_into_the_header() {
        let server = Server::default();
        let mut cx = server.invite();
        assert!(add_path(&path(false), &mut cx, Some("a\r\nX: 1".into()), None).is_err());
        assert!(cx.edits.is_empty());
    }

    #[test]
    fn the_way_back_is_read_in_both_forms_and_nonsense_changes_nothing() {
        let server = Server::default();
        let to = |route: &str, short| {
            let mut cx = server.invite();
            route_back(&mut cx, &Str::from(route), &Str::from("received"), short);
            cx.target.dst_uri.map(|uri| uri.to_string())
        };
        assert_eq!(
            to("lr;received=sip:192.0.2.1:5555%3Btransport%3Dtcp", false).as_deref(),
            Some("sip:192.0.2.1:5555;transport=tcp")
        );
        assert_eq!(
            to("lr;received=[2001:db8::1]~5555~3", true).as_deref(),
            Some("sip:[2001:db8::1]:5555;transport=tls")
        );
        for (route, short) in [
            ("lr", false),
            ("lr;received", false),
            ("lr;received=junk", false),
            ("lr;received=192.0.2.1~5555", true),
            ("lr;received=192.0.2.1~99999~1", true),
            ("lr;received=192.0.2.1~5555~9", true),
            ("lr;received=name~5555~1", true),
        ] {
            assert_eq!(to(route, short), None, "{route}");
        }
    }
}
