//! What a transaction in flight costs: every allocation is counted, by thread.
#![allow(unsafe_code)] // reason: only an allocator sees what is allocated, and its trait is unsafe

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell as Slot,
};

use kahea_module::{Ret, Str, testing::INVITE};
use kahea_sip::{Limits, Message};

use super::{
    attached,
    relay::{self, How},
    replies,
    testing::Bench,
};

/// The system's allocator, counting what this thread has taken and not given back.
struct Counting;

thread_local! {
    static HELD: Slot<usize> = const { Slot::new(0) };
}

// SAFETY: every call is handed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // At the end of a thread its counter may be gone already.
        let _ = HELD.try_with(|held| held.set(held.get().wrapping_add(layout.size())));
        // SAFETY: as this function's own contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        let _ = HELD.try_with(|held| held.set(held.get().wrapping_sub(layout.size())));
        // SAFETY: as this function's own contract.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The size of the message that the figures of issue 3 are about.
const LENGTH: usize = 660;

/// An allocator that rounds up to its next size takes up to an eighth more: this leaves room below 4,000.
const LIMIT: usize = 3_200;

fn message(text: &str) -> Message {
    let text = text.replace("\r\n", "\n").replace('\n', "\r\n");
    // As the network layer hands it over.
    Message::parse(Str::copy(text.as_bytes()), &Limits::default()).unwrap()
}

fn invite(call: usize) -> Message {
    let text = INVITE
        .replace("example.com:5070", "127.0.0.1:5071")
        .replace("Content-Length: 129", "Content-Length: 132")
        .replace("a84b4c76e66710", &format!("a84b4c76e66710-{call:06}"));
    let room = LENGTH - message(&text).buffer().len();
    message(&text.replace(
        "User-Agent: phone",
        &format!("User-Agent: phone{}", "x".repeat(room)),
    ))
}

/// Lets an INVITE through; its branch's request as it left.
fn relay_one(bench: &Bench, call: usize) -> Message {
    let mut cx = bench.server.invite();
    cx.msg = invite(call);
    assert_eq!(cx.msg.buffer().len(), LENGTH);
    let relayed = relay::relay(&bench.core, &mut cx, How::default());
    assert!(matches!(relayed, Ret::Code(1)));
    assert!(attached::cell(&cx).is_some());
    relay::request_ended(&mut cx);
    cx.finish();
    let sent = bench.server.net.sent.take();
    Message::parse(sent[1].1.clone(), &Limits::default()).unwrap()
}

/// The phone rings.
fn ring(bench: &Bench, sent: &Message) {
    let text = sent.buffer().text();
    let lines = text.split("\r\n\r\n").next().unwrap().lines().skip(1);
    let kept = ["Via", "From", "To", "Call-ID", "CSeq", "Contact", "User-Agent"];
    let lines = lines.filter(|line| kept.iter().any(|name| line.starts_with(name)));
    let text = format!(
        "SIP/2.0 180 Ringing\n{}\n\n",
        lines.collect::<Vec<_>>().join("\n")
    );
    let mut cx = bench.server.invite();
    cx.msg = message(&text);
    assert!(replies::take(&bench.core, cx).is_none());
    assert_eq!(bench.server.net.sent.take().len(), 1, "the 180 is relayed");
}

/// What each of many calls keeps.
fn each(bench: &Bench, call: impl Fn(&Bench, usize)) -> usize {
    const CALLS: usize = 3_000;
    for number in 0..16 {
        call(bench, number);
    }
    let before = HELD.get();
    for number in 16..16 + CALLS {
        call(bench, number);
    }
    (HELD.get() - before) / CALLS
}

#[test]
fn an_invite_in_flight_takes_at_most_4_kb_with_its_message() {
    let bench = Bench::default();
    let each = each(&bench, |bench, number| {
        relay_one(bench, number);
    });
    assert!(each <= LIMIT, "an INVITE that was relayed takes {each} bytes");
    assert!(each > LENGTH, "nothing was counted");
}

#[test]
fn a_ringing_call_takes_at_most_4_kb_with_its_messages() {
    let bench = Bench::default();
    let each = each(&bench, |bench, number| ring(bench, &relay_one(bench, number)));
    assert!(each <= LIMIT, "a ringing INVITE takes {each} bytes");
}
