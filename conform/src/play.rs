//! Runs one case: its folder, its server, its steps, its transcript.

use std::collections::HashMap;
use std::fs;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::case::Case;
use crate::digest::{self, Challenge};
use crate::endpoint::{Endpoint, Received};
use crate::engine::{Answers, Engine};
use crate::message::{Answer, Message, Template, wire};
use crate::normalise::Normaliser;
use crate::scenario::{Kind, Look, Step, View};
use crate::server::{self, Server, ServerCommand};
use crate::text;
use crate::transcript::{self, Entry};
use crate::web;

/// What a run gave.
#[derive(Debug)]
pub struct Outcome {
    /// The normalised transcript.
    pub transcript: String,
    /// The server's whole log.
    pub log: String,
    /// Whether the scenario stopped half way or the server did not start, died or did not stop.
    pub broken: bool,
}

/// Runs a case against a server, in the network of the calling thread.
///
/// A scenario that cannot go on, and a server that does not start, dies or does not stop, are part of the transcript.
///
/// # Errors
/// The case's folder cannot be made or the server's program cannot be started.
pub fn play(case: &Case, command: &ServerCommand) -> Result<Outcome, String> {
    let folder = tempfile::Builder::new()
        .prefix("conform-")
        .tempdir()
        .map_err(|e| e.to_string())?;
    let tmp = folder.path();
    write_files(case, tmp).map_err(|e| format!("{}: {e}", tmp.display()))?;
    let mut player = Player::new(case, command, tmp);
    for place in &case.settings.engines {
        let engine = Engine::start(place).map_err(|e| format!("{}: {e}", place.address))?;
        player.engines.push(engine);
    }
    if case.settings.no_server {
        player.steps();
    } else {
        let server = Server::start(command, tmp, &player.args(), &case.settings);
        player.server = Some(server.map_err(|e| format!("cannot start `{}`: {e}", command.0.join(" ")))?);
        player.with_server();
    }
    let log = fs::read(tmp.join("log"))
        .map(|bytes| text::decode(&bytes))
        .unwrap_or_default();
    let settings = &case.settings;
    let mut normaliser = Normaliser::new(&tmp.to_string_lossy(), settings.hide_long_numbers);
    normaliser.hide_expiry = settings.hide_expiry;
    let transcript = transcript::render(&player.entries, &log, &mut normaliser);
    Ok(Outcome {
        transcript,
        log,
        broken: player.broken,
    })
}

fn write_files(case: &Case, tmp: &Path) -> std::io::Result<()> {
    let here = tmp.to_string_lossy();
    for (name, content) in &case.files {
        let path = tmp.join(name);
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::write(path, content.replace("{tmp}", &here))?;
    }
    for (name, statements) in &case.databases {
        make_database(&tmp.join(name), &statements.replace("{tmp}", &here))?;
    }
    fs::write(tmp.join("kamailio.cfg"), case.cfg.replace("{tmp}", &here))
}

/// With the command `sqlite3`, so that the suite needs no library for it.
fn make_database(path: &Path, statements: &str) -> std::io::Result<()> {
    let mut sqlite = Command::new("sqlite3")
        .arg("-bail")
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()?;
    if let Some(mut input) = sqlite.stdin.take() {
        input.write_all(statements.as_bytes())?;
    }
    match sqlite.wait()?.success() {
        true => Ok(()),
        false => Err(std::io::Error::other("sqlite3 refused the statements")),
    }
}

/// The words of a command with its program's whole path, for use in another folder.
fn absolute(command: &[String]) -> Vec<String> {
    let mut words = command.to_vec();
    if let Some(program) = words.first_mut().filter(|program| program.contains('/'))
        && let Ok(path) = fs::canonicalize(&*program)
    {
        *program = path.to_string_lossy().into_owned();
    }
    words
}

struct Player<'a> {
    case: &'a Case,
    command: &'a ServerCommand,
    tmp: &'a Path,
    server: Option<Server>,
    endpoints: Vec<Endpoint>,
    engines: Vec<Engine>,
    /// The last message of each endpoint, for `{alice:Header}`.
    last: HashMap<String, Message>,
    /// Requests by endpoint and name, for `reply`.
    kept: HashMap<(String, String), (Message, SocketAddr)>,
    /// The challenges of the last reply of each endpoint that held one, for `auth`.
    challenges: HashMap<String, Vec<Challenge>>,
    entries: Vec<Entry>,
    broken: bool,
}

