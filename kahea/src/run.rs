//! From the command line to a running server, and its end.

use std::{
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use kahea_engine::{
    Loaded, Server, Setup,
    control::{Answer, Control, Process, ProcessSlot},
    logging::{Log, Settings, Style},
};
use kahea_lang::parser;
use kahea_module::{
    config::Shared,
    globals::Globals,
    log::{self, Level},
    registry::Registry,
};
use kahea_net::Net;
use serde_json::json;
use tokio::{
    runtime::Runtime,
    signal::unix::{Signal, SignalKind, signal},
};

use crate::{
    FAILED, daemon, data,
    load::{self, Place},
    options::Options,
    out,
    privilege::{Identity, PidFiles, set_limits},
    report::{self, Findings},
    status, systemd,
};

/// Where syslog takes its lines.
const SYSLOG: &str = "/dev/log";

/// Checks, prints or runs a configuration.
pub fn server(options: Options, args: Vec<String>, program: &str) -> ExitCode {
    match start(options, args, program) {
        Ok(code) => code,
        Err(problem) => {
            out::complain(&problem);
            ExitCode::from(FAILED)
        }
    }
}

fn start(options: Options, args: Vec<String>, program: &str) -> Result<ExitCode, String> {
    let place = Place::of(&options, program);
    let (inherited, refused) = systemd::inherited();
    refused
        .iter()
        .for_each(|text| out::complain(&format!("{text}\n")));
    if options.print_config {
        return Ok(print(&place, &options));
    }
    let registry = Arc::new(crate::modules::registry());
    if place == Place::BuiltIn && !options.check {
        data::prepare(&data::folder()).map_err(|text| text + "\n")?;
    }
    let mut loaded = load::load(&place, &options, &registry).map_err(|text| text + "\n")?;
    let failed = loaded.diagnostics.has_errors();
    let findings = Findings::of(&loaded.diagnostics, std::mem::take(&mut loaded.sources));
    out::complain(&findings.full());
    if failed {
        return Err(hint(&place, &options));
    }
    if options.check {
        out::complain("config file ok, exiting...\n");
        return Ok(ExitCode::SUCCESS);
    }
    set_limits(&loaded.globals).map_err(|text| format!("{text}\n"))?;
    let pid_files = PidFiles {
        process: options.pid_file.clone(),
        group: options.group_pid_file.clone(),
    };
    let background = loaded.globals.fork;
    // As in Kamailio, a daemon that is told nothing else works in the root directory.
    let work_dir = background.then_some("/");
    let identity = Identity::of(&loaded.globals, pid_files, work_dir).map_err(|text| text + "\n")?;
    let child = match background {
        true => match daemon::split().map_err(|error| format!("cannot go into the background: {error}\n"))? {
            daemon::Side::Parent(true) => return Ok(ExitCode::SUCCESS),
            daemon::Side::Parent(false) => return Ok(ExitCode::from(FAILED)),
            daemon::Side::Child(child) => Some(child),
        },
        false => None,
    };
    // Reloads read the same file wherever the process works.
    let place = place.absolute();
    let begun = Begun {
        options,
        args,
        program: program.to_owned(),
        place,
        registry,
        identity,
    };
    begun.run(loaded, inherited, child)
}

/// A remedy for those who did not choose the file that is wrong.
fn hint(place: &Place, options: &Options) -> String {
    match options.config {
        Some(_) => String::new(),
        None => format!(
            "{} was read because there was no -f; name another file with -f\n",
            place.name()
        ),
    }
}

fn print(place: &Place, options: &Options) -> ExitCode {
    let (text, diagnostics, sources) = load::printed(place, options);
    out::print(&String::from_utf8_lossy(&text));
    let findings = Findings::of(&diagnostics, sources);
    out::complain(&findings.full());
    match diagnostics.has_errors() {
        true => ExitCode::from(FAILED),
        false => ExitCode::SUCCESS,
    }
}

/// `log_engine_type` names something that is not here.
fn warn_of_engine(globals: &Globals) {
    let engine = globals.log_engine_type.clone().unwrap_or_default();
    if Style::of(&engine.text(), "").is_none() {
        let text = format!(
            "log_engine_type: there is no engine {engine}, so lines stay plain; write \"json\", \"udp\" or \"systemd\""
        );
        log::write(Level::Warning, "<core>", format_args!("{text}"));
    }
}

/// How many threads run at the same time here.
pub fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The process that is to be the server.
struct Begun {
    options: Options,
    args: Vec<String>,
    program: String,
    place: Place,
    registry: Arc<Registry>,
    identity: Identity,
}

impl Begun {
    fn run(
        mut self,
        loaded: Loaded,
        inherited: kahea_net::Inherited,
        child: Option<daemon::Child>,
    ) -> Result<ExitCode, String> {
        let globals = loaded.globals.clone();
        let log = Log::new(Settings::of(&globals, &self.program), SYSLOG);
        log.install();
        log::set_level(globals.debug);
        warn_of_engine(&globals);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| format!("cannot start: {error}\n"))?;
        let signals = Signals::take(&runtime).map_err(|error| format!("cannot take signals: {error}\n"))?;
        let server = match self.open(loaded, inherited) {
            Ok(server) => server,
            Err(error) => {
                self.identity.leave();
                let findings = Findings::of_start(error, || self.listen_lines(&globals));
                return Err(findings.full());
            }
        };
        if let Some(child) = child {
            let keep = globals.log_stderror;
            child
                .ready(keep)
                .map_err(|error| format!("cannot let go of the terminal: {error}\n"))?;
        }
        let Begun {
            options,
            program,
            place,
            registry,
            identity,
            ..
        } = self;
        let reloader = Arc::new(Reloader {
            options,
            program,
            place,
            registry,
            server: server.clone(),
            log,
        });
        let clean = runtime.block_on(reloader.clone().serve(signals, &globals));
        identity.leave();
        runtime.shutdown_background();
        Ok(if clean {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(FAILED)
        })
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the start of the process is the source of its times"
    )]
    fn open(
        &mut self,
        loaded: Loaded,
        inherited: kahea_net::Inherited,
    ) -> Result<Arc<Server>, kahea_engine::StartError> {
        let shared = Arc::new(Shared::new(SystemTime::now(), Instant::now(), self.args.clone()));
        let (identity, place) = (&mut self.identity, &self.place);
        let setup = Setup {
            workers: self.options.workers.unwrap_or_else(processors),
            inherited,
            message_bytes: self
                .options
                .private_memory
                .map(|megabytes| megabytes.saturating_mul(1 << 20)),
            opened: &mut |net| {
                identity.assume()?;
                out::print(&welcome(net, place));
                Ok(())
            },
        };
        Server::start_with(loaded, self.registry.clone(), shared, setup).map(Arc::new)
    }

    fn listen_lines(&self, globals: &Globals) -> (Vec<kahea_diag::Span>, kahea_diag::SourceMap) {
        let parsed = match &self.place {
            Place::File(path) if path != "-" => {
                parser::parse(path, &kahea_engine::boot::Files, &load::language(&self.options))
            }
            _ => parser::Parsed::default(),
        };
        report::listen_lines(parsed, globals)
    }
}

