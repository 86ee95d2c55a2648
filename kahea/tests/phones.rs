//! Two real phones (baresip) register with the server and talk: each hears the tone that the other plays, directly and
//! through Debian's rtpengine.
//!
//! Needs root, for a network namespace of its own, and the packages baresip, iproute2, mariadb-server,
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
mod network;

use std::{
    f64::consts::TAU,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use common::{finish, wait_for};
use kahea_db_testing::MariaDb;
use network::{Process, Side};

/// The one address of the namespace; a private one, so that the stock configuration sees phones behind NAT.
const ADDRESS: &str = "10.9.9.1";
/// Samples a second of G.711.
const RATE: u32 = 8000;

/// Runs this test in a network of its own with one address. Without root it is left out.
fn enter(test: &str) -> Side {
    let side = network::enter(test);
    if matches!(side, Side::Inside) {
        for line in [
            "link add v0 type veth peer name v1",
            &format!("addr add {ADDRESS}/24 dev v0"),
            "link set v0 up",
            "link set v1 up",
        ] {
            network::run("ip", &line.split(' ').collect::<Vec<_>>());
        }
    }
    side
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
    fn start(folder: PathBuf, user: &str, port: u16, hertz: f64, more: &[&str]) -> Phone {
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
        let mut command = Command::new("baresip");
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
fn talk(folder: &Path) {
    let (low, high) = (440.0, 880.0);
    let bob = Phone::start(folder.join("bob"), "bob", 5082, high, &[]);
    bob.process.shows("200 OK");
    let dial = format!("/dial sip:bob@{ADDRESS}");
    let alice = Phone::start(folder.join("alice"), "alice", 5072, low, &["-e", &dial]);
    alice.process.shows("Call established");
    alice.hears(high, low);
    bob.hears(low, high);
}

fn kahea(folder: &Path) -> Command {
    let mut command = common::kahea();
    command.env("KAHEA_DATA", folder.join("data"));
    command
}

fn add_users(folder: &Path, more: &[&str]) {
    for user in ["alice", "bob"] {
        let mut command = kahea(folder);
        command
            .args(["user", "add", user, "--password", &format!("{user}-secret")])
            .args(more);
        let (code, out, err) = finish(command);
        assert_eq!(code, 0, "{out}{err}");
    }
}

#[test]
fn two_phones_talk_through_the_built_in_configuration() {
    if let Side::Done = enter("two_phones_talk_through_the_built_in_configuration") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    add_users(folder.path(), &[]);
    let mut command = kahea(folder.path());
    command.args(["-Y"]).arg(folder.path());
    let server = Process::start(&mut command, folder.path().join("log"));
    server.shows("Listening on");
    talk(folder.path());
}

#[test]
fn two_phones_talk_through_rtpengine_with_the_stock_configuration() {
    if let Side::Done = enter("two_phones_talk_through_rtpengine_with_the_stock_configuration") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let mut engine = Command::new("rtpengine");
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
    add_users(path, &["--db", &database, "--domain", ADDRESS]);
    let config = path.join("kahea.cfg");
    let text = format!(
        "#!KAMAILIO\n#!define WITH_AUTH\n#!define WITH_NAT\n#!define WITH_RTPENGINE\n#!define DBURL \"{database}\"\n\
         loadmodule \"db_sqlite.so\"\ninclude_file \"/etc/kamailio/kamailio.cfg\"\n"
    );
    fs::write(&config, text).unwrap();
    let mut command = kahea(path);
    command.args(["-DD", "-E", "-f"]).arg(&config).arg("-Y").arg(path);
    let server = Process::start(&mut command, path.join("log"));
    server.shows("Listening on");
    talk(path);
    let heard = engine.log();
    assert!(
        heard.contains("Received command 'answer'") || heard.contains("'answer'"),
        "{heard}\n{}",
        server.log()
    );
}

#[test]
fn two_phones_talk_with_the_stock_configuration_over_mariadb() {
    if let Side::Done = enter("two_phones_talk_with_the_stock_configuration_over_mariadb") {
        return;
    }
    let database = MariaDb::start();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let url = database.url(database.port());
    let mut create = kahea(path);
    create.args(["db", "create", &url]);
    let (code, _, errors) = finish(create);
    assert_eq!(code, 0, "{errors}");
    add_users(path, &["--db", &url, "--domain", ADDRESS]);
    // The columns that the stock configuration asks for where it says WITH_ACCDB.
    for table in ["acc", "missed_calls"] {
        for column in [
            "src_user",
            "src_domain",
            "src_ip",
            "dst_ouser",
            "dst_user",
            "dst_domain",
        ] {
            database.sql(&format!(
                "alter table kamailio.{table} add column {column} varchar(128) not null default ''"
            ));
        }
    }
    let switches = ["MYSQL", "AUTH", "USRLOCDB", "ACCDB", "ALIASDB", "SPEEDDIAL"];
    let defines: String = switches
        .iter()
        .map(|name| format!("#!define WITH_{name}\n"))
        .collect();
    let config = path.join("kahea.cfg");
    let text = format!(
        "#!KAMAILIO\n{defines}#!define DBURL \"{url}\"\ninclude_file \"/etc/kamailio/kamailio.cfg\"\n"
    );
    fs::write(&config, text).unwrap();
    let mut command = kahea(path);
    command.args(["-DD", "-E", "-f"]).arg(&config).arg("-Y").arg(path);
    let mut server = Process::start(&mut command, path.join("log"));
    server.shows("Listening on");
    talk(path);
    let asks = |what: &str| database.sql(&format!("use kamailio; {what}")).trim().to_owned();
    wait_for("the call's row in acc", || {
        let calls = asks("select src_user, dst_ouser from acc where method = 'INVITE' and sip_code = '200'");
        (calls == "alice\tbob").then_some(())
    });
    // It writes contacts at its timer (db_mode 2), and what is left at its end.
    server.stop();
    let users = asks("select group_concat(username order by username) from location");
    assert_eq!(users, "alice,bob", "{}", server.log());
}
