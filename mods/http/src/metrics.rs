//! Module `metrics`, of this server's own: figures with labels and latency histograms for Prometheus.
//!
//! It answers `GET /metrics` on the TCP listeners by itself, before `xhttp`, with the text format of Prometheus 0.0.4 or,
//! for those who ask for it, OpenMetrics 1.0. Loading it switches the histograms on; without it they cost one test each.

use std::{
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use kahea_module::{
    Cx, Decl, EVENT, Env, Fault, Flow, InitError, Module, REQUEST, Ret, Str,
    config::Shared,
    latency::{BOUNDS, Family, Reading},
    proxy,
    stats::Counter,
};
use kahea_sip::Method;

/// The module.
pub struct Metrics {
    inner: Arc<Inner>,
}

struct Inner {
    figures: Arc<Figures>,
    shared: Arc<Shared>,
    path: Vec<u8>,
    port: u16,
}

/// Its parameters.
pub struct Params {
    path: Str,
    port: i64,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            path: Str::from_static("/metrics"),
            port: 0,
        }
    }
}

/// The methods that are told apart; all others are one.
const METHODS: [(Method, &str); 14] = [
    (Method::Invite, "INVITE"),
    (Method::Ack, "ACK"),
    (Method::Bye, "BYE"),
    (Method::Cancel, "CANCEL"),
    (Method::Register, "REGISTER"),
    (Method::Options, "OPTIONS"),
    (Method::Prack, "PRACK"),
    (Method::Update, "UPDATE"),
    (Method::Info, "INFO"),
    (Method::Subscribe, "SUBSCRIBE"),
    (Method::Notify, "NOTIFY"),
    (Method::Refer, "REFER"),
    (Method::Message, "MESSAGE"),
    (Method::Publish, "PUBLISH"),
];
const KINDS: usize = METHODS.len() + 1;
/// From 100 to 699.
const STATUSES: usize = 600;

/// What is counted, by place: no name is looked up for a message.
struct Figures {
    requests: [Counter; KINDS],
    received: Statuses,
    sent: Statuses,
    scrapes: AtomicU64,
}

/// Replies by method and status: counters that are made when a status first comes.
struct Statuses(Vec<std::sync::OnceLock<Counter>>);

impl Statuses {
    fn new() -> Statuses {
        Statuses(
            std::iter::repeat_with(std::sync::OnceLock::new)
                .take(KINDS.saturating_mul(STATUSES))
                .collect(),
        )
    }

    fn count(&self, method: Method, status: u16) {
        let status = usize::from(status).checked_sub(100).filter(|at| *at < STATUSES);
        let at = status.map(|at| kind(method).saturating_mul(STATUSES).saturating_add(at));
        if let Some(cell) = at.and_then(|at| self.0.get(at)) {
            cell.get_or_init(Counter::default).inc();
        }
    }

    fn read(&self) -> impl Iterator<Item = (&'static str, usize, i64)> {
        self.0.iter().enumerate().filter_map(|(at, cell)| {
            let counter = cell.get()?;
            let (kind, status) = (at.checked_div(STATUSES)?, at.checked_rem(STATUSES)?);
            Some((name(kind), status.saturating_add(100), counter.get()))
        })
    }
}

fn kind(method: Method) -> usize {
    METHODS
        .iter()
        .position(|(known, _)| *known == method)
        .unwrap_or(METHODS.len())
}

fn name(kind: usize) -> &'static str {
    METHODS.get(kind).map_or("other", |(_, name)| name)
}

impl Default for Figures {
    fn default() -> Figures {
        Figures {
            requests: Default::default(),
            received: Statuses::new(),
            sent: Statuses::new(),
            scrapes: AtomicU64::new(0),
        }
    }
}

impl Module for Metrics {
    const NAME: &'static str = "metrics";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        let doc = "The path that is answered; empty: only metrics_reply() answers.";
        d.param("path", |p| &mut p.path, doc);
        let doc = "Only requests to this port are answered without the script (listen=tcp:ADDRESS:PORT); 0: to any.";
        d.param("port", |p| &mut p.port, doc);
        let doc = "Answers the HTTP request with all figures, and ends the script.";
        d.func("metrics_reply", [], reply, doc)
            .routes(REQUEST | EVENT)
            .kemi(0, "reply")
            .example("if ($hu == \"/figures\") metrics_reply();");
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Self, InitError> {
        let port = u16::try_from(params.port)
            .map_err(|_| InitError::new(format!("port {} is none", params.port)))?;
        let figures = env.shared.keep(Figures::default);
        env.shared.stats.latencies.switch(true);
        watch(&figures, env);
        let inner = Arc::new(Inner {
            figures,
            shared: env.shared.clone(),
            path: params.path.to_vec(),
            port,
        });
        let own = inner.clone();
        env.hooks.take_http.push(Arc::new(move |mut cx| {
            if !own.takes(&cx) {
                return Some(cx);
            }
            if let Err(fault) = own.respond(&mut cx) {
                kahea_module::info!("metrics", "No answer to a scrape: {fault}.");
            }
            cx.finish();
            None
        }));
        Ok(Metrics { inner })
    }
}