/// Where it listens, in Kamailio's form; more for those who have no configuration yet.
fn welcome(net: &Net, place: &Place) -> String {
    let listeners = net.listeners();
    let mut text = String::from("Listening on \n");
    for listener in &listeners {
        text.push_str(&format!(
            "             {}: {}",
            listener.transport,
            listener.socket_addr()
        ));
        if let Some((host, port)) = &listener.advertise {
            text.push_str(&format!(" advertise {host}:{port}"));
        }
        text.push('\n');
    }
    if *place == Place::BuiltIn {
        let first = listeners
            .first()
            .map_or("127.0.0.1:5060".to_owned(), |one| one.socket_addr().to_string());
        text.push_str(&format!(
            "\nThere is no configuration file, so the built-in one runs: a registrar and proxy for users of its own.\n\
             Make a user:        kahea user add alice     (it says what to type into the phone)\n\
             Its data:           {}\n\
             Try it:             sipsak -vv -s sip:{first}\n\
             Write your own:     kahea -f my.cfg (kamailio.cfg as it is), kahea check my.cfg\n\
             Where it is sought: /etc/kahea/kahea.cfg\n",
            data::folder().display()
        ));
    }
    text
}

/// The signals that mean something.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    user1: Signal,
    /// Taken so that they do not end the process.
    _ignored: [Signal; 2],
}

impl Signals {
    fn take(runtime: &Runtime) -> std::io::Result<Signals> {
        let _inside = runtime.enter();
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            user1: signal(SignalKind::user_defined1())?,
            _ignored: [signal(SignalKind::user_defined2())?, signal(SignalKind::pipe())?],
        })
    }
}

/// Reads the configuration again, for signals and for the control socket.
struct Reloader {
    options: Options,
    program: String,
    place: Place,
    registry: Arc<Registry>,
    server: Arc<Server>,
    log: Arc<Log>,
}

