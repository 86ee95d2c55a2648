//! Kahea: a SIP server that runs Kamailio's configurations. This crate only wires the others together.

mod modules;

use std::{io::Write as _, process::ExitCode, sync::Arc};

use kahea_diag::render;
use kahea_engine::{Server, StartError, boot, listing, logging};
use kahea_lang::source::Options;
use kahea_module::{config::Shared, log};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    let at = args
        .iter()
        .position(|arg| arg == "-f")
        .and_then(|at| args.get(at.saturating_add(1)));
    let path = at
        .cloned()
        .unwrap_or_else(|| "/etc/kamailio/kamailio.cfg".to_owned());
    let registry = Arc::new(modules::registry());
    if args.get(1).is_some_and(|arg| arg == "list") {
        let _ = writeln!(std::io::stdout(), "{}", listing::json(&registry));
        return ExitCode::SUCCESS;
    }
    let loaded = boot::load(&path, &Options::default(), &registry);
    for problem in loaded.diagnostics.sorted(&loaded.sources) {
        eprint!("{}", render::full(problem, &loaded.sources));
    }
    if loaded.diagnostics.has_errors() {
        return ExitCode::from(255);
    }
    if args.iter().any(|arg| arg == "-c") {
        return ExitCode::SUCCESS;
    }
    log::set_sink(Box::new(logging::Stderr));
    log::set_level(loaded.globals.debug);
    let shared = Arc::new(Shared::new(
        std::time::SystemTime::now(),
        std::time::Instant::now(),
        args,
    ));
    match Server::start(loaded, registry, shared, 2, Default::default()) {
        Ok(server) => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("runtime");
            runtime.block_on(async {
                let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
                    .expect("signal");
                term.recv().await;
            });
            server.stop();
            ExitCode::SUCCESS
        }
        Err(StartError::Module(problem)) => {
            eprint!("{}", render::full(&problem.0, &problem.1));
            ExitCode::from(255)
        }
        Err(StartError::Listeners(errors)) => {
            errors.iter().for_each(|error| eprintln!("{error}"));
            ExitCode::from(255)
        }
        Err(_) => ExitCode::from(255),
    }
}
