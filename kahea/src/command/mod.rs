//! The commands that are Kahea's own: `check`, `db`, `kemi`, `list`, `explain`, `user`, `reload`, `rpc`.

mod db;
mod explain;
mod kemi;
mod list;
mod remote;
mod user;

pub use self::db::drivers;

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use clap::{Parser, Subcommand, ValueEnum};

use crate::{
    FAILED,
    load::{self, Place},
    options::Options,
    out,
    report::Findings,
};

/// A SIP server that runs Kamailio's configurations. Without a command it is the server: kahea -h shows its options.
#[derive(Parser)]
#[command(name = "kahea", version)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Shows every mistake of a configuration; ends with 0, or with 255 where one is an error.
    Check {
        /// The configuration, - for standard input.
        file: String,
        /// How the findings are shown.
        #[arg(long, value_enum, default_value_t = Format::Full)]
        format: Format,
        /// Defines a name for the preprocessor, NAME or NAME=VALUE.
        #[arg(short = 'A', value_name = "DEFINE")]
        defines: Vec<String>,
    },
    /// Makes, checks and repairs the tables of a database.
    Db {
        #[command(subcommand)]
        what: db::What,
    },
    /// Tools for scripts of embedded languages.
    Kemi {
        #[command(subcommand)]
        what: kemi::What,
    },
    /// Lists what this build has.
    List {
        /// What is listed; everything where left out.
        #[arg(value_enum)]
        what: Option<list::What>,
        /// As JSON, with everything that is known of each.
        #[arg(long)]
        json: bool,
    },
    /// Explains the code of a finding, such as E0302.
    Explain {
        /// The code.
        code: String,
    },
    /// Who may register with the built-in configuration, or with the table subscriber of another.
    User {
        #[command(subcommand)]
        action: user::Action,
    },
    /// Lets the running server read its configuration again; a wrong one changes nothing.
    Reload {
        #[command(flatten)]
        server: Running,
    },
    /// Runs a command of the running server and prints its answer.
    Rpc {
        #[command(flatten)]
        server: Running,
        /// The command, such as sl.stats; system.listMethods lists them.
        method: String,
        /// Its arguments; whole numbers count as numbers, s:TEXT is a text whatever it looks like.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
}

/// Which server is meant.
#[derive(clap::Args)]
struct Running {
    /// Its runtime directory, as -Y or rundir= gives it.
    #[arg(
        short = 'Y',
        long = "run-dir",
        value_name = "DIR",
        default_value = "/run/kamailio"
    )]
    dir: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// With the line and a caret.
    Full,
    /// One line each.
    Line,
    /// A JSON array.
    Json,
}

/// Runs the command that the first word names; `None` where it names none, or under Kamailio's name.
pub fn run(program: &str, args: &[String]) -> Option<ExitCode> {
    let names = [
        "check", "db", "kemi", "list", "explain", "user", "reload", "rpc", "help",
    ];
    let asked = args.get(1).is_some_and(|word| names.contains(&word.as_str()));
    if !asked || program == "kamailio" {
        return None;
    }
    let line = match Line::try_parse_from(args) {
        Ok(line) => line,
        Err(error) => {
            let text = error.render().to_string();
            return Some(match error.use_stderr() {
                true => {
                    out::complain(&text);
                    ExitCode::from(FAILED)
                }
                false => {
                    out::print(&text);
                    ExitCode::SUCCESS
                }
            });
        }
    };
    Some(match line.command {
        Command::Check {
            file,
            format,
            defines,
        } => check(file, format, &defines),
        Command::Db { what } => db::run(what),
        Command::Kemi { what } => kemi::run(what),
        Command::List { what, json } => list::run(what, json),
        Command::Explain { code } => explain::run(&code),
        Command::User { action } => user::run(action),
        Command::Reload { server } => remote::reload(&server.dir),
        Command::Rpc { server, method, args } => remote::rpc(&server.dir, &method, &args),
    })
}

fn check(file: String, format: Format, defines: &[String]) -> ExitCode {
    let split = |text: &String| match text.split_once('=') {
        Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
        None => (text.clone(), None),
    };
    let options = Options {
        defines: defines.iter().map(split).collect(),
        ..Options::default()
    };
    let registry = Arc::new(crate::modules::registry());
    let loaded = match load::load(&Place::File(file), &options, &registry) {
        Ok(loaded) => loaded,
        Err(problem) => {
            out::complain(&format!("{problem}\n"));
            return ExitCode::from(FAILED);
        }
    };
    let mut loaded = loaded;
    kemi::check_scripts(&mut loaded);
    let failed = loaded.diagnostics.has_errors();
    let findings = Findings::of(&loaded.diagnostics, loaded.sources);
    out::print(&match format {
        Format::Full => findings.full(),
        Format::Line => findings.lines(),
        Format::Json => findings.json() + "\n",
    });
    if failed {
        ExitCode::from(FAILED)
    } else {
        ExitCode::SUCCESS
    }
}
