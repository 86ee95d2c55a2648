//! Log lines in Kamailio's form. The process has one log; who writes it where is set once at start.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicI64, AtomicU16, Ordering::Relaxed},
    },
};

use parking_lot::RwLock;

/// The level of a line; the number is Kamailio's (`debug` shows lines up to its own).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i8)]
pub enum Level {
    /// -5.
    Alert = -5,
    /// -4.
    Bug = -4,
    /// -3.
    Critical2 = -3,
    /// -2.
    Critical = -2,
    /// -1.
    Error = -1,
    /// 0.
    Warning = 0,
    /// 1.
    Notice = 1,
    /// 2.
    Info = 2,
    /// 3.
    Debug = 3,
}

impl Level {
    /// From Kamailio's number; below -5 is ALERT, above 3 DEBUG.
    pub const fn from_number(n: i64) -> Level {
        match n {
            i64::MIN..=-5 => Level::Alert,
            -4 => Level::Bug,
            -3 | -2 => Level::Critical,
            -1 => Level::Error,
            0 => Level::Warning,
            1 => Level::Notice,
            2 => Level::Info,
            3.. => Level::Debug,
        }
    }

    /// Kamailio's number.
    pub const fn number(self) -> i64 {
        self as i8 as i64
    }

    /// As printed.
    pub const fn name(self) -> &'static str {
        match self {
            Level::Alert => "ALERT",
            Level::Bug => "BUG",
            Level::Critical2 | Level::Critical => "CRITICAL",
            Level::Error => "ERROR",
            Level::Warning => "WARNING",
            Level::Notice => "NOTICE",
            Level::Info => "INFO",
            Level::Debug => "DEBUG",
        }
    }

    /// From `L_ERR`, `err`, `-1`, …, in any case.
    pub fn parse(text: &str) -> Option<Level> {
        if let Ok(n) = text.trim().parse::<i64>() {
            return Some(Level::from_number(n));
        }
        let name = text.trim().to_ascii_uppercase();
        let name = name.strip_prefix("L_").unwrap_or(&name);
        Some(match name {
            "ALERT" | "NPRL" => Level::Alert,
            "BUG" => Level::Bug,
            "CRIT2" => Level::Critical2,
            "CRIT" | "CRITICAL" => Level::Critical,
            "ERR" | "ERROR" => Level::Error,
            "WARN" | "WARNING" => Level::Warning,
            "NOTICE" | "NOTE" => Level::Notice,
            "INFO" => Level::Info,
            "DBG" | "DEBUG" => Level::Debug,
            _ => return None,
        })
    }
}

/// One line on its way out.
pub struct Line<'a> {
    /// Its level.
    pub level: Level,
    /// The syslog facility where the line has one of its own (`LOG_LOCAL0` …).
    pub facility: Option<i32>,
    /// The module, `core`, or empty for lines whose text begins with a prefix of its own (`<script>: `).
    pub module: &'a str,
    /// The log prefix of the message in work (`log_prefix`); empty where there is none.
    pub prefix: &'a [u8],
    /// The file and line of the configuration that the line comes from, where that is known.
    pub place: Option<(&'a [u8], u32)>,
    /// The text; control characters are made visible by the sink, except for script lines.
    pub text: &'a [u8],
    /// A line of the script (`xlog`): goes out as it is, without an added line end.
    pub script: bool,
    /// The worker's number in the first column.
    pub worker: usize,
}

