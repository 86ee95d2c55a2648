//! Module `xlog`: log lines of the script, with variables, a level and a syslog facility of their own.

mod arg;
mod color;
mod write;

use kahea_module::{
    BindError, Cx, Decl, Env, Fault, Format, InitError, Module, Named, Naming, Str, Value,
    log::{Level, shows},
};

use self::arg::{Facility, Severity, Text};

/// The module's instance.
pub struct Xlog {
    buf_size: usize,
    prefix: Format,
    long_format: bool,
    auto_newline: bool,
    facility: Option<Facility>,
    force_color: bool,
    settings: Filter,
}

/// Its parameters.
pub struct Params {
    buf_size: i64,
    force_color: bool,
    long_format: bool,
    prefix: Str,
    prefix_mode: i64,
    log_facility: Option<Str>,
    log_colors: Vec<(Level, [u8; 2])>,
    methods_filter: i64,
    auto_newline: bool,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            buf_size: 4096,
            force_color: false,
            long_format: false,
            prefix: Str::from_static("<script>: "),
            prefix_mode: 0,
            log_facility: None,
            log_colors: Vec::new(),
            methods_filter: -1,
            auto_newline: false,
        }
    }
}

/// The methods that `xlogm()` passes over, as `methods_filter` says now.
struct Filter;

impl Filter {
    fn passes_over(&self, cx: &Cx) -> bool {
        let filter = cx.config().settings.get(b"xlog", b"methods_filter");
        match filter.and_then(|value| value.int()) {
            None | Some(-1) => true,
            Some(filter) => filter & i64::from(cx.method().bit()) != 0,
        }
    }
}

impl Module for Xlog {
    const NAME: &'static str = "xlog";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        declare_params(d);
        declare_leveled(d);
        declare_short(d);
        d.var_named(
            "C",
            Naming::Required,
            Named { parse: color::parse, get: color_value, set: None, raw: false },
            "Terminal colours, foreground and background, as an escape sequence; empty where the log is no terminal.",
        );
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Xlog, InitError> {
        let prefix = match params.prefix_mode {
            1 => env.bind.format(&params.prefix.text())?,
            _ => Format::constant(params.prefix),
        };
        let facility = params
            .log_facility
            .map(|name| {
                Facility::parse(&name.text()).ok_or_else(|| {
                    InitError::new(format!("'{name}' is no syslog facility"))
                        .help("write LOG_DAEMON, LOG_LOCAL0 or another name of syslog(3)")
                })
            })
            .transpose()?;
        for (level, pair) in params.log_colors {
            kahea_module::log::set_color(level, pair);
        }
        env.settings.declare(
            "xlog",
            "methods_filter",
            Value::Int(params.methods_filter),
            "Mask of the methods that xlogm() passes over; -1: all.",
            false,
        );
        Ok(Xlog {
            buf_size: usize::try_from(params.buf_size.max(1)).unwrap_or(usize::MAX),
            prefix,
            long_format: params.long_format,
            auto_newline: params.auto_newline,
            facility,
            force_color: params.force_color,
            settings: Filter,
        })
    }
}

fn declare_params(d: &mut Decl<Xlog>) {
    d.param(
        "buf_size",
        |p| &mut p.buf_size,
        "The longest text of a line, in bytes; longer ones are not written.",
    );
    d.param(
        "force_color",
        |p| &mut p.force_color,
        "$C() gives colours even where the log is no terminal.",
    );
    d.param(
        "long_format",
        |p| &mut p.long_format,
        "xlogl() and xdbgl() name the file before the line.",
    );
    d.param("prefix", |p| &mut p.prefix, "What each line begins with.");
    d.param(
        "prefix_mode",
        |p| &mut p.prefix_mode,
        "1: the prefix holds variables, evaluated for each line.",
    );
    d.param(
        "log_facility",
        |p| &mut p.log_facility,
        "The syslog facility of the lines, such as LOG_LOCAL3.",
    );
    d.param_fn(
        "log_colors",
        "string",
        |params, value, _| {
            params
                .log_colors
                .extend(color::parse_levels(&value.str_or_empty().text())?);
            Ok(())
        },
        "Colours of log levels on a terminal: \"L_ERR=cr;L_WARN=px\".",
    );
    d.param(
        "methods_filter",
        |p| &mut p.methods_filter,
        "Mask of the methods that xlogm() passes over, INVITE=1, CANCEL=2, ACK=4, …; -1: all.",
    )
    .live();
    d.param(
        "auto_newline",
        |p| &mut p.auto_newline,
        "Adds a line end to each text.",
    );
}

