//! A small DNS server at 127.0.0.1:53, for A and SRV questions.

use std::{
    net::{Ipv4Addr, UdpSocket},
    sync::{Arc, Mutex},
    thread,
};

/// An answer.
#[derive(Clone, Debug)]
pub enum Record {
    A(Ipv4Addr),
    /// Priority, weight, port, target.
    Srv(u16, u16, u16, &'static str),
}

/// The server; its thread ends with the test.
pub struct Dns {
    asked: Arc<Mutex<Vec<String>>>,
}

const A: u16 = 1;
const SRV: u16 = 33;

impl Dns {
    /// Answers what is in the list, and that there is no such name otherwise.
    pub fn start(zone: Vec<(&'static str, Record)>) -> Dns {
        let socket = UdpSocket::bind("127.0.0.1:53").unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = asked.clone();
        thread::spawn(move || {
            let mut buffer = [0; 1500];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                let (name, kind) = question(&buffer[..length]);
                seen.lock().unwrap().push(format!("{name} {kind}"));
                let _ = socket.send_to(&reply(&buffer[..length], &name, kind, &zone), from);
            }
        });
        Dns { asked }
    }

    /// The names that were asked for, with the type's number.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn question(packet: &[u8]) -> (String, u16) {
    let (mut at, mut labels) = (12, Vec::new());
    while packet[at] != 0 {
        let end = at + 1 + usize::from(packet[at]);
        labels.push(String::from_utf8_lossy(&packet[at + 1..end]).to_lowercase());
        at = end;
    }
    (
        labels.join("."),
        u16::from_be_bytes([packet[at + 1], packet[at + 2]]),
    )
}

fn reply(packet: &[u8], name: &str, kind: u16, zone: &[(&str, Record)]) -> Vec<u8> {
    let end = 12 + name.len() + 2 + 4;
    let fits = |record: &Record| matches!((record, kind), (Record::A(_), A) | (Record::Srv(..), SRV));
    let known: Vec<_> = zone.iter().filter(|(of, _)| *of == name).collect();
    let answers: Vec<_> = known.iter().filter(|(_, record)| fits(record)).collect();
    let code = if known.is_empty() { 3 } else { 0 };
    let mut out = packet[..2].to_vec();
    out.extend([0x84 | packet[2] & 1, 0x80 | code, 0, 1]);
    out.extend(u16::try_from(answers.len()).unwrap().to_be_bytes());
    out.extend([0; 4]);
    out.extend(&packet[12..end]);
    for (_, record) in answers {
        out.extend([0xc0, 12]);
        out.extend(kind.to_be_bytes());
        out.extend([0, 1, 0, 0, 0, 60]);
        let data = data(record);
        out.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        out.extend(data);
    }
    out
}

fn data(record: &Record) -> Vec<u8> {
    match record {
        Record::A(address) => address.octets().to_vec(),
        Record::Srv(priority, weight, port, target) => {
            let mut out: Vec<u8> = [priority, weight, port]
                .iter()
                .flat_map(|n| n.to_be_bytes())
                .collect();
            for label in target.split('.') {
                out.push(u8::try_from(label.len()).unwrap());
                out.extend(label.as_bytes());
            }
            out.push(0);
            out
        }
    }
}
