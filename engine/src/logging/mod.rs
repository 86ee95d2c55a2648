//! Where log lines go: standard error or syslog, as Kamailio's lines or as JSON. No write ever waits for a reader.

mod clock;
mod json;
pub mod prefix;
mod stderr;
mod syslog;

use std::{
    io::Write as _,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use arc_swap::ArcSwap;
use kahea_module::{
    globals::Globals,
    log::{self, Level, Line, Sink},
};
use parking_lot::Mutex;

pub use self::json::Shape;
use self::syslog::Syslog;

/// The form of lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// Kamailio's: ` 4(711) INFO: <script>: text`.
    #[default]
    Plain,
    /// One JSON object each, with the members of Kamailio's JSON log engine.
    Json(Shape),
}

impl Style {
    /// From `log_engine_type` and `log_engine_data`, or the two halves of `--log-engine=json:M`.
    ///
    /// `None` for an engine that does not exist here.
    pub fn of(engine: &str, data: &str) -> Option<Style> {
        match engine {
            // Modules log_custom and log_systemd take lines that have none of this log's forms.
            "" | "udp" | "systemd" => Some(Style::Plain),
            "json" => Some(Style::Json(Shape::parse(data))),
            _ => None,
        }
    }
}

/// How lines are written; changes with a reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// To standard error instead of syslog.
    pub stderr: bool,
    /// The facility of syslog(3), shifted as there.
    pub facility: i32,
    /// The tag of syslog lines.
    pub ident: String,
    /// Their form.
    pub style: Style,
    /// Colours on standard error.
    pub color: bool,
}

impl Settings {
    /// What a configuration asks for; `program` is the tag where `log_name` gives none.
    pub fn of(globals: &Globals, program: &str) -> Settings {
        let word = |text: &Option<kahea_module::Str>| text.as_ref().map(|text| text.text().into_owned());
        let engine = word(&globals.log_engine_type).unwrap_or_default();
        let data = word(&globals.log_engine_data).unwrap_or_default();
        Settings {
            stderr: globals.log_stderror,
            facility: globals.log_facility.code(),
            ident: word(&globals.log_name).unwrap_or_else(|| program.to_owned()),
            style: Style::of(&engine, &data).unwrap_or_default(),
            color: globals.log_color,
        }
    }
}

/// The log of the process.
pub struct Log {
    settings: ArcSwap<Settings>,
    stderr: Mutex<stderr::Terminal>,
    syslog: Mutex<Syslog>,
    lost: AtomicU64,
}

impl Log {
    /// A log; `device` is the socket of the syslog daemon, `/dev/log`.
    pub fn new(settings: Settings, device: impl Into<PathBuf>) -> Arc<Log> {
        log::set_on_terminal(settings.stderr);
        let mut syslog = Syslog::new(device.into());
        if !settings.stderr {
            // Early, because the socket may be out of reach once the root directory has changed.
            syslog.connect();
        }
        Arc::new(Log {
            settings: ArcSwap::from_pointee(settings),
            stderr: Mutex::default(),
            syslog: Mutex::new(syslog),
            lost: AtomicU64::new(0),
        })
    }

    /// Makes it the log of the process; only the first one is.
    pub fn install(self: &Arc<Log>) {
        log::set_sink(Box::new(Installed(self.clone())));
    }

    /// Writes in another way from now on.
    pub fn configure(&self, settings: Settings) {
        log::set_on_terminal(settings.stderr);
        self.settings.store(Arc::new(settings));
    }

    /// Lines that nobody took: the reader stalled, or the syslog daemon is gone.
    pub fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }

    fn put(&self, line: &Line<'_>) {
        let settings = self.settings.load();
        let mut out = Vec::with_capacity(line.text.len().saturating_add(64));
        let written = if settings.stderr {
            self.compose(&settings, line, true, &mut out);
            self.stderr.lock().write(&out)
        } else {
            self.compose(&settings, line, false, &mut out);
            let facility = line.facility.unwrap_or(settings.facility);
            self.syslog
                .lock()
                .write(facility, line.level, &settings.ident, &out)
        };
        if !written {
            self.lost.fetch_add(1, Relaxed);
        }
    }

    fn compose(&self, settings: &Settings, line: &Line<'_>, head: bool, out: &mut Vec<u8>) {
        match settings.style {
            Style::Json(shape) => json::format(line, shape, out),
            Style::Plain if head && settings.color => colored(line, out),
            Style::Plain if head => format(line, out),
            Style::Plain => log::body(line, out),
        }
    }
}

