//! MariaDB or MySQL.

use std::{net::TcpStream, os::unix::net::UnixStream, path::PathBuf, process::Command};

use nix::sys::signal::Signal;

use crate::process::{Process, free_port, program};

const PACKAGE: &str = "mariadb-server";
/// The user that tests log in as.
const USER: &str = "kamailio";
const PASSWORD: &str = "kama:il/io@rw";

/// A server with an empty database `kamailio`, for the user `kamailio`.
pub struct MariaDb {
    process: Process,
    port: u16,
    encrypts: bool,
}

impl MariaDb {
    /// Installs and starts it.
    ///
    /// # Panics
    /// It is not installed, or does not start.
    pub fn start() -> MariaDb {
        MariaDb::begin(false)
    }

    /// The same for a server that has TLS, with a certificate of its own for 127.0.0.1.
    ///
    /// # Panics
    /// It is not installed, or does not start.
    pub fn start_with_tls() -> MariaDb {
        MariaDb::begin(true)
    }

    fn begin(encrypts: bool) -> MariaDb {
        let process = Process::new(Some("mysql"));
        let install = program(&["mariadb-install-db", "mysql_install_db"], PACKAGE);
        let data = process.folder().join("data");
        process.run(
            &install,
            &[
                "--no-defaults".to_owned(),
                format!("--datadir={}", data.display()),
                "--auth-root-authentication-method=normal".to_owned(),
                "--skip-test-db".to_owned(),
            ],
        );
        if encrypts {
            let words = "req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=kahea-test \
                         -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE";
            let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
            process.run(&program(&["openssl"], "openssl"), &words);
        }
        let mut server = MariaDb {
            process,
            port: free_port(),
            encrypts,
        };
        server.restart();
        server.sql(&format!(
            "create database kamailio; create user {USER} identified by '{PASSWORD}'; \
             grant all on *.* to {USER};"
        ));
        server
    }

    /// Starts it again after [`MariaDb::kill`], on the same port.
    ///
    /// # Panics
    /// It does not start.
    pub fn restart(&mut self) {
        let folder = self.process.folder();
        let mut args = vec![
            "--no-defaults".to_owned(),
            format!("--datadir={}", folder.join("data").display()),
            format!("--socket={}", self.socket().display()),
            format!("--pid-file={}", folder.join("pid").display()),
            format!("--port={}", self.port),
            "--bind-address=127.0.0.1".to_owned(),
            "--innodb-buffer-pool-size=16M".to_owned(),
            "--skip-name-resolve".to_owned(),
        ];
        if self.encrypts {
            args.push(format!("--ssl-cert={}", self.certificate().display()));
            args.push(format!("--ssl-key={}", folder.join("key.pem").display()));
        }
        let (socket, port) = (self.socket(), self.port);
        let mariadbd = program(&["mariadbd", "mysqld"], PACKAGE);
        self.process.start(&mariadbd, &args, || {
            UnixStream::connect(&socket).is_ok() && TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
    }

    /// Its Unix socket.
    pub fn socket(&self) -> PathBuf {
        self.process.folder().join("socket")
    }

    /// Its certificate, where it has TLS.
    pub fn certificate(&self) -> PathBuf {
        self.process.folder().join("cert.pem")
    }

    /// Its TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
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
        format!("mysql://{USER}:{PASSWORD}@127.0.0.1:{port}/kamailio")
    }

    /// Runs SQL as the administrator, outside of every test; what the statements print.
    ///
    /// # Panics
    /// The server refuses it.
    pub fn sql(&self, text: &str) -> String {
        let mut client = Command::new(program(&["mariadb", "mysql"], "mariadb-client"));
        client.args(["--no-defaults", "-u", "root", "-N"]);
        let out = client
            .arg(format!("--socket={}", self.socket().display()))
            .args(["-e", text])
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
    }

    /// Lets it hang: connections stay open, nothing is answered.
    ///
    /// # Panics
    /// It is not running.
    pub fn freeze(&self) {
        self.process.signal(Signal::SIGSTOP);
    }

    /// Lets it go on after [`MariaDb::freeze`].
    ///
    /// # Panics
    /// It is not running.
    pub fn thaw(&self) {
        self.process.signal(Signal::SIGCONT);
    }
}
