//! Module `siptrace`: messages written to a table and sent to collectors, over HEP or as they are: by the script's word
//! (one message, its transaction, its call) or all that passes on the wire.

mod follow;
mod functions;
mod marks;
mod params;
mod rows;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use kahea_db::Database;
use kahea_module::{
    BindError, Cx, Decl, Env, InitError, Module, Named, Naming, RouteId, RouteKind, Str, Value, Var,
    config::Periodic,
    rpc::{RpcCall, RpcFault, RpcResult, RpcValue},
    stats::Counter,
};

use self::{follow::Followed, params::Params, rows::Rows};
use crate::{
    courier::{Address, Courier},
    hep,
    shot::{End, Part, Shot},
};

/// Bits of the parameter `trace_mode`.
mod mode {
    pub const HEP: i64 = 1;
    pub const DATABASE: i64 = 2;
    pub const URI: i64 = 4;
}

/// What is done with a traced message besides what the parameters say.
#[derive(Clone, Debug, Default)]
pub struct Order {
    /// Where a copy goes.
    pub to: Option<Arc<Address>>,
    /// What HEP says that it belongs to.
    pub correlation: Option<Str>,
    /// Whom it is traced for.
    pub users: Vec<Str>,
    /// The table, where it is not that of the parameter.
    pub table: Option<Str>,
}

/// The module.
pub struct Siptrace {
    core: Arc<Core>,
}

/// What the hooks share with the functions.
struct Core {
    on: Arc<On>,
    courier: Arc<Courier>,
    duplicate: Option<Arc<Address>>,
    /// Copies are packets of HEP.
    hep: bool,
    version: hep::Version,
    capture_id: u32,
    auth_key: Option<Str>,
    rows: Option<Rows>,
    /// The own address in rows.
    local: Option<Str>,
    flag: u32,
    headers_read: bool,
    headers_write: bool,
    from: Option<std::net::IpAddr>,
    users: Vec<Var>,
    table: Option<Var>,
    followed: Arc<Kept>,
    requests: Counter,
    replies: Counter,
}

/// `trace_on`, which a command changes; survives reloads.
struct On(AtomicBool);

/// Transactions that are followed survive a reload.
#[derive(Default)]
struct Kept(Followed);

/// The transaction of the message in work is followed.
#[derive(Default)]
struct Following(bool);

/// The shot that an event route is about.
#[derive(Default)]
struct Seen(Option<Shot>);

impl Module for Siptrace {
    const NAME: &'static str = "siptrace";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        params::declare(d);
        functions::declare(d);
        d.var_named(
            "siptrace",
            Naming::Required,
            Named {
                parse: part,
                get: |_, cx, part: &Part, _| {
                    let seen = cx.extra_ref::<Seen>().and_then(|seen| seen.0.as_ref());
                    seen.map_or(Value::Null, |shot| part.of(shot))
                },
                set: None,
                raw: false,
            },
            "Of the message that event_route[siptrace:msg] is about: src_addr, src_proto, src_host, src_port, dst_addr, dst_proto, dst_host, dst_port or direction.",
        );
        let doc = "Runs for each message that trace_mode would trace; drop leaves it out.";
        d.event("siptrace:msg", doc);
        d.rpc(
            "siptrace.status",
            status,
            "Turns tracing on or off, or says whether it is: on, off, check.",
        );
        d.stat("traced_requests", "Requests that were traced.");
        d.stat("traced_replies", "Replies that were traced.");
        d.stat("dropped_rows", "Traced messages that the database did not take.");
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Self, InitError> {
        let core = Arc::new(core(&params, env)?);
        let wired = params.trace_init_mode == 0 || params.trace_init_mode & 1 != 0;
        if wired && params.trace_mode != 0 {
            watch_wire(&core, &params, env)?;
        }
        if params.trace_init_mode == 0 || params.trace_init_mode & 2 != 0 {
            follow_wire(&core, env);
        }
        let own = core.clone();
        env.hooks.stop.push(Arc::new(move || {
            if let Some(rows) = &own.rows {
                rows.finish();
            }
        }));
        Ok(Siptrace { core })
    }
}

fn part(name: &str, _: &dyn kahea_module::Bind) -> Result<Part, BindError> {
    Ok(match name {
        "src_addr" => Part::Address(End::Source),
        "dst_addr" => Part::Address(End::Destination),
        "src_proto" | "dst_proto" => Part::Protocol,
        "src_host" | "src_ip" => Part::Host(End::Source),
        "dst_host" | "dst_ip" => Part::Host(End::Destination),
        "src_port" => Part::Port(End::Source),
        "dst_port" => Part::Port(End::Destination),
        "direction" => Part::Direction,
        _ => {
            return Err(BindError::new(format!("$siptrace has no '{name}'"))
                .help("write src_addr, src_proto, src_host, src_port, the same with dst_, or direction"));
        }
    })
}

