//! What is wrong with a configuration or a start, for the terminal and for the log.

use kahea_diag::{Diagnostic, Diagnostics, Severity, SourceMap, Span, codes, render};
use kahea_engine::StartError;
use kahea_lang::{ast::ItemKind, parser};
use kahea_module::{
    globals::Globals,
    log::{Level, write},
};
use kahea_net::BindError;
use serde_json::{Value as Json, json};

/// Findings with the texts that they point into.
pub struct Findings {
    list: Vec<Diagnostic>,
    sources: SourceMap,
    /// What has no place in any text.
    bare: Vec<String>,
}

impl Findings {
    /// Of a configuration.
    pub fn of(diagnostics: &Diagnostics, sources: SourceMap) -> Findings {
        let list = diagnostics.sorted(&sources).into_iter().cloned().collect();
        Findings {
            list,
            sources,
            bare: Vec::new(),
        }
    }

    /// Of a failed start; `lines` finds the `listen` lines where they are wanted.
    pub fn of_start(error: StartError, lines: impl FnOnce() -> (Vec<Span>, SourceMap)) -> Findings {
        match error {
            StartError::Config(both) => {
                let (diagnostics, sources) = *both;
                Findings::of(&diagnostics, sources)
            }
            StartError::Module(both) => {
                let (problem, sources) = *both;
                Findings {
                    list: vec![problem],
                    sources,
                    bare: Vec::new(),
                }
            }
            StartError::Listeners(errors) => of_listeners(errors, lines()),
            StartError::Thread(error) => Findings::bare(format!(
                "cannot start a worker thread: {error}; raise the limit of threads, or start fewer with --workers"
            )),
            StartError::Process(text) => Findings::bare(text),
        }
    }

    /// One sentence about no text.
    pub fn bare(text: String) -> Findings {
        Findings {
            list: Vec::new(),
            sources: SourceMap::new(),
            bare: vec![text],
        }
    }

    /// As the terminal shows them: each with its line and a caret.
    pub fn full(&self) -> String {
        let mut text: String = self
            .list
            .iter()
            .map(|item| render::full(item, &self.sources))
            .collect();
        self.bare
            .iter()
            .for_each(|line| text.push_str(&format!("error: {line}\n")));
        text
    }

    /// One line each.
    pub fn lines(&self) -> String {
        let mut text = String::new();
        for item in &self.list {
            text.push_str(render::line(item, &self.sources).trim_end());
            text.push('\n');
        }
        self.bare
            .iter()
            .for_each(|line| text.push_str(&format!("error: {line}\n")));
        text
    }

    /// A JSON array of those that have a place.
    pub fn json(&self) -> String {
        render::json(&self.list, &self.sources)
    }

    /// For the answer to a command.
    pub fn data(&self) -> Json {
        let list: Json = serde_json::from_str(&self.json()).unwrap_or_default();
        json!({"diagnostics": list, "text": self.full()})
    }

    /// Into the log, each at its level.
    pub fn log(&self) {
        for item in &self.list {
            let level = match item.severity {
                Severity::Error => Level::Error,
                Severity::Warning => Level::Warning,
                _ => Level::Notice,
            };
            write(
                level,
                "<core>",
                format_args!("{}", render::line(item, &self.sources).trim_end()),
            );
        }
        self.bare
            .iter()
            .for_each(|line| write(Level::Error, "<core>", format_args!("{line}")));
    }
}

/// Each at its `listen` line, where it has one.
fn of_listeners(errors: Vec<BindError>, (spans, sources): (Vec<Span>, SourceMap)) -> Findings {
    let mut findings = Findings {
        list: Vec::new(),
        sources,
        bare: Vec::new(),
    };
    for error in errors {
        let span = error.index.and_then(|index| spans.get(index)).copied();
        match span {
            Some(span) => {
                let text = format!("cannot listen on {}: {}", error.listener, error.cause);
                findings
                    .list
                    .push(Diagnostic::error(codes::START_FAILED, span, text).help(error.remedy));
            }
            None => findings.bare.push(error.to_string()),
        }
    }
    findings
}

/// The place of each listener of the configuration, in the order of the parameters; those of `-l` have none.
pub fn listen_lines(parsed: parser::Parsed, globals: &Globals) -> (Vec<Span>, SourceMap) {
    let mut spans = Vec::new();
    for item in &parsed.config.items {
        match &item.kind {
            ItemKind::Listen(binds) => {
                spans.extend(
                    binds
                        .iter()
                        .flat_map(|bind| bind.address.hosts.iter().map(|_| item.span)),
                );
            }
            ItemKind::Socket(block) => {
                let hosts = block.bind.as_ref().map_or(0, |address| address.hosts.len());
                spans.extend(std::iter::repeat_n(block.span, hosts));
            }
            _ => {}
        }
    }
    spans.truncate(globals.listen.len());
    (spans, parsed.sources)
}