fn declare_leveled(d: &mut Decl<Xlog>) {
    d.func("xlog", ["text"], xlog, "Writes a line at level ERROR.")
        .example("xlog(\"method $rm to $ru\\n\");");
    d.func(
        "xlog",
        ["level", "text"],
        xlog_level,
        "Writes a line at this level.",
    )
    .kemi(2, "xlog")
    .example("xlog(\"L_INFO\", \"from $fu\\n\");");
    d.func(
        "xlog",
        ["facility", "level", "text"],
        xlog_facility,
        "Writes a line at this level to this syslog facility.",
    )
    .kemi(3, "xlog_facility");
    d.func(
        "xlogl",
        ["text"],
        xlogl,
        "Writes a line at level ERROR, with the line of the config in front.",
    );
    d.func(
        "xlogl",
        ["level", "text"],
        xlogl_level,
        "Writes a line at this level, with the line of the config in front.",
    );
    d.func(
        "xlogl",
        ["facility", "level", "text"],
        xlogl_facility,
        "Writes a line at this level to this facility, with the line of the config in front.",
    );
    d.func(
        "xlogm",
        ["level", "text"],
        xlogm,
        "Writes a line at this level, except for messages whose method is in methods_filter.",
    );
    d.func(
        "xdbgl",
        ["text"],
        xdbgl,
        "Writes a line at level DEBUG, with the line of the config in front.",
    );
}

fn declare_short(d: &mut Decl<Xlog>) {
    d.func("xdbg", ["text"], xdbg, "Writes a line at level DEBUG.")
        .kemi(1, "xdbg");
    d.func("xinfo", ["text"], xinfo, "Writes a line at level INFO.")
        .kemi(1, "xinfo");
    d.func("xnotice", ["text"], xnotice, "Writes a line at level NOTICE.")
        .kemi(1, "xnotice");
    d.func("xwarn", ["text"], xwarn, "Writes a line at level WARNING.")
        .kemi(1, "xwarn");
    d.func("xerr", ["text"], xerr, "Writes a line at level ERROR.")
        .kemi(1, "xerr");
    d.func("xbug", ["text"], xbug, "Writes a line at level BUG.");
    d.func("xcrit", ["text"], xcrit, "Writes a line at level CRITICAL.")
        .kemi(1, "xcrit");
    d.func("xalert", ["text"], xalert, "Writes a line at level ALERT.")
        .kemi(1, "xalert");
}

type Written = Result<bool, Fault>;

fn xlog(m: &Xlog, cx: &mut Cx, text: Text) -> Written {
    m.write(cx, Level::Error, None, &text, false)
}

fn xlog_level(m: &Xlog, cx: &mut Cx, level: Severity, text: Text) -> Written {
    m.write(cx, level.0, None, &text, false)
}

fn xlog_facility(m: &Xlog, cx: &mut Cx, facility: Facility, level: Severity, text: Text) -> Written {
    m.write(cx, level.0, Some(facility), &text, false)
}

fn xlogl(m: &Xlog, cx: &mut Cx, text: Text) -> Written {
    m.write(cx, Level::Error, None, &text, true)
}

fn xlogl_level(m: &Xlog, cx: &mut Cx, level: Severity, text: Text) -> Written {
    m.write(cx, level.0, None, &text, true)
}

fn xlogl_facility(m: &Xlog, cx: &mut Cx, facility: Facility, level: Severity, text: Text) -> Written {
    m.write(cx, level.0, Some(facility), &text, true)
}

fn xlogm(m: &Xlog, cx: &mut Cx, level: Severity, text: Text) -> Written {
    if !shows(level.0) || m.settings.passes_over(cx) {
        return Ok(true);
    }
    m.write(cx, level.0, None, &text, false)
}

fn xdbgl(m: &Xlog, cx: &mut Cx, text: Text) -> Written {
    m.write(cx, Level::Debug, None, &text, true)
}

macro_rules! at_level {
    ($($name:ident $level:ident),* $(,)?) => {
        $(fn $name(m: &Xlog, cx: &mut Cx, text: Text) -> Written {
            m.write(cx, Level::$level, None, &text, false)
        })*
    };
}

at_level! {
    xdbg Debug, xinfo Info, xnotice Notice, xwarn Warning,
    xerr Error, xbug Bug, xcrit Critical2, xalert Alert,
}

fn color_value(m: &Xlog, _: &mut Cx, pair: &color::Sequence, _: kahea_module::Index) -> Value {
    match m.force_color || kahea_module::log::on_terminal() {
        true => Value::Str(pair.0.clone()),
        false => Value::EMPTY,
    }
}

/// For a parameter or argument that names a level.
fn level_error(text: &str) -> BindError {
    BindError::new(format!("'{text}' is no log level"))
        .help("write L_ALERT, L_BUG, L_CRIT, L_ERR, L_WARN, L_NOTICE, L_INFO, L_DBG, or -5 to 3")
}

/// The level that Kamailio reads from a name: its third letter decides.
fn level_named(text: &str) -> Option<Level> {
    if let Some(level) = Level::parse(text) {
        return Some(level);
    }
    let text = text.trim();
    Some(match text.strip_prefix("L_")?.bytes().next()? {
        b'A' => Level::Alert,
        b'B' => Level::Bug,
        b'C' => Level::Critical2,
        b'E' => Level::Error,
        b'W' => Level::Warning,
        b'N' => Level::Notice,
        b'I' => Level::Info,
        b'D' => Level::Debug,
        _ => return None,
    })
}
