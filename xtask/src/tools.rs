//! What the checks need from the machine, installed where that is allowed.

use std::{path::Path, process::Command};

use crate::{
    counts,
    shell::{Outcome, has, output, run as run_command, say},
};

/// The sample configurations that Kamailio comes with; the tests check every one.
const SAMPLES: &str = "/usr/share/doc/kamailio/examples";

/// The files that show that a package is there, and the package: what real users have beside the server.
const PEERS: &[(&str, &str)] = &[
    ("/usr/bin/sqlite3", "sqlite3"),
    ("/usr/sbin/mariadbd", "mariadb-server"),
    ("/usr/lib/postgresql", "postgresql"),
    ("/usr/bin/redis-server", "redis-server"),
    ("/usr/bin/rtpengine", "rtpengine-daemon"),
    ("/usr/bin/sipp", "sip-tester"),
    ("/usr/bin/baresip", "baresip-core"),
    ("/usr/sbin/kamcmd", "kamailio"),
    (
        "/usr/lib/python3/dist-packages/prometheus_client",
        "python3-prometheus-client",
    ),
    ("/usr/bin/curl", "curl"),
    ("/usr/bin/kamcli", "kamcli"),
    ("/usr/bin/tshark", "tshark"),
    ("/usr/share/kamailio/mysql", "kamailio-mysql-modules"),
    ("/usr/share/kamailio/postgres", "kamailio-postgres-modules"),
    ("/usr/share/kamailio/db_sqlite", "kamailio-sqlite-modules"),
];

/// The files that show that a package is there, and the package: what the build needs beside a C compiler.
const LIBRARIES: &[(&str, &str)] = &[("/usr/bin/python3-config", "python3-dev")];

/// Everything.
pub fn ensure() -> Outcome {
    ensure_packages(LIBRARIES, "libraries of the build")?;
    counts::ensure_valgrind()?;
    ensure_samples()?;
    ensure_packages(PEERS, "peers of the tests")
}

fn ensure_packages(all: &[(&str, &'static str)], what: &str) -> Outcome {
    let missing: Vec<&str> = all
        .iter()
        .filter(|(file, _)| !Path::new(file).exists())
        .map(|(_, package)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let ask = format!("{what} are not there: apt-get install {}", missing.join(" "));
    install(&missing, &["--no-install-recommends"], &ask)
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
    install(&["kamailio"], &options, ask)
}

/// Installs Debian packages where this user may; `ask` says what to do where not.
pub fn install(packages: &[&str], options: &[&str], ask: &str) -> Outcome {
    let is_root = output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0");
    if !is_root || !has("apt-get") {
        return Err(ask.to_owned());
    }
    say(format!("not there, installing: {}", packages.join(" ")));
    let mut command = Command::new("apt-get");
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(["-qq", "-y", "install"])
        .args(options)
        .args(packages);
    run_command(Command::new("apt-get").args(["-qq", "update"]))
        .and_then(|()| run_command(&mut command))
        .map_err(|error| format!("{ask}\n{error}"))
}
