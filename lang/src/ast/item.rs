//! What stands at the top level of a configuration.

use std::net::IpAddr;

use kahea_diag::Span;

use super::{Block, Ident, Text};

/// A whole configuration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConfigFile {
    /// In the order written, through all includes.
    pub items: Vec<Item>,
}

/// One thing at the top level.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// What it is.
    pub kind: ItemKind,
    /// Where it stands.
    pub span: Span,
}

/// What stands at the top level.
#[expect(
    clippy::large_enum_variant,
    reason = "a configuration has a few hundred items, and lives for its check only"
)]
#[derive(Clone, Debug, PartialEq)]
pub enum ItemKind {
    /// `children = 4`
    Setting(Setting),
    /// `coreparam("name", value)` or `coreparam[name] = value`
    CoreParam(CoreParam),
    /// `listen = …`; one per address.
    Listen(Vec<Bind>),
    /// `alias = …` and `domain = …`: own names.
    Alias(Vec<Address>),
    /// `socket = { … }`
    Socket(SocketBlock),
    /// `loadmodule`, `loadmodulex`
    LoadModule(LoadModule),
    /// `loadpath` and `mpath`
    LoadPath(Text),
    /// `cfgengine "name"`
    CfgEngine(Text),
    /// `modparam`, `modparamx`
    ModParam(ModParam),
    /// `group.name = value desc "text"`
    CustomGlobal(CustomGlobal),
    /// `flags name:number, name` (also spelt `bool`)
    Flags(Vec<FlagDecl>),
    /// `avpflags name, name`
    AvpFlags(Vec<FlagDecl>),
    /// A route block of any kind.
    Route(RouteBlock),
}

/// A parameter of the core.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// Its name as written, aliases included.
    pub name: Ident,
    /// What is assigned; one value, or several for a list.
    pub values: Vec<SettingValue>,
}

/// The value of a parameter of the core.
#[derive(Clone, Debug, PartialEq)]
pub enum SettingValue {
    /// A number; also `yes`, `on`, `true`, `enable` (1) and their opposites (0).
    Int(i64, Span),
    /// A string.
    Str(Text),
    /// A word: `LOG_LOCAL0`, `TCP`, `example.com`, `IPTOS_LOWDELAY`.
    Name(Ident),
    /// An address.
    Ip(IpAddr, Span),
}

impl SettingValue {
    /// Where it stands.
    pub fn span(&self) -> Span {
        match self {
            SettingValue::Int(_, span) | SettingValue::Ip(_, span) => *span,
            SettingValue::Str(text) => text.span,
            SettingValue::Name(name) => name.span,
        }
    }
}

/// `coreparam("name", value)`
#[derive(Clone, Debug, PartialEq)]
pub struct CoreParam {
    /// The name.
    pub name: Text,
    /// The value.
    pub value: SettingValue,
}

/// The host part of an address.
#[derive(Clone, Debug, PartialEq)]
pub enum Host {
    /// An IP address.
    Ip(IpAddr, Span),
    /// A host name or the name of an interface.
    Name(Ident),
    /// A string, which can be either of them.
    Str(Text),
    /// `*`
    Any(Span),
}

impl Host {
    /// Where it stands.
    pub fn span(&self) -> Span {
        match self {
            Host::Ip(_, span) | Host::Any(span) => *span,
            Host::Name(name) => name.span,
            Host::Str(text) => text.span,
        }
    }
}

/// The port part of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// A number.
    Number(u16, Span),
    /// `*`
    Any(Span),
}

/// `[proto:]host[:port]`
#[derive(Clone, Debug, PartialEq)]
pub struct Address {
    /// The transport in lower case, or `*`.
    pub proto: Option<Ident>,
    /// One host, or those of a list in parentheses: `(eth0, eth1)`.
    pub hosts: Vec<Host>,
    /// The port.
    pub port: Option<Port>,
    /// The whole address.
    pub span: Span,
}

