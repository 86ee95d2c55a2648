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
    let place = place.to_owned();
    // Taken away however the wait ends, and where it never begins.
    let held = Held {
        state: state.clone(),
        worker,
        id,
    };
    Some(Box::new(move |cx: &mut Cx| {
        Box::pin(async move {
            obey(cx, receiver, &place).await;
            drop(held);
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kahea_module::testing::Server;
    use tokio::sync::oneshot;

    use super::*;

    async fn ask(state: &State, command: Command) -> String {
        let mut held = None;
        state.each(Some(1), |_, worker| {
            held = worker.held.first().map(|(_, sender)| sender.clone())
        });
        let (answer, asked) = oneshot::channel();
        held.expect("a held message")
            .send((command, answer))
            .expect("it listens");
        asked.await.expect("an answer")
    }

    #[tokio::test]
    async fn a_held_message_obeys() {
        let state = Arc::new(State::new(false, true, Duration::from_secs(1)));
        state.add_worker(0);
        let mut cx = Server::default().invite();
        let later = hold(&state, &mut cx, "[a.cfg:7] a=5 n=route").expect("it is held");
        let commands = async {
            assert_eq!(ask(&state, Command::Show).await, "at bkp [a.cfg:7] a=5 n=route");
            assert_eq!(
                ask(&state, Command::Eval("$var(x)".to_owned())).await,
                "$var(x) : t=int v=0"
            );
            assert!(
                ask(&state, Command::Eval("$nope".to_owned()))
                    .await
                    .contains("unknown")
            );
            assert_eq!(ask(&state, Command::Next).await, "exec [a.cfg:7] a=5 n=route");
        };
        tokio::join!(later(&mut cx), commands);
        state.each(None, |_, worker| assert!(worker.held.is_empty()));
        let later = hold(&state, &mut cx, "[a.cfg:8]").expect("it is held again");
        tokio::join!(later(&mut cx), async { ask(&state, Command::Move).await });
        assert!(hold(&state, &mut cx, "[a.cfg:9]").is_none(), "it moves on");
    }

    #[test]
    fn a_message_that_ends_is_not_held_any_more_and_there_is_a_limit() {
        let state = Arc::new(State::new(false, true, Duration::from_secs(1)));
        state.add_worker(0);
        let server = Server::default();
        let mut cx = server.invite();
        let held: Vec<_> = (0..MOST)
            .map(|_| hold(&state, &mut cx, "x").expect("it is held"))
            .collect();
        assert!(hold(&state, &mut cx, "x").is_none());
        assert_eq!(held.len(), MOST);
        let mut faked = server.invite();
        faked.faked = true;
        assert!(hold(&state, &mut faked, "x").is_none());
        drop(held);
        state.each(None, |_, worker| assert!(worker.held.is_empty()));
    }
}
