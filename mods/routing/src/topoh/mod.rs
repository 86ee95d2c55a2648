//! Module `topoh`: topology hiding without state. What shows the way behind this server is masked in messages that
//! leave and unmasked in messages that come, so that scripts see everything and peers see this server only.

mod codec;
mod cookie;
mod masking;
mod patches;
#[cfg(test)]
mod tests;

use std::{cell::Cell, rc::Rc, sync::Arc};

use kahea_module::{
    BindError, Cx, Decl, Env, InitError, Module, Named, Naming, RouteId, RouteKind, Sending, Str, Value,
    Worker, warning,
};
use kahea_sip::{Destination, Limits, Message, Received};

pub use self::masking::Masking;
use self::{cookie::strip, masking::Place, patches::Patches};

/// The module's instance.
pub struct Topoh {
    masking: Arc<Masking>,
}

/// Its parameters.
pub struct Params {
    mask_key: Option<Str>,
    mask_ip: Str,
    mask_callid: bool,
    mask_mode: i64,
    uparam_name: Str,
    uparam_prefix: Str,
    vparam_name: Str,
    vparam_prefix: Str,
    callid_prefix: Str,
    sanity_checks: bool,
    uri_prefix_checks: bool,
    event_callback: Option<Str>,
    event_mode: i64,
    use_mode: i64,
}

/// The key where none is given; anyone knows it.
const KEY: &[u8] = b"aL9.n8~Hm]Z";

impl Default for Params {
    fn default() -> Params {
        Params {
            mask_key: None,
            mask_ip: Str::from_static("127.0.0.8"),
            mask_callid: false,
            mask_mode: 0,
            uparam_name: Str::from_static("line"),
            uparam_prefix: Str::from_static("sr-"),
            vparam_name: Str::from_static("branch"),
            vparam_prefix: Str::from_static("z9hG4bKsr-"),
            callid_prefix: Str::from_static("!!:"),
            sanity_checks: false,
            uri_prefix_checks: false,
            event_callback: None,
            event_mode: 3,
            use_mode: 0,
        }
    }
}

impl Module for Topoh {
    const NAME: &'static str = "topoh";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        declare_masks(d);
        declare_names(d);
        declare_behaviour(d);
        d.var_named(
            "th",
            Naming::Required,
            Named {
                parse: |name, _| match name {
                    "ecallid" => Ok(()),
                    _ => Err(BindError::new(format!("$th({name}) is unknown")).help("write $th(ecallid)")),
                },
                get: |m, cx, (), _| match cx.msg.call_id() {
                    Some(id) => Value::Str(m.masking.mask_call_id(id)),
                    None => Value::Null,
                },
                set: None,
                raw: false,
            },
            "ecallid: the masked form of the message's Call-ID.",
        );
        d.event(
            "topoh:msg-outgoing",
            "A message is about to leave for $sndto(ip); the message in work is a stand-in. Drop leaves it unmasked.",
        );
        d.event(
            "topoh:msg-sending",
            "A message is about to leave for $sndto(ip) and is the one in work. Drop leaves it unmasked.",
        );
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Topoh, InitError> {
        let gate = Gate {
            outgoing: event(env, &params, 1, "topoh:msg-outgoing"),
            sending: event(env, &params, 2, "topoh:msg-sending"),
            strict: params.sanity_checks,
        };
        let hooked = params.use_mode != 1;
        let masking = Arc::new(masking(params)?);
        env.provide(masking.clone());
        if hooked {
            register(gate, &masking, env);
        }
        Ok(Topoh { masking })
    }
}

fn declare_masks(d: &mut Decl<Topoh>) {
    d.param(
        "mask_key",
        |p| &mut p.mask_key,
        "The secret of the masked forms; servers with the same one read each other's.",
    );
    d.param(
        "mask_ip",
        |p| &mut p.mask_ip,
        "The address in masked URIs and Vias, which no client may have; empty: that of the listener.",
    );
    d.param("mask_callid", |p| &mut p.mask_callid, "Masks the Call-ID too.");
    d.param(
        "mask_mode",
        |p| &mut p.mask_mode,
        "1 leaves the Contacts of 3xx replies as they are.",
    );
}