struct Installed(Arc<Log>);

impl Sink for Installed {
    fn write(&self, line: &Line<'_>) {
        self.0.put(line);
    }
}

/// Adds the line with Kamailio's head of `-E`; a line end too, unless the script's text goes out as it is.
pub fn format(line: &Line<'_>, out: &mut Vec<u8>) {
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{:2}({}) ", line.worker, std::process::id());
    log::body(line, out);
    if !line.script {
        out.push(b'\n');
    }
}

fn colored(line: &Line<'_>, out: &mut Vec<u8>) {
    let own = match line.level {
        Level::Alert => *b"Rx",
        Level::Bug => *b"Px",
        Level::Critical | Level::Critical2 => *b"Yx",
        Level::Error => *b"rx",
        Level::Warning => *b"yx",
        Level::Notice => *b"gx",
        Level::Info => *b"cx",
        Level::Debug => *b"xx",
    };
    let [foreground, background] = log::color(line.level).unwrap_or(own);
    let bold = u8::from(foreground.is_ascii_uppercase());
    let _ = write!(out, "\x1b[{bold};3{};4{}m", digit(foreground), digit(background));
    format(line, out);
    let had_end = out.pop_if(|last| *last == b'\n').is_some();
    out.extend_from_slice(b"\x1b[0;39;49m");
    if had_end {
        out.push(b'\n');
    }
}

/// The last digit of a colour of ECMA-48; letters as in `$C(xy)`.
fn digit(letter: u8) -> usize {
    let letter = letter.to_ascii_lowercase();
    b"srgybpcw".iter().position(|known| *known == letter).unwrap_or(9)
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn line<'a>(text: &'a [u8], script: bool) -> Line<'a> {
        Line {
            level: Level::Info,
            facility: None,
            module: "core",
            prefix: b"",
            place: None,
            text,
            script,
            worker: 4,
        }
    }

    #[test]
    fn lines_have_kamailios_head_and_show_control_characters() {
        let mut out = Vec::new();
        format(&line(b"a\nb\x1b[2J", false), &mut out);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text,
            format!(" 4({}) INFO: core: a\\x0ab\\x1b[2J\n", std::process::id())
        );
    }

    #[test]
    fn script_lines_go_out_as_they_are_behind_the_prefix() {
        let mut out = Vec::new();
        format(
            &Line {
                prefix: b"{call 7} ",
                ..line(b"<script>: hello\n", true)
            },
            &mut out,
        );
        assert!(out.ends_with(b" INFO: {call 7} <script>: hello\n"));
    }

    #[test]
    fn colours_end_before_the_line_does() {
        let mut out = Vec::new();
        colored(&line(b"x", false), &mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.starts_with("\x1b[0;36;49m 4(") && text.ends_with("core: x\x1b[0;39;49m\n"),
            "{text:?}"
        );
    }

    #[test]
    fn an_engine_that_is_not_there_is_known_as_such() {
        assert_eq!(Style::of("", ""), Some(Style::Plain));
        assert!(matches!(Style::of("json", "M"), Some(Style::Json(_))));
        assert_eq!(Style::of("udp", "127.0.0.1:9"), None);
    }

    #[test]
    fn settings_follow_the_configuration() {
        let globals = Globals {
            log_stderror: true,
            log_name: Some("edge".into()),
            ..Globals::default()
        };
        let settings = Settings::of(&globals, "kahea");
        assert!(settings.stderr && settings.ident == "edge");
        assert_eq!(Settings::of(&Globals::default(), "kahea").ident, "kahea");
    }
}
