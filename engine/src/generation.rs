//! One generation of the configuration, ready to run: modules started, names bound, listeners known.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use kahea_diag::{Diagnostic, Span, codes};
use kahea_lang::{
    compile::{Binder, Compiled, CustomSetting, Starting},
    program::Program,
};
use kahea_module::{
    Bind, Budget, Config, DnsRecord, Env, InitError, Listener, RouteKind, Str, Value,
    config::{Alias, Hooks, Identity, Shared},
    core_stats::CoreStats,
    globals::Globals,
    language::Language,
    registry::Services,
    settings::Settings,
    static_dns::StaticDns,
};
use kahea_net::{
    ListenerInfo, Net,
    dns::{Record, RecordData, RecordKind, Srv},
};
use kahea_sip::{Limits, Transport};

use crate::{
    core_module::{Defines, ModParams, NetSlot},
    logging::prefix::Prefix,
    receive::Entries,
};

/// Ready to run, once it knows its listeners.
pub struct Prepared {
    /// All but the listeners.
    config: Config,
    program: Arc<Program>,
    language: Option<Arc<dyn Language>>,
}

/// Ready to run.
pub struct Generation {
    /// What messages see.
    pub config: Arc<Config>,
    /// The script.
    pub program: Arc<Program>,
    /// The embedded language that routes messages in its place.
    pub language: Option<Arc<dyn Language>>,
    /// Where messages enter it.
    pub entries: Entries,
    /// Bounds of what is read.
    pub limits: Limits,
    /// `log_prefix`.
    pub prefix: Option<Arc<Prefix>>,
}

/// Starts the modules of a compiled configuration.
///
/// # Errors
/// A module refuses; the finding points at its `loadmodule` line.
pub fn prepare(
    compiled: Compiled,
    generation: u64,
    shared: &Arc<Shared>,
) -> Result<Prepared, Box<Diagnostic>> {
    let Compiled {
        globals,
        program,
        binder,
        modules,
        loaded,
        params,
        custom,
        engine,
        ..
    } = compiled;
    tell_core(&binder, params, shared);
    let registry = binder.registry().clone();
    let bind: Arc<dyn Bind> = binder;
    let settings = settings(&custom);
    let (mut hooks, mut identity, mut services) =
        (Hooks::default(), Identity::default(), Services::default());
    identity.aliases = globals.alias.iter().map(alias).collect();
    let (first, others): (Vec<_>, Vec<_>) = modules
        .into_iter()
        .partition(|starting| starting.pending.starts_first());
    for Starting { pending, span } in first.into_iter().chain(others) {
        let Some(decl) = registry.module(pending.name()) else {
            continue;
        };
        let mut env = Env {
            bind: bind.clone(),
            globals: &globals,
            shared: shared.clone(),
            hooks: &mut hooks,
            identity: &mut identity,
            settings: &settings,
            services: &mut services,
            module: decl.name,
            read_file: &|path| std::fs::read(path),
        };
        decl.init(pending, &mut env)
            .map_err(|error| Box::new(refused(decl.name, span, error)))?;
    }
    let language = language(engine.as_ref(), &hooks)?;
    let onsend = match &language {
        Some(_) => bind.callback(RouteKind::OnSend, &globals.kemi_onsend_route_callback.text()),
        None => bind.route(RouteKind::OnSend, ""),
    };
    let server_header = server_header(&globals);
    let config = Config {
        generation,
        registry,
        modules: loaded,
        bind,
        identity,
        hooks,
        settings,
        limits: Budget {
            steps: MESSAGE_STEPS,
            bytes: MESSAGE_BYTES,
        },
        onsend,
        server_header,
        counts: CoreStats::new(&shared.stats),
        shared: shared.clone(),
        globals,
    };
    Ok(Prepared {
        config,
        program: Arc::new(program),
        language,
    })
}

