//! Two real phones (baresip) register with the server and talk: each hears the tone that the other plays, directly and
//! through Debian's rtpengine.
//!
//! Needs root, for a network namespace of its own, and the packages baresip, iproute2 and, for the second test,
//! rtpengine-daemon and kamailio (for the stock configuration); `cargo xtask ci` installs them.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::disallowed_methods
)] // reason: a test

mod common;

use std::{
    f64::consts::TAU,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use common::{finish, wait_for};
use nix::unistd::Uid;

/// The one address of the namespace; a private one, so that the stock configuration sees phones behind NAT.
const ADDRESS: &str = "10.9.9.1";
/// Samples a second of G.711.
const RATE: u32 = 8000;

/// A network namespace with one address; gone when dropped.
struct Namespace(String);

impl Namespace {
    fn new(name: &str) -> Namespace {
        let space = Namespace(format!("{name}-{}", std::process::id()));
        run(Command::new("ip").args(["netns", "add", &space.0]));
        for line in [
            "link set lo up",
            "link add v0 type veth peer name v1",
            &format!("addr add {ADDRESS}/24 dev v0"),
            "link set v0 up",
            "link set v1 up",
        ] {
            run(space.command("ip").args(line.split(' ')));
        }
        space
    }

    /// A command in it.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.0, program]);
        command
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

fn run(command: &mut Command) {
    let done = command.status();
    assert!(
        done.as_ref().is_ok_and(std::process::ExitStatus::success),
        "{command:?}: {done:?}"
    );
}

/// A process with its output in a file; ended when dropped.
struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    fn start(command: &mut Command, log: PathBuf) -> Process {
        let file = fs::File::create(&log).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Process { child, log }
    }

    fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    fn shows(&self, text: &str) {
        let mut seen = String::new();
        let limit = std::time::Instant::now() + common::LIMIT;
        while std::time::Instant::now() < limit {
            seen = self.log();
            if seen.contains(text) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("{} never showed \"{text}\":\n{seen}", self.log.display());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A tone of that many hertz, one minute of it, as a WAV file.
fn write_tone(path: &Path, hertz: f64) {
    let samples: Vec<u8> = (0..RATE * 60)
        .map(|at| (12_000.0 * (TAU * hertz * f64::from(at) / f64::from(RATE)).sin()) as i16)
        .flat_map(i16::to_le_bytes)
        .collect();
    let length = u32::try_from(samples.len()).unwrap();
    let mut file = Vec::new();
    file.extend_from_slice(b"RIFF");
    file.extend_from_slice(&(36 + length).to_le_bytes());
    file.extend_from_slice(b"WAVEfmt ");
    file.extend_from_slice(&16u32.to_le_bytes());
    file.extend_from_slice(&[1, 0, 1, 0]);
    file.extend_from_slice(&RATE.to_le_bytes());
    file.extend_from_slice(&(RATE * 2).to_le_bytes());
    file.extend_from_slice(&[2, 0, 16, 0]);
    file.extend_from_slice(b"data");
    file.extend_from_slice(&length.to_le_bytes());
    file.extend_from_slice(&samples);
    fs::write(path, file).unwrap();
}

/// How strong a tone is in what a phone heard, as an amplitude.
fn strength(heard: &[f64], hertz: f64) -> f64 {
    let (mut sine, mut cosine) = (0.0, 0.0);
    for (at, sample) in heard.iter().enumerate() {
        let angle = TAU * hertz * at as f64 / f64::from(RATE);
        sine += sample * angle.sin();
        cosine += sample * angle.cos();
    }
    2.0 * (sine * sine + cosine * cosine).sqrt() / heard.len().max(1) as f64
}

struct Phone {
    folder: PathBuf,
    process: Process,
}

impl Phone {
    /// Starts a phone that registers, answers every call, and plays a tone.
    fn start(space: &Namespace, folder: PathBuf, user: &str, port: u16, hertz: f64, more: &[&str]) -> Phone {
        fs::create_dir(&folder).unwrap();
        write_tone(&folder.join("tone.wav"), hertz);
        let account = format!("<sip:{user}@{ADDRESS}>;auth_pass={user}-secret;regint=60;answermode=auto\n");
        fs::write(folder.join("accounts"), account).unwrap();
        fs::write(folder.join("contacts"), "").unwrap();
        let modules = ["g711", "aufile", "aubridge", "sndfile"];
        let modules: String = modules.iter().map(|name| format!("module {name}.so\n")).collect();
        let config = format!(
            "sip_listen {ADDRESS}:{port}\naudio_source aufile,{0}/tone.wav\naudio_player aubridge,{user}\n\
             audio_alert aubridge,{user}\nrtp_ports {1}-{2}\nmodule_path /usr/lib/baresip/modules\n{modules}\
             module_tmp account.so\nmodule_app menu.so\nsnd_path {0}\n",
            folder.display(),
            port * 2,
            port * 2 + 100,
        );
        fs::write(folder.join("config"), config).unwrap();
        let mut command = space.command("baresip");
        command.args(["-4", "-f"]).arg(&folder).args(more);
        let process = Process::start(&mut command, folder.join("log"));
        Phone { folder, process }
    }

    /// What it heard so far.
    fn heard(&self) -> Vec<f64> {
        let files = fs::read_dir(&self.folder).unwrap();
        let path = files
            .map(|entry| entry.unwrap().path())
            .find(|path| path.to_string_lossy().ends_with("-dec.wav"));
        let bytes = path.map(|path| fs::read(path).unwrap()).unwrap_or_default();
        let samples = bytes.get(44..).unwrap_or_default();
        samples
            .chunks_exact(2)
            .map(|pair| f64::from(i16::from_le_bytes([pair[0], pair[1]])))
            .collect()
    }

    /// Waits until it has heard two seconds of the other's tone, and nothing of its own.
    fn hears(&self, other: f64, own: f64) {
        let seconds = |heard: &Vec<f64>| heard.len() >= usize::try_from(RATE).unwrap() * 2;
        let heard = wait_for("two seconds of sound", || Some(self.heard()).filter(seconds));
        let (tone, echo) = (strength(&heard, other), strength(&heard, own));
        assert!(
            tone > 3_000.0 && echo < 300.0,
            "{tone} of the other, {echo} of its own"
        );
    }
}

/// Both phones register; alice calls bob; both hear each other.
fn talk(space: &Namespace, folder: &Path) {
    let (low, high) = (440.0, 880.0);
    let bob = Phone::start(space, folder.join("bob"), "bob", 5082, high, &[]);
    bob.process.shows("200 OK");
    let dial = format!("/dial sip:bob@{ADDRESS}");
    let alice = Phone::start(space, folder.join("alice"), "alice", 5072, low, &["-e", &dial]);
    alice.process.shows("Call established");
    alice.hears(high, low);
    bob.hears(low, high);
}

fn kahea(space: &Namespace, folder: &Path) -> Command {
    let mut command = space.command(env!("CARGO_BIN_EXE_kahea"));
    command
        .env("KAHEA_DATA", folder.join("data"))
        .env_remove("NOTIFY_SOCKET");
    command
}

fn add_users(space: &Namespace, folder: &Path, more: &[&str]) {
    for user in ["alice", "bob"] {
        let mut command = kahea(space, folder);
        command
            .args(["user", "add", user, "--password", &format!("{user}-secret")])
            .args(more);
        let (code, out, err) = finish(command);
        assert_eq!(code, 0, "{out}{err}");
    }
}

/// As root, or not at all: namespaces need it.
fn is_root() -> bool {
    let yes = Uid::effective().is_root();
    if !yes {
        eprintln!("SKIPPED: two phones need a network namespace, and that needs root");
    }
    yes
}

#[test]
fn two_phones_talk_through_the_built_in_configuration() {
    if !is_root() {
        return;
    }
    let (space, folder) = (Namespace::new("phones"), tempfile::tempdir().unwrap());
    add_users(&space, folder.path(), &[]);
    let mut command = kahea(&space, folder.path());
    command.args(["-Y"]).arg(folder.path());
    let server = Process::start(&mut command, folder.path().join("log"));
    server.shows("Listening on");
    talk(&space, folder.path());
}

#[test]
fn two_phones_talk_through_rtpengine_with_the_stock_configuration() {
    if !is_root() {
        return;
    }
    let (space, folder) = (Namespace::new("phones-rtp"), tempfile::tempdir().unwrap());
    let path = folder.path();
    let mut engine = space.command("rtpengine");
    engine.args([
        "--foreground",
        "--log-stderr",
        "--table=-1",
        "--listen-ng=127.0.0.1:2223",
    ]);
    engine
        .arg(format!("--interface={ADDRESS}"))
        .args(["--port-min=30000", "--port-max=30100"]);
    let engine = Process::start(&mut engine, path.join("rtpengine.log"));
    engine.shows("Startup complete");
    let database = format!("sqlite:///{}/users.db", path.display());
    add_users(&space, path, &["--db", &database, "--domain", ADDRESS]);
    let config = path.join("kahea.cfg");
    let text = format!(
        "#!KAMAILIO\n#!define WITH_AUTH\n#!define WITH_NAT\n#!define WITH_RTPENGINE\n#!define DBURL \"{database}\"\n\
         loadmodule \"db_sqlite.so\"\ninclude_file \"/etc/kamailio/kamailio.cfg\"\n"
    );
    fs::write(&config, text).unwrap();
    let mut command = kahea(&space, path);
    command.args(["-DD", "-E", "-f"]).arg(&config).arg("-Y").arg(path);
    let server = Process::start(&mut command, path.join("log"));
    server.shows("Listening on");
    talk(&space, path);
    let heard = engine.log();
    assert!(
        heard.contains("Received command 'answer'") || heard.contains("'answer'"),
        "{heard}\n{}",
        server.log()
    );
}
