//! `kahea kemi`: tools for scripts of embedded languages.

use std::{process::ExitCode, sync::Arc};

use clap::{Subcommand, ValueEnum};
use kahea_diag::{Diagnostic, FileId, Origin, SourceMap, Span, codes};
use kahea_engine::Loaded;
use kahea_kemi::{
    Table,
    check::{self, Dialect},
    stubs::Stubs,
};
use kahea_module::{Bind, Str};

use crate::out;

/// What `kahea kemi` does.
#[derive(Subcommand)]
pub enum What {
    /// Writes stubs of KSR for editors: names, arguments and types of all functions.
    Stubs {
        /// The language.
        #[arg(long, value_enum)]
        lang: Lang,
    },
}

/// A language with stubs.
#[derive(Clone, Copy, ValueEnum)]
pub enum Lang {
    /// Python: KSR.pyi.
    Python,
    /// Lua: annotations of the Lua language server.
    Lua,
    /// JavaScript: ksr.d.ts.
    Js,
    /// Ruby: RBS.
    Ruby,
}

/// Runs it.
pub fn run(what: What) -> ExitCode {
    let What::Stubs { lang } = what;
    let stubs = match lang {
        Lang::Python => Stubs::Python,
        Lang::Lua => Stubs::Lua,
        Lang::Js => Stubs::JavaScript,
        Lang::Ruby => Stubs::Ruby,
    };
    out::print(&stubs.of(&Table::of_all(&crate::modules::registry())));
    ExitCode::SUCCESS
}

/// Modules that load scripts by `modparam("module", "load", "file")`.
const LANGUAGES: [(&str, Dialect); 6] = [
    ("app_lua", Dialect::Lua),
    ("app_python3", Dialect::Python),
    ("app_python3s", Dialect::Python),
    ("app_jsdt", Dialect::JavaScript),
    ("app_ruby", Dialect::Ruby),
    ("app_sqlang", Dialect::Squirrel),
];

/// Adds the findings of the scripts that a configuration loads to its own.
pub fn check_scripts(loaded: &mut Loaded) {
    let scripts: Vec<(Str, Dialect)> = loaded
        .params
        .iter()
        .filter(|(_, name, _)| **name == *b"load")
        .filter_map(|(module, _, value)| {
            let known = LANGUAGES
                .iter()
                .find(|(known, _)| **module == *known.as_bytes())?;
            Some((value.str_or_empty(), known.1))
        })
        .collect();
    if scripts.is_empty() {
        return;
    }
    let table = Table::over(loaded.binder.registry(), &loaded.loaded);
    for (path, dialect) in scripts {
        let path = loaded.binder.beside(&path.text());
        match std::fs::read(&path) {
            Ok(text) => check_script(&path, text, dialect, &table, loaded),
            Err(error) => {
                let problem = Diagnostic::error(
                    codes::FILE_UNREADABLE,
                    Span::new(FileId::ROOT, 0, 0),
                    format!("cannot read the script {path}: {error}"),
                );
                loaded.diagnostics.push(problem);
            }
        }
    }
}

fn check_script(path: &str, text: Vec<u8>, dialect: Dialect, table: &Table, loaded: &mut Loaded) {
    let text: Arc<[u8]> = text.into();
    let file = loaded.sources.add(path, text.clone(), Origin::Root);
    if dialect == Dialect::Lua
        && let Err(problem) = kahea_kemi_lua::check_syntax(&text)
    {
        let span = line(&loaded.sources, file, problem.line);
        let message = format!("Lua cannot read the script: {}", problem.message);
        loaded
            .diagnostics
            .push(Diagnostic::error(codes::UNEXPECTED_TOKEN, span, message));
    }
    for finding in check::calls(&text, dialect, file, table) {
        loaded.diagnostics.push(finding);
    }
}

/// The span of a line.
fn line(sources: &SourceMap, file: FileId, number: u32) -> Span {
    let text = sources.file(file).map(|file| file.text().clone());
    let text = text.as_deref().unwrap_or_default();
    let before = usize::try_from(number.saturating_sub(1)).unwrap_or(0);
    let ends: Vec<usize> = text
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'\n')
        .map(|(at, _)| at)
        .collect();
    let start = match before.checked_sub(1) {
        Some(at) => ends.get(at).map_or(0, |end| end.saturating_add(1)),
        None => 0,
    };
    let end = ends.get(before).copied().unwrap_or(text.len());
    let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    Span::new(file, offset(start), offset(end.max(start)))
}
