use std::time::Duration;

use kahea_module::{Ret, testing::INVITE};

use super::*;
use crate::tm::{
    cell::Work,
    relay::{self, How},
    replies,
    testing::Bench,
    turn,
};

/// Writes down what it is told; flag 3 of a request says that its INVITE is of interest.
#[derive(Default)]
struct Diary(Arc<Mutex<Vec<String>>>);

/// What the diary keeps with a transaction.
#[derive(Clone, Default)]
struct Count(u32);

impl Diary {
    fn note(&self, what: &str, tx: &mut Transaction<'_>, reply: Option<&Reply<'_>>) {
        let count = tx.keep(|count: &mut Count| {
            count.0 += 1;
            count.0
        });
        let flags = tx.flags();
        let call = tx.request(|cx| {
            (
                cx.msg.method_text().to_vec(),
                cx.from().unwrap().tag().unwrap().to_vec(),
            )
        });
        let (method, tag) = call.expect("the request");
        let (method, tag) = (Str::from(method), Str::from(tag));
        let mut line = format!("{what} {method} {tag} flags {flags} count {}", count.unwrap());
        if let Some(reply) = reply {
            let reason = String::from_utf8_lossy(reply.reason);
            line += &format!(" {} {reason} tag {:?}", reply.status, reply.to_tag().text());
            line += &format!(
                " branch {:?}{}",
                reply.branch,
                if reply.repeated { " again" } else { "" }
            );
        }
        self.0.lock().push(line);
    }
}

impl Watcher for Diary {
    fn wants(&self) -> Events {
        let calls = Events::BEGUN.and(Events::REPLIED).and(Events::FAILED);
        let calls = calls.and(Events::ACKNOWLEDGED).and(Events::CANCELLED);
        calls.and(Events::COMPLETED).and(Events::ENDED)
    }

    fn begun(&self, tx: &mut Transaction<'_>) {
        self.note("begun", tx, None);
    }

    fn replied(&self, tx: &mut Transaction<'_>, reply: &Reply<'_>) {
        self.note("replied", tx, Some(reply));
    }

    fn failed(&self, tx: &mut Transaction<'_>, reply: &Reply<'_>) {
        self.note("failed", tx, Some(reply));
        tx.request(|cx| cx.flags &= !8);
    }

    fn acknowledged(&self, tx: &mut Transaction<'_>, ack: &mut Cx) {
        assert_eq!(ack.msg.method(), Method::Ack);
        self.note("acknowledged", tx, None);
    }

    fn cancelled(&self, tx: &mut Transaction<'_>, cancel: &mut Cx) {
        assert_eq!(cancel.msg.method(), Method::Cancel);
        self.note("cancelled", tx, None);
    }

    fn ended(&self, tx: &mut Transaction<'_>) {
        assert!(tx.kept::<Count>().is_some());
        self.note("ended", tx, None);
    }
}

struct Call {
    bench: Bench,
    told: Arc<Mutex<Vec<String>>>,
    cell: Arc<Cell>,
    request: String,
}

impl Call {
    /// An INVITE with flag 3, relayed to a phone.
    fn new() -> Call {
        let bench = Bench::default();
        let diary = Diary::default();
        let told = diary.0.clone();
        assert!(bench.core.watchers.add(Arc::new(diary)));
        let request = INVITE.replace("example.com:5070", "127.0.0.1:5071");
        let mut cx = bench.server.message(&request);
        cx.flags = 8;
        let relayed = relay::relay(&bench.core, &mut cx, How::default());
        assert!(matches!(relayed, Ret::Code(1)));
        let cell = attached::cell(&cx).expect("a transaction");
        relay::request_ended(&mut cx);
        cx.finish();
        Call {
            bench,
            told,
            cell,
            request,
        }
    }

