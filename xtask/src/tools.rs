//! What the checks need from the machine, installed where that is allowed.

use std::{path::Path, process::Command};

use crate::{
    counts,
    shell::{Outcome, has, output, run as run_command, say},
};

/// The sample configurations that Kamailio comes with; the tests check every one.
const SAMPLES: &str = "/usr/share/doc/kamailio/examples";

/// Everything.
pub fn ensure() -> Outcome {
    counts::ensure_valgrind()?;
    ensure_samples()
}

fn ensure_samples() -> Outcome {
    if Path::new(SAMPLES).is_dir() {
        return Ok(());
    }
    // Small images leave documentation out, and the samples with it.
    let options = [
        "--reinstall",
        "--no-install-recommends",
        "-o",
        "DPkg::Options::=--path-include=/usr/share/doc/kamailio/*",
    ];
    let ask = "the samples of Debian's package kamailio are not there: apt-get install kamailio";
    install("kamailio", &options, ask)
}

/// Installs a Debian package where this user may; `ask` says what to do where not.
pub fn install(package: &str, options: &[&str], ask: &str) -> Outcome {
    let is_root = output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0");
    if !is_root || !has("apt-get") {
        return Err(ask.to_owned());
    }
    say(format!("{package} is not there: installing it"));
    let mut command = Command::new("apt-get");
    command.args(["-qq", "-y", "install"]).args(options).arg(package);
    run_command(Command::new("apt-get").args(["-qq", "update"]))
        .and_then(|()| run_command(&mut command))
        .map_err(|error| format!("{ask}\n{error}"))
}
