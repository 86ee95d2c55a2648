//! DTMF events that engines report over UDP as JSON, and `event_route[rtpengine:dtmf-event]`.

use std::{
    net::{SocketAddr, UdpSocket},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use kahea_module::{Cx, Env, InitError, RouteId, RouteKind, Str, Value as Script, Var, Worker, error, info};
use parking_lot::Mutex;
use serde_json::Value as Json;
use tokio::sync::Notify;

/// The members of an event and the parameters that name variables for them.
pub const FIELDS: [(&str, &str); 9] = [
    ("callid", "dtmf_event_callid"),
    ("source_tag", "dtmf_event_source_tag"),
    ("timestamp", "dtmf_event_timestamp"),
    ("event", "dtmf_event"),
    ("source_label", "dtmf_event_source_label"),
    ("tags", "dtmf_event_tags"),
    ("type", "dtmf_event_type"),
    ("source_ip", "dtmf_event_source_ip"),
    ("duration", "dtmf_event_duration"),
];

/// The tenth: kept apart to leave the table within its line.
pub const VOLUME: (&str, &str) = ("volume", "dtmf_event_volume");

/// The socket survives reloads; the newest configuration reads from it.
#[derive(Default)]
struct Listening {
    socket: Mutex<Option<(SocketAddr, UdpSocket)>>,
    reader: AtomicU64,
    changed: Notify,
}

/// Variables by member.
pub type Fields = Vec<(&'static str, Var)>;

/// Begins to listen, where the script has the route.
///
/// # Errors
/// The address is taken or none.
pub fn start(address: &Str, fields: Fields, env: &mut Env<'_>) -> Result<(), InitError> {
    let text = address.text();
    let text = text.strip_prefix("udp:").unwrap_or(&text);
    let address: SocketAddr = text
        .parse()
        .map_err(|_| InitError::new(format!("dtmf_events_sock '{text}' is no ADDRESS:PORT")))?;
    let Some(route) = env.event_route("rtpengine:dtmf-event") else {
        info!(
            "rtpengine",
            "dtmf_events_sock without event_route[rtpengine:dtmf-event]: nothing is listened to."
        );
        return Ok(());
    };
    let listening = env.shared.keep(Listening::default);
    bind(&listening, address)
        .map_err(|error| InitError::new(format!("dtmf_events_sock {address}: {error}")))?;
    let number = listening.reader.fetch_add(1, Relaxed).wrapping_add(1);
    let fields = Arc::new(fields);
    env.hooks.worker_start.push(Arc::new(move |worker| {
        if worker.index == 0 {
            listening.changed.notify_waiters();
            let reading = read(listening.clone(), number, worker.clone(), route, fields.clone());
            worker.engine.spawn(Box::pin(reading));
        }
    }));
    Ok(())
}

fn bind(listening: &Listening, address: SocketAddr) -> std::io::Result<()> {
    let mut socket = listening.socket.lock();
    if socket.as_ref().is_some_and(|(bound, _)| *bound == address) {
        return Ok(());
    }
    let made = UdpSocket::bind(address)?;
    made.set_nonblocking(true)?;
    *socket = Some((address, made));
    Ok(())
}

/// Reads events until a newer configuration does.
async fn read(
    listening: Arc<Listening>,
    number: u64,
    worker: Rc<Worker>,
    route: RouteId,
    fields: Arc<Fields>,
) {
    let cloned = listening
        .socket
        .lock()
        .as_ref()
        .map(|(_, socket)| socket.try_clone());
    let Some(Ok(socket)) = cloned else { return };
    let socket = match tokio::net::UdpSocket::from_std(socket) {
        Ok(socket) => socket,
        Err(error) => return error!("rtpengine", "The socket for DTMF events cannot be read: {error}."),
    };
    let mut buffer = vec![0; 65_536];
    while listening.reader.load(Relaxed) == number {
        let received = tokio::select! {
            received = socket.recv(&mut buffer) => received,
            () = listening.changed.notified() => continue,
        };
        if let Ok(length) = received {
            let event = buffer.get(..length).unwrap_or_default();
            handle(&worker, route, &fields, event).await;
        }
    }
}

/// Fills the variables and runs the route.
async fn handle(worker: &Rc<Worker>, route: RouteId, fields: &Fields, event: &[u8]) {
    let Ok(Json::Object(event)) = serde_json::from_slice::<Json>(event) else {
        return info!("rtpengine", "An event that is no JSON object is passed over.");
    };
    let mut cx = match Cx::faked(worker.clone()) {
        Ok(cx) => cx,
        Err(fault) => return error!("rtpengine", "{fault}"),
    };
    for (member, var) in fields {
        let value = event.get(*member).map_or(Script::Null, script_value);
        if let Err(fault) = var.set(&mut cx, value) {
            error!("rtpengine", "{fault}");
        }
    }
    cx.route = RouteKind::Event;
    let engine = worker.engine.clone();
    engine.run(&mut cx, route).await;
    cx.finish();
}

/// Texts and numbers as such, anything else as JSON.
fn script_value(json: &Json) -> Script {
    match json {
        Json::Null => Script::Null,
        Json::String(text) => Script::from(text.clone()),
        Json::Number(number) => match number.as_i64() {
            Some(number) => Script::Int(number),
            None => Script::from(number.to_string()),
        },
        other => Script::from(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::*;

    #[tokio::test]
    async fn an_event_fills_the_variables_and_runs_the_route() {
        let server = Server::default();
        let bind = server.worker.config.bind.clone();
        let fields: Fields = [("callid", "c"), ("event", "e"), ("tags", "t"), ("volume", "v")]
            .into_iter()
            .map(|(member, name)| (member, bind.var(&format!("$var({name})")).unwrap()))
            .collect();
        let event = br#"{"callid":"x@h","event":5,"tags":["a","b"]}"#;
        handle(&server.worker, RouteId(7), &fields, event).await;
        assert_eq!(*server.engine.ran.borrow(), [RouteId(7)]);
        let mut cx = server.invite();
        let values: Vec<Script> = fields.iter().map(|(_, var)| var.get(&mut cx)).collect();
        let expected = [
            Script::from("x@h"),
            Script::Int(5),
            Script::from(r#"["a","b"]"#),
            Script::Null,
        ];
        assert_eq!(values, expected);
        handle(&server.worker, RouteId(7), &fields, b"junk").await;
        assert_eq!(server.engine.ran.borrow().len(), 1);
    }
}
