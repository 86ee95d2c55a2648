//! The file of a case: sections that begin with `== name`.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use crate::engine::Place;
use crate::scenario::{self, Line};
use crate::server::ServerCommand;

/// A case as its file states it.
#[derive(Debug, Clone)]
pub struct Case {
    /// `group/name`.
    pub name: String,
    /// The case's file; the transcript lies beside it with the ending `txt`.
    pub path: PathBuf,
    /// What the case shows, for the reader.
    pub about: String,
    /// The kamailio.cfg; `{tmp}` stands for the case's own folder.
    pub cfg: String,
    /// Further files by name, written to `{tmp}`.
    pub files: Vec<(String, String)>,
    /// SQLite databases by file name, made in `{tmp}` from these statements before the server starts.
    pub databases: Vec<(String, String)>,
    /// Further arguments on the server's command line.
    pub args: Vec<String>,
    /// What the case does.
    pub scenario: Vec<Line>,
    /// The settings of the case.
    pub settings: Settings,
}

/// The `== settings` section: one `name: value` per line.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// `waits: MODULE...`: what the server under test must have first; such a case is listed, not run.
    pub waits: Vec<String>,
    /// `deviates: REASON`: this project's server is meant to differ here; its own transcript is `NAME.ours.txt`.
    pub deviates: Option<String>,
    /// `server: none`: no server runs beside the scenario (for `run` of `-c`).
    pub no_server: bool,
    /// `port: N`: the port that shows that the server is there; 5060 by default.
    pub port: Option<u16>,
    /// `env: NAME=value`, any number of them.
    pub env: Vec<(String, String)>,
    /// `hide: long-numbers`: digit runs of nine and more are not compared.
    pub hide_long_numbers: bool,
    /// `hide: expiry`: what expires when is compared to the next ten seconds.
    pub hide_expiry: bool,
    /// `settle: 500ms`: time between the first open port and the scenario, for servers that have to do something then.
    pub settle: Duration,
    /// `engine: NAME ng|rtpproxy ADDRESS:PORT`, any number of them: simulated media engines.
    pub engines: Vec<Place>,
}

/// Why a case cannot be used.
#[derive(Debug)]
pub enum CaseError {
    /// The file could not be read.
    Read(PathBuf, io::Error),
    /// The file does not follow the format; line number and reason.
    Format(PathBuf, usize, String),
}

impl std::fmt::Display for CaseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Read(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Format(path, line, why) => write!(f, "{}:{line}: {why}", path.display()),
        }
    }
}

impl std::error::Error for CaseError {}

impl Case {
    /// Reads a case; `root` is the folder from which its name counts.
    ///
    /// # Errors
    /// The file cannot be read, or a section or scenario line is wrong.
    pub fn load(root: &Path, path: &Path) -> Result<Self, CaseError> {
        let text = fs::read_to_string(path).map_err(|error| CaseError::Read(path.into(), error))?;
        let name = path.strip_prefix(root).unwrap_or(path).with_extension("");
        Self::parse(&name.to_string_lossy(), path, &text)
            .map_err(|(line, why)| CaseError::Format(path.into(), line, why))
    }

    /// Reads a case from text.
    ///
    /// # Errors
    /// Line number and reason.
    pub fn parse(name: &str, path: &Path, text: &str) -> Result<Self, (usize, String)> {
        let mut case = Self {
            name: name.into(),
            path: path.into(),
            about: String::new(),
            cfg: String::new(),
            files: Vec::new(),
            databases: Vec::new(),
            args: Vec::new(),
            scenario: Vec::new(),
            settings: Settings::default(),
        };
        for section in sections(text)? {
            case.take(section)?;
        }
        if case.scenario.is_empty() {
            return Err((1, "the case has no `== scenario`".into()));
        }
        Ok(case)
    }

    /// The recorded transcript's path.
    pub fn transcript_path(&self) -> PathBuf {
        self.path.with_extension("txt")
    }

    /// The transcript that a server has to match: its own where the case deviates and the server is not the reference.
    pub fn transcript_path_for(&self, command: &ServerCommand) -> PathBuf {
        match &self.settings.deviates {
            Some(_) if !command.is_reference() => self.path.with_extension("ours.txt"),
            _ => self.transcript_path(),
        }
    }