fn declare_names(d: &mut Decl<Topoh>) {
    d.param(
        "uparam_name",
        |p| &mut p.uparam_name,
        "The parameter of masked URIs.",
    );
    d.param(
        "uparam_prefix",
        |p| &mut p.uparam_prefix,
        "What its value begins with.",
    );
    d.param(
        "vparam_name",
        |p| &mut p.vparam_name,
        "The parameter of masked Vias.",
    );
    d.param(
        "vparam_prefix",
        |p| &mut p.vparam_prefix,
        "What its value begins with.",
    );
    d.param(
        "callid_prefix",
        |p| &mut p.callid_prefix,
        "What a masked Call-ID begins with.",
    );
}

fn declare_behaviour(d: &mut Decl<Topoh>) {
    d.param(
        "sanity_checks",
        |p| &mut p.sanity_checks,
        "1 leaves requests as they are that lack what RFC 3261 requires of each (they get a 400); the module sanity is \
         not needed for it.",
    );
    d.param(
        "uri_prefix_checks",
        |p| &mut p.uri_prefix_checks,
        "1 unmasks a URI only where mask_ip and the parameter stand at its beginning.",
    );
    d.param(
        "event_callback",
        |p| &mut p.event_callback,
        "The function of an embedded language that is called in place of the event routes.",
    );
    d.param(
        "event_mode",
        |p| &mut p.event_mode,
        "The sum of the event routes to run: 1 topoh:msg-outgoing, 2 topoh:msg-sending.",
    );
    d.param(
        "use_mode",
        |p| &mut p.use_mode,
        "1 leaves messages alone: the module only masks for other modules and in $th().",
    );
}

fn masking(params: Params) -> Result<Masking, InitError> {
    let needed = [
        ("uparam_name", &params.uparam_name),
        ("vparam_name", &params.vparam_name),
    ];
    if let Some((name, _)) = needed.into_iter().find(|(_, value)| !is_token(value)) {
        return Err(InitError::new(format!("{name} is no name of a parameter")).help("give a token"));
    }
    if params.mask_callid && params.callid_prefix.is_empty() {
        return Err(InitError::new("callid_prefix is empty").help("give what no other Call-ID begins with"));
    }
    if params.mask_key.is_none() {
        warning!(
            "topoh",
            "mask_key is not set: whoever knows the default can unmask. Set it to a secret."
        );
    }
    Ok(Masking {
        codec: codec::Codec::new(params.mask_key.as_deref().unwrap_or(KEY)),
        host: host(params.mask_ip)?,
        call_ids: params.mask_callid,
        plain_redirects: params.mask_mode & 1 != 0,
        uri: Place {
            name: params.uparam_name,
            prefix: params.uparam_prefix,
        },
        via: Place {
            name: params.vparam_name,
            prefix: params.vparam_prefix,
        },
        call_id_prefix: params.callid_prefix,
        whole_prefix: params.uri_prefix_checks,
    })
}

fn is_token(text: &[u8]) -> bool {
    let is_mark = |byte: &u8| b"-.!%*_+`'~".contains(byte);
    !text.is_empty()
        && text
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || is_mark(byte))
}

fn host(mask_ip: Str) -> Result<Option<Str>, InitError> {
    let text = mask_ip.text();
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(&text);
    if bare.is_empty() {
        return Ok(None);
    }
    match bare.parse() {
        Ok(std::net::IpAddr::V4(ip)) => Ok(Some(Str::from(ip.to_string()))),
        Ok(std::net::IpAddr::V6(ip)) => Ok(Some(Str::from(format!("[{ip}]")))),
        Err(_) => Err(
            InitError::new(format!("mask_ip is '{text}', which is no IP address")).help("give an address"),
        ),
    }
}

/// The event route, or the function of an embedded language that stands in for it.
fn event(env: &Env<'_>, params: &Params, bit: i64, name: &str) -> Option<RouteId> {
    if params.event_mode & bit == 0 {
        return None;
    }
    match &params.event_callback {
        Some(function) => env
            .event_route(&function.text())
            .or_else(|| env.event_route(name)),
        None => env.event_route(name),
    }
}