fn core(params: &Params, env: &mut Env<'_>) -> Result<Core, InitError> {
    let from = params.own_address(env)?;
    let courier = Courier::of(&env.shared)
        .map_err(|error| InitError::new(format!("the thread for collectors cannot be started: {error}")))?;
    let duplicate = match params.duplicate_uri.as_ref().filter(|uri| !uri.is_empty()) {
        Some(uri) => Some(Arc::new(address(uri, from)?)),
        None => None,
    };
    let on = env.shared.keep(|| On(AtomicBool::new(params.trace_on != 0)));
    let to_database = params.trace_to_database != 0 || params.trace_mode & mode::DATABASE != 0;
    let rows = match to_database {
        true => Some(Rows::new(
            Database::open(env, &params.db_url.text())?,
            &params.table,
            params.columns.clone(),
            env.counter("dropped_rows"),
        )),
        false => None,
    };
    Ok(Core {
        on,
        courier,
        duplicate,
        hep: params.hep_mode_on != 0,
        version: params.version()?,
        capture_id: params.capture_id()?,
        auth_key: params.auth_key.clone().filter(|key| !key.is_empty()),
        rows,
        local: params.trace_local_ip.clone().filter(|text| !text.is_empty()),
        flag: params.flag()?,
        headers_read: params.xheaders_read != 0,
        headers_write: params.xheaders_write != 0,
        from,
        users: params.users(env)?,
        table: params.table_variable(env)?,
        followed: env.shared.keep(Kept::default),
        requests: env.counter("traced_requests"),
        replies: env.counter("traced_replies"),
    })
}

/// Where copies go, from a SIP URI.
fn address(uri: &Str, from: Option<std::net::IpAddr>) -> Result<Address, BindError> {
    Address::of_uri(uri, from).ok_or_else(|| {
        BindError::new(format!("'{uri}' is no SIP URI that copies can go to"))
            .help("write sip:address:port, with ;transport=tcp for TCP")
    })
}

/// All that passes on the wire, as `trace_mode` says.
fn watch_wire(core: &Arc<Core>, params: &Params, env: &mut Env<'_>) -> Result<(), InitError> {
    let bits = params.trace_mode;
    if bits & (mode::HEP | mode::URI) != 0 && core.duplicate.is_none() {
        return Err(
            InitError::new("trace_mode sends copies, but there is no duplicate_uri")
                .help("set the parameter duplicate_uri, or trace_mode to 2"),
        );
    }
    let callback = params.evcb_msg.as_ref().filter(|name| !name.is_empty());
    let route = env.event_route(&callback.map_or_else(|| "siptrace:msg".into(), |name| name.text()));
    let own = core.clone();
    env.hooks.wire_in.push(Arc::new(move |worker, received, data| {
        if own.is_on() {
            own.passes(worker, Shot::incoming(data.clone(), received), bits, route);
        }
        Some(data)
    }));
    let own = core.clone();
    env.hooks.wire_out.push(Arc::new(move |worker, to, data| {
        if own.is_on() {
            own.passes(worker, Shot::outgoing(worker, to, data.clone()), bits, route);
        }
        Some(data)
    }));
    Ok(())
}

/// What belongs to transactions and calls that the script has traced.
fn follow_wire(core: &Arc<Core>, env: &mut Env<'_>) {
    let own = core.clone();
    env.hooks.wire_in.push(Arc::new(move |worker, received, data| {
        if !own.followed.0.is_empty() {
            own.follows(worker, &Shot::incoming(data.clone(), received));
        }
        Some(data)
    }));
    let own = core.clone();
    env.hooks.wire_out.push(Arc::new(move |worker, to, data| {
        if !own.followed.0.is_empty() {
            own.follows(worker, &Shot::outgoing(worker, to, data.clone()));
        }
        Some(data)
    }));
    let own = core.clone();
    env.hooks.local_reply.push(Arc::new(move |cx| {
        own.answered(cx);
        kahea_module::Ret::TRUE
    }));
    let own = core.clone();
    env.hooks.periodic.push(Periodic {
        name: Str::from_static("siptrace"),
        every: Duration::from_secs(10),
        run: Arc::new(move |worker| own.followed.0.purge(worker.engine.now())),
    });
}

impl Core {
    fn is_on(&self) -> bool {
        self.on.0.load(Relaxed)
    }

