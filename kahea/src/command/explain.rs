//! `kahea explain CODE`.

use std::process::ExitCode;

use kahea_diag::{closest, codes};

use crate::{FAILED, out};

/// Says what a code means and what to do.
pub fn run(code: &str) -> ExitCode {
    match codes::Code::lookup(code) {
        Some(entry) => {
            out::print(&format!(
                "{}: {}\n{}\n",
                entry.code, entry.title, entry.explanation
            ));
            ExitCode::SUCCESS
        }
        None => {
            let near = closest(
                &code.to_ascii_uppercase(),
                codes::REGISTRY.iter().map(|entry| entry.code.as_str()),
            );
            let near = near.map_or(String::new(), |near| format!("; did you mean {near}?"));
            out::complain(&format!("there is no finding {code}{near}\n"));
            ExitCode::from(FAILED)
        }
    }
}
