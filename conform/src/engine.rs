//! Simulated media engines: they answer the ng protocol of rtpengine, or that of rtpproxy, beside the scenario and
//! keep what they were asked.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use crate::text;

/// The protocol that an engine speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// rtpengine's: a cookie, a space, a bencoded dictionary.
    Ng,
    /// rtpproxy's: a cookie, a space, words.
    Rtpproxy,
}

/// An engine as the settings of a case name it: `engine: NAME ng ADDRESS:PORT`.
#[derive(Debug, Clone)]
pub struct Place {
    /// Its name in the scenario.
    pub name: String,
    /// What it speaks.
    pub protocol: Protocol,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Place {
    /// Reads the value of the setting.
    ///
    /// # Errors
    /// Says what was expected.
    pub fn parse(text: &str) -> Result<Place, String> {
        let wrong = || format!("`{text}` is not `NAME ng|rtpproxy ADDRESS:PORT`");
        let mut words = text.split_whitespace();
        let name = words.next().ok_or_else(wrong)?.to_owned();
        let protocol = match words.next() {
            Some("ng") => Protocol::Ng,
            Some("rtpproxy") => Protocol::Rtpproxy,
            _ => return Err(wrong()),
        };
        let address = words.next().and_then(|a| a.parse().ok()).ok_or_else(wrong)?;
        Ok(Place {
            name,
            protocol,
            address,
        })
    }
}

/// What an engine answers from now on; pings are answered unless it says nothing.
#[derive(Debug, Clone, PartialEq)]
pub enum Answers {
    /// As an engine in good health does.
    Usual,
    /// To nothing, not even to pings.
    Nothing,
    /// This value, bencoded.
    Value(Value),
    /// This text behind the cookie.
    Text(String),
}

impl Answers {
    /// Reads the words of a scenario: `usual`, `nothing`, a JSON object, or any other text.
    pub fn parse(text: &str) -> Answers {
        match text {
            "usual" => Answers::Usual,
            "nothing" => Answers::Nothing,
            text => match serde_json::from_str::<Value>(text) {
                Ok(value @ Value::Object(_)) => Answers::Value(value),
                _ => Answers::Text(text.to_owned()),
            },
        }
    }
}

#[derive(Debug)]
struct State {
    answers: Answers,
    seen: Vec<String>,
    cookies: Vec<Vec<u8>>,
    last: Instant,
}

/// A running engine; its thread ends with it.
#[derive(Debug)]
pub struct Engine {
    /// Its name in the scenario.
    pub name: String,
    state: Arc<Mutex<State>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Engine {
    /// Starts it in the network of the calling thread.
    ///
    /// # Errors
    /// The address is taken.
    pub fn start(place: &Place) -> io::Result<Engine> {
        let socket = UdpSocket::bind(place.address)?;
        socket.set_read_timeout(Some(Duration::from_millis(20)))?;
        let state = Arc::new(Mutex::new(State {
            answers: Answers::Usual,
            seen: Vec::new(),
            cookies: Vec::new(),
            last: Instant::now(),
        }));
        let stop = Arc::new(AtomicBool::new(false));
        let (shared, ended, protocol) = (state.clone(), stop.clone(), place.protocol);
        let thread = std::thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            while !ended.load(Ordering::Relaxed) {
                let Ok((length, peer)) = socket.recv_from(&mut buffer) else {
                    continue;
                };
                let data = buffer.get(..length).unwrap_or_default();
                if let Some(answer) = serve(&shared, protocol, data) {
                    // A server that has gone needs no answer.
                    let _ = socket.send_to(&answer, peer);
                }
            }
        });
        Ok(Engine {
            name: place.name.clone(),
            state,
            stop,
            thread: Some(thread),
        })
    }

