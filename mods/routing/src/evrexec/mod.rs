//! Module `evrexec`: event routes that run at start, on datagrams of a socket of their own, and on command.

mod inbox;

use std::{collections::HashMap, net::SocketAddr, rc::Rc, sync::Arc, time::Duration};

use kahea_module::{
    BindError, Cx, Decl, Env, InitError, Module, Named, Naming, RouteId, Str, Value, Worker, error,
    ret::LocalFuture,
    rpc::{RpcCall, RpcFault, RpcResult},
    value::{int_text, parse_int},
};
use parking_lot::Mutex;

use self::inbox::Inbox;

/// The module.
pub struct Evrexec;

/// Its parameters.
#[derive(Default)]
pub struct Params {
    execs: Vec<Exec>,
}

/// What one `exec` line says.
#[derive(Debug, PartialEq)]
struct Exec {
    name: String,
    wait: Duration,
    workers: u32,
    socket: Option<SocketAddr>,
}

/// What `$evr()` tells; kept with the message of the event.
#[derive(Clone, Debug, Default)]
struct Cause {
    data: Option<Str>,
    from: Option<SocketAddr>,
    by_command: bool,
}

/// A key of `$evr()`.
#[derive(Clone, Copy)]
enum Key {
    Data,
    SourceIp,
    SourcePort,
    SourcePortNumber,
}

impl Module for Evrexec {
    const NAME: &'static str = "evrexec";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        d.param_fn(
            "exec",
            "string",
            |params, value, _| {
                params.execs.push(exec(&value.str_or_empty().text())?);
                Ok(())
            },
            "An event route to run: name=NAME;wait=MICROSECONDS;workers=N at start, or name=NAME;sockaddr=udp:IP:PORT \
             on each datagram.",
        );
        d.var_named(
            "evr",
            Naming::Required,
            Named {
                parse: |name, _| match name {
                    "data" => Ok(Key::Data),
                    "srcip" => Ok(Key::SourceIp),
                    "srcport" => Ok(Key::SourcePort),
                    "srcportno" => Ok(Key::SourcePortNumber),
                    _ => Err(BindError::new(format!("$evr({name}) is unknown"))
                        .help("write data, srcip, srcport or srcportno")),
                },
                get: |_, cx, key, _| cx.extra::<Cause>().value(*key),
                set: None,
                raw: false,
            },
            "What made the event route run: the datagram or the text of the command, and its sender.",
        );
        d.rpc_waits(
            "evrexec.run",
            run_command,
            "Runs an event route: its name, and a text for $evr(data).",
        );
        d.event(
            "<name from the exec param>",
            "What the parameter exec names, at start or on a datagram.",
        );
        d.event(
            "evrexec:*",
            "What the parameter exec or the command evrexec.run names.",
        );
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Evrexec, InitError> {
        for exec in params.execs {
            let route = env.event_route(&exec.name).ok_or_else(|| {
                InitError::new(format!("there is no event_route[{}]", exec.name)).help("add the route")
            })?;
            match exec.socket {
                Some(address) => listen(env, address, route)?,
                None => at_start(env, &exec, route),
            }
        }
        Ok(Evrexec)
    }
}

impl Cause {
    fn value(&self, key: Key) -> Value {
        let port = self.from.map(|from| i64::from(from.port()));
        match key {
            Key::Data => self.data.clone().into(),
            Key::SourceIp => self.from.map(|from| Str::from(from.ip().to_string())).into(),
            Key::SourcePort => port.map(int_text).into(),
            Key::SourcePortNumber if self.by_command => Value::Int(0),
            Key::SourcePortNumber => port.into(),
        }
    }
}

async fn run(worker: &Rc<Worker>, route: RouteId, cause: Cause) {
    match Cx::faked(worker.clone()) {
        Ok(mut cx) => {
            *cx.extra::<Cause>() = cause;
            // A task may be a loop that never ends; its steps hold up nobody as long as it sleeps.
            cx.budget.steps = u64::MAX;
            worker.engine.run(&mut cx, route).await;
            cx.finish();
        }
        Err(fault) => error!("evrexec", "An event route did not run: {fault}."),
    }
}

/// Tasks that were started in the life of the process: a reload leaves those under way alone.
#[derive(Default)]
struct Started(Mutex<HashMap<String, u32>>);

fn at_start(env: &mut Env<'_>, exec: &Exec, route: RouteId) {
    let started = env.shared.keep(Started::default);
    let (name, wait, workers) = (exec.name.clone(), exec.wait, exec.workers);
    env.hooks.worker_start.push(Arc::new(move |worker| {
        if worker.index != 0 {
            return;
        }
        let mut known = started.0.lock();
        let running = known.entry(name.clone()).or_default();
        for _ in *running..workers {
            *running = running.saturating_add(1);
            let task = move |worker: Rc<Worker>| -> LocalFuture<'static, ()> {
                Box::pin(async move {
                    worker.engine.sleep(wait).await;
                    run(&worker, route, Cause::default()).await;
                })
            };
            // A process of its own in Kamailio; its script may never end.
            worker.engine.apart(worker, Box::new(task));
        }
    }));
}

