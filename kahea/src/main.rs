//! Kahea: a SIP server that runs Kamailio's configurations. This crate only wires the others together.

mod address;
mod command;
mod daemon;
mod data;
mod load;
mod modules;
mod options;
mod out;
mod privilege;
mod report;
mod run;
mod status;
mod systemd;
mod usage;

use std::{path::Path, process::ExitCode};

use options::Request;

/// Twice as fast as the system's for what messages need, and gives memory back after a burst.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The code that Kamailio ends with where it cannot start, and for a configuration with errors.
const FAILED: u8 = 255;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args_os()
        .map(|arg| arg.to_string_lossy().into_owned())
        .collect();
    let program = args.first().map_or("kahea", String::as_str);
    let program = Path::new(program)
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or("kahea")
        .to_owned();
    if let Some(code) = command::run(&program, &args) {
        return code;
    }
    match options::parse(args.get(1..).unwrap_or_default()) {
        Ok(Request::Help) => out::print(&usage::help(&program)),
        Ok(Request::Version) => out::print(&usage::version(&program)),
        Ok(Request::Internals) => out::print(&usage::internals(&program)),
        Ok(Request::Server(options)) => return run::server(*options, args, &program),
        Err(problem) => {
            out::complain(&format!("{problem}\n"));
            return ExitCode::from(FAILED);
        }
    }
    ExitCode::SUCCESS
}
