//! Breakpoints: a message is held before an action until a command lets it go on. Its worker goes on with others.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use kahea_module::{
    Cx, Fault, Ret, RouteKind, Value,
    log::{self, Level},
    ret::Later,
    warning,
};
use tokio::sync::mpsc;

use super::{
    Debugger,
    state::{Asked, Command, State, number},
};

/// The most messages that a worker holds; further ones run.
const MOST: usize = 16;

/// Kept with a message that is not to be held any more.
#[derive(Default)]
struct Free(bool);

/// Holds a message at a place, where that is possible: not in routes that cannot wait, nor for messages of the server's own.
pub(super) fn hold(state: &Arc<State>, cx: &mut Cx, place: &str) -> Option<Later> {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    if cx.faked || cx.route == RouteKind::OnSend || cx.extra::<Free>().0 {
        return None;
    }
    let (sender, receiver) = mpsc::unbounded_channel();
    let (id, worker) = (NEXT.fetch_add(1, Relaxed), number(cx.worker.index));
    let mut is_held = false;
    state.each(Some(worker), |_, worker| {
        is_held = worker.held.len() < MOST;
        if is_held {
            worker.held.push((id, sender.clone()));
        }
    });
    if !is_held {
        warning!(
            "debugger",
            "Worker {worker} holds {MOST} messages already: this one goes on."
        );
        return None;
    }
    let (state, place) = (state.clone(), place.to_owned());
    Some(Box::new(move |cx: &mut Cx| {
        Box::pin(async move {
            // Taken away however the wait ends.
            let _held = Held { state, worker, id };
            obey(cx, receiver, &place).await;
            Ret::TRUE
        })
    }))
}

struct Held {
    state: Arc<State>,
    worker: usize,
    id: u64,
}

impl Drop for Held {
    fn drop(&mut self) {
        let id = self.id;
        self.state.each(Some(self.worker), |_, worker| {
            worker.held.retain(|(known, _)| *known != id)
        });
    }
}

async fn obey(cx: &mut Cx, mut commands: mpsc::UnboundedReceiver<Asked>, place: &str) {
    while let Some((command, answer)) = commands.recv().await {
        let (text, goes_on) = match command {
            Command::Show => (format!("at bkp {place}"), false),
            Command::Eval(var) => (evaluated(cx, &var), false),
            Command::Log(var) => {
                let text = evaluated(cx, &var);
                log::write(Level::Error, "debugger", format_args!("{text}"));
                (text, false)
            }
            Command::Next => (format!("exec {place}"), true),
            Command::Move => {
                cx.extra::<Free>().0 = true;
                (format!("exec {place}"), true)
            }
        };
        // Who asked may have given up.
        let _ = answer.send(text);
        if goes_on {
            return;
        }
    }
}

fn evaluated(cx: &mut Cx, text: &str) -> String {
    let var = match cx.bind().var(text) {
        Ok(var) => var,
        Err(error) => return format!("{text} : {error}"),
    };
    match var.get(cx) {
        Value::Null => format!("{text} : t=null"),
        Value::Int(n) => format!("{text} : t=int v={n}"),
        Value::Str(value) => format!("{text} : t=str v={value}"),
    }
}

pub(super) fn anchor(m: &Debugger, cx: &mut Cx, mode: i64) -> Result<Ret, Fault> {
    if mode == 0 {
        return Ok(Ret::TRUE);
    }
    let place = match cx.place() {
        Some(place) => format!("[{}:{}] a=25 n=dbg_breakpoint", place.file, place.line),
        None => "[:0] a=25 n=dbg_breakpoint".to_owned(),
    };
    Ok(hold(&m.state, cx, &place).map_or(Ret::TRUE, Ret::Wait))
}