impl Reloader {
    /// Serves signals and commands until the end; false where the end took too long.
    async fn serve(self: Arc<Reloader>, mut signals: Signals, globals: &Globals) -> bool {
        let process: Arc<dyn Process> = self.clone();
        self.server.shared().keep(ProcessSlot::default).set(&process);
        let control = self.control(globals);
        let watchdog = systemd::watchdog().map(|every| tokio::spawn(watch(self.server.clone(), every)));
        systemd::ready(&format!("{} workers", self.server.workers()));
        loop {
            tokio::select! {
                _ = signals.terminate.recv() => break,
                _ = signals.interrupt.recv() => break,
                _ = signals.hangup.recv() => {
                    let reloader = self.clone();
                    drop(tokio::task::spawn_blocking(move || reloader.reload()));
                }
                _ = signals.user1.recv() => status::dump(&self.server, &self.log),
            }
        }
        systemd::stopping();
        log::write(
            Level::Notice,
            "<core>",
            format_args!("Thank you for flying {}!!!", self.program),
        );
        for task in [control, watchdog].into_iter().flatten() {
            task.abort();
            // It was aborted, which is what the error says.
            let _ = task.await;
        }
        let limit = u64::try_from(globals.exit_timeout)
            .ok()
            .filter(|seconds| *seconds > 0);
        let (server, limit) = (self.server.clone(), limit.map(Duration::from_secs));
        let stopped = tokio::task::spawn_blocking(move || server.stop_within(limit)).await;
        let clean = stopped.unwrap_or(false);
        if !clean {
            log::write(
                Level::Critical,
                "<core>",
                format_args!("workers were busy beyond exit_timeout and were left behind"),
            );
        }
        clean
    }

    fn control(self: &Arc<Reloader>, globals: &Globals) -> Option<tokio::task::JoinHandle<()>> {
        let path = format!("{}/kahea.sock", globals.rundir.text());
        match Control::open(&path) {
            Ok(control) => Some(tokio::spawn(control.serve(self.server.clone(), self.clone()))),
            Err(error) => {
                let text = format!("no control socket {path}: {error}; name a directory with -Y or rundir=");
                log::write(Level::Warning, "<core>", format_args!("{text}"));
                None
            }
        }
    }

    /// The reload itself; findings go to the log too.
    fn again(&self) -> Result<(u64, Findings), Findings> {
        let mut loaded = load::load(&self.place, &self.options, &self.registry).map_err(Findings::bare)?;
        if loaded.diagnostics.has_errors() {
            return Err(Findings::of(
                &loaded.diagnostics,
                std::mem::take(&mut loaded.sources),
            ));
        }
        let findings = Findings::of(&loaded.diagnostics, loaded.sources.clone());
        let globals = loaded.globals.clone();
        let number = self.server.reload(loaded).map_err(|error| {
            let place = match &self.place {
                Place::File(path) => path.as_str(),
                Place::BuiltIn => "",
            };
            Findings::of_start(error, || {
                let parsed = parser::parse(place, &kahea_engine::boot::Files, &load::language(&self.options));
                report::listen_lines(parsed, &globals)
            })
        })?;
        self.log.configure(Settings::of(&globals, &self.program));
        warn_of_engine(&globals);
        Ok((number, findings))
    }
}

impl Process for Reloader {
    fn reload(&self) -> Answer {
        systemd::reloading();
        let result = self.again();
        let answer = match result {
            Ok((number, findings)) => {
                findings.log();
                let name = self.place.name();
                log::write(
                    Level::Notice,
                    "<core>",
                    format_args!("configuration {number} read from {name}"),
                );
                let mut data = findings.data();
                if let Some(members) = data.as_object_mut() {
                    members.insert("generation".to_owned(), json!(number));
                }
                Ok(data)
            }
            Err(findings) => {
                findings.log();
                let text = "the new configuration is not usable; the old one stays in force";
                log::write(Level::Error, "<core>", format_args!("{text}"));
                Err((500, text.to_owned(), findings.data()))
            }
        };
        systemd::ready(&format!(
            "{} workers, configuration {}",
            self.server.workers(),
            self.server.generation()
        ));
        answer
    }
}

/// Says that the server is alive as long as every worker answers.
async fn watch(server: Arc<Server>, every: Duration) {
    let mut ticks = tokio::time::interval(every);
    loop {
        ticks.tick().await;
        let mut alive = true;
        for index in 0..server.workers() {
            let (sender, receiver) = tokio::sync::oneshot::channel();
            let job: kahea_engine::Job = Box::new(move |_| {
                let _ = sender.send(());
                Box::pin(std::future::ready(()))
            });
            alive &= server.on_worker(index, job) && receiver.await.is_ok();
        }
        if alive {
            systemd::alive();
        }
    }
}
