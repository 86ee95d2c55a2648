//! Global parameters, listeners, aliases, and the script's own parameters.

use kahea_diag::{Diagnostic, Diagnostics, Span, closest, codes};
use kahea_module::{
    BindError, Str, Value,
    globals::{self, Advertise, AliasSpec, Effect, GlobalValue, Globals, ListenHost, ListenSpec},
};
use kahea_sip::Transport;

use super::CustomSetting;
use crate::{
    ast::{self, Address, ConfigFile, Host, Ident, ItemKind, Port, Setting, SettingValue, SocketBlock},
    known::{self, Kind},
};

/// All global parameters.
pub(super) fn globals(config: &ConfigFile, diagnostics: &mut Diagnostics) -> Globals {
    let mut globals = Globals::default();
    let mut set = Setter {
        globals: &mut globals,
        diagnostics,
    };
    for item in &config.items {
        match &item.kind {
            ItemKind::Setting(setting) => set.setting(setting),
            ItemKind::CoreParam(param) => {
                let name = format!("coreparam[{}]", param.name.value);
                set.value(&name, param.name.span, param.value.span(), simple(&param.value));
            }
            ItemKind::Listen(binds) => {
                let specs = binds.iter().flat_map(listen).collect();
                set.value("listen", item.span, item.span, GlobalValue::Listen(specs));
            }
            ItemKind::Socket(block) => {
                let specs = socket(block);
                set.value("listen", item.span, block.span, GlobalValue::Listen(specs));
            }
            ItemKind::Alias(addresses) => {
                let specs = addresses.iter().flat_map(alias).collect();
                set.value("alias", item.span, item.span, GlobalValue::Aliases(specs));
            }
            ItemKind::CustomGlobal(own) if &*own.group.text == "kemi" => {
                let name = format!("kemi.{}", own.name.text);
                set.value(&name, own.name.span, own.value.span(), simple(&own.value));
            }
            _ => {}
        }
    }
    globals
}

/// The script's own parameters.
pub(super) fn custom(config: &ConfigFile) -> Vec<CustomSetting> {
    let items = config.items.iter().filter_map(|item| match &item.kind {
        ItemKind::CustomGlobal(own) if &*own.group.text != "kemi" => Some(own),
        _ => None,
    });
    items
        .map(|own| CustomSetting {
            group: Str::from(&*own.group.text),
            name: Str::from(&*own.name.text),
            value: match simple(&own.value) {
                GlobalValue::Int(n) => Value::Int(n),
                GlobalValue::Str(text) | GlobalValue::Ident(text) => Value::Str(text),
                other => Value::from(format!("{other:?}")),
            },
            doc: own
                .description
                .as_ref()
                .map_or(Str::EMPTY, |text| text.value.clone()),
        })
        .collect()
}

struct Setter<'a> {
    globals: &'a mut Globals,
    diagnostics: &'a mut Diagnostics,
}

impl Setter<'_> {
    fn setting(&mut self, setting: &Setting) {
        let name = &*setting.name.text;
        for value in &setting.values {
            self.value(name, setting.name.span, value.span(), simple(value));
        }
    }

    fn value(&mut self, name: &str, place: Span, span: Span, value: GlobalValue) {
        let current = name.replace("blacklist", "blocklist");
        let Some(row) = globals::find(&current) else {
            if !known::modules_with(Kind::OldGlobal, name).is_empty() {
                let problem = Diagnostic::warning(
                    codes::NO_LONGER_USED,
                    place,
                    format!("{name} has no effect any more"),
                );
                self.diagnostics.push(problem.help("take the line out"));
                return;
            }
            let problem = Diagnostic::error(
                codes::UNKNOWN_SETTING,
                place,
                format!("unknown global parameter {name}"),
            );
            self.diagnostics
                .push(problem.did_you_mean(closest(name, globals::names())));
            return;
        };
        if current != name {
            let problem = Diagnostic::warning(
                codes::NO_LONGER_USED,
                place,
                format!("{name} is {current} by now"),
            );
            self.diagnostics.push(problem.help(format!("write {current}")));
        }
        let asks_for_nothing = matches!(&value, GlobalValue::Int(0))
            || matches!(&value, GlobalValue::Ident(no) if no.eq_ignore_ascii_case(b"no"));
        if let Err(BindError { message, help, .. }) = row.set(self.globals, value) {
            let problem = Diagnostic::error(codes::BAD_VALUE, span, message);
            self.diagnostics.push(match help {
                Some(help) => problem.help(help),
                None => problem,
            });
        } else if let Effect::Later(what) = row.effect
            && !asks_for_nothing
        {
            let problem =
                Diagnostic::warning(codes::NO_LONGER_USED, place, format!("{name} has no effect yet"));
            self.diagnostics
                .push(problem.help(format!("it waits for {what}")));
        }
    }
}