    fn reply(&self, status: &str, tag: &str) {
        let data = self.cell.sent_on(&self.cell.state.lock().branches[0]);
        let sent = Message::parse(data, &Limits::default()).unwrap();
        let lines = |id| {
            sent.all(id)
                .map(|header| sent.text(header.line).text().into_owned())
        };
        let head: String = lines(HeaderId::Via).chain(lines(HeaderId::From)).collect();
        let call_id: String = lines(HeaderId::CallId).chain(lines(HeaderId::CSeq)).collect();
        let text = format!("SIP/2.0 {status}\r\n{head}To: <sip:b@h>;tag={tag}\r\n{call_id}\r\n");
        let cx = self.bench.server.message(&text.replace("\r\n", "\n"));
        assert!(replies::take(&self.bench.core, cx).is_none());
    }

    /// A later request of the call.
    fn request(&self, method: &str, branch: &str, tag: &str) {
        let text = self
            .request
            .replace("INVITE", method)
            .replace(
                "To: <sip:bob@example.com>",
                &format!("To: <sip:bob@example.com>{tag}"),
            )
            .replace("z9hG4bK", branch);
        let mut cx = self.bench.server.message(&text);
        relay::relay(&self.bench.core, &mut cx, How::default());
        relay::request_ended(&mut cx);
        cx.finish();
    }

    fn told(&self) -> Vec<String> {
        std::mem::take(&mut *self.told.lock())
    }
}

#[test]
fn an_answered_call_is_told_to_its_end() {
    let call = Call::new();
    let tag = Message::parse(call.cell.request.clone(), &Limits::default()).unwrap();
    let tag = NameAddr::parse(tag.value(tag.first(HeaderId::From).unwrap())).unwrap();
    let tag = String::from_utf8_lossy(tag.tag().unwrap()).into_owned();
    let line = |what: &str, flags, count, rest: &str| {
        format!("{what} INVITE {tag} flags {flags} count {count}{rest}")
    };
    let trying = " 100 trying -- your call is important to us tag \"\" branch None";
    assert_eq!(
        call.told(),
        [line("begun", 8, 1, ""), line("replied", 8, 2, trying)]
    );
    call.reply("180 Ringing", "t1");
    call.reply("200 OK", "t1");
    call.reply("200 OK", "t1");
    call.reply("200 OK", "t2");
    assert_eq!(
        call.told(),
        [
            line("replied", 8, 3, " 180 Ringing tag \"t1\" branch Some(0)"),
            line("replied", 8, 4, " 200 OK tag \"t1\" branch Some(0)"),
            line("replied", 8, 5, " 200 OK tag \"t1\" branch Some(0) again"),
            line("replied", 8, 6, " 200 OK tag \"t2\" branch Some(0)"),
        ]
    );
    call.request("ACK", "z9hG4bKack", ";tag=t1");
    assert_eq!(call.told(), [line("acknowledged", 8, 7, "")]);
    call.bench.server.engine.advance(Duration::from_secs(60));
    turn::take(&call.cell, &call.bench.server.worker, Work::Tick);
    assert_eq!(call.told(), [line("ended", 8, 8, "")]);
}

#[test]
fn a_missed_call_is_told_once_and_its_flag_can_go() {
    let call = Call::new();
    call.told();
    call.reply("486 Busy", "t1");
    let told = call.told();
    assert!(told[0].starts_with("failed INVITE"), "{told:?}");
    assert!(told[0].ends_with("flags 8 count 3 486 Busy tag \"t1\" branch Some(0)"));
    assert!(told[1].starts_with("replied INVITE") && told[1].contains("flags 0"));
    assert_eq!(told.len(), 2);
}

#[test]
fn a_cancelled_call_is_told_with_the_cancel() {
    let call = Call::new();
    call.reply("180 Ringing", "t1");
    call.told();
    call.request("CANCEL", "z9hG4bK", "");
    let told = call.told();
    let what: Vec<_> = told
        .iter()
        .map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(what, ["begun CANCEL", "cancelled INVITE", "replied CANCEL"]);
}

#[test]
fn nobody_is_told_what_he_did_not_ask_for() {
    let watchers = Watchers::default();
    assert!(watchers.add(Arc::new(Diary::default())));
    assert!(watchers.wants(Events::ENDED));
    assert_eq!(watchers.each(Events::ENDED).count(), 1);
    assert!(!watchers.add(Arc::new(Diary::default())), "too late");
    assert!(!Watchers::default().wants(Events::BEGUN));
    assert!(!Watchers::default().is_live());
}