/// What is told to peers in place of the own address.
#[derive(Clone, Debug, PartialEq)]
pub struct Advertise {
    /// The transport, in lower case.
    pub proto: Option<Ident>,
    /// The host.
    pub host: Host,
    /// The port.
    pub port: Option<Port>,
}

/// An address to listen at, with its attributes.
#[derive(Clone, Debug, PartialEq)]
pub struct Bind {
    /// Where to listen.
    pub address: Address,
    /// What to tell peers.
    pub advertise: Option<Advertise>,
    /// `name "x"`
    pub name: Option<Text>,
    /// `virtual`: the address need not be there yet.
    pub is_virtual: bool,
}

/// `socket = { bind = …; … }`
#[derive(Clone, Debug, PartialEq)]
pub struct SocketBlock {
    /// Where to listen; missing only where a diagnostic says so.
    pub bind: Option<Address>,
    /// What to tell peers.
    pub advertise: Option<Advertise>,
    /// The name that scripts use.
    pub name: Option<Text>,
    /// The group of processes that serves it.
    pub agname: Option<Text>,
    /// `virtual = yes`: the address need not be there yet.
    pub is_virtual: bool,
    /// Number of workers of its own.
    pub workers: Option<(i64, Span)>,
    /// The routing domain of the kernel.
    pub vrf: Option<Text>,
    /// The whole block.
    pub span: Span,
}

/// `loadmodule "name"`, `loadmodule("name", "options")`, and the forms with `x`.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadModule {
    /// As written: with or without `.so`, with or without a path.
    pub name: Text,
    /// The second argument, such as `g` (global symbols).
    pub options: Option<Text>,
    /// `loadmodulex`: the name is a format string with variables.
    pub evaluated: bool,
}

/// `modparam("modules", "name", value)`
#[derive(Clone, Debug, PartialEq)]
pub struct ModParam {
    /// One module name or several, separated by `|`; a regular expression in Kamailio.
    pub modules: Text,
    /// The parameter.
    pub name: Text,
    /// The value.
    pub value: ParamValue,
    /// `modparamx`: strings are format strings with variables.
    pub evaluated: bool,
}

/// The value of a module parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum ParamValue {
    /// A number; `yes` and its like are 1, their opposites 0.
    Int(i64, Span),
    /// A string.
    Str(Text),
    /// A variable, only in `modparamx`.
    Pv(Box<crate::pv::Pv>),
    /// Something malformed; a diagnostic says so.
    Error(Span),
}

/// `group.name = value desc "text"`: a value that scripts read as `$sel(cfg_get.group.name)`.
#[derive(Clone, Debug, PartialEq)]
pub struct CustomGlobal {
    /// Before the dot.
    pub group: Ident,
    /// After the dot.
    pub name: Ident,
    /// A number or a string.
    pub value: SettingValue,
    /// The text after `desc`, `descr` or `description`.
    pub description: Option<Text>,
}

/// A name for a flag.
#[derive(Clone, Debug, PartialEq)]
pub struct FlagDecl {
    /// The name.
    pub name: Ident,
    /// Its number, where one was given.
    pub number: Option<(i64, Span)>,
}

/// A route block.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteBlock {
    /// Its kind.
    pub kind: RouteKind,
    /// What stands in the brackets.
    pub name: Option<RouteName>,
    /// The statements.
    pub body: Block,
    /// The keyword with its brackets.
    pub head: Span,
}

/// The kind of a route block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RouteKind {
    /// `request_route`, and `route` without a name: what every request runs through.
    Request,
    /// `route[NAME]`: a part of other blocks.
    Sub,
    /// `failure_route[NAME]`
    Failure,
    /// `reply_route`, and `onreply_route` without a name: what every reply runs through.
    Reply,
    /// `onreply_route[NAME]`
    OnReply,
    /// `branch_route[NAME]`
    Branch,
    /// `onsend_route`
    OnSend,
    /// `event_route[group:name]`
    Event,
}

/// The name of a route block: a word, a number or a string, all alike.
pub type RouteName = Ident;