impl<'a> Player<'a> {
    fn new(case: &'a Case, command: &'a ServerCommand, tmp: &'a Path) -> Self {
        Self {
            case,
            command,
            tmp,
            server: None,
            endpoints: Vec::new(),
            engines: Vec::new(),
            last: HashMap::new(),
            kept: HashMap::new(),
            challenges: HashMap::new(),
            entries: Vec::new(),
            broken: false,
        }
    }

    fn args(&self) -> Vec<String> {
        self.case.args.iter().map(|arg| self.fill(arg)).collect()
    }

    fn with_server(&mut self) {
        let port = self.case.settings.port.unwrap_or(5060);
        let ready = self.server.as_mut().is_some_and(|server| server.ready(port));
        if ready {
            std::thread::sleep(self.case.settings.settle);
            self.steps();
            self.let_log_settle();
        }
        let Some(mut server) = self.server.take() else {
            return;
        };
        match server.exit().map(server::exit_number) {
            Some(code) if ready => self.fault("server", format!("died during the case with {code}")),
            Some(code) => self.fault("server", format!("exited with {code} before the case began")),
            None if !ready => self.fault("server", format!("did not listen on port {port} in time")),
            None => {}
        }
        if !server.stop() {
            self.fault("server", "did not stop on SIGTERM in time".into());
        }
    }

    /// Runs the steps up to the first that cannot be done, which is then named in the transcript.
    fn steps(&mut self) {
        for line in &self.case.scenario {
            if let Err(why) = self.step(&line.step) {
                self.fault("case", format!("stopped at line {}: {why}", line.number));
                return;
            }
        }
    }

