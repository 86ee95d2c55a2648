//! What stands at the top level.

use kahea_diag::{Diagnostic, Span, closest, codes};

use super::{Failed, Parser, Result};
use crate::{
    ast::{
        Bind, ConfigFile, CoreParam, CustomGlobal, FlagDecl, Ident, Item, ItemKind, LoadModule, ModParam,
        ParamValue, RouteBlock, RouteKind, Setting, SettingValue, SocketBlock, Text,
    },
    lexer::Tok,
};

/// Words that begin an item other than a parameter.
const ITEM_WORDS: &[&str] = &[
    "loadmodule",
    "loadmodulex",
    "loadpath",
    "mpath",
    "modparam",
    "modparamx",
    "cfgengine",
    "coreparam",
    "flags",
    "avpflags",
    "route",
    "request_route",
    "reply_route",
    "onreply_route",
    "failure_route",
    "branch_route",
    "onsend_route",
    "event_route",
    "listen",
    "alias",
    "socket",
];

fn route_kind(word: &str) -> Option<RouteKind> {
    Some(match word {
        "route" => RouteKind::Sub,
        "request_route" => RouteKind::Request,
        "reply_route" => RouteKind::Reply,
        "onreply_route" => RouteKind::OnReply,
        "failure_route" => RouteKind::Failure,
        "branch_route" => RouteKind::Branch,
        "onsend_route" => RouteKind::OnSend,
        "event_route" => RouteKind::Event,
        _ => return None,
    })
}