/// The embedded language that `cfgengine` names.
fn language(
    engine: Option<&(Str, Span)>,
    hooks: &Hooks,
) -> Result<Option<Arc<dyn Language>>, Box<Diagnostic>> {
    let Some((name, span)) = engine else {
        return Ok(None);
    };
    let text = name.text();
    let known = |language: &&Arc<dyn Language>| language.names().contains(&&*text);
    if let Some(language) = hooks.languages.iter().find(known) {
        return Ok(Some(language.clone()));
    }
    let problem = Diagnostic::error(
        codes::START_FAILED,
        *span,
        format!("cfgengine \"{text}\": no loaded module brings this language"),
    );
    Err(Box::new(problem.help(match module_of(&text) {
        Some(module) => format!("add loadmodule \"{module}.so\""),
        None => "the languages are native, lua, python, jsdt, ruby and sqlang".to_owned(),
    })))
}

/// The module that brings a language.
fn module_of(language: &str) -> Option<&'static str> {
    Some(match language {
        "lua" => "app_lua",
        "python" | "python3" => "app_python3",
        "jsdt" | "js" => "app_jsdt",
        "ruby" => "app_ruby",
        "sqlang" => "app_sqlang",
        _ => return None,
    })
}

/// What `core.ppdefines` and `modparam.list` show.
fn tell_core(binder: &Binder, params: Vec<(Str, Str, Value)>, shared: &Shared) {
    let value = |text: &Str| (!text.is_empty()).then(|| text.clone());
    let defines = binder
        .defines()
        .map(|(name, text)| (Str::from(name), value(text)))
        .collect();
    shared.keep(Defines::default).set(defines);
    shared.keep(ModParams::default).set(params);
}

/// Steps of the interpreter that one message may take.
const MESSAGE_STEPS: u64 = 1_000_000;
/// Bytes of values that one message may make.
const MESSAGE_BYTES: u64 = 64 << 20;

fn refused(name: &str, span: Span, error: InitError) -> Diagnostic {
    let problem = Diagnostic::error(
        codes::START_FAILED,
        span,
        format!("module {name}: {}", error.message),
    );
    match error.help {
        Some(help) => problem.help(help),
        None => problem,
    }
}

fn settings(custom: &[CustomSetting]) -> Settings {
    let settings = Settings::default();
    for own in custom {
        settings.declare(
            &own.group.text(),
            &own.name.text(),
            own.value.clone(),
            &own.doc.text(),
            false,
        );
    }
    settings
}

fn alias(spec: &kahea_module::globals::AliasSpec) -> Alias {
    Alias {
        transport: spec.transport.unwrap_or(Transport::None),
        host: spec.host.clone(),
        port: spec.port.unwrap_or(0),
    }
}

/// The whole Server header line, or nothing where the configuration wants none.
fn server_header(globals: &Globals) -> Str {
    globals
        .server_header
        .clone()
        .unwrap_or_else(|| Str::from(format!("Server: {}", product())))
}

/// The product token of Server and User-Agent headers.
pub fn product() -> String {
    format!(
        "kahea ({} ({}/linux))",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::ARCH
    )
}

impl Prepared {
    /// The global parameters.
    pub fn globals(&self) -> &Globals {
        &self.config.globals
    }

    /// Completes it with the open listeners.
    pub fn with_listeners(self, net: &Arc<Net>) -> Generation {
        self.config.shared.keep(NetSlot::default).attach(net.clone());
        static_dns(net, &self.config.shared);
        net_stats(net, &self.config.shared);
        self.listening(net.listeners().iter().map(|info| listener(info)).collect())
    }

    /// The same without a network of this server's own, as benchmarks need it.
    pub fn listening(mut self, listeners: Vec<Listener>) -> Generation {
        self.config.identity.listeners = listeners;
        let entries = match &self.language {
            Some(_) => callbacks(&self.config),
            None => entries(&self.config),
        };
        let limits = Limits::default();
        Generation {
            config: Arc::new(self.config),
            program: self.program,
            language: self.language,
            entries,
            limits,
            prefix: None,
        }
    }
}