/// Where lines go.
pub trait Sink: Send + Sync {
    /// Writes one; must not block.
    fn write(&self, line: &Line<'_>);
}

static SINK: OnceLock<Box<dyn Sink>> = OnceLock::new();
/// Takes lines in place of the sink (`log_engine_type`), while they do not go to a terminal.
static ENGINE: RwLock<Option<Arc<dyn Sink>>> = RwLock::new(None);
static HAS_ENGINE: AtomicBool = AtomicBool::new(false);
static LEVEL: AtomicI64 = AtomicI64::new(0);
static TERMINAL: AtomicBool = AtomicBool::new(false);
/// Whether modules have levels or facilities of their own.
static BY_MODULE: AtomicBool = AtomicBool::new(false);
static MODULES: RwLock<Modules> = RwLock::new(Modules {
    levels: BTreeMap::new(),
    facilities: BTreeMap::new(),
});
static COLORS: [AtomicU16; 9] = [const { AtomicU16::new(0) }; 9];

thread_local! {
    static WORKER: Cell<usize> = const { Cell::new(0) };
    static LOCAL_LEVEL: Cell<Option<i64>> = const { Cell::new(None) };
    static LEVEL_NAME: RefCell<Option<String>> = const { RefCell::new(None) };
    static PREFIX: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Sets where lines go, once; a second call has no effect.
pub fn set_sink(sink: Box<dyn Sink>) {
    let _ = SINK.set(sink);
}

/// Gives lines to a module (`log_engine_type` names it) in place of the sink, or no more.
pub fn set_engine(engine: Option<Arc<dyn Sink>>) {
    HAS_ENGINE.store(engine.is_some(), Relaxed);
    *ENGINE.write() = engine;
}

fn engine() -> Option<Arc<dyn Sink>> {
    match HAS_ENGINE.load(Relaxed) && !on_terminal() {
        true => ENGINE.read().clone(),
        false => None,
    }
}

/// Sets `debug`: lines up to this level are shown.
pub fn set_level(level: i64) {
    LEVEL.store(level, Relaxed);
}

/// `debug`.
pub fn level() -> i64 {
    LOCAL_LEVEL.with(Cell::get).unwrap_or_else(|| LEVEL.load(Relaxed))
}

/// Sets or resets the level of this worker alone (`setdebug()`).
pub fn set_local_level(level: Option<i64>) {
    LOCAL_LEVEL.with(|cell| cell.set(level));
}

/// Says that lines go to standard error (`log_stderror`), where colours make sense.
pub fn set_on_terminal(yes: bool) {
    TERMINAL.store(yes, Relaxed);
}

/// Lines go to standard error.
pub fn on_terminal() -> bool {
    TERMINAL.load(Relaxed)
}

fn color_of(level: Level) -> Option<&'static AtomicU16> {
    let at = usize::try_from(level.number().saturating_add(5)).ok()?;
    COLORS.get(at)
}

/// Sets the colours of a level on a terminal (`log_colors` of xlog): foreground and background as in `$C(xy)`.
pub fn set_color(level: Level, pair: [u8; 2]) {
    if let Some(color) = color_of(level) {
        color.store(u16::from_be_bytes(pair), Relaxed);
    }
}

/// The colours that the script gave to a level; `None`: the sink's own.
pub fn color(level: Level) -> Option<[u8; 2]> {
    let pair = color_of(level)?.load(Relaxed);
    (pair != 0).then(|| pair.to_be_bytes())
}

/// Names the calling thread's column in the log.
pub fn set_worker(worker: usize) {
    WORKER.with(|cell| cell.set(worker));
}

/// The calling thread's column in the log.
pub fn worker() -> usize {
    WORKER.with(Cell::get)
}

/// A line of this level would be shown.
pub fn shows(level: Level) -> bool {
    level.number() <= self::level()
}

/// Sets the prefix of lines from the calling thread (`log_prefix` of the message in work); empty for none.
pub fn set_prefix(prefix: &[u8]) {
    PREFIX.with_borrow_mut(|own| {
        own.clear();
        own.extend_from_slice(prefix);
    });
}

/// Levels and facilities of modules (`mod_level`, `mod_facility`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Modules {
    /// Up to which level a module's lines are shown.
    pub levels: BTreeMap<String, i64>,
    /// The syslog facility of a module's lines.
    pub facilities: BTreeMap<String, i32>,
}

/// Sets the levels and facilities of modules, in place of those before.
pub fn set_modules(modules: Modules) {
    let any = !modules.levels.is_empty() || !modules.facilities.is_empty();
    *MODULES.write() = modules;
    BY_MODULE.store(any, Relaxed);
}

/// A line of this level and module would be shown.
pub fn shows_of(level: Level, module: &str) -> bool {
    let own = match BY_MODULE.load(Relaxed) {
        false => None,
        true => MODULES.read().levels.get(module_name(module)).copied(),
    };
    level.number() <= own.unwrap_or_else(self::level)
}

/// The facility that a module's lines have of their own.
fn facility_of(module: &str) -> Option<i32> {
    match BY_MODULE.load(Relaxed) {
        false => None,
        true => MODULES.read().facilities.get(module_name(module)).copied(),
    }
}

/// `core`, for the core's own names.
fn module_name(module: &str) -> &str {
    match module {
        "" | "<core>" => "core",
        module => module,
    }
}

/// Runs something whose lines show this name in place of their level's (`log_level_name`).
pub fn with_level_name(name: &str, run: impl FnOnce()) {
    let before = LEVEL_NAME.replace(Some(name.to_owned()));
    run();
    LEVEL_NAME.set(before);
}

/// The name that lines of the calling thread show in place of their level's.
pub fn level_name() -> Option<String> {
    LEVEL_NAME.with_borrow(Clone::clone)
}

/// Takes the prefix of lines from the calling thread away, to be put back by [`put_prefix`].
pub fn take_prefix() -> Vec<u8> {
    PREFIX.take()
}

/// Puts back what [`take_prefix`] took.
pub fn put_prefix(prefix: Vec<u8>) {
    PREFIX.set(prefix);
}