fn watch(figures: &Arc<Figures>, env: &mut Env<'_>) {
    let own = figures.clone();
    env.hooks.request.push(Arc::new(move |cx| {
        if let Some(counter) = own.requests.get(kind(cx.msg.method())) {
            counter.inc();
        }
        Flow::Continue
    }));
    let own = figures.clone();
    env.hooks.reply.push(Arc::new(move |cx| {
        own.received.count(cx.msg.method(), cx.msg.status().unwrap_or(0));
        Flow::Continue
    }));
    let own = figures.clone();
    env.hooks.local_reply.push(Arc::new(move |cx| {
        let status = cx.sending.as_ref().and_then(|sending| status(&sending.data));
        own.sent.count(cx.msg.method(), status.unwrap_or(0));
        Ret::TRUE
    }));
}

/// The status of a reply's bytes.
fn status(data: &[u8]) -> Option<u16> {
    let digits = data.strip_prefix(b"SIP/2.0 ")?.get(..3)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn reply(m: &Metrics, cx: &mut Cx) -> Result<Ret, Fault> {
    if !cx.msg.is_http() {
        return Err(Fault::script("metrics_reply(): the message is not HTTP"));
    }
    m.inner.respond(cx).map(|()| Ret::EXIT)
}

const TEXT: &[u8] = b"text/plain; version=0.0.4; charset=utf-8";
const OPEN: &[u8] = b"application/openmetrics-text; version=1.0.0; charset=utf-8";

impl Inner {
    fn takes(&self, cx: &Cx) -> bool {
        let target = cx.msg.uri().unwrap_or_default();
        let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
        !self.path.is_empty()
            && path == self.path
            && matches!(cx.msg.method_text(), b"GET" | b"HEAD")
            && (self.port == 0 || cx.received.local.port() == self.port)
    }

    fn respond(&self, cx: &mut Cx) -> Result<(), Fault> {
        self.figures.scrapes.fetch_add(1, Relaxed);
        let accepts = |header: &kahea_sip::Header| {
            let value = cx.msg.value(header);
            value
                .windows(28)
                .any(|part| part == b"application/openmetrics-text")
        };
        let open = cx.msg.named(b"Accept").any(accepts);
        let text = self.page(open, cx.config().shared.started, cx.time());
        proxy::http::respond(cx, 200, b"OK", if open { OPEN } else { TEXT }, text)
    }

    fn page(&self, open: bool, started: std::time::SystemTime, now: std::time::SystemTime) -> String {
        let mut page = Page {
            out: String::new(),
            open,
        };
        page.family("kahea_requests", "counter", "Requests received.");
        for (at, counter) in self.figures.requests.iter().enumerate() {
            let count = counter.get();
            if count != 0 {
                page.total("kahea_requests", &[("method", name(at))], count);
            }
        }
        let replies = [
            (
                "kahea_replies_received",
                &self.figures.received,
                "Replies received.",
            ),
            ("kahea_replies_sent", &self.figures.sent, "Replies made here."),
        ];
        for (family, statuses, help) in replies {
            page.family(family, "counter", help);
            for (method, status, count) in statuses.read() {
                page.total(
                    family,
                    &[("method", method), ("status", &status.to_string())],
                    count,
                );
            }
        }
        page.latencies(&self.shared);
        page.statistics(&self.shared);
        let up = now.duration_since(started).unwrap_or_default().as_secs_f64();
        page.family("kahea_uptime_seconds", "gauge", "How long the server runs.");
        let _ = writeln!(page.out, "kahea_uptime_seconds {up}");
        page.family("kahea_scrapes", "counter", "Answers like this one.");
        let scrapes = i64::try_from(self.figures.scrapes.load(Relaxed)).unwrap_or(i64::MAX);
        page.total("kahea_scrapes", &[], scrapes);
        if open {
            page.out.push_str("# EOF\n");
        }
        page.out
    }
}

struct Page {
    out: String,
    open: bool,
}

/// What a family of histograms is about.
fn help(family: &str) -> &'static str {
    match family {
        "route" => "How long routes of the script took, waits included.",
        "db" => "How long statements took, by database.",
        "dns" => "How long names took that were not in the cache.",
        _ => "How long it took.",
    }
}