/// Gives the resolver the records that the configuration states (`dns_cache`, `dns_file` of corex).
fn static_dns(net: &Net, shared: &Shared) {
    let mut answers: HashMap<(Str, RecordKind), (Vec<Record>, Option<u32>)> = HashMap::new();
    for fixed in shared.keep(StaticDns::default).records() {
        let ttl = (!fixed.permanent).then_some(fixed.ttl);
        let Some((kind, data)) = record_data(&fixed.record) else {
            continue;
        };
        let answer = answers
            .entry((fixed.name.clone(), kind))
            .or_insert((Vec::new(), ttl));
        if !fixed.unresolvable {
            answer.0.push(Record { ttl: fixed.ttl, data });
        }
    }
    for ((name, kind), (records, ttl)) in answers {
        net.resolver().add(&name.text(), kind, records, ttl);
    }
}

fn record_data(record: &DnsRecord) -> Option<(RecordKind, RecordData)> {
    Some(match record {
        DnsRecord::Address(IpAddr::V4(ip)) => (RecordKind::A, RecordData::A(*ip)),
        DnsRecord::Address(IpAddr::V6(ip)) => (RecordKind::Aaaa, RecordData::Aaaa(*ip)),
        DnsRecord::Srv {
            priority,
            weight,
            port,
            target,
        } => {
            let (priority, weight, port) = (*priority, *weight, *port);
            let target = target.text().into();
            (
                RecordKind::Srv,
                RecordData::Srv(Srv {
                    priority,
                    weight,
                    port,
                    target,
                }),
            )
        }
        DnsRecord::Naptr { .. } | DnsRecord::Name(_) | DnsRecord::Text(_) => return None,
    })
}

/// Shows the network's figures among the statistics.
fn net_stats(net: &Arc<Net>, shared: &Shared) {
    for (at, row) in net.stats().rows().into_iter().enumerate() {
        let stats = net.stats().clone();
        let read = move || {
            stats
                .rows()
                .get(at)
                .map_or(0, |row| i64::try_from(row.counter.value()).unwrap_or(i64::MAX))
        };
        shared
            .stats
            .computed(row.group, row.name, row.doc, Arc::new(read));
    }
}

fn listener(info: &ListenerInfo) -> Listener {
    Listener {
        id: info.id,
        transport: info.transport,
        address: info.socket_addr(),
        text: Str::from(info.to_string()),
        name: info.name.as_deref().map(Str::from),
        group: info.agname.as_deref().map(Str::from),
        advertised: info
            .advertise
            .as_ref()
            .map(|(host, port)| (Str::from(host.as_str()), *port)),
        is_virtual: info.r#virtual,
        multicast: info.mcast,
    }
}

fn entries(config: &Config) -> Entries {
    let event = |name| config.event_route(name);
    Entries {
        request: config.bind.route(RouteKind::Request, ""),
        reply: config.bind.route(RouteKind::CoreReply, ""),
        received: event("core:msg-received").filter(|_| config.globals.received_route_mode != 0),
        pre_routing: event("core:pre-routing"),
        parse_error: event("core:receive-parse-error"),
    }
}

/// Where messages enter the scripts of an embedded language (`kemi.*_callback`).
fn callbacks(config: &Config) -> Entries {
    let globals = &config.globals;
    let callback = |kind, name: &Str| config.bind.callback(kind, &name.text());
    let event =
        |name: &Str, native: &str| callback(RouteKind::Event, name).or_else(|| config.event_route(native));
    Entries {
        request: callback(RouteKind::Request, &globals.kemi_request_route_callback),
        reply: callback(RouteKind::CoreReply, &globals.kemi_reply_route_callback),
        received: event(&globals.kemi_received_route_callback, "core:msg-received")
            .filter(|_| globals.received_route_mode != 0),
        pre_routing: event(&globals.kemi_pre_routing_callback, "core:pre-routing"),
        parse_error: config.event_route("core:receive-parse-error"),
    }
}
