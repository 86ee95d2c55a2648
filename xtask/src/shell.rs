//! Commands, files and the terminal, as the tasks need them.

use std::{
    fmt::Display,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::Command,
};

/// How a task ends: with what is wrong and what to do about it.
pub type Outcome = Result<(), String>;

/// The root of the workspace.
pub fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_path_buf()
}

/// Prints a line. A terminal that has gone away is no failure of a task.
pub fn say(line: impl Display) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// The cargo that runs this.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Runs a command whose output goes to the terminal.
pub fn run(command: &mut Command) -> Outcome {
    let shown = show(command);
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{shown}: {status}")),
        Err(error) => Err(format!("{shown}: {error}")),
    }
}

/// Runs a command and takes what it prints; what it says on stderr goes to the terminal.
pub fn output(command: &mut Command) -> Result<String, String> {
    let shown = show(command);
    let result = command.stderr(std::process::Stdio::inherit()).output();
    let result = result.map_err(|error| format!("{shown}: {error}"))?;
    if !result.status.success() {
        return Err(format!("{shown}: {}", result.status));
    }
    String::from_utf8(result.stdout).map_err(|error| format!("{shown}: {error}"))
}

fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<String> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    words.join(" ")
}

/// Whether a program answers `--version` (or at least starts).
pub fn has(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version");
    command.output().is_ok_and(|output| output.status.success())
}

/// A file of the workspace.
pub fn read(path: &str) -> Result<String, String> {
    fs::read_to_string(root().join(path)).map_err(|error| format!("{path}: {error}"))
}

/// Writes a file of the workspace and the folders that it needs.
pub fn write(path: &str, text: &str) -> Outcome {
    let full = root().join(path);
    let folder = full.parent().unwrap_or(&full);
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(&full, text))
        .map_err(|error| format!("{path}: {error}"))
}