impl Page {
    /// The text format of Prometheus has `_total` in the names of families, OpenMetrics has not.
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let end = if kind == "counter" && !self.open {
            "_total"
        } else {
            ""
        };
        let _ = writeln!(self.out, "# HELP {name}{end} {help}\n# TYPE {name}{end} {kind}");
    }

    fn total(&mut self, name: &str, labels: &[(&str, &str)], count: i64) {
        let _ = write!(self.out, "{name}_total");
        self.labels(labels, None);
        let _ = writeln!(self.out, " {count}");
    }

    fn labels(&mut self, labels: &[(&str, &str)], bound: Option<&str>) {
        let all = labels.iter().copied().chain(bound.map(|bound| ("le", bound)));
        let all: Vec<String> = all
            .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
            .collect();
        if !all.is_empty() {
            let _ = write!(self.out, "{{{}}}", all.join(","));
        }
    }

    fn latencies(&mut self, shared: &Shared) {
        let mut last = "";
        for (family, reading) in shared.stats.latencies.read() {
            let name = format!("kahea_{}_seconds", family.0);
            if last != family.0 {
                last = family.0;
                self.family(&name, "histogram", help(family.0));
            }
            self.histogram(&name, &family, &reading);
        }
    }

    fn histogram(&mut self, name: &str, family: &Family, reading: &Reading) {
        let labels: Vec<(&str, &str)> = family
            .1
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let mut below = 0u64;
        let bounds = BOUNDS.iter().map(|micros| seconds(*micros).to_string());
        for (bound, count) in bounds.chain(["+Inf".to_owned()]).zip(reading.counts) {
            below = below.saturating_add(count);
            let _ = write!(self.out, "{name}_bucket");
            self.labels(&labels, Some(&bound));
            let _ = writeln!(self.out, " {below}");
        }
        let _ = write!(self.out, "{name}_sum");
        self.labels(&labels, None);
        let _ = write!(self.out, " {}\n{name}_count", seconds(reading.micros));
        self.labels(&labels, None);
        let _ = writeln!(self.out, " {below}");
    }

    /// The statistics of all modules, those of `stats.get_statistics`.
    fn statistics(&mut self, shared: &Shared) {
        self.family(
            "kahea_statistic",
            "gauge",
            "Statistics of the core and of modules.",
        );
        for group in shared.stats.groups() {
            for (name, stat) in shared.stats.group(&group).unwrap_or_default() {
                self.out.push_str("kahea_statistic");
                self.labels(&[("group", &group.text()), ("name", &name.text())], None);
                let _ = writeln!(self.out, " {}", stat.get());
            }
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "beyond 2^53 microseconds nobody counts single ones"
)]
fn seconds(micros: u64) -> f64 {
    micros as f64 / 1_000_000.0
}

fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use kahea_module::testing::Server;

    use super::*;

    fn inner() -> Inner {
        let server = Server::default();
        Inner {
            figures: Arc::default(),
            shared: server.worker.config.shared.clone(),
            path: b"/metrics".to_vec(),
            port: 0,
        }
    }

    #[test]
    fn figures_have_labels() {
        let own = inner();
        own.figures.sent.count(Method::Register, 401);
        own.figures.sent.count(Method::Register, 401);
        own.figures.received.count(Method::Other, 699);
        own.figures.received.count(Method::Other, 42);
        own.shared
            .stats
            .latencies
            .of("db", &[("url", "sqlite:\"x\"")])
            .record(Duration::from_millis(3));
        let page = own.page(false, SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH);
        for line in [
            "# TYPE kahea_replies_sent_total counter",
            "kahea_replies_sent_total{method=\"REGISTER\",status=\"401\"} 2",
            "kahea_replies_received_total{method=\"other\",status=\"699\"} 1",
            "# TYPE kahea_db_seconds histogram",
            "kahea_db_seconds_bucket{url=\"sqlite:\\\"x\\\"\",le=\"0.0025\"} 0",
            "kahea_db_seconds_bucket{url=\"sqlite:\\\"x\\\"\",le=\"0.005\"} 1",
            "kahea_db_seconds_bucket{url=\"sqlite:\\\"x\\\"\",le=\"+Inf\"} 1",
            "kahea_db_seconds_sum{url=\"sqlite:\\\"x\\\"\"} 0.003",
        ] {
            assert!(page.lines().any(|own| own == line), "{line}\n{page}");
        }
        assert!(
            !page.contains("EOF")
                && own
                    .page(true, SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH)
                    .ends_with("# EOF\n")
        );
    }

    #[test]
    fn only_its_own_requests_are_taken() {
        let own = inner();
        let takes = |line: &str| {
            let text = format!("{line} HTTP/1.1\r\nHost: h\r\n\r\n");
            own.takes(&Server::default().message(&text))
        };
        assert!(takes("GET /metrics") && takes("HEAD /metrics?x=y"));
        assert!(!takes("POST /metrics") && !takes("GET /metrics/x") && !takes("GET /"));
        assert_eq!(
            (status(b"SIP/2.0 404 Not Found"), status(b"HTTP/1.1 200 OK")),
            (Some(404), None)
        );
    }
}