    /// Changes what it answers.
    pub fn answer(&self, answers: Answers) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).answers = answers;
    }

    /// What it was asked since the last time, pings left out; waits until nothing came for that long.
    pub fn commands(&self, quiet: Duration) -> Vec<String> {
        let begun = Instant::now();
        loop {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if begun.max(state.last).elapsed() >= quiet {
                return std::mem::take(&mut state.seen);
            }
            drop(state);
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A thread that failed has nothing more to say.
            let _ = thread.join();
        }
    }
}

fn serve(state: &Mutex<State>, protocol: Protocol, data: &[u8]) -> Option<Vec<u8>> {
    let space = data.iter().position(|b| *b == b' ')?;
    let (cookie, body) = (data.get(..space)?, data.get(space + 1..)?);
    let (shown, usual, ping) = match protocol {
        Protocol::Ng => ng(body),
        Protocol::Rtpproxy => rtpproxy(body),
    };
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    if !ping {
        state.last = Instant::now();
        let again = state.cookies.iter().any(|known| known == cookie);
        let shown = if again { format!("again {shown}") } else { shown };
        state.seen.push(shown);
        state.cookies.push(cookie.to_vec());
    }
    let answer = match &state.answers {
        Answers::Nothing => return None,
        _ if ping => usual,
        Answers::Usual => usual,
        Answers::Value(value) => bencoded(value),
        Answers::Text(text) => text::encode(text),
    };
    Some([cookie, b" ", &answer].concat())
}

/// How a command is shown, the usual answer, and whether it is a ping.
fn ng(body: &[u8]) -> (String, Vec<u8>, bool) {
    let mut rest = body;
    let Some(Value::Object(mut command)) = decoded(&mut rest) else {
        return (
            format!("no dictionary: {}", text::decode(body)),
            Vec::new(),
            false,
        );
    };
    if !rest.is_empty() {
        return (
            format!("text behind it: {}", text::decode(body)),
            Vec::new(),
            false,
        );
    }
    let name = match command.remove("command") {
        Some(Value::String(name)) => name,
        _ => String::new(),
    };
    let result = |word: &str| Map::from_iter([("result".to_owned(), Value::from(word))]);
    let mut answer = result("ok");
    match name.as_str() {
        "ping" => answer = result("pong"),
        "offer" | "answer" | "subscribe request" | "publish" => {
            let sdp = command.get("sdp").and_then(Value::as_str).unwrap_or_default();
            answer.insert("sdp".to_owned(), Value::from(relayed(sdp)));
        }
        _ => {}
    }
    let mut keys: Vec<(String, Value)> = command.into_iter().collect();
    keys.sort_by(|a, b| a.0.cmp(&b.0));
    let shown = format!("{name} {}", Value::Object(keys.into_iter().collect()));
    (shown, bencoded(&Value::Object(answer)), name == "ping")
}

/// The description with the engine's own address and ports.
fn relayed(sdp: &str) -> String {
    let mut port = 35_000;
    let lines = sdp.split_inclusive('\n').map(|line| {
        if line.starts_with("c=IN IP4 ") {
            return "c=IN IP4 203.0.113.9\r\n".to_owned();
        }
        let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        match words.get_mut(1) {
            Some(word) if line.starts_with("m=") => {
                *word = port.to_string();
                port += 2;
                words.join(" ")
            }
            _ => line.to_owned(),
        }
    });
    lines.collect()
}

fn rtpproxy(body: &[u8]) -> (String, Vec<u8>, bool) {
    let command = text::decode(body).trim_end_matches('\n').to_owned();
    let answer: &[u8] = match command.as_bytes().first() {
        Some(b'V' | b'v') if command.len() > 1 => b"1\n",
        Some(b'V' | b'v') => b"20040107\n",
        Some(b'U' | b'u' | b'L' | b'l') => b"35000\n",
        Some(b'Q' | b'q') => b"60 100 200 300 400\n",
        _ => b"0\n",
    };
    let ping = matches!(command.as_bytes().first(), Some(b'V' | b'v'));
    (command, answer.to_vec(), ping)
}