fn simple(value: &SettingValue) -> GlobalValue {
    match value {
        SettingValue::Int(n, _) => GlobalValue::Int(*n),
        SettingValue::Str(text) => GlobalValue::Str(text.value.clone()),
        SettingValue::Name(name) => GlobalValue::Ident(Str::from(&*name.text)),
        SettingValue::Ip(ip, _) => GlobalValue::Ip(*ip),
    }
}

fn host(host: &Host) -> ListenHost {
    match host {
        Host::Ip(ip, _) => ListenHost::Ip(*ip),
        Host::Name(name) => ListenHost::parse(&name.text),
        Host::Str(text) => ListenHost::parse(&text.value.text()),
        Host::Any(_) => ListenHost::Any,
    }
}

fn host_text(value: &Host) -> Str {
    match value {
        Host::Ip(ip, _) if ip.is_ipv6() => Str::from(format!("[{ip}]")),
        Host::Ip(ip, _) => Str::from(ip.to_string()),
        Host::Name(name) => Str::from(&*name.text),
        Host::Str(text) => text.value.clone(),
        Host::Any(_) => Str::from_static("*"),
    }
}

fn port(port: Option<Port>) -> Option<u16> {
    match port {
        Some(Port::Number(number, _)) => Some(number),
        Some(Port::Any(_)) | None => None,
    }
}

fn transport(proto: Option<&Ident>) -> Option<Transport> {
    proto.and_then(|proto| Transport::parse(proto.text.as_bytes()))
}

fn advertise(advertise: &ast::Advertise) -> Advertise {
    Advertise {
        host: host_text(&advertise.host),
        port: port(advertise.port),
        transport: transport(advertise.proto.as_ref()),
    }
}

fn listen(bind: &ast::Bind) -> Vec<ListenSpec> {
    let specs = bind.address.hosts.iter().map(|address| ListenSpec {
        advertise: bind.advertise.as_ref().map(advertise),
        name: bind.name.as_ref().map(|name| name.value.clone()),
        is_virtual: bind.is_virtual,
        ..ListenSpec::new(
            transport(bind.address.proto.as_ref()),
            host(address),
            port(bind.address.port),
        )
    });
    specs.collect()
}

fn socket(block: &SocketBlock) -> Vec<ListenSpec> {
    let Some(address) = &block.bind else {
        return Vec::new();
    };
    let specs = address.hosts.iter().map(|at| ListenSpec {
        advertise: block.advertise.as_ref().map(advertise),
        name: block.name.as_ref().map(|name| name.value.clone()),
        agname: block.agname.as_ref().map(|name| name.value.clone()),
        is_virtual: block.is_virtual,
        workers: block.workers.map(|(count, _)| count),
        ..ListenSpec::new(transport(address.proto.as_ref()), host(at), port(address.port))
    });
    specs.collect()
}

fn alias(address: &Address) -> Vec<AliasSpec> {
    let specs = address.hosts.iter().map(|at| AliasSpec {
        transport: transport(address.proto.as_ref()),
        host: host_text(at),
        port: port(address.port),
    });
    specs.collect()
}
