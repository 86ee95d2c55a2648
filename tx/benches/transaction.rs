//! What transactions cost without their messages, in nanoseconds each:
//! `cargo bench -p kahea-tx --bench transaction [-- [NAME] [ROUNDS]]`.
#![expect(clippy::print_stdout, reason = "the figures are the output")]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use foldhash::quality::RandomState;
use kahea_sip::{Limits, Message, Str};
use kahea_tx::{Actions, Choice, Key, Matching, Policy, Time, Timing, Transaction, Wheel};

const INVITE: &str = "INVITE sip:bob@biloxi.example.com SIP/2.0\r\n\
    Via: SIP/2.0/UDP pc33.atlanta.example.com:5066;branch=z9hG4bK776asdhds;rport\r\n\
    From: Alice <sip:alice@atlanta.example.com>;tag=1928301774\r\nTo: Bob <sip:bob@biloxi.example.com>\r\n\
    Call-ID: a84b4c76e66710@pc33.atlanta.example.com\r\nCSeq: 314159 INVITE\r\nContent-Length: 0\r\n\r\n";

fn main() {
    measure("answered call", answered_call);
    measure("refused call", refused_call);
    measure("call to four phones", || fork(4));
    let known = Message::parse(Str::from(INVITE.to_owned()), &Limits::default()).expect("a request");
    let (matching, seed) = (Matching::default(), RandomState::default());
    measure("Key::of", || Key::of(black_box(&known), &matching, &seed).0 != 0);
    measure("Matching::same", || {
        matching.same(&known, black_box(&known), known.method())
    });
    let (mut wheel, mut now) = (Wheel::new(Time(0)), Time(0));
    measure("one timer among 10,000", || {
        now = now.after(1);
        wheel.push(now.after(10_000), ());
        wheel.take_due(now, |()| {});
        !wheel.is_empty()
    });
}

/// INVITE, 100, 180, 200, and the end.
fn answered_call() -> bool {
    let mut actions = Actions::new();
    let mut transaction = Transaction::new(Time(0), true, Timing::default(), Policy::default());
    transaction.answer(Time(0), 100, true, false, &mut actions);
    let branch = transaction.add_branch();
    transaction.sent(Time(0), branch, false);
    for (now, status) in [(10, 100), (20, 180), (3_000, 200)] {
        transaction.reply(Time(now), branch, status, &mut actions);
        if status > 100 {
            transaction.answer(Time(now), status, false, false, &mut actions);
        }
    }
    ended(&mut transaction, &mut actions)
}

/// INVITE, 100, 486, ACK, and the end.
fn refused_call() -> bool {
    let mut actions = Actions::new();
    let mut transaction = Transaction::new(Time(0), true, Timing::default(), Policy::default());
    transaction.answer(Time(0), 100, true, false, &mut actions);
    let branch = transaction.add_branch();
    transaction.sent(Time(0), branch, false);
    transaction.reply(Time(10), branch, 100, &mut actions);
    transaction.reply(Time(20), branch, 486, &mut actions);
    let chosen = transaction.choose() == Choice::Best(branch);
    transaction.answer(Time(20), 486, false, false, &mut actions);
    transaction.ack(Time(30), &mut actions);
    chosen && ended(&mut transaction, &mut actions)
}

/// All ring, one answers, the others are cancelled.
fn fork(branches: usize) -> bool {
    let mut actions = Actions::new();
    let mut transaction = Transaction::new(Time(0), true, Timing::default(), Policy::default());
    let mut first = None;
    for _ in 0..branches {
        let branch = transaction.add_branch();
        first = first.or(Some(branch));
        transaction.sent(Time(0), branch, false);
        transaction.reply(Time(10), branch, 180, &mut actions);
    }
    let Some(first) = first else {
        return false;
    };
    transaction.reply(Time(3_000), first, 200, &mut actions);
    transaction.answer(Time(3_000), 200, false, false, &mut actions);
    for at in 1..branches {
        let branch = kahea_tx::BranchId::at(at);
        transaction.cancel_answered(Time(3_010), branch);
        transaction.reply(Time(3_010), branch, 487, &mut actions);
    }
    ended(&mut transaction, &mut actions)
}

/// The only timer that is left is the end's.
fn ended(transaction: &mut Transaction, actions: &mut Actions) -> bool {
    let end = transaction.deadline();
    transaction.tick(end, actions);
    transaction.deadline() == Time::NEVER
}

/// Prints the best of several batches: what disturbs a batch only makes it slower.
fn measure(name: &str, mut work: impl FnMut() -> bool) {
    const BATCHES: u32 = 100;
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with("--"))
        .collect();
    let rounds = words
        .iter()
        .find_map(|word| word.parse().ok())
        .unwrap_or(1_000_000u32);
    if words
        .iter()
        .any(|word| word != name && word.parse::<u32>().is_err())
    {
        return;
    }
    let calls = (rounds / BATCHES).max(1);
    let mut best = Duration::MAX;
    for _ in 0..BATCHES {
        let start = Instant::now();
        for _ in 0..calls {
            assert!(black_box(work()), "{name}");
        }
        best = best.min(start.elapsed());
    }
    println!("{name:28} {:7.1} ns", best.as_secs_f64() * 1e9 / f64::from(calls));
}