impl Parser<'_> {
    pub(super) fn config(&mut self) -> ConfigFile {
        let mut items = Vec::new();
        while *self.peek() != Tok::End {
            if self.eat(";") {
                continue;
            }
            let start = self.span();
            let before = self.at;
            match self.item() {
                Ok(kind) => items.push(Item {
                    kind,
                    span: start.to(self.last_span()),
                }),
                Err(Failed) => self.recover_item(before),
            }
        }
        ConfigFile { items }
    }

    /// Goes on at the next line that looks like an item.
    fn recover_item(&mut self, before: usize) {
        if self.at == before {
            self.bump();
        }
        while *self.peek() != Tok::End && !self.begins_item() {
            let is_assignment =
                self.at_new_line() && self.word().is_some() && (self.is_at(1, "=") || self.is_at(1, "."));
            if is_assignment || self.is("}") {
                return;
            }
            if self.eat(";") {
                return;
            }
            if self.is("{") {
                self.bump();
                self.recover();
                continue;
            }
            self.bump();
        }
    }

    fn item(&mut self) -> Result<ItemKind> {
        let Tok::Ident(word) = self.peek() else {
            if self.is("}") {
                self.error(codes::STRAY_CLOSE, self.span(), "`}` closes nothing");
                return Err(Failed);
            }
            return Err(self.unexpected("a parameter, a module or a route block"));
        };
        let word = word.clone();
        if let Some(kind) = route_kind(&word)
            && !self.is_at(1, "=")
        {
            return self.route(kind);
        }
        match word.as_ref() {
            "loadmodule" | "loadmodulex" => self.load_module(word.as_ref() == "loadmodulex"),
            "loadpath" | "mpath" => Ok(ItemKind::LoadPath(self.word_and_string()?)),
            "cfgengine" => Ok(ItemKind::CfgEngine(self.word_and_string()?)),
            "modparam" | "modparamx" => self.mod_param(word.as_ref() == "modparamx"),
            "coreparam" => self.core_param(),
            "flags" | "bool" if !self.is_at(1, ".") => Ok(ItemKind::Flags(self.flags()?)),
            "avpflags" => Ok(ItemKind::AvpFlags(self.flags()?)),
            "listen" if self.is_at(1, "=") => self.listen(),
            "alias" | "domain" if self.is_at(1, "=") => self.alias(),
            "socket" if self.is_at(1, "=") => self.socket(),
            _ if self.is_at(1, ".") => self.custom_global(),
            _ => self.setting(),
        }
    }

    fn setting(&mut self) -> Result<ItemKind> {
        let name = self.ident("a parameter")?;
        if !self.is("=") {
            let message = format!("expected `=` after `{}`, found {}", name.text, self.peek());
            self.diagnostics.push(
                Diagnostic::error(codes::UNEXPECTED_TOKEN, name.span, message).did_you_mean(
                    closest(&name.text, ITEM_WORDS.iter().copied()).filter(|word| *word != &*name.text),
                ),
            );
            return Err(Failed);
        }
        self.bump();
        let mut values = vec![self.setting_value()?];
        while self.eat(",") {
            values.push(self.setting_value()?);
        }
        self.eat(";");
        Ok(ItemKind::Setting(Setting { name, values }))
    }

    fn setting_value(&mut self) -> Result<SettingValue> {
        if let Some((number, span)) = self.integer() {
            return Ok(SettingValue::Int(number, span));
        }
        let span = self.span();
        let value = match self.peek() {
            Tok::Str(text) => SettingValue::Str((**text).clone()),
            Tok::Ip(address) => SettingValue::Ip(*address, span),
            Tok::Ident(_) | Tok::NumWord(_) => return Ok(SettingValue::Name(self.host_name())),
            Tok::Punct("[") => match self.host()? {
                crate::ast::Host::Ip(address, span) => return Ok(SettingValue::Ip(address, span)),
                _ => return Err(Failed),
            },
            _ => return Err(self.unexpected("a number, a string, a word or an address")),
        };
        self.bump();
        Ok(value)
    }

    fn core_param(&mut self) -> Result<ItemKind> {
        self.bump();
        let open = self.span();
        let name;
        if self.eat("[") {
            name = match self.peek() {
                Tok::Str(_) => self.string("a name")?,
                _ => {
                    let word = self.ident("the name of a parameter")?;
                    Text::verbatim(word.text.as_ref().into(), word.span)
                }
            };
            self.close("]", open)?;
            self.expect("=", "after the name")?;
            let value = self.setting_value()?;
            self.eat(";");
            return Ok(ItemKind::CoreParam(CoreParam { name, value }));
        }
        self.expect("(", "after `coreparam`")?;
        name = self.string("the name of a parameter as a string")?;
        self.expect(",", "and the value")?;
        let value = self.setting_value()?;
        self.close(")", open)?;
        self.eat(";");
        Ok(ItemKind::CoreParam(CoreParam { name, value }))
    }

    fn custom_global(&mut self) -> Result<ItemKind> {
        let group = self.ident("a group")?;
        self.bump();
        let name = self.ident("a name after the dot")?;
        self.expect("=", "after the name")?;
        let value = self.setting_value()?;
        let mut description = None;
        if matches!(self.word(), Some("desc" | "descr" | "description"))
            && matches!(self.peek_at(1), Tok::Str(_))
        {
            self.bump();
            description = Some(self.string("a description")?);
        }
        self.eat(";");
        Ok(ItemKind::CustomGlobal(CustomGlobal {
            group,
            name,
            value,
            description,
        }))
    }

    /// `mpath "x"`, `mpath = "x"`, `mpath("x")`.
    fn word_and_string(&mut self) -> Result<Text> {
        self.bump();
        self.eat("=");
        let open = self.span();
        let in_parens = self.eat("(");
        let text = self.string("a string")?;
        if in_parens {
            self.close(")", open)?;
        }
        self.eat(";");
        Ok(text)
    }

    fn load_module(&mut self, evaluated: bool) -> Result<ItemKind> {
        self.bump();
        let open = self.span();
        let in_parens = self.eat("(");
        let name = self.string("the name of a module as a string")?;
        let mut options = None;
        if in_parens {
            if self.eat(",") {
                options = Some(self.string("options as a string")?);
            }
            self.close(")", open)?;
        }
        self.eat(";");
        Ok(ItemKind::LoadModule(LoadModule {
            name,
            options,
            evaluated,
        }))
    }

    fn mod_param(&mut self, evaluated: bool) -> Result<ItemKind> {
        self.bump();
        let open = self.span();
        self.expect("(", "after `modparam`")?;
        let modules = self.string("the name of a module as a string")?;
        self.expect(",", "and the name of the parameter")?;
        let name = self.string("the name of a parameter as a string")?;
        self.expect(",", "and the value")?;
        let value = self.param_value(evaluated)?;
        self.close(")", open)?;
        self.eat(";");
        Ok(ItemKind::ModParam(ModParam {
            modules,
            name,
            value,
            evaluated,
        }))
    }

    fn param_value(&mut self, evaluated: bool) -> Result<ParamValue> {
        if let Some((number, span)) = self.integer() {
            return Ok(ParamValue::Int(number, span));
        }
        let span = self.span();
        let value = match self.peek() {
            Tok::Str(text) => ParamValue::Str((**text).clone()),
            Tok::Pv(pv) if evaluated => ParamValue::Pv(pv.clone()),
            Tok::Pv(pv) => {
                let help = format!(
                    "use `modparamx`, or `\"{}\"` where the module takes the name of a variable",
                    pv.raw
                );
                let message = "modparam takes a constant";
                self.diagnostics
                    .push(Diagnostic::error(codes::BAD_VALUE, span, message).help(help));
                ParamValue::Error(span)
            }
            Tok::Ident(word) => {
                let message = format!("`{word}` is neither a number nor a string");
                let help = format!("put it in quotes, or define it before: `#!define {word} …`");
                self.diagnostics
                    .push(Diagnostic::error(codes::BAD_VALUE, span, message).help(help));
                ParamValue::Error(span)
            }
            Tok::Bad => ParamValue::Error(span),
            _ => return Err(self.unexpected("a number or a string")),
        };
        self.bump();
        Ok(value)
    }

    fn flags(&mut self) -> Result<Vec<FlagDecl>> {
        self.bump();
        let mut flags = Vec::new();
        loop {
            let name = match self.peek() {
                Tok::Str(text) => {
                    let name = Ident::new(text.value.text(), self.span());
                    self.bump();
                    name
                }
                _ => self.ident("the name of a flag")?,
            };
            let mut number = None;
            if self.eat(":") {
                let Some(given) = self.integer() else {
                    return Err(self.unexpected("the number of the flag"));
                };
                number = Some(given);
            }
            flags.push(FlagDecl { name, number });
            if !self.eat(",") {
                self.eat(";");
                return Ok(flags);
            }
        }
    }

    fn listen(&mut self) -> Result<ItemKind> {
        self.bump();
        self.bump();
        let mut binds = vec![self.bind()?];
        while self.begins_address_on_line() {
            binds.push(self.bind()?);
        }
        self.eat(";");
        Ok(ItemKind::Listen(binds))
    }

    fn alias(&mut self) -> Result<ItemKind> {
        self.bump();
        self.bump();
        let mut addresses = vec![self.address()?];
        while self.eat(",") || self.begins_address_on_line() {
            addresses.push(self.address()?);
        }
        self.eat(";");
        Ok(ItemKind::Alias(addresses))
    }

    fn begins_address_on_line(&self) -> bool {
        !self.at_new_line()
            && !self.is_at(1, "=")
            && matches!(
                self.peek(),
                Tok::Ident(_) | Tok::NumWord(_) | Tok::Ip(_) | Tok::Str(_) | Tok::Punct("[" | "*")
            )
    }

    fn bind(&mut self) -> Result<Bind> {
        let address = self.address()?;
        let mut bind = Bind {
            address,
            advertise: None,
            name: None,
            is_virtual: false,
        };
        while let Some(word) = self.word() {
            match word {
                "advertise" | "ADVERTISE" => {
                    self.bump();
                    bind.advertise = Some(self.advertise()?);
                }
                "name" | "NAME" if matches!(self.peek_at(1), Tok::Str(_)) => {
                    self.bump();
                    bind.name = Some(self.string("the name of the socket")?);
                }
                "virtual" | "VIRTUAL" if !self.is_at(1, "=") => {
                    self.bump();
                    bind.is_virtual = true;
                }
                _ => break,
            }
        }
        Ok(bind)
    }

    fn socket(&mut self) -> Result<ItemKind> {
        let start = self.span();
        self.bump();
        self.bump();
        let open = self.expect("{", "that begins the attributes of the socket")?;
        let mut socket = SocketBlock {
            bind: None,
            advertise: None,
            name: None,
            agname: None,
            is_virtual: false,
            workers: None,
            vrf: None,
            span: start,
        };
        while !self.is("}") {
            if *self.peek() == Tok::End || self.begins_item() {
                self.close("}", open)?;
            }
            if !self.eat(";") {
                self.socket_attribute(&mut socket)?;
            }
        }
        socket.span = start.to(self.span());
        self.bump();
        self.eat(";");
        if socket.bind.is_none() {
            self.diagnostics.push(
                Diagnostic::error(codes::BAD_ADDRESS, socket.span, "socket without an address")
                    .help("add `bind = udp:192.0.2.1:5060;`"),
            );
        }
        Ok(ItemKind::Socket(socket))
    }

    fn socket_attribute(&mut self, socket: &mut SocketBlock) -> Result<()> {
        const NAMES: [&str; 7] = ["bind", "advertise", "name", "agname", "virtual", "workers", "vrf"];
        let name = self.ident("an attribute of the socket")?;
        if !NAMES.contains(&name.text.as_ref()) {
            self.diagnostics.push(
                Diagnostic::error(
                    codes::UNKNOWN_ATTRIBUTE,
                    name.span,
                    format!("unknown attribute `{}`", name.text),
                )
                .did_you_mean(closest(&name.text, NAMES))
                .note("a socket has bind, advertise, name, agname, virtual, workers and vrf"),
            );
            self.recover();
            return Ok(());
        }
        self.expect("=", "after the attribute")?;
        match name.text.as_ref() {
            "bind" => socket.bind = Some(self.address()?),
            "advertise" => socket.advertise = Some(self.advertise()?),
            "name" => socket.name = Some(self.string("the name of the socket")?),
            "agname" => socket.agname = Some(self.string("the name of the group")?),
            "vrf" => socket.vrf = Some(self.string("the name of the routing domain")?),
            _ => {
                let Some((number, span)) = self.integer() else {
                    return Err(self.unexpected("a number"));
                };
                if name.text.as_ref() == "virtual" {
                    socket.is_virtual = number != 0;
                } else {
                    socket.workers = Some((number, span));
                }
            }
        }
        self.eat(";");
        Ok(())
    }

    fn route(&mut self, kind: RouteKind) -> Result<ItemKind> {
        let start = self.span();
        self.bump();
        let name = if self.is("[") {
            Some(self.route_name(kind)?)
        } else {
            None
        };
        let head = start.to(self.last_span());
        let kind = match (kind, &name) {
            (RouteKind::Sub, None) => RouteKind::Request,
            (RouteKind::Reply, Some(_)) => RouteKind::OnReply,
            (RouteKind::OnReply, None) => RouteKind::Reply,
            (kind, _) => kind,
        };
        if kind == RouteKind::Event && name.is_none() {
            self.diagnostics.push(
                Diagnostic::error(codes::BAD_ROUTE_NAME, head, "event route without a name")
                    .help("write it as `event_route[group:name]`"),
            );
        }
        let body = self.block()?;
        self.eat(";");
        Ok(ItemKind::Route(RouteBlock {
            kind,
            name,
            body,
            head,
        }))
    }

    /// What stands in the brackets; words, dashes, dots and colons, or a string.
    fn route_name(&mut self, kind: RouteKind) -> Result<Ident> {
        let open = self.span();
        self.bump();
        let start = self.span();
        let mut text = String::new();
        while !matches!(self.peek(), Tok::Punct("]" | "{" | "}" | ";") | Tok::End) {
            match self.peek() {
                Tok::Str(name) => text += &name.value.text(),
                Tok::Ident(_) | Tok::NumWord(_) | Tok::Int(_) | Tok::Ip(_) | Tok::Punct("-" | "." | ":") => {
                    text += &self.written();
                }
                _ => return Err(self.unexpected("the name of the route block")),
            }
            self.bump();
        }
        let span = start.to(self.last_span());
        if text.is_empty() {
            self.error(codes::BAD_ROUTE_NAME, open, "name of the route block missing");
            return Err(Failed);
        }
        self.close("]", open)?;
        self.check_event_name(kind, &text, span);
        Ok(Ident::new(text, span))
    }

    fn check_event_name(&mut self, kind: RouteKind, text: &str, span: Span) {
        let has_parts = text.split(':').count() > 1 && text.split(':').all(|part| !part.is_empty());
        if kind == RouteKind::Event && !has_parts {
            self.diagnostics.push(
                Diagnostic::error(
                    codes::BAD_ROUTE_NAME,
                    span,
                    format!("`{text}` is no name of an event"),
                )
                .help("events are named `group:name`, such as `event_route[tm:local-request]`"),
            );
        }
    }
}
