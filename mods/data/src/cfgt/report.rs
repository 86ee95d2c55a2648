//! Collecting a report while a message is worked on, and writing it.

use std::{
    cell::RefCell,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use kahea_module::{
    Cx, Env, Str, error, info,
    trace::{Block, Left, Tracer},
};
use kahea_sip::HeaderId;
use serde_json::{Map, Value as Json, json};

use super::Reports;
use crate::{debugger::block_name, dump};

/// The most entries of a report; a script in a loop makes no more.
const MOST: usize = 10_000;
/// After the script has ended, so that what is sent on its behalf is in the report.
const LINGER: Duration = Duration::from_millis(20);

thread_local! {
    /// What was sent for the messages in work on this worker, by Call-ID; the newest last.
    static SENT: RefCell<Vec<(u64, Str, Vec<Json>)>> = const { RefCell::new(Vec::new()) };
}

/// The report of a message.
#[derive(Default)]
struct Report {
    /// Which it is on this worker; 0: none yet.
    id: u64,
    scenario: String,
    depth: usize,
    flow: Vec<Json>,
    incoming: Option<Json>,
}

/// Registers the tracer, and looks at what is sent.
pub(super) fn start(env: &mut Env<'_>, reports: &Arc<Reports>) {
    env.hooks.tracers.push(Arc::new(Recorder(reports.clone())));
    env.hooks.wire_out.push(Arc::new(|_, _, data| {
        SENT.with_borrow_mut(|all| {
            let fits = |(_, call_id, _): &&mut (u64, Str, Vec<Json>)| contains(&data, call_id);
            if let Some((.., sent)) = all.iter_mut().rev().find(fits) {
                sent.push(dump::string(&data));
            }
        });
        Some(data)
    }));
}

fn contains(data: &[u8], call_id: &[u8]) -> bool {
    !call_id.is_empty() && data.windows(call_id.len()).any(|window| window == call_id)
}

struct Recorder(Arc<Reports>);

fn call_id(cx: &Cx) -> Option<Str> {
    let header = cx.msg.first(HeaderId::CallId)?;
    Some(cx.msg.buffer().share(cx.msg.value(header)))
}

impl Recorder {
    fn note(&self, cx: &mut Cx, how: &str, block: &Block<'_>) {
        let name = format!("{how}|{}", block_name(block.kind, block.name));
        if self.0.route_log {
            info!("cfgt", "{name}");
        }
        let variables = dump::variables(cx, self.0.mask.load(Relaxed));
        let report = cx.extra::<Report>();
        if report.flow.len() < MOST {
            let mut entry = Map::new();
            entry.insert(name, variables);
            report.flow.push(Json::Object(entry));
        }
    }

    fn begin(&self, cx: &mut Cx) {
        let Some(call_id) = call_id(cx) else { return };
        let Some(scenario) = self.0.scenario(&call_id) else {
            return;
        };
        let incoming = dump::string(cx.msg.buffer());
        let id = SENT.with_borrow_mut(|all| {
            let id = all.last().map_or(1, |(last, ..)| last.saturating_add(1));
            all.push((id, call_id.detach(), Vec::new()));
            id
        });
        *cx.extra::<Report>() = Report {
            id,
            scenario,
            depth: 0,
            flow: Vec::new(),
            incoming: Some(incoming),
        };
    }

    /// Writes the report a moment later, on a thread that may wait for the disk.
    fn end(&self, cx: &mut Cx) {
        let report = std::mem::take(cx.extra::<Report>());
        let number = self.0.next_number(&report.scenario);
        let folder = format!("{}/{}", self.0.basedir, report.scenario);
        let engine = cx.worker.engine.clone();
        let task = engine.clone();
        engine.spawn(Box::pin(async move {
            task.sleep(LINGER).await;
            let text = dump::laid_out(&report.whole());
            let write = move || {
                std::fs::create_dir_all(&folder)
                    .and_then(|()| std::fs::write(format!("{folder}/{number}.json"), text))
                    .map_err(|error| format!("The report {folder}/{number}.json cannot be written: {error}."))
            };
            if let Ok(Err(problem)) = tokio::task::spawn_blocking(write).await {
                error!("cfgt", "{problem}");
            }
        }));
    }
}

impl Report {
    fn whole(self) -> Json {
        let sent = SENT.with_borrow_mut(|all| {
            let at = all.iter().position(|(id, ..)| *id == self.id);
            at.map(|at| all.remove(at).2).unwrap_or_default()
        });
        let incoming: Vec<Json> = self.incoming.into_iter().collect();
        json!({"flow": self.flow, "sip_in": incoming, "sip_out": sent})
    }
}

impl Tracer for Recorder {
    fn is_on(&self, cx: &Cx) -> bool {
        self.0.switch.is_on() && !cx.faked
    }

    fn entered(&self, cx: &mut Cx, block: &Block<'_>) {
        if cx.extra::<Report>().id == 0 {
            self.begin(cx);
        }
        if cx.extra::<Report>().id == 0 {
            return;
        }
        self.note(cx, "start", block);
        let report = cx.extra::<Report>();
        report.depth = report.depth.saturating_add(1);
    }

    fn left(&self, cx: &mut Cx, block: &Block<'_>, how: Left) {
        if cx.extra::<Report>().id == 0 {
            return;
        }
        let word = match how {
            Left::Return => "return",
            Left::Exit => "exit",
            Left::Drop => "drop",
        };
        self.note(cx, word, block);
        let report = cx.extra::<Report>();
        report.depth = report.depth.saturating_sub(1);
        if report.depth == 0 || how != Left::Return {
            self.end(cx);
        }
    }
}