    /// A message on the wire, under `trace_mode`.
    fn passes(
        &self,
        worker: &std::rc::Rc<kahea_module::Worker>,
        shot: Shot,
        bits: i64,
        route: Option<RouteId>,
    ) {
        if !shot.is_sip() || route.is_some_and(|route| is_dropped(worker, &shot, route)) {
            return;
        }
        self.count(&shot);
        let order = Order::default();
        if bits & mode::DATABASE != 0
            && let Some(rows) = &self.rows
        {
            rows.write(&shot, &order, self.local.as_ref());
        }
        let Some(to) = &self.duplicate else { return };
        if bits & mode::HEP != 0 {
            self.send_packet(to, &shot, None);
        }
        if bits & mode::URI != 0 {
            self.courier.send(to, shot.data.to_vec());
        }
    }

    fn follows(&self, worker: &kahea_module::Worker, shot: &Shot) {
        if !self.is_on() || !shot.is_sip() {
            return;
        }
        let order = shot.message().and_then(|message| {
            self.followed
                .0
                .order_of(&message, shot.direction, worker.engine.now())
        });
        if let Some(order) = order {
            self.trace(shot, &order);
        }
    }

    /// A reply was made here to a request that is traced for somebody: it is traced too, unless its transaction is.
    fn answered(&self, cx: &mut Cx) {
        let followed = cx.extra_ref::<Following>().is_some_and(|following| following.0);
        if self.users.is_empty() || followed || cx.sending.is_none() || !self.is_on() {
            return;
        }
        let order = self.order(cx, None, None);
        if !order.users.is_empty() {
            self.trace(&Shot::of(cx), &order);
        }
    }

    /// Writes and sends a message as the parameters and the order say.
    fn trace(&self, shot: &Shot, order: &Order) {
        let read;
        let shot = match self.headers_read {
            true => match marks::read(shot) {
                Some(found) => {
                    read = found;
                    &read
                }
                None => return,
            },
            false => shot,
        };
        self.count(shot);
        if let Some(rows) = &self.rows {
            rows.write(shot, order, self.local.as_ref());
        }
        let Some(to) = order.to.as_ref().or(self.duplicate.as_ref()) else {
            return;
        };
        if self.hep {
            self.send_packet(to, shot, order.correlation.clone());
        } else if self.headers_write {
            self.courier.send(to, marks::write(shot));
        } else {
            self.courier.send(to, shot.data.to_vec());
        }
    }

    fn count(&self, shot: &Shot) {
        match shot.data.starts_with(b"SIP/2.0 ") {
            true => self.replies.inc(),
            false => self.requests.inc(),
        }
    }

    fn send_packet(&self, to: &Arc<Address>, shot: &Shot, correlation: Option<Str>) -> bool {
        let packet = hep::Packet {
            correlation,
            ..shot.packet()
        };
        self.send_as(to, packet, self.version)
    }

    fn send_as(&self, to: &Arc<Address>, packet: hep::Packet, version: hep::Version) -> bool {
        let packet = hep::Packet {
            capture_id: self.capture_id,
            auth_key: self.auth_key.clone(),
            ..packet
        };
        match packet.encode(version) {
            Some(bytes) => self.courier.send(to, bytes),
            None => {
                kahea_module::info!(
                    "siptrace",
                    "A message is too long for HEP, or its addresses are of two families."
                );
                false
            }
        }
    }

    /// What the variables of the message say.
    fn order(&self, cx: &mut Cx, to: Option<Arc<Address>>, correlation: Option<Str>) -> Order {
        let users = self.users.iter().map_while(|var| var.get(cx).str()).collect();
        let table = self.table.as_ref().and_then(|var| var.get(cx).str());
        Order {
            to,
            correlation,
            users,
            table: table.filter(|name| !name.is_empty()),
        }
    }
}

/// Runs the event route; it dropped the message.
fn is_dropped(worker: &std::rc::Rc<kahea_module::Worker>, shot: &Shot, route: RouteId) -> bool {
    let Some(message) = shot.message() else {
        return true;
    };
    let mut cx = Cx::new(message, shot.received(), worker.clone());
    cx.route = RouteKind::Event;
    cx.route_name = Str::from_static("siptrace:msg");
    cx.extra::<Seen>().0 = Some(shot.clone());
    let outcome = worker.engine.run_now(&mut cx, route);
    cx.finish();
    outcome.drop
}

fn status(m: &Siptrace, call: &mut RpcCall) -> RpcResult {
    let wanted = call.optional_text()?;
    let on = &m.core.on.0;
    match wanted.as_deref() {
        None => return Err(RpcFault::new(500, "Not enough parameters (on, off or check)")),
        Some(b"on") => on.store(true, Relaxed),
        Some(b"off") => on.store(false, Relaxed),
        Some(b"check") => {}
        Some(_) => return Err(RpcFault::new(500, "Bad parameter (on, off or check)")),
    }
    let text = if on.load(Relaxed) { "Enabled" } else { "Disabled" };
    Ok(vec![RpcValue::from(text)])
}