/// What decides whether a message is masked.
struct Gate {
    outgoing: Option<RouteId>,
    sending: Option<RouteId>,
    strict: bool,
}

fn register(gate: Gate, masking: &Arc<Masking>, env: &mut Env<'_>) {
    let (strict, incoming) = (gate.strict, masking.clone());
    env.hooks.wire_in.push(Arc::new(move |worker, received, data| {
        Some(unmask(&incoming, strict, worker, received, data))
    }));
    let outgoing = masking.clone();
    env.hooks.wire_out.push(Arc::new(move |worker, to, data| {
        Some(mask(&outgoing, &gate, worker, to, data))
    }));
}

/// The message as one that concerns this module; `None` for all that is to pass as it is.
fn read(data: &Str) -> Option<Message> {
    let msg = Message::parse(data.clone(), &Limits::default()).ok()?;
    (!msg.is_http() && !masking::is_spared(&msg)).then_some(msg)
}

fn unmask(masking: &Masking, strict: bool, worker: &Rc<Worker>, received: &Received, data: Str) -> Str {
    let identity = &worker.config.identity;
    match read(&data) {
        Some(msg) if !(strict && msg.is_request() && msg.fault().is_some()) => {
            let host = masking.host(identity.listener(received.listener), received.local);
            masking.incoming(&msg, identity, &host)
        }
        _ => data,
    }
}

fn mask(masking: &Masking, gate: &Gate, worker: &Rc<Worker>, to: &Destination, data: Str) -> Str {
    let received = towards(worker, to);
    let wanted = gate.outgoing.is_none_or(|route| {
        Cx::faked(worker.clone()).is_ok_and(|cx| passes(cx, route, "topoh:msg-outgoing", received, to, &data))
    });
    let Some(msg) = read(&data) else { return data };
    let wanted = wanted
        && gate.sending.is_none_or(|route| {
            let cx = Cx::new(msg.clone(), received, worker.clone());
            passes(cx, route, "topoh:msg-sending", received, to, &data)
        });
    if !wanted {
        let mut patches = Patches::default();
        strip(&msg, &mut patches);
        return patches.apply(&msg);
    }
    let identity = &worker.config.identity;
    let host = masking.host(identity.listener(received.listener), received.local);
    masking.outgoing(&msg, identity, &host)
}

thread_local! {
    /// An event route of this module runs on this worker.
    static RUNNING: Cell<bool> = const { Cell::new(false) };
}

/// Ends with the event route, be it by a panic.
struct Run;

impl Run {
    /// `None` in an event route: what it sends itself must not run it again.
    fn begin() -> Option<Run> {
        (!RUNNING.replace(true)).then(|| Run)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        RUNNING.set(false);
    }
}

/// Runs an event route; false where it drops.
fn passes(
    mut cx: Cx,
    route: RouteId,
    name: &'static str,
    received: Received,
    to: &Destination,
    data: &Str,
) -> bool {
    let Some(_run) = Run::begin() else {
        cx.finish();
        return true;
    };
    cx.route = RouteKind::Event;
    cx.route_name = Str::from_static(name);
    cx.sending = Some(Sending {
        to: *to,
        from: received.local,
        data: data.clone(),
    });
    let engine = cx.worker.engine.clone();
    let outcome = engine.run_now(&mut cx, route);
    cx.finish();
    !outcome.drop
}

/// Addresses of what leaves: the peer as source, the listener as local address.
fn towards(worker: &Worker, to: &Destination) -> Received {
    let identity = &worker.config.identity;
    let id = to
        .listener
        .or_else(|| worker.net.listener_for(to.to, to.transport, None));
    let listener = id.and_then(|id| identity.listener(id));
    Received {
        source: to.to,
        local: listener.map_or(to.to, |own| own.address),
        transport: to.transport,
        listener: listener.map_or(kahea_sip::ListenerId(0), |own| own.id),
        connection: to.connection,
        at: worker.engine.time(),
    }
}
