//! Module `jsonrpcs`: commands over JSON-RPC 2.0, from outside and from the script.

mod script;
mod serve;
pub mod text;

use std::{sync::Arc, time::Duration};

use kahea_module::{
    BindError, Decl, EVENT, Env, InitError, Module, Named, Naming, REQUEST, Str, Value,
    rpc::{RpcCall, RpcResult, RpcValue},
};
use parking_lot::Mutex;

use crate::{
    desk::Desk,
    door::{Access, Account, Address, Bare, Door, Doors},
};

/// The module.
pub struct Jsonrpcs {
    pretty: bool,
    /// `jsonrpc_dispatch()` answers.
    http: bool,
}

/// What outlives a reload.
struct House {
    desk: Arc<Desk>,
    settings: Mutex<Settings>,
}

#[derive(Clone)]
struct Settings {
    pretty: bool,
    reply_folder: Str,
    /// For answers to datagrams.
    patience: Duration,
}

#[derive(Default)]
struct Kept(Mutex<Option<Arc<House>>>);

/// Bits of the parameter `transport`.
mod transport {
    pub const HTTP: i64 = 1;
    pub const FIFO: i64 = 2;
    pub const DATAGRAM: i64 = 4;
    pub const TCP: i64 = 8;
}

/// Its parameters.
pub struct Params {
    pretty: bool,
    transport: i64,
    fifo_name: Str,
    fifo_mode: i64,
    fifo_user: Account,
    fifo_group: Account,
    fifo_reply_dir: Str,
    dgram_socket: Str,
    dgram_mode: i64,
    dgram_user: Account,
    dgram_group: Account,
    dgram_timeout: i64,
    dgram_workers: i64,
    tcp_socket: Option<Str>,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            pretty: true,
            transport: transport::FIFO | transport::DATAGRAM,
            fifo_name: Str::from_static("kamailio_rpc.fifo"),
            fifo_mode: 0o660,
            fifo_user: Account::default(),
            fifo_group: Account::default(),
            fifo_reply_dir: Str::from_static("/tmp/"),
            dgram_socket: Str::from_static("kamailio_rpc.sock"),
            dgram_mode: 0o660,
            dgram_user: Account::default(),
            dgram_group: Account::default(),
            dgram_timeout: 2000,
            dgram_workers: 1,
            tcp_socket: None,
        }
    }
}

/// What a name in `$jsonrpl(name)` asks for.
#[derive(Clone, Copy)]
enum Part {
    Code,
    Text,
    Body,
}

impl Part {
    fn read(name: &str) -> Result<Part, BindError> {
        match name {
            "code" => Ok(Part::Code),
            "text" => Ok(Part::Text),
            "body" => Ok(Part::Body),
            _ => Err(BindError::new(format!("$jsonrpl has no {name}")).help("it has code, text and body")),
        }
    }
}