/// Sockets by address: a reload goes on with those that are open.
#[derive(Default)]
struct Sockets(Mutex<HashMap<SocketAddr, Arc<Inbox>>>);

fn listen(env: &mut Env<'_>, address: SocketAddr, route: RouteId) -> Result<(), InitError> {
    let sockets = env.shared.keep(Sockets::default);
    let mut known = sockets.0.lock();
    let inbox = match known.get(&address) {
        Some(inbox) => inbox.clone(),
        None => {
            let inbox = Inbox::open(address).map_err(|error| {
                InitError::new(format!("cannot receive at udp:{address}: {error}"))
                    .help("give an address of this machine with a port that nobody uses")
            })?;
            known.insert(address, inbox.clone());
            inbox
        }
    };
    env.hooks.worker_start.push(Arc::new(move |worker| {
        if worker.index != 0 {
            return;
        }
        let owner = inbox.own();
        let (inbox, worker, engine) = (inbox.clone(), worker.clone(), worker.engine.clone());
        engine.spawn(Box::pin(async move {
            while let Some((data, from)) = inbox.next(owner).await {
                let cause = Cause {
                    data: Some(data),
                    from: Some(from),
                    by_command: false,
                };
                run(&worker, route, cause).await;
            }
        }));
    }));
    Ok(())
}

fn run_command<'a>(_: &'a Evrexec, call: &'a mut RpcCall) -> LocalFuture<'a, RpcResult> {
    Box::pin(async move {
        let wrong = |_| RpcFault::new(500, "Invalid parameters");
        let name = call.text().map_err(wrong)?;
        let data = call.optional_text().map_err(wrong)?;
        let route = call.worker.config.event_route(&name.text());
        let route = route.ok_or_else(|| RpcFault::new(500, "Event route not found"))?;
        let cause = Cause {
            data: Some(data.unwrap_or_default()),
            from: None,
            by_command: true,
        };
        run(&call.worker, route, cause).await;
        Ok(Vec::new())
    })
}

fn exec(text: &str) -> Result<Exec, BindError> {
    let mut out = Exec {
        name: String::new(),
        wait: Duration::ZERO,
        workers: 1,
        socket: None,
    };
    let number = |value: &str| parse_int(value.as_bytes()).and_then(|n| u64::try_from(n).ok());
    for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        let wrong = || BindError::new(format!("{part} is no attribute of exec"));
        match key.trim() {
            "name" => value.trim().clone_into(&mut out.name),
            "wait" => out.wait = number(value).map(Duration::from_micros).ok_or_else(wrong)?,
            "workers" => {
                let workers = number(value)
                    .and_then(|n| u32::try_from(n).ok())
                    .filter(|n| *n <= 64);
                out.workers = workers.ok_or_else(wrong)?.max(1);
            }
            "sockaddr" => {
                let address = value
                    .trim()
                    .strip_prefix("udp:")
                    .and_then(|address| address.parse().ok());
                out.socket = Some(address.ok_or_else(|| wrong().help("write sockaddr=udp:IP:PORT"))?);
            }
            _ => return Err(wrong().help("write name=, wait=, workers= or sockaddr=")),
        }
    }
    match out.name.is_empty() {
        true => Err(BindError::new("exec names no event route").help("write name=NAME")),
        false => Ok(out),
    }
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::*;

    #[test]
    fn definitions_are_read_and_nonsense_refused() {
        let timer = exec("name=evrexec:timer;wait=1000;workers=0;").unwrap();
        assert_eq!((timer.wait, timer.workers), (Duration::from_millis(1), 1));
        let udp = exec("name=x;sockaddr=udp:[::1]:4444").unwrap();
        assert_eq!(udp.socket, Some("[::1]:4444".parse().unwrap()));
        for text in [
            "",
            "wait=1",
            "name=x;wait=-1",
            "name=x;workers=65",
            "name=x;sockaddr=tcp:127.0.0.1:1",
            "name=x;sockaddr=udp:host",
            "name=x;y=1",
        ] {
            assert!(exec(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_variable_tells_what_made_the_route_run() {
        let mut cx = Server::default().invite();
        let all = |cx: &mut Cx| {
            [Key::Data, Key::SourceIp, Key::SourcePort, Key::SourcePortNumber]
                .map(|key| cx.extra::<Cause>().value(key).to_string())
        };
        assert_eq!(all(&mut cx), ["<null>"; 4]);
        *cx.extra::<Cause>() = Cause {
            data: Some("hello".into()),
            from: Some("192.0.2.1:5061".parse().unwrap()),
            by_command: false,
        };
        assert_eq!(all(&mut cx), ["hello", "192.0.2.1", "5061", "5061"]);
        *cx.extra::<Cause>() = Cause {
            data: Some(Str::EMPTY),
            from: None,
            by_command: true,
        };
        assert_eq!(all(&mut cx), ["", "<null>", "<null>", "0"]);
    }
}
