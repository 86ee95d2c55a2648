//! The tree as compact text, for tests and for `kahea check --tree`.

use std::fmt::Write;

use super::{
    Address, ArgKind, AssignTarget, Block, Call, CaseLabel, ConfigFile, Expr, ExprKind, Host, ItemKind,
    ParamValue, Port, Select, SelectPart, SettingValue, Stmt, StmtKind, Text,
};

/// One item a line; places are left out.
pub fn sexpr(config: &ConfigFile) -> String {
    let mut out = String::new();
    for item in &config.items {
        let _ = writeln!(out, "{}", of_item(&item.kind));
    }
    out
}

fn of_item(item: &ItemKind) -> String {
    match item {
        ItemKind::Setting(setting) => {
            let values: Vec<_> = setting.values.iter().map(of_value).collect();
            format!("(set {} {})", setting.name.text, values.join(" "))
        }
        ItemKind::CoreParam(param) => {
            format!("(coreparam {} {})", of_text(&param.name), of_value(&param.value))
        }
        ItemKind::Listen(binds) => {
            let binds: Vec<_> = binds
                .iter()
                .map(|bind| {
                    let advertise = bind.advertise.as_ref().map(of_advertise).unwrap_or_default();
                    let name = bind
                        .name
                        .as_ref()
                        .map(|name| format!(" name={}", of_text(name)))
                        .unwrap_or_default();
                    let is_virtual = if bind.is_virtual { " virtual" } else { "" };
                    format!("{}{advertise}{name}{is_virtual}", of_address(&bind.address))
                })
                .collect();
            format!("(listen {})", binds.join(" | "))
        }
        ItemKind::Alias(list) => {
            format!(
                "(alias {})",
                list.iter().map(of_address).collect::<Vec<_>>().join(" ")
            )
        }
        ItemKind::Socket(socket) => {
            let bind = socket.bind.as_ref().map(of_address).unwrap_or_default();
            let advertise = socket.advertise.as_ref().map(of_advertise).unwrap_or_default();
            let text = |label: &str, text: &Option<Text>| {
                text.as_ref()
                    .map(|text| format!(" {label}={}", of_text(text)))
                    .unwrap_or_default()
            };
            let workers = socket
                .workers
                .map(|(number, _)| format!(" workers={number}"))
                .unwrap_or_default();
            let is_virtual = if socket.is_virtual { " virtual" } else { "" };
            format!(
                "(socket {bind}{advertise}{}{}{}{workers}{is_virtual})",
                text("name", &socket.name),
                text("agname", &socket.agname),
                text("vrf", &socket.vrf)
            )
        }
        ItemKind::LoadModule(module) => {
            let head = if module.evaluated {
                "loadmodulex"
            } else {
                "loadmodule"
            };
            let options = module
                .options
                .as_ref()
                .map(|text| format!(" {}", of_text(text)))
                .unwrap_or_default();
            format!("({head} {}{options})", of_text(&module.name))
        }
        ItemKind::LoadPath(path) => format!("(loadpath {})", of_text(path)),
        ItemKind::CfgEngine(name) => format!("(cfgengine {})", of_text(name)),
        ItemKind::ModParam(param) => {
            let head = if param.evaluated { "modparamx" } else { "modparam" };
            let value = match &param.value {
                ParamValue::Int(number, _) => number.to_string(),
                ParamValue::Str(text) => of_text(text),
                ParamValue::Pv(pv) => pv.raw.to_string(),
                ParamValue::Error(_) => String::from("error"),
            };
            format!(
                "({head} {} {} {value})",
                of_text(&param.modules),
                of_text(&param.name)
            )
        }
        ItemKind::CustomGlobal(global) => {
            let value = of_value(&global.value);
            let text = global
                .description
                .as_ref()
                .map(|text| format!(" {}", of_text(text)))
                .unwrap_or_default();
            format!(
                "(global {}.{} {value}{text})",
                global.group.text, global.name.text
            )
        }
        ItemKind::Flags(flags) | ItemKind::AvpFlags(flags) => {
            let head = if matches!(item, ItemKind::Flags(_)) {
                "flags"
            } else {
                "avpflags"
            };
            let flags = flags.iter().map(|flag| match flag.number {
                Some((number, _)) => format!(" {}:{number}", flag.name.text),
                None => format!(" {}", flag.name.text),
            });
            format!("({head}{})", flags.collect::<String>())
        }
        ItemKind::Route(route) => {
            let name = route
                .name
                .as_ref()
                .map(|name| format!("[{}]", name.text))
                .unwrap_or_default();
            format!("({:?}{name}{})", route.kind, of_block(&route.body))
        }
    }
}

fn of_text(text: &Text) -> String {
    format!("{:?}", text.value.text())
}

fn of_value(value: &SettingValue) -> String {
    match value {
        SettingValue::Int(number, _) => number.to_string(),
        SettingValue::Str(text) => of_text(text),
        SettingValue::Name(name) => name.text.to_string(),
        SettingValue::Ip(address, _) => address.to_string(),
    }
}

fn of_host(host: &Host) -> String {
    match host {
        Host::Ip(address, _) if address.is_ipv6() => format!("[{address}]"),
        Host::Ip(address, _) => address.to_string(),
        Host::Name(name) => name.text.to_string(),
        Host::Str(text) => of_text(text),
        Host::Any(_) => String::from("*"),
    }
}