    /// Waits until the server has read what was sent to it and its log has stopped growing, half a second at most.
    fn let_log_settle(&self) {
        let until = Instant::now() + Duration::from_millis(500);
        let own: Vec<u16> = self.endpoints.iter().map(|e| e.address.port()).collect();
        let size = || fs::metadata(self.tmp.join("log")).map_or(0, |m| m.len());
        let mut before = None;
        while Instant::now() < until {
            let now = (!server::has_backlog(&own)).then(size);
            if now.is_some() && now == before {
                return;
            }
            before = now;
            std::thread::sleep(Duration::from_millis(40));
        }
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Endpoint {
                name,
                kind,
                port,
                host,
                server,
            } => self.endpoint(name, *kind, *port, host, server.as_deref()),
            Step::Request {
                who,
                method,
                uri,
                fields,
            } => self.request(who, method, uri, fields),
            Step::Auth {
                who,
                method,
                uri,
                fields,
                answer,
            } => self.auth(who, method, uri, fields, answer),
            Step::Send { who, text, bytes, to } => {
                let text = self.fill(text);
                let data = if *bytes { text::encode(&text) } else { wire(&text) };
                self.send(who, &data, to.as_deref())
            }
            Step::Expect { who, what, look } => self.expect(who, what, look),
            Step::Receive { who, look } => self.receive(who, look, look.timeout).map(|_| ()),
            Step::Data { who, timeout } => self.data(who, *timeout),
            Step::Reply {
                who,
                request,
                code,
                reason,
                fields,
            } => self.reply(who, request, *code, reason, fields),
            Step::Http {
                who,
                code,
                reason,
                fields,
            } => self.http(who, *code, reason, fields),
            Step::Quiet { who, time } => self.quiet(who, *time),
            Step::Drain { who, time } => self.drain(who, *time),
            Step::Close { who } => {
                self.peer(who)?.close();
                Ok(())
            }
            Step::Closed { who, timeout } => self.closed(who, *timeout),
            Step::Answers { who, answers } => self.answers(who, answers),
            Step::Commands { who, quiet } => self.commands(who, *quiet),
            step => self.beside(step),
        }
    }

    /// Steps that no endpoint takes part in.
    fn beside(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Note { label, text } => self.note(label, self.fill(text)),
            Step::Sleep(time) => std::thread::sleep(*time),
            Step::Settle => self.let_log_settle(),
            Step::Signal(name) => {
                let server = self.server.as_ref().ok_or("no server runs")?;
                server.signal(name).map_err(|e| e.to_string())?;
            }
            Step::Rewrite { file, with } => self.rewrite(file, with)?,
            Step::Run { words, output } => self.run(words, *output)?,
            Step::Until { printed, words } => self.until(printed, words)?,
            Step::Rpc { words } => self.rpc(words)?,
            other => return Err(format!("{other:?} is not a step of its own")),
        }
        Ok(())
    }

    fn engine(&self, who: &str) -> Result<&Engine, String> {
        let found = self.engines.iter().find(|engine| engine.name == who);
        found.ok_or_else(|| format!("no engine {who}; name it in the settings"))
    }

    fn answers(&self, who: &str, answers: &Answers) -> Result<(), String> {
        self.engine(who)?.answer(answers.clone());
        Ok(())
    }

    fn commands(&mut self, who: &str, quiet: Duration) -> Result<(), String> {
        let commands = self.engine(who)?.commands(quiet);
        self.note(&format!("{who} was asked"), commands.join("\n"));
        Ok(())
    }

    fn fault(&mut self, label: &str, text: String) {
        self.broken = true;
        self.note(label, text);
    }

    fn note(&mut self, label: &str, text: String) {
        self.entries.push(Entry::Note {
            label: label.into(),
            text,
        });
    }

    fn peer(&mut self, who: &str) -> Result<&mut Endpoint, String> {
        self.endpoints
            .iter_mut()
            .find(|e| e.name == who)
            .ok_or_else(|| format!("no endpoint {who}"))
    }

    fn endpoint(
        &mut self,
        name: &str,
        kind: Kind,
        port: u16,
        host: &str,
        server: Option<&str>,
    ) -> Result<(), String> {
        let bare = host.trim_matches(['[', ']']);
        let ip: IpAddr = bare.parse().map_err(|_| format!("{host} is no address"))?;
        let default = if ip.is_ipv4() {
            "127.0.0.1:5060"
        } else {
            "[::1]:5060"
        };
        let server = address(server.unwrap_or(default))?;
        let endpoint = Endpoint::open(name, kind, ip, port, server).map_err(|e| format!("{name}: {e}"))?;
        self.endpoints.retain(|e| e.name != name);
        self.endpoints.push(endpoint);
        Ok(())
    }

    fn request(
        &mut self,
        who: &str,
        method: &str,
        uri: &str,
        fields: &[(String, String)],
    ) -> Result<(), String> {
        let uri = self.fill(uri);
        let peer = self.peer(who)?;
        let mut template = Template::new(method, &uri, who, peer.proto(), &peer.address.to_string());
        let mut to = None;
        for (key, value) in fields {
            let value = self.fill(value);
            let slot = match key.as_str() {
                "name" => &mut template.name,
                "callid" => &mut template.callid,
                "cseq" => &mut template.cseq,
                "branch" => &mut template.branch,
                "to_tag" => &mut template.to_tag,
                "from_tag" => &mut template.from_tag,
                "body" => &mut template.body,
                "proto" => &mut template.proto,
                "hostport" => &mut template.hostport,
                "domain" => &mut template.domain,
                "n" => {
                    template.branch = format!("b{value}");
                    template.callid = format!("c{value}");
                    continue;
                }
                "extra" => {
                    template.extra.push_str(&value);
                    template.extra.push('\n');
                    continue;
                }
                _ => {
                    to = Some(value);
                    continue;
                }
            };
            *slot = value;
        }
        self.send(who, &wire(&template.text()), to.as_deref())
    }

    /// Sends a request with an answer to a challenge: the last one, or that of the reply kept as `challenge`.
    fn auth(
        &mut self,
        who: &str,
        method: &str,
        uri: &str,
        fields: &[(String, String)],
        answer: &[(String, String)],
    ) -> Result<(), String> {
        let filled: Vec<(String, String)> = answer
            .iter()
            .map(|(key, value)| (key.clone(), self.fill(value)))
            .collect();
        let own = |name: &str| filled.iter().find(|(key, _)| key == name).map(|(_, value)| value);
        let challenges = match own("challenge") {
            Some(name) => self
                .kept
                .get(&(who.to_owned(), name.clone()))
                .map(|(reply, _)| Challenge::all(reply)),
            None => self.challenges.get(who).cloned(),
        };
        let offer = own("offer").map_or(Ok(1), |n| n.parse::<usize>());
        let offer = offer
            .map_err(|_| "offer is no number".to_owned())?
            .saturating_sub(1);
        let challenge = challenges.unwrap_or_default().into_iter().nth(offer);
        let challenge = challenge.ok_or_else(|| format!("{who} has no such challenge"))?;
        let body = fields
            .iter()
            .find(|(key, _)| key == "body")
            .map_or("", |(_, body)| body);
        let body = self.fill(body).replace("\r\n", "\n").replace('\n', "\r\n");
        let target = self.fill(uri);
        let target = if target.contains(':') {
            target
        } else {
            format!("sip:{target}")
        };
        let line = digest::answer(&challenge, method, &target, &body, &filled)?;
        let mut fields = fields.to_vec();
        fields.push(("extra".into(), line));
        self.request(who, method, uri, &fields)
    }

    fn send(&mut self, who: &str, data: &[u8], to: Option<&str>) -> Result<(), String> {
        let to = to.map(address).transpose()?;
        self.peer(who)?
            .send(data, to)
            .map_err(|e| format!("{who} cannot send: {e}"))
    }

    /// The next message of an endpoint, written to the transcript as the step wants it.
    fn receive(&mut self, who: &str, look: &Look, timeout: Duration) -> Result<Option<Message>, String> {
        let got = self
            .peer(who)?
            .receive(timeout)
            .map_err(|e| format!("{who} cannot receive: {e}"))?;
        let Received::Data(data, from) = got else {
            if look.view != View::Hidden {
                self.entries.push(Entry::Nothing { who: who.into() });
            }
            return Ok(None);
        };
        let message = Message::parse(&data);
        let who = who.to_owned();
        match look.view {
            View::Hidden => {}
            View::Brief => self.entries.push(Entry::Brief {
                who: who.clone(),
                first: message.first.clone(),
            }),
            View::Full | View::Exact => {
                let exact = look.view == View::Exact;
                self.entries.push(Entry::Message {
                    who: who.clone(),
                    message: message.clone(),
                    exact,
                });
            }
        }
        let word = message
            .first
            .split_whitespace()
            .next()
            .unwrap_or_default()
            .to_owned();
        for name in std::iter::once(word).chain(look.name.clone()) {
            self.kept.insert((who.clone(), name), (message.clone(), from));
        }
        let challenges = Challenge::all(&message);
        if !challenges.is_empty() {
            self.challenges.insert(who.clone(), challenges);
        }
        self.last.insert(who, message.clone());
        Ok(Some(message))
    }

    fn expect(&mut self, who: &str, what: &str, look: &Look) -> Result<(), String> {
        let until = Instant::now() + look.timeout;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            match self.receive(who, look, left)? {
                Some(message) if message.is(what) => return Ok(()),
                Some(_) => {}
                None => break,
            }
        }
        if look.view == View::Hidden {
            return Err(format!("{who} did not receive {what}"));
        }
        Ok(())
    }

    fn data(&mut self, who: &str, timeout: Duration) -> Result<(), String> {
        let got = self
            .peer(who)?
            .receive_raw(timeout)
            .map_err(|e| format!("{who} cannot receive: {e}"))?;
        match got {
            Received::Data(data, _) => self.note(&format!("{who} received data"), text::decode(&data)),
            Received::End => self.note(&format!("{who} received data"), "<end>".into()),
            Received::Nothing => self.entries.push(Entry::Nothing { who: who.into() }),
        }
        Ok(())
    }

    fn reply(
        &mut self,
        who: &str,
        request: &str,
        code: u16,
        reason: &str,
        fields: &[(String, String)],
    ) -> Result<(), String> {
        let key = (who.to_owned(), request.to_owned());
        let Some((message, from)) = self.kept.get(&key).cloned() else {
            return Ok(());
        };
        let filled: HashMap<&str, String> = fields.iter().map(|(k, v)| (k.as_str(), self.fill(v))).collect();
        let field = |name| filled.get(name).map_or("", String::as_str);
        let peer = self.peer(who)?;
        let contact = match field("contact") {
            "" => Some(format!("sip:{who}@{}", peer.address)),
            "none" => None,
            own => Some(own.to_owned()),
        };
        let tag = filled.get("tag").map_or("uas", String::as_str);
        let (extra, body) = (field("extra"), field("body"));
        let answer = Answer {
            code,
            reason,
            extra,
            body,
            tag,
            contact,
        };
        let data = wire(&answer.text(&message));
        peer.send(&data, Some(from))
            .map_err(|e| format!("{who} cannot send: {e}"))
    }

    fn http(
        &mut self,
        who: &str,
        code: u16,
        reason: &str,
        fields: &[(String, String)],
    ) -> Result<(), String> {
        let filled: HashMap<&str, String> = fields.iter().map(|(k, v)| (k.as_str(), self.fill(v))).collect();
        let field = |name| filled.get(name).map_or("", String::as_str);
        let answer = web::answer(code, reason, field("extra"), field("body"));
        self.send(who, &answer, None)
    }

    fn quiet(&mut self, who: &[String], time: Duration) -> Result<(), String> {
        let all = || self.endpoints.iter().map(|e| e.name.clone()).collect();
        let names: Vec<String> = if who.is_empty() { all() } else { who.to_vec() };
        let until = Instant::now() + time;
        for name in names {
            let left = until
                .saturating_duration_since(Instant::now())
                .max(Duration::from_millis(1));
            let look = Look {
                timeout: left,
                view: View::Full,
                name: None,
            };
            while self.receive(&name, &look, left)?.is_some() {}
        }
        Ok(())
    }

    fn drain(&mut self, who: &str, time: Duration) -> Result<(), String> {
        let look = Look {
            timeout: time,
            view: View::Hidden,
            name: None,
        };
        while self.receive(who, &look, time)?.is_some() {}
        Ok(())
    }

    fn closed(&mut self, who: &str, timeout: Duration) -> Result<(), String> {
        let until = Instant::now() + timeout;
        let closed = loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.peer(who)?.receive_raw(left).map_err(|e| e.to_string())? {
                Received::Data(..) => {}
                Received::End => break true,
                Received::Nothing => break false,
            }
        };
        self.note(
            who,
            if closed {
                "connection closed"
            } else {
                "connection still open"
            }
            .into(),
        );
        Ok(())
    }

    fn rewrite(&self, file: &str, with: &str) -> Result<(), String> {
        let target = if file == "cfg" { "kamailio.cfg" } else { file };
        let content = self.case.files.iter().find(|(name, _)| name == with);
        let (_, content) = content.ok_or_else(|| format!("no section `== file {with}`"))?;
        let content = content.replace("{tmp}", &self.tmp.to_string_lossy());
        fs::write(self.tmp.join(target), content).map_err(|e| format!("{target}: {e}"))
    }

    fn run(&mut self, words: &[String], output: bool) -> Result<(), String> {
        let done = self.output_of(words)?;
        let code = format!("exit code {}", server::exit_number(done.status));
        let shown = text::decode(&[done.stdout, done.stderr].concat());
        let label = format!("run {}", words.join(" "));
        self.note(&label, if output { format!("{shown}{code}") } else { code });
        Ok(())
    }

    fn until(&mut self, printed: &str, words: &[String]) -> Result<(), String> {
        let end = Instant::now() + Duration::from_secs(5);
        loop {
            let done = self.output_of(words)?;
            let shown = text::decode(&[done.stdout, done.stderr].concat());
            if shown.trim() == printed {
                return Ok(());
            }
            if Instant::now() > end {
                return Err(format!("{} prints {shown:?}, not {printed:?}", words.join(" ")));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn output_of(&self, words: &[String]) -> Result<std::process::Output, String> {
        let filled = words.iter().flat_map(|word| match word.as_str() {
            "{server}" => absolute(&self.command.0),
            word => vec![self.fill(word)],
        });
        let mut command = ServerCommand(filled.collect()).command(&self.case.settings);
        command.current_dir(self.tmp).output().map_err(|e| e.to_string())
    }

    fn rpc(&mut self, words: &[String]) -> Result<(), String> {
        let socket: PathBuf = self.tmp.join("ctl");
        let until = Instant::now() + Duration::from_secs(5);
        while !socket.exists() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
        let filled: Vec<String> = words.iter().map(|word| self.fill(word)).collect();
        let mut command = std::process::Command::new("kamcmd");
        command
            .arg("-s")
            .arg(format!("unix:{}", socket.display()))
            .args(&filled);
        let done = command.output().map_err(|e| format!("kamcmd: {e}"))?;
        self.note(
            &format!("rpc {}", words.join(" ")),
            text::decode(&[done.stdout, done.stderr].concat()),
        );
        Ok(())
    }

    /// Replaces `{tmp}`, `{cfg}` and `{ENDPOINT:Header}`, the first such header of the endpoint's last message.
    fn fill(&self, text: &str) -> String {
        let tmp = self.tmp.to_string_lossy();
        let mut out = text
            .replace("{tmp}", &tmp)
            .replace("{cfg}", &format!("{tmp}/kamailio.cfg"));
        for (who, message) in &self.last {
            let mark = format!("{{{who}:");
            while let Some((before, rest)) = out.split_once(&mark) {
                let Some((header, after)) = rest.split_once('}') else {
                    break;
                };
                out = format!("{before}{}{after}", message.get(header));
            }
        }
        out
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| format!("{text} is no address with a port"))
}