    fn take(&mut self, section: Section) -> Result<(), (usize, String)> {
        let Section { heading, line, text } = section;
        let (word, rest) = heading.split_once(' ').unwrap_or((&heading, ""));
        match word {
            "about" => self.about = text.trim().to_owned(),
            "cfg" => self.cfg = text,
            "file" if !rest.trim().is_empty() => self.files.push((rest.trim().to_owned(), text)),
            "sqlite" if !rest.trim().is_empty() => self.databases.push((rest.trim().to_owned(), text)),
            "args" => self.args = text.split_whitespace().map(str::to_owned).collect(),
            "settings" => self.settings = settings(line, &text)?,
            "scenario" => self.scenario = scenario::parse(line + 1, &text)?,
            _ => return Err((line, format!("unknown section `== {heading}`"))),
        }
        Ok(())
    }
}

struct Section {
    heading: String,
    line: usize,
    text: String,
}

fn sections(text: &str) -> Result<Vec<Section>, (usize, String)> {
    let mut out: Vec<Section> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if let Some(heading) = line.strip_prefix("== ") {
            out.push(Section {
                heading: heading.trim().to_owned(),
                line: index + 1,
                text: String::new(),
            });
        } else if let Some(section) = out.last_mut() {
            section.text.push_str(line);
            section.text.push('\n');
        } else if !line.trim().is_empty() {
            return Err((index + 1, "text before the first section".into()));
        }
    }
    Ok(out)
}

fn settings(first: usize, text: &str) -> Result<Settings, (usize, String)> {
    let mut out = Settings::default();
    for (index, line) in text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
    {
        let at = |why: String| (first + 1 + index, why);
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| at("expected `name: value`".into()))?;
        let value = value.trim();
        match (name.trim(), value) {
            ("waits", _) => out.waits = value.split_whitespace().map(str::to_owned).collect(),
            ("deviates", _) => out.deviates = Some(value.to_owned()),
            ("server", "none") => out.no_server = true,
            ("hide", "long-numbers") => out.hide_long_numbers = true,
            ("hide", "expiry") => out.hide_expiry = true,
            ("port", _) => out.port = Some(value.parse().map_err(|_| at("not a port".into()))?),
            ("settle", _) => out.settle = scenario::duration(value).map_err(at)?,
            ("engine", _) => out.engines.push(Place::parse(value).map_err(at)?),
            ("env", _) => {
                let (key, value) = value
                    .split_once('=')
                    .ok_or_else(|| at("expected `env: NAME=value`".into()))?;
                out.env.push((key.into(), value.into()));
            }
            _ => return Err(at(format!("unknown setting `{line}`"))),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "== about\nx\n== settings\nwaits: tm rr\nenv: A=b=c\n== cfg\n#!KAMAILIO\n== file a.cfg\n1\n== scenario\nsleep 10ms\n";

    #[test]
    fn sections_and_settings() {
        let case = Case::parse("g/n", Path::new("g/n.case"), TEXT).unwrap();
        assert_eq!(case.settings.waits, ["tm", "rr"]);
        assert_eq!(case.settings.env, [("A".to_owned(), "b=c".to_owned())]);
        assert_eq!(case.files, [("a.cfg".to_owned(), "1\n".to_owned())]);
        assert_eq!(case.cfg, "#!KAMAILIO\n");
        assert_eq!(case.transcript_path(), Path::new("g/n.txt"));
    }

    #[test]
    fn a_deviation_has_a_transcript_of_its_own() {
        let text = "== settings\ndeviates: it is right\n== scenario\nsleep 1ms\n";
        let case = Case::parse("n", Path::new("g/n.case"), text).unwrap();
        let path = |command| case.transcript_path_for(&ServerCommand::parse(command));
        assert_eq!(path("/usr/sbin/kamailio"), Path::new("g/n.txt"));
        assert_eq!(path("target/debug/kahea"), Path::new("g/n.ours.txt"));
    }

    #[test]
    fn mistakes_have_their_line() {
        let at = |text: &str| Case::parse("n", Path::new("n"), text).unwrap_err().0;
        assert_eq!(at("x\n"), 1);
        assert_eq!(at("== about\n== nonsense\n"), 2);
        assert_eq!(at("== settings\n\nport: many\n"), 3);
        assert_eq!(at("== scenario\nsleep 1s\nsleep soon\n"), 3);
    }
}