impl Module for Jsonrpcs {
    const NAME: &'static str = "jsonrpcs";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        params(d);
        pipe_and_socket_params(d);
        let doc = "Runs the request that is the body of the HTTP request in work, and answers it.";
        d.func("jsonrpc_dispatch", [], script::dispatch, doc)
            .routes(REQUEST | EVENT)
            .kemi(0, "dispatch")
            .waits();
        let doc = "Runs a command, given as a JSON-RPC request; the answer is in $jsonrpl.";
        d.func("jsonrpc_exec", ["request"], script::exec, doc)
            .kemi(1, "exec")
            .waits()
            .example(r#"jsonrpc_exec('{"jsonrpc": "2.0", "method": "core.uptime", "id": 1}');"#);
        let doc = "Runs a command as jsonrpcs.exec does, and fails where the answer is a refusal.";
        d.kemi_func("jsonrpcs", "execx", ["request"], script::exec_and_judge, doc)
            .waits();
        d.kemi_func("jsonrpcs", "response", [], script::response, "The last answer.");
        d.var_named(
            "jsonrpl",
            Naming::Required,
            Named {
                parse: |name, _| Part::read(name),
                get: |_, cx, part, _| script::last(cx, *part),
                set: None,
                raw: false,
            },
            "The answer to the last command of jsonrpc_exec(): code, text, body.",
        );
        d.rpc(
            "jsonrpc.echo",
            echo,
            "Answers with its first argument, a text, and its second, a number.",
        )
        .list();
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Self, InitError> {
        let settings = Settings {
            pretty: params.pretty,
            reply_folder: params.fifo_reply_dir.clone(),
            patience: Duration::from_millis(u64::try_from(params.dgram_timeout).unwrap_or(2000)),
        };
        let doors = open(&params, env)?;
        let house = House::of(env, &settings)?;
        let (own, opened, pretty) = (house, doors.clone(), params.pretty);
        env.hooks.worker_start.push(Arc::new(move |worker| {
            if worker.index == 0 {
                own.desk.attach(worker);
                *own.settings.lock() = settings.clone();
                worker
                    .config
                    .shared
                    .keep(Doors::default)
                    .keep_only("jsonrpcs", &opened);
                opened.iter().for_each(|door| serve::open(&own, door));
            }
        }));
        env.hooks
            .stop
            .push(Arc::new(move || doors.iter().for_each(|door| door.close())));
        Ok(Jsonrpcs {
            pretty,
            http: params.transport == 0 || params.transport & transport::HTTP != 0,
        })
    }
}

fn params(d: &mut Decl<Jsonrpcs>) {
    let doc = "Answers are written over several lines; 0 writes them on one.";
    d.param("pretty_format", |p| &mut p.pretty, doc);
    let doc = "The ways in: the sum of 1 (HTTP), 2 (named pipe), 4 (datagrams), 8 (TCP), or 0 for all that are configured.";
    d.param("transport", |p| &mut p.transport, doc);
    let doc = "TCP: tcp:HOST:PORT. Requests follow one another on a connection, and so do the answers.";
    d.param("tcp_socket", |p| &mut p.tcp_socket, doc);
}

fn pipe_and_socket_params(d: &mut Decl<Jsonrpcs>) {
    d.param(
        "fifo_name",
        |p| &mut p.fifo_name,
        "The named pipe; below rundir where it is not absolute.",
    );
    let doc = "The mode of the pipe, 0660; others can never write, whatever it says.";
    d.param("fifo_mode", |p| &mut p.fifo_mode, doc);
    d.param(
        "fifo_user",
        |p| &mut p.fifo_user,
        "The owner of the pipe, by name or number.",
    );
    d.param(
        "fifo_group",
        |p| &mut p.fifo_group,
        "The group of the pipe, by name or number.",
    );
    let doc = "The folder of the pipes that answers go to (reply_name of a request).";
    d.param("fifo_reply_dir", |p| &mut p.fifo_reply_dir, doc);
    let doc = "The unix datagram socket, below rundir where it is not absolute, or udp:HOST:PORT.";
    d.param("dgram_socket", |p| &mut p.dgram_socket, doc);
    let doc = "The mode of the unix socket, 0660; others can never write, whatever it says.";
    d.param("dgram_mode", |p| &mut p.dgram_mode, doc);
    d.param(
        "dgram_user",
        |p| &mut p.dgram_user,
        "The owner of the unix socket, by name or number.",
    );
    d.param(
        "dgram_group",
        |p| &mut p.dgram_group,
        "The group of the unix socket, by name or number.",
    );
    let doc = "How long an answer to a datagram may wait for its client, in milliseconds.";
    d.param("dgram_timeout", |p| &mut p.dgram_timeout, doc);
    let doc = "Has no meaning here: one thread takes all datagrams, and none waits for another.";
    d.param("dgram_workers", |p| &mut p.dgram_workers, doc);
}

/// Kamailio's 0 means all that are configured; pipe and socket have names from the beginning.
fn open(params: &Params, env: &Env<'_>) -> Result<Vec<Arc<Door>>, InitError> {
    let wanted = |bit| params.transport == 0 || params.transport & bit != 0;
    let rundir = env.globals.rundir.text();
    let known = env.shared.keep(Doors::default);
    let read = |name: &str, text: &Str, bare| {
        Address::read(&text.text(), bare, &rundir)
            .map_err(|error| InitError::new(format!("{name} {text}: {error}")))
    };
    let mut doors = Vec::new();
    if wanted(transport::FIFO) && !params.fifo_name.is_empty() {
        let address = read("fifo_name", &params.fifo_name, Bare::Fifo)?;
        let access = Access::new(
            params.fifo_mode,
            &params.fifo_user,
            &params.fifo_group,
            env.globals,
        )?;
        doors.push(known.open("jsonrpcs", &address, &access)?);
    }
    let access = Access::new(
        params.dgram_mode,
        &params.dgram_user,
        &params.dgram_group,
        env.globals,
    )?;
    if wanted(transport::DATAGRAM) && !params.dgram_socket.is_empty() {
        let address = read("dgram_socket", &params.dgram_socket, Bare::Datagram)?;
        if !matches!(address, Address::UnixDatagram(_) | Address::Udp(_)) {
            return Err(InitError::new(format!(
                "dgram_socket {} is no datagram socket",
                params.dgram_socket
            )));
        }
        doors.push(known.open("jsonrpcs", &address, &access)?);
    }
    if let Some(text) = params.tcp_socket.as_ref().filter(|_| wanted(transport::TCP)) {
        let address = read("tcp_socket", text, Bare::Datagram)?;
        if !matches!(address, Address::Tcp(_)) {
            return Err(InitError::new(format!(
                "tcp_socket {text} is not of the form tcp:HOST:PORT"
            )));
        }
        doors.push(known.open("jsonrpcs", &address, &access)?);
    }
    Ok(doors)
}

impl House {
    fn of(env: &Env<'_>, settings: &Settings) -> Result<Arc<House>, InitError> {
        let kept = env.shared.keep(Kept::default);
        let mut place = kept.0.lock();
        if let Some(house) = &*place {
            return Ok(house.clone());
        }
        let desk = Desk::of(&env.shared).map_err(|error| InitError::new(format!("cannot start: {error}")))?;
        let house = Arc::new(House {
            desk,
            settings: Mutex::new(settings.clone()),
        });
        *place = Some(house.clone());
        Ok(house)
    }
}

fn echo(_: &Jsonrpcs, call: &mut RpcCall) -> RpcResult {
    let text = call.optional_text()?.map_or(RpcValue::Null, RpcValue::Str);
    let number = call.optional_int()?.unwrap_or(0);
    Ok(vec![text, RpcValue::Int(number)])
}

/// Before the first command the code is 0 and the texts are null.
fn part(reply: Option<&script::Reply>, part: Part) -> Value {
    match (reply, part) {
        (None, Part::Code) => Value::Int(0),
        (None, Part::Text | Part::Body) => Value::Null,
        (Some(reply), Part::Code) => Value::Int(reply.code),
        (Some(reply), Part::Text) => Value::Str(reply.text.clone()),
        (Some(reply), Part::Body) => Value::Str(reply.body.clone()),
    }
}
