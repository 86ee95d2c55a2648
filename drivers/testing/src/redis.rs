//! Redis.

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::Command,
};

use nix::sys::signal::Signal;

use crate::process::{Process, free_port, program};

const PACKAGE: &str = "redis-server";

/// A server that writes every change to its log before it answers.
pub struct Redis {
    process: Process,
    port: u16,
    password: Option<&'static str>,
}

impl Redis {
    /// Starts it, without a password.
    ///
    /// # Panics
    /// It is not installed, or does not start.
    pub fn start() -> Redis {
        Redis::begin(None)
    }

    /// Starts it with the password `redisrw`.
    ///
    /// # Panics
    /// It is not installed, or does not start.
    pub fn start_with_password() -> Redis {
        Redis::begin(Some("redisrw"))
    }

    fn begin(password: Option<&'static str>) -> Redis {
        let mut server = Redis {
            process: Process::new(None),
            port: free_port(),
            password,
        };
        server.restart();
        server
    }

    /// Starts it again after [`Redis::kill`], on the same port.
    ///
    /// # Panics
    /// It does not start.
    pub fn restart(&mut self) {
        let mut args: Vec<String> = [
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "yes",
            "--appendfsync",
            "always",
        ]
        .map(str::to_owned)
        .to_vec();
        args.extend(["--port".to_owned(), self.port.to_string()]);
        if let Some(password) = self.password {
            args.extend(["--requirepass".to_owned(), password.to_owned()]);
        }
        let port = self.port;
        self.process
            .start(&program(&["redis-server"], PACKAGE), &args, || answers(port));
    }

    /// Its TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Runs a command of `redis-cli`; what it prints.
    ///
    /// # Panics
    /// The server refuses it.
    pub fn command(&self, args: &[&str]) -> String {
        let mut client = Command::new(program(&["redis-cli"], "redis-tools"));
        client.args(["--no-auth-warning", "-p", &self.port.to_string()]);
        if let Some(password) = self.password {
            client.args(["-a", password]);
        }
        let out = client.args(args).output().unwrap();
        assert!(
            out.status.success(),
            "{args:?}: {}",
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

    /// Lets it go on after [`Redis::freeze`].
    ///
    /// # Panics
    /// It is not running.
    pub fn thaw(&self) {
        self.process.signal(Signal::SIGCONT);
    }
}

fn answers(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else {
        return false;
    };
    let mut reply = [0u8; 8];
    stream.write_all(b"PING\r\n").is_ok()
        && stream
            .read(&mut reply)
            .is_ok_and(|n| reply[..n].starts_with(b"+PONG") || reply[..n].starts_with(b"-NOAUTH"))
}
