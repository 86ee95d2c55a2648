//! A short run of every fuzz target over mutations of the torture messages, so that CI needs no fuzzer.
#![expect(clippy::indexing_slicing, reason = "a panic in a test is a failed test")]

use std::{fs, path::PathBuf};

use kahea_sip::fuzz;

/// A small generator with a fixed seed: every run tries the same inputs.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

fn corpus() -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/torture");
    let mut files: Vec<PathBuf> = ["rfc4475", "rfc5118"]
        .into_iter()
        .flat_map(|rfc| fs::read_dir(folder.join(rfc)).expect("the corpus"))
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    let found: Vec<Vec<u8>> = files
        .iter()
        .map(|file| fs::read(file).expect("a message"))
        .collect();
    assert_eq!(found.len(), 60);
    found
}

/// One to four changes: a byte set, a piece cut out, a piece doubled, a piece of another message put in, the end cut off.
fn mutate(random: &mut Random, data: &mut Vec<u8>, other: &[u8]) {
    const SPECIAL: &[u8] = b"\r\n \t:;,\"\\<>=/\0\x01\xff09-+[";
    for _ in 0..=random.below(4) {
        let at = random.below(data.len());
        let end = (at + random.below(20)).min(data.len());
        match random.below(6) {
            0 | 1 if !data.is_empty() => data[at] = SPECIAL[random.below(SPECIAL.len())],
            2 => drop(data.drain(at..end)),
            3 => data.splice(at..at, data[at..end].to_vec()).for_each(drop),
            4 => {
                let from = random.below(other.len());
                let piece = other[from..(from + 40).min(other.len())].to_vec();
                data.splice(at..at, piece).for_each(drop);
            }
            _ => data.truncate(data.len().saturating_sub(random.below(30))),
        }
    }
}

fn run(target: fn(&[u8]), rounds: usize) {
    let corpus = corpus();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for message in &corpus {
        target(message);
        for round in 0..rounds {
            let mut data = message.clone();
            let other = &corpus[random.below(corpus.len())];
            mutate(&mut random, &mut data, other);
            if round % 4 == 0 {
                data.extend_from_slice(other);
            }
            target(&data);
        }
    }
}

#[test]
fn message() {
    run(fuzz::message, 300);
}

#[test]
fn framing() {
    run(fuzz::framing, 60);
}

#[test]
fn edits() {
    run(fuzz::edits, 60);
}

#[test]
fn every_torture_message_may_be_cut_off_anywhere() {
    for message in corpus() {
        for end in 0..message.len() {
            fuzz::message(&message[..end]);
        }
    }
}
