//! A server process: started, killed, started again.

use std::{
    fs::File,
    net::{Ipv4Addr, TcpListener},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, User, chown, geteuid},
};
use tempfile::TempDir;

/// The longest that a server takes to start.
const START: Duration = Duration::from_secs(60);

/// A server in a folder of its own. Dropped, it is killed and its folder removed.
pub(crate) struct Process {
    folder: TempDir,
    user: Option<User>,
    child: Option<Child>,
}

impl Process {
    /// A folder; `user` owns it and runs the server where the tests run as root.
    pub(crate) fn new(user: Option<&str>) -> Process {
        let folder = tempfile::Builder::new().prefix("kahea-db-").tempdir().unwrap();
        let user = user.filter(|_| geteuid().is_root()).map(|name| {
            let user = User::from_name(name).unwrap();
            user.unwrap_or_else(|| panic!("there is no user {name} to run the server: its package makes one"))
        });
        if let Some(user) = &user {
            chown(folder.path(), Some(user.uid), Some(user.gid)).unwrap();
        }
        Process {
            folder,
            user,
            child: None,
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn command(&self, program: &Path, args: &[String]) -> Command {
        let log = self.folder().join("log");
        let log = File::options().create(true).append(true).open(log).unwrap();
        let mut command = Command::new(program);
        command
            .args(args)
            .current_dir(self.folder())
            .env("TMPDIR", self.folder())
            .stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        if let Some(user) = &self.user {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        command
    }

    /// Runs a program to its end.
    pub(crate) fn run(&self, program: &Path, args: &[String]) {
        let status = self.command(program, args).status().unwrap();
        assert!(status.success(), "{} failed:\n{}", program.display(), self.log());
    }

    /// Starts the server and waits until it answers.
    pub(crate) fn start(&mut self, program: &Path, args: &[String], answers: impl Fn() -> bool) {
        self.child = Some(self.command(program, args).spawn().unwrap());
        let begun = Instant::now();
        while !answers() {
            let ended = self.child.as_mut().and_then(|child| child.try_wait().unwrap());
            if ended.is_some() || begun.elapsed() > START {
                panic!("{} does not answer:\n{}", program.display(), self.log());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder().join("log")).unwrap_or_default()
    }

    /// Ends the server at once, as a crash does.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            drop(child.kill());
            drop(child.wait());
        }
    }

    /// Sends a signal: `SIGSTOP` makes a server that hangs, `SIGCONT` lets it go on.
    pub(crate) fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().unwrap();
        kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A TCP port that is free now.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// The first of these programs that there is.
///
/// Without one the test fails and names the package.
pub(crate) fn program(names: &[&str], package: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.extend(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
    if let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") {
        folders.extend(versions.flatten().map(|version| version.path().join("bin")));
    }
    let found = names
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
        .find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{} is not installed: apt-get install {package}", names[0]))
}