/// Writes a line that is already known to be shown; one without a prefix gets that of the calling thread.
pub fn emit(line: &Line<'_>) {
    let engine = engine();
    let Some(sink) = engine.as_deref().or_else(|| SINK.get().map(|sink| &**sink)) else {
        return;
    };
    if !line.prefix.is_empty() {
        return sink.write(line);
    }
    PREFIX.with_borrow(|prefix| sink.write(&Line { prefix, ..*line }));
}

/// Adds what a line says in Kamailio's form: level, prefix, module and text, without a line end.
pub fn body(line: &Line<'_>, out: &mut Vec<u8>) {
    match level_name() {
        Some(name) => out.extend_from_slice(name.as_bytes()),
        None => out.extend_from_slice(line.level.name().as_bytes()),
    }
    out.extend_from_slice(b": ");
    said(line, out);
}

/// The same without the level.
pub fn said(line: &Line<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(line.prefix);
    if line.script {
        out.extend_from_slice(line.text);
        return;
    }
    if !line.module.is_empty() {
        out.extend_from_slice(line.module.as_bytes());
        out.extend_from_slice(b": ");
    }
    visible(line.text, out);
}

/// Adds text with its control characters spelled out, so that no peer can forge a line or steer a terminal.
fn visible(text: &[u8], out: &mut Vec<u8>) {
    for byte in text {
        match byte {
            b'\t' | b' '..=b'~' | 0x80.. => out.push(*byte),
            control => out.extend_from_slice(format!("\\x{control:02x}").as_bytes()),
        }
    }
}

/// Writes a line of a module; use the macros [`error!`](crate::error) and its siblings.
pub fn write(level: Level, module: &str, text: fmt::Arguments<'_>) {
    write_at(level, module, None, text);
}

/// Writes a line of a module about a place of the configuration.
pub fn write_at(level: Level, module: &str, place: Option<(&[u8], u32)>, text: fmt::Arguments<'_>) {
    if !shows_of(level, module) {
        return;
    }
    let text = text.to_string();
    emit(&Line {
        level,
        facility: facility_of(module),
        module,
        prefix: b"",
        place,
        text: text.as_bytes(),
        script: false,
        worker: worker(),
    });
}

/// Logs at a level: `log_at!(Level::Error, "dns", "No answer for {name}.")`.
#[macro_export]
macro_rules! log_at {
    ($level:expr, $module:expr, $($text:tt)+) => {
        if $crate::log::shows_of($level, $module) {
            $crate::log::write($level, $module, format_args!($($text)+));
        }
    };
}

/// Logs an ERROR: `error!("dns", "No answer for {name}.")`.
#[macro_export]
macro_rules! error {
    ($module:expr, $($text:tt)+) => { $crate::log_at!($crate::log::Level::Error, $module, $($text)+) };
}

/// Logs a WARNING.
#[macro_export]
macro_rules! warning {
    ($module:expr, $($text:tt)+) => { $crate::log_at!($crate::log::Level::Warning, $module, $($text)+) };
}

/// Logs a NOTICE.
#[macro_export]
macro_rules! notice {
    ($module:expr, $($text:tt)+) => { $crate::log_at!($crate::log::Level::Notice, $module, $($text)+) };
}

/// Logs an INFO.
#[macro_export]
macro_rules! info {
    ($module:expr, $($text:tt)+) => { $crate::log_at!($crate::log::Level::Info, $module, $($text)+) };
}

/// Logs a DEBUG.
#[macro_export]
macro_rules! debug {
    ($module:expr, $($text:tt)+) => { $crate::log_at!($crate::log::Level::Debug, $module, $($text)+) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_may_have_a_level_of_its_own() {
        set_modules(Modules {
            levels: [("tm".to_owned(), 3), ("core".to_owned(), -1)].into(),
            ..Modules::default()
        });
        set_local_level(Some(2));
        let shown = [
            ("tm", Level::Debug),
            ("sl", Level::Debug),
            ("<core>", Level::Notice),
            ("sl", Level::Info),
        ];
        assert_eq!(
            shown.map(|(module, level)| shows_of(level, module)),
            [true, false, false, true]
        );
        set_modules(Modules::default());
        assert!(!shows_of(Level::Debug, "tm"));
        set_local_level(None);
    }

    #[test]
    fn levels_have_kamailios_numbers_and_names() {
        assert_eq!(Level::parse("L_ERR"), Some(Level::Error));
        assert_eq!(Level::parse("3"), Some(Level::Debug));
        assert_eq!(Level::parse("dbg"), Some(Level::Debug));
        assert_eq!(Level::from_number(9), Level::Debug);
        assert_eq!(Level::parse("loud"), None);
        assert!(Level::Error < Level::Debug);
    }
}