/// Takes one bencoded value off `rest`.
fn decoded(rest: &mut &[u8]) -> Option<Value> {
    let (first, after) = rest.split_first()?;
    match first {
        b'd' => {
            *rest = after;
            let mut map = Map::new();
            while rest.first()? != &b'e' {
                let Value::String(key) = decoded(rest)? else {
                    return None;
                };
                map.insert(key, decoded(rest)?);
            }
            *rest = rest.get(1..)?;
            Some(Value::Object(map))
        }
        b'l' => {
            *rest = after;
            let mut list = Vec::new();
            while rest.first()? != &b'e' {
                list.push(decoded(rest)?);
            }
            *rest = rest.get(1..)?;
            Some(Value::Array(list))
        }
        b'i' => {
            let end = after.iter().position(|b| *b == b'e')?;
            let number: i64 = std::str::from_utf8(after.get(..end)?).ok()?.parse().ok()?;
            *rest = after.get(end + 1..)?;
            Some(Value::from(number))
        }
        _ => {
            let colon = rest.iter().position(|b| *b == b':')?;
            let length: usize = std::str::from_utf8(rest.get(..colon)?).ok()?.parse().ok()?;
            let text = rest.get(colon + 1..)?.get(..length)?;
            *rest = rest.get(colon + 1 + length..)?;
            Some(Value::String(text::decode(text)))
        }
    }
}

fn bencoded(value: &Value) -> Vec<u8> {
    match value {
        Value::Object(map) => {
            let members = map
                .iter()
                .flat_map(|(key, value)| [bencoded(&Value::from(key.as_str())), bencoded(value)]);
            [vec![b'd'], members.flatten().collect(), vec![b'e']].concat()
        }
        Value::Array(list) => {
            let items = list.iter().flat_map(bencoded).collect();
            [vec![b'l'], items, vec![b'e']].concat()
        }
        Value::String(content) => {
            let bytes = text::encode(content);
            [bytes.len().to_string().as_bytes(), b":", &bytes].concat()
        }
        Value::Number(number) => format!("i{number}e").into_bytes(),
        Value::Bool(yes) => format!("i{}e", u8::from(*yes)).into_bytes(),
        Value::Null => b"0:".to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_shown_and_answered() {
        let sdp = "c=IN IP4 10.0.0.1\r\nm=audio 4 RTP/AVP 0\r\n";
        let body = format!("d7:command5:offer3:sdp{}:{sdp}e", sdp.len());
        let (shown, answer, ping) = ng(body.as_bytes());
        assert_eq!(
            shown,
            r#"offer {"sdp":"c=IN IP4 10.0.0.1\r\nm=audio 4 RTP/AVP 0\r\n"}"#
        );
        let mut rest = answer.as_slice();
        let answer = decoded(&mut rest).unwrap();
        assert_eq!(
            answer["sdp"],
            "c=IN IP4 203.0.113.9\r\nm=audio 35000 RTP/AVP 0\r\n"
        );
        assert!(!ping);
        assert!(ng(b"d7:command4:pinge").2);
        assert!(ng(b"d7:command4:ping").0.starts_with("no dictionary"));
    }

    #[test]
    fn answers_are_words_or_json() {
        assert_eq!(Answers::parse("usual"), Answers::Usual);
        let Answers::Value(value) = Answers::parse(r#"{"a":[1,"x"]}"#) else {
            panic!()
        };
        assert_eq!(bencoded(&value), b"d1:ali1e1:xee");
        assert_eq!(Answers::parse("E5"), Answers::Text("E5".to_owned()));
    }

    #[test]
    fn a_place_is_read() {
        let place = Place::parse("eng ng 127.0.0.1:2223").unwrap();
        assert_eq!((place.name.as_str(), place.protocol), ("eng", Protocol::Ng));
        assert!(Place::parse("eng sip 127.0.0.1:2223").is_err());
    }
}
