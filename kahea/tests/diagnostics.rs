//! Deliberately broken configurations: each gives just the findings that its `.txt` shows, and the exit code of `-c`.
//!
//! After a change that is meant, `BLESS=1 cargo test -p kahea --test diagnostics` writes the texts anew; read them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// What `kahea -c` prints and its exit code, without the folder's name.
fn findings(config: &Path) -> String {
    let folder = config.parent().expect("a folder");
    let output = Command::new(env!("CARGO_BIN_EXE_kahea"))
        .args(["-c", "-f"])
        .arg(config.file_name().expect("a name"))
        .current_dir(folder)
        .output()
        .expect("kahea runs");
    let text = String::from_utf8(output.stderr).expect("text");
    format!("{text}exit code {}\n", output.status.code().expect("an exit"))
}

fn configs() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broken");
    let mut configs: Vec<PathBuf> = fs::read_dir(folder)
        .expect("the folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "cfg"))
        .collect();
    configs.sort();
    configs
}

#[test]
fn every_broken_configuration_gives_its_findings() {
    let configs = configs();
    assert!(configs.len() >= 20, "{} broken configurations", configs.len());
    let mut wrong = Vec::new();
    for config in configs {
        let expected = config.with_extension("txt");
        let found = findings(&config);
        if std::env::var_os("BLESS").is_some() {
            fs::write(&expected, &found).unwrap();
        }
        if fs::read_to_string(&expected).unwrap_or_default() != found {
            wrong.push(format!("{}:\n{found}", config.display()));
        }
    }
    assert!(
        wrong.is_empty(),
        "other findings than recorded:\n{}",
        wrong.join("\n")
    );
}
