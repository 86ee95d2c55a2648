//! PostgreSQL.

use std::{fs, os::unix::net::UnixStream, path::Path, process::Command};

use nix::sys::signal::Signal;

use crate::process::{Process, free_port, program};

const PACKAGE: &str = "postgresql";
const USER: &str = "kamailio";
const PASSWORD: &str = "kamailiorw";

/// A server with an empty database `kamailio`, for the user `kamailio`, who may do everything.
pub struct Postgres {
    process: Process,
    port: u16,
}

impl Postgres {
    /// Installs and starts it.
    ///
    /// # Panics
    /// It is not installed, or does not start.
    pub fn start() -> Postgres {
        let process = Process::new(Some("postgres"));
        let password = process.folder().join("password");
        fs::write(&password, PASSWORD).unwrap();
        process.run(
            &program(&["initdb"], PACKAGE),
            &[
                "-D".to_owned(),
                process.folder().join("data").display().to_string(),
                "-U".to_owned(),
                USER.to_owned(),
                "-E".to_owned(),
                "UTF8".to_owned(),
                "--no-sync".to_owned(),
                "--auth=scram-sha-256".to_owned(),
                format!("--pwfile={}", password.display()),
            ],
        );
        let mut server = Postgres {
            process,
            port: free_port(),
        };
        server.restart();
        server.sql_in("postgres", "create database kamailio");
        server
    }

    /// Starts it again after [`Postgres::kill`], on the same port.
    ///
    /// # Panics
    /// It does not start.
    pub fn restart(&mut self) {
        let folder = self.process.folder().to_owned();
        let args = [
            "-D".to_owned(),
            folder.join("data").display().to_string(),
            "-k".to_owned(),
            folder.display().to_string(),
            "-h".to_owned(),
            "127.0.0.1".to_owned(),
            "-p".to_owned(),
            self.port.to_string(),
        ];
        let port = self.port;
        self.process.start(&program(&["postgres"], PACKAGE), &args, || {
            UnixStream::connect(folder.join(format!(".s.PGSQL.{port}"))).is_ok() && ready(&folder, port)
        });
    }

    /// Its TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder of its Unix socket.
    pub fn socket_folder(&self) -> &Path {
        self.process.folder()
    }

    /// The user name.
    pub fn user(&self) -> &'static str {
        USER
    }

    /// The password of the user.
    pub fn password(&self) -> &'static str {
        PASSWORD
    }

    /// The URL of the database, through this port: its own, or that of a [`Gate`](crate::Gate).
    pub fn url(&self, port: u16) -> String {
        format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{port}/kamailio")
    }

    /// Runs SQL as the administrator, outside of every test; what the statements print.
    ///
    /// # Panics
    /// The server refuses it.
    pub fn sql(&self, text: &str) -> String {
        self.sql_in("kamailio", text)
    }

    fn sql_in(&self, database: &str, text: &str) -> String {
        let mut client = Command::new(program(&["psql"], "postgresql-client"));
        client
            .env("PGPASSWORD", PASSWORD)
            .args(["-X", "-q", "-A", "-t", "-h", "127.0.0.1", "-U", USER]);
        let out = client
            .args(["-p", &self.port.to_string(), "-d", database, "-c", text])
            .output()
            .unwrap();
        assert!(
            out.status.success(),
            "{text}: {}",
            String::from_utf8_lossy(&out.stderr)
        );
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    /// Ends it at once, as a crash does.
    pub fn kill(&mut self) {
        self.process.kill();
        // Its other processes notice that the first one is gone and end; until then no server can start in its place.
        std::thread::sleep(std::time::Duration::from_millis(700));
    }

    /// Lets its first process hang: connections are not accepted any more.
    ///
    /// # Panics
    /// It is not running.
    pub fn freeze(&self) {
        self.process.signal(Signal::SIGSTOP);
    }

    /// Lets it go on after [`Postgres::freeze`].
    ///
    /// # Panics
    /// It is not running.
    pub fn thaw(&self) {
        self.process.signal(Signal::SIGCONT);
    }
}

fn ready(folder: &Path, port: u16) -> bool {
    let mut ask = Command::new(program(&["pg_isready"], PACKAGE));
    ask.args(["-q", "-p", &port.to_string(), "-h"])
        .arg(folder)
        .status()
        .is_ok_and(|status| status.success())
}
