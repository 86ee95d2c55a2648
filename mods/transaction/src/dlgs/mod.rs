//! Module `dlgs`: how many calls pass, told from the messages themselves.

mod book;
mod commands;

use std::{rc::Rc, sync::Arc, time::Duration};

use kahea_module::{
    Bind, BindError, Cx, Decl, Env, Fault, Flow, InitError, Lit, Module, Ret, Str, Worker,
    arg::Literal,
    config::Periodic,
    route::{ANY, BRANCH, ONSEND, REPLY, REQUEST},
};
use kahea_sip::Method;
use parking_lot::Mutex;

use self::book::{Book, Dialog, Event, Field, Filter, Lifetimes};

/// The module.
pub struct Dlgs {
    book: Arc<Mutex<Book>>,
}

/// Its parameters, in seconds.
pub struct Params {
    active_lifetime: i64,
    init_lifetime: i64,
    finish_lifetime: i64,
    timer_interval: i64,
    hash_size: i64,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            active_lifetime: 10_800,
            init_lifetime: 180,
            finish_lifetime: 10,
            timer_interval: 30,
            hash_size: 9,
        }
    }
}

impl Module for Dlgs {
    const NAME: &'static str = "dlgs";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        d.param(
            "active_lifetime",
            |p| &mut p.active_lifetime,
            "Seconds for which a call that was answered is kept.",
        );
        d.param(
            "init_lifetime",
            |p| &mut p.init_lifetime,
            "Seconds for which a call that was not answered is kept.",
        );
        d.param(
            "finish_lifetime",
            |p| &mut p.finish_lifetime,
            "Seconds for which a call that ended is kept.",
        );
        d.param(
            "timer_interval",
            |p| &mut p.timer_interval,
            "Seconds between looks for calls that are kept too long.",
        );
        d.param(
            "hash_size",
            |p| &mut p.hash_size,
            "No effect: the table grows with what is in it.",
        );
        d.func(
            "dlgs_init",
            ["src", "dst", "data"],
            dlgs_init,
            "Begins to track the call of an INVITE, with what dlgs_count() looks for.",
        )
        .routes(REQUEST | REPLY | BRANCH | ONSEND)
        .kemi(3, "dlgs_init")
        .example("dlgs_init(\"$fu\", \"$tu\", \"my data\");");
        d.func(
            "dlgs_update",
            [],
            dlgs_update,
            "Notes what the request does to its call; replies are noted by themselves.",
        )
        .routes(REQUEST | BRANCH | ONSEND)
        .kemi(0, "dlgs_update");
        d.func("dlgs_count", ["field", "op", "data"], dlgs_count, "How many calls go on whose src, dst or data (or any) is eq, ne, re, sw or fm to the text; -1 where none is.")
            .routes(ANY)
            .kemi(3, "dlgs_count");
        d.func(
            "dlgs_tags_add",
            ["tag"],
            |m: &Dlgs, cx: &mut Cx, tag: Str| m.tag(cx, tag, true),
            "Puts a tag on the call of the message.",
        )
        .routes(ANY)
        .kemi(1, "dlgs_tags_add");
        d.func(
            "dlgs_tags_rm",
            ["tag"],
            |m: &Dlgs, cx: &mut Cx, tag: Str| m.tag(cx, tag, false),
            "Takes a tag off the call of the message.",
        )
        .routes(ANY)
        .kemi(1, "dlgs_tags_rm");
        d.func(
            "dlgs_tags_count",
            ["tag"],
            |m: &Dlgs, _: &mut Cx, tag: Str| counted(m.book.lock().tagged(&tag)),
            "How many calls go on that have the tag; -1 where none has.",
        )
        .routes(ANY)
        .kemi(1, "dlgs_tags_count");
        commands::declare(d);
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Dlgs, InitError> {
        let seconds = |name: &str, value: i64| {
            u32::try_from(value).map_err(|_| {
                InitError::new(format!("{name} is {value}, which is no time")).help("give seconds from 0 on")
            })
        };
        let lifetimes = Lifetimes {
            active: seconds("active_lifetime", params.active_lifetime)?,
            init: seconds("init_lifetime", params.init_lifetime)?,
            finish: seconds("finish_lifetime", params.finish_lifetime)?,
        };
        let book = env.shared.keep(Mutex::<Book>::default);
        book.lock().lifetimes = lifetimes;
        let here = book.clone();
        env.hooks.reply.push(Arc::new(move |cx| {
            reply(&here, cx);
            Flow::Continue
        }));
        let here = book.clone();
        env.hooks.periodic.push(Periodic {
            name: Str::from_static("dlgs"),
            every: Duration::from_secs(seconds("timer_interval", params.timer_interval)?.max(1).into()),
            run: Arc::new(move |worker: &Rc<Worker>| here.lock().sweep(worker.unix_time())),
        });
        Ok(Dlgs { book })
    }
}