fn of_port(port: Option<Port>) -> String {
    match port {
        Some(Port::Number(number, _)) => format!(":{number}"),
        Some(Port::Any(_)) => String::from(":*"),
        None => String::new(),
    }
}

fn of_address(address: &Address) -> String {
    let proto = address
        .proto
        .as_ref()
        .map(|proto| format!("{}:", proto.text))
        .unwrap_or_default();
    let hosts: Vec<_> = address.hosts.iter().map(of_host).collect();
    format!("{proto}{}{}", hosts.join(","), of_port(address.port))
}

fn of_advertise(advertise: &super::Advertise) -> String {
    let proto = advertise
        .proto
        .as_ref()
        .map(|proto| format!("{}:", proto.text))
        .unwrap_or_default();
    format!(
        " advertise={proto}{}{}",
        of_host(&advertise.host),
        of_port(advertise.port)
    )
}

fn of_block(block: &Block) -> String {
    block
        .stmts
        .iter()
        .map(|stmt| format!(" {}", of_stmt(stmt)))
        .collect()
}

fn of_stmt(stmt: &Stmt) -> String {
    let with = |head: &str, value: &Option<Expr>| match value {
        Some(value) => format!("({head} {})", of_expr(value)),
        None => format!("({head})"),
    };
    match &stmt.kind {
        StmtKind::Block(block) => format!("(block{})", of_block(block)),
        StmtKind::If {
            cond,
            then,
            otherwise,
        } => {
            let otherwise = otherwise
                .as_ref()
                .map(|stmt| format!(" {}", of_stmt(stmt)))
                .unwrap_or_default();
            format!("(if {} {}{otherwise})", of_expr(cond), of_stmt(then))
        }
        StmtKind::Switch { value, cases } => {
            let cases = cases.iter().map(|case| {
                let label = match &case.label {
                    CaseLabel::Default => String::from("default"),
                    CaseLabel::Value(value) => of_expr(value),
                    CaseLabel::Regex { pattern } => format!("/{}/", pattern.value.text()),
                };
                let body: String = case
                    .body
                    .iter()
                    .map(|stmt| format!(" {}", of_stmt(stmt)))
                    .collect();
                format!(" ({label}:{body})")
            });
            format!("(switch {}{})", of_expr(value), cases.collect::<String>())
        }
        StmtKind::While { cond, body } => format!("(while {} {})", of_expr(cond), of_stmt(body)),
        StmtKind::Break => String::from("(break)"),
        StmtKind::Return(value) => with("return", value),
        StmtKind::Exit(value) => with("exit", value),
        StmtKind::Drop(value) => with("drop", value),
        StmtKind::Assign { target, value } => format!("(= {} {})", of_target(target), of_expr(value)),
        StmtKind::Call(call) => of_call(call),
        StmtKind::Empty => String::from("()"),
        StmtKind::Error => String::from("error"),
    }
}

fn of_target(target: &AssignTarget) -> String {
    match target {
        AssignTarget::Pv(pv) => pv.raw.to_string(),
        AssignTarget::Select(select) => of_select(select),
    }
}

fn of_select(select: &Select) -> String {
    let parts = select.parts.iter().map(|part| match part {
        SelectPart::Name(name) => format!(".{}", name.text),
        SelectPart::Index(number, _) => format!("[{number}]"),
        SelectPart::Any(_) => String::from("[*]"),
    });
    format!("@{}", parts.collect::<String>())
}

fn of_call(call: &Call) -> String {
    let args = call.args.iter().map(|arg| match &arg.kind {
        ArgKind::Expr(expr) => format!(" {}", of_expr(expr)),
        ArgKind::Address(address) => format!(" <{}>", of_address(address)),
        ArgKind::Empty => String::from(" _"),
    });
    format!("(call {}{})", call.name.text, args.collect::<String>())
}

fn of_expr(expr: &Expr) -> String {
    match &expr.kind {
        ExprKind::Int(number) => number.to_string(),
        ExprKind::Str(text) => of_text(text),
        ExprKind::Ip(address) => address.to_string(),
        ExprKind::Net { address, prefix } => format!("{address}/{prefix}"),
        ExprKind::Name(name) => format!("'{name}"),
        ExprKind::Keyword(keyword) => format!("{keyword:?}"),
        ExprKind::Myself => String::from("Myself"),
        ExprKind::Proto(name) => format!("proto:{name}"),
        ExprKind::Family(version) => format!("inet:{version}"),
        ExprKind::Pv(pv) => pv.raw.to_string(),
        ExprKind::Select(select) => of_select(select),
        ExprKind::Unary(op, operand) => format!("({op:?} {})", of_expr(operand)),
        ExprKind::Binary { op, left, right, .. } => format!("({op:?} {} {})", of_expr(left), of_expr(right)),
        ExprKind::Cast(to, operand) => format!("(as{to:?} {})", of_expr(operand)),
        ExprKind::Intrinsic(name, operands) => {
            format!(
                "({name:?} {})",
                operands.iter().map(of_expr).collect::<Vec<_>>().join(" ")
            )
        }
        ExprKind::Call(call) => of_call(call),
        ExprKind::Assign(target, value) => format!("(= {} {})", of_target(target), of_expr(value)),
        ExprKind::Error => String::from("error"),
    }
}
