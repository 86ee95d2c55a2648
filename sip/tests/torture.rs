//! The torture messages of RFC 4475 and RFC 5118 and the reaction that each asks for (`torture/table.txt`).

use std::{collections::BTreeSet, fs, path::PathBuf};

use kahea_sip::{
    Edits, Limits, Message, Str,
    build::{self, CannotReply, LocalReply, RequestParts},
};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/torture")
}

/// What this crate makes of a message, in the words of the table.
fn reaction(bytes: &[u8]) -> String {
    let limits = Limits::default();
    let buffer = Str::copy(bytes);
    let (refused, message) = match Message::parse(buffer.clone(), &limits) {
        Ok(message) => (message.fault().map(|fault| fault.reply()), Some(message)),
        Err(error) => (error.reply(), Message::salvage(buffer, &limits)),
    };
    match (refused, message) {
        (None, Some(message)) => accepted(&message),
        (Some(_), Some(message)) if message.is_reply() => "drop".into(),
        (Some((code, reason)), Some(message)) => answered(&message, code, reason),
        (_, None) => "drop".into(),
    }
}

fn accepted(message: &Message) -> String {
    let what = match message.status() {
        Some(status) => status.to_string(),
        None => String::from_utf8_lossy(message.method_text()).into_owned(),
    };
    assert_eq!(
        rebuilt(message),
        message.bytes(message.span()),
        "an untouched message leaves as it came"
    );
    format!(
        "{what} vias={} body={}",
        message.vias().count(),
        message.body().len()
    )
}

fn rebuilt(message: &Message) -> Vec<u8> {
    let mut out = Vec::new();
    build::request(
        message,
        &Edits::new(),
        &RequestParts::default(),
        &mut |_, _| {},
        &mut out,
    );
    out
}

fn answered(message: &Message, code: u16, reason: &str) -> String {
    let reply = LocalReply {
        status: code,
        reason: reason.as_bytes(),
        to_tag: Some(b"t"),
        ..LocalReply::default()
    };
    let mut out = Vec::new();
    match build::local_reply(message, &reply, &mut out) {
        Ok(()) => {
            let reply =
                Message::parse(Str::from(out), &Limits::default()).expect("a reply of ours is well-formed");
            assert_eq!(reply.status(), Some(code));
            format!("refuse {code}")
        }
        Err(CannotReply::Missing(_)) => format!("unanswerable {code}"),
        Err(error) => format!("{error}"),
    }
}

#[test]
fn every_message_gets_the_reaction_that_its_rfc_asks_for() {
    let table = fs::read_to_string(folder().join("table.txt")).expect("the table");
    let mut listed = BTreeSet::new();
    let mut wrong = Vec::new();
    for row in table.lines().filter(|row| !row.starts_with('#')) {
        let mut columns = row.split('|').map(str::trim);
        let (Some(file), Some(wanted), Some(_why)) = (columns.next(), columns.next(), columns.next()) else {
            panic!("a row needs three columns: {row}");
        };
        let bytes = fs::read(folder().join(format!("{file}.dat"))).expect("the message of a row");
        let wanted = wanted
            .strip_prefix("accept ")
            .or(wanted.strip_prefix("view "))
            .unwrap_or(wanted);
        let got = reaction(&bytes);
        if got != wanted {
            wrong.push(format!("{file}: wanted {wanted}, got {got}"));
        }
        assert!(listed.insert(format!("{file}.dat")), "{file} is listed twice");
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!(listed, files(), "the table lists every file");
}

fn files() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for rfc in ["rfc4475", "rfc5118"] {
        for entry in fs::read_dir(folder().join(rfc)).expect("the folder") {
            let name = entry.expect("an entry").file_name();
            found.insert(format!("{rfc}/{}", name.to_string_lossy()));
        }
    }
    assert_eq!(found.len(), 60);
    found
}