/// A reply to an INVITE moves its call on.
fn reply(book: &Mutex<Book>, cx: &Cx) {
    let Some(status) = cx.msg.status().filter(|_| cx.msg.method() == Method::Invite) else {
        return;
    };
    if let Some(call_id) = cx.msg.call_id() {
        book.lock()
            .note(call_id, Event::Reply(status), cx.worker.unix_time());
    }
}

fn call_id(cx: &Cx) -> Result<&[u8], Fault> {
    cx.msg
        .call_id()
        .ok_or_else(|| Fault::peer("the message has no Call-ID"))
}

fn dlgs_init(m: &Dlgs, cx: &mut Cx, src: Str, dst: Str, data: Str) -> Result<bool, Fault> {
    if cx.msg.method() != Method::Invite {
        return Err(Fault::script("dlgs_init() is for INVITE"));
    }
    let call_id = Str::copy(call_id(cx)?);
    let dialog = Dialog::new(src.detach(), dst.detach(), data.detach(), cx.worker.unix_time());
    m.book.lock().begin(call_id, dialog);
    Ok(true)
}

fn dlgs_update(m: &Dlgs, cx: &mut Cx) -> Result<bool, Fault> {
    let event = match cx.msg.method() {
        _ if !cx.msg.is_request() => return Err(Fault::script("dlgs_update() is for requests")),
        Method::Ack => Event::Ack,
        Method::Bye => Event::Bye,
        Method::Cancel => Event::Cancel,
        _ => return Ok(true),
    };
    let now = cx.worker.unix_time();
    Ok(m.book.lock().note(call_id(cx)?, event, now))
}

impl Dlgs {
    fn tag(&self, cx: &Cx, tag: Str, on: bool) -> Result<bool, Fault> {
        Ok(self.book.lock().tag(call_id(cx)?, &tag, on))
    }
}

impl Literal for Field {
    const WHAT: &'static str = "src, dst, data or any";

    fn parse(text: &str, _: &dyn Bind) -> Result<Field, BindError> {
        Field::of(text).ok_or_else(|| {
            BindError::new(format!("a call has no field '{text}'")).help("ask for src, dst, data or any")
        })
    }
}

fn dlgs_count(m: &Dlgs, cx: &mut Cx, field: Lit<Field>, op: Str, data: Str) -> Result<Ret, Fault> {
    let filter = Filter::new(*field, &op.text(), &data, |text| cx.regex(text))?;
    Ok(counted(m.book.lock().count(&filter)))
}

fn counted(count: usize) -> Ret {
    match i64::try_from(count) {
        Ok(0) => Ret::FALSE,
        Ok(count) => Ret::Code(count),
        Err(_) => Ret::Code(i64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::{INVITE, Server};

    use super::*;

    fn count(m: &Dlgs, cx: &mut Cx, op: &'static str, data: &'static str) -> i64 {
        let filter = Filter::new(Field::Src, op, &data.into(), |text| cx.regex(text)).unwrap();
        match counted(m.book.lock().count(&filter)) {
            Ret::Code(code) => code,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_call_is_counted_until_it_ends() {
        let server = Server::default();
        let (m, mut cx) = (Dlgs { book: Arc::default() }, server.invite());
        m.book.lock().lifetimes = Lifetimes {
            active: 100,
            init: 10,
            finish: 5,
        };
        assert_eq!(count(&m, &mut cx, "eq", "a"), -1);
        assert_eq!(
            dlgs_init(&m, &mut cx, "a".into(), "b".into(), "c".into()),
            Ok(true)
        );
        assert_eq!(count(&m, &mut cx, "eq", "a"), 1);
        assert_eq!(m.tag(&cx, "vip".into(), true), Ok(true));
        assert_eq!(m.book.lock().tagged(b"vip"), 1);
        let bye = INVITE.replace("INVITE", "BYE");
        assert_eq!(dlgs_update(&m, &mut server.message(&bye)), Ok(true));
        assert_eq!(count(&m, &mut cx, "eq", "a"), -1);
        assert_eq!(m.book.lock().tagged(b"vip"), 0);
    }

    #[test]
    fn only_an_invite_begins_a_call() {
        let server = Server::default();
        let m = Dlgs { book: Arc::default() };
        let mut options = server.message(&INVITE.replace("INVITE", "OPTIONS"));
        assert!(dlgs_init(&m, &mut options, "a".into(), "b".into(), "c".into()).is_err());
    }
}
