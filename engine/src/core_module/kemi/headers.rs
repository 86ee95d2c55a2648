//! `KSR.hdr.*`.

use kahea_module::{Cx, Decl, Fault, ReplyExtra, Str, Value, ret::Given, var::Index};
use kahea_sip::{EditTag, Header, HeaderId, Place};

use super::content;
use crate::core_module::Core;

/// Declares them.
pub fn declare(d: &mut Decl<Core>) {
    declare_changes(d);
    declare_reads(d);
}

fn declare_changes(d: &mut Decl<Core>) {
    let text = ["header"];
    let beside = ["header", "name"];
    d.kemi_func(
        "hdr",
        "append",
        text,
        append,
        "Adds a header behind the last one.",
    );
    let doc = "Adds a header behind the first one of a name.";
    d.kemi_func("hdr", "append_after", beside, append_after, doc);
    d.kemi_func(
        "hdr",
        "insert",
        text,
        insert,
        "Adds a header before the first one.",
    );
    let doc = "Adds a header before the first one of a name.";
    d.kemi_func("hdr", "insert_before", beside, insert_before, doc);
    d.kemi_func(
        "hdr",
        "remove",
        ["name"],
        remove,
        "Removes all headers of a name.",
    );
    let doc = "Removes all headers of a name, and adds one behind the last.";
    d.kemi_func("hdr", "rmappend", ["name", "header"], rmappend, doc);
    let doc = "Removes all headers of a name, and adds one before the first.";
    d.kemi_func("hdr", "rminsert", ["name", "header"], rminsert, doc);
    let doc = "Adds a header to the reply that this server makes.";
    d.kemi_func("hdr", "append_to_reply", text, append_to_reply, doc);
}

fn declare_reads(d: &mut Decl<Core>) {
    let name = ["name"];
    let at = ["name", "index"];
    d.kemi_func(
        "hdr",
        "is_present",
        name,
        is_present,
        "There is a header of the name.",
    );
    let doc = "The value of the first header of the name, or null.";
    d.kemi_func("hdr", "get", name, get, doc);
    let doc = "The value of the first header of the name, or an empty text.";
    d.kemi_func("hdr", "gete", name, gete, doc);
    let doc = "The value of the first header of the name, or `<null>`.";
    d.kemi_func("hdr", "getw", name, getw, doc);
    let doc = "The value of a header of the name by its place, or null; negative counts from the last.";
    d.kemi_func("hdr", "get_idx", at, get_idx, doc);
    let doc = "The value of a header of the name by its place, or an empty text.";
    d.kemi_func("hdr", "gete_idx", at, gete_idx, doc);
    let doc = "The value of a header of the name by its place, or `<null>`.";
    d.kemi_func("hdr", "getw_idx", at, getw_idx, doc);
    let doc = "Compares values of headers: eq, ne, sw or in, with the first, the last, all or any of them (f, l, a, o).";
    let parameters = ["name", "operator", "value", "which"];
    d.kemi_func("hdr", "match_content", parameters, content::match_content, doc);
}

/// The header with its line end, which the script may have left out.
fn line(text: &Str) -> Result<Str, Fault> {
    let has_name = text
        .iter()
        .position(|byte| *byte == b':')
        .is_some_and(|at| at > 0);
    if !has_name {
        return Err(Fault::script(format!("'{text}' is no header: write Name: value")));
    }
    if text.ends_with(b"\n") {
        return Ok(text.clone());
    }
    Ok(Str::from([text, b"\r\n".as_slice()].concat()))
}

fn tag(line: &[u8]) -> EditTag {
    let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
    EditTag::Header(HeaderId::parse(name.trim_ascii()))
}

fn put(cx: &mut Cx, at: u32, place: Place, text: &Str) -> Result<(), Fault> {
    let line = line(text)?;
    cx.spend_bytes(line.len())?;
    let tag = tag(&line);
    cx.edits.insert(at, place, line, tag);
    Ok(())
}

fn append(_: &Core, cx: &mut Cx, text: Str) -> Result<(), Fault> {
    let at = cx.msg.headers_end();
    put(cx, at, Place::After, &text)
}

fn insert(_: &Core, cx: &mut Cx, text: Str) -> Result<(), Fault> {
    let at = cx.msg.headers_start();
    put(cx, at, Place::Before, &text)
}

/// Behind the last header where there is none of the name, as in Kamailio.
fn append_after(_: &Core, cx: &mut Cx, text: Str, name: Str) -> Result<(), Fault> {
    let found = cx.msg.named(&name).next().map(|header| header.line.end());
    let at = found.unwrap_or_else(|| cx.msg.headers_end());
    put(cx, at, Place::After, &text)
}

/// Before the first header where there is none of the name.
fn insert_before(_: &Core, cx: &mut Cx, text: Str, name: Str) -> Result<(), Fault> {
    let found = cx.msg.named(&name).next().map(|header| header.line.start());
    let at = found.unwrap_or_else(|| cx.msg.headers_start());
    put(cx, at, Place::Before, &text)
}

fn remove(_: &Core, cx: &mut Cx, name: Str) {
    let found: Vec<Header> = cx.msg.named(&name).copied().collect();
    for header in found {
        if !cx.edits.is_removed(header.line) {
            cx.edits.remove(header.line, EditTag::Header(header.id));
        }
    }
}

fn rmappend(core: &Core, cx: &mut Cx, name: Str, text: Str) -> Result<(), Fault> {
    remove(core, cx, name);
    append(core, cx, text)
}

fn rminsert(core: &Core, cx: &mut Cx, name: Str, text: Str) -> Result<(), Fault> {
    remove(core, cx, name);
    insert(core, cx, text)
}

fn append_to_reply(_: &Core, cx: &mut Cx, text: Str) -> Result<(), Fault> {
    let line = line(&text)?;
    cx.spend_bytes(line.len())?;
    cx.reply_extra.push(ReplyExtra::Header(line));
    Ok(())
}

fn is_present(_: &Core, cx: &mut Cx, name: Str) -> bool {
    cx.msg.named(&name).next().is_some()
}

fn value(cx: &Cx, name: &Str, index: i64) -> Value {
    let count = cx.msg.named(name).count();
    let header = Index::At(index)
        .pick(count)
        .and_then(|at| cx.msg.named(name).nth(at));
    header.map_or(Value::Null, |header| Value::Str(cx.msg.value_text(header)))
}

fn answer(cx: &mut Cx, name: &Str, index: i64, or: Value) {
    let value = match value(cx, name, index) {
        Value::Null => or,
        value => value,
    };
    Given::set(cx, value);
}

fn get(_: &Core, cx: &mut Cx, name: Str) {
    answer(cx, &name, 0, Value::Null);
}

fn gete(_: &Core, cx: &mut Cx, name: Str) {
    answer(cx, &name, 0, Value::EMPTY);
}

fn getw(_: &Core, cx: &mut Cx, name: Str) {
    answer(cx, &name, 0, super::vars::shown_null());
}

fn get_idx(_: &Core, cx: &mut Cx, name: Str, index: i64) {
    answer(cx, &name, index, Value::Null);
}

fn gete_idx(_: &Core, cx: &mut Cx, name: Str, index: i64) {
    answer(cx, &name, index, Value::EMPTY);
}

fn getw_idx(_: &Core, cx: &mut Cx, name: Str, index: i64) {
    answer(cx, &name, index, super::vars::shown_null());
}

#[cfg(test)]
mod tests {
    use kahea_module::{rpc::RpcValue, testing::Server};

    use super::*;

    fn text(text: &'static str) -> Str {
        Str::from_static(text)
    }

    fn built(cx: &Cx) -> String {
        let mut out = Vec::new();
        let range = 0..cx.msg.headers_end();
        cx.edits.apply(&cx.msg, &mut out, range, &mut |_, _| {});
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn headers_go_where_they_are_told() {
        let (core, mut cx) = (Core::for_tests(), Server::default().invite());
        append(&core, &mut cx, text("X-Last: 1")).expect("a header");
        insert(&core, &mut cx, text("X-First: 1\r\n")).expect("a header");
        append_after(&core, &mut cx, text("X-After: 1\r\n"), text("i")).expect("a header");
        insert_before(&core, &mut cx, text("X-Before: 1\r\n"), text("call-id")).expect("a header");
        rmappend(&core, &mut cx, text("User-Agent"), text("User-Agent: other\r\n")).expect("a header");
        let built = built(&cx);
        let at = |what: &str| built.find(what).unwrap_or_else(|| panic!("{what} in {built}"));
        assert!(at("X-First") < at("Via:") && at("X-Before") < at("Call-ID"));
        assert!(at("Call-ID") < at("X-After") && at("X-After") < at("CSeq"));
        assert!(at("Content-Length") < at("X-Last: 1\r\n") && !built.contains("phone"));
        assert!(append(&core, &mut cx, text("no header")).is_err());
    }

    #[test]
    fn values_are_answered_with_their_stand_ins() {
        let (core, mut cx) = (Core::for_tests(), Server::default().invite());
        type Get = fn(&Core, &mut Cx, Str);
        let cases: [(Get, &'static str, Value); 4] = [
            (get, "User-Agent", Value::Str(text("phone"))),
            (get, "X-No", Value::Null),
            (gete, "X-No", Value::EMPTY),
            (getw, "X-No", Value::Str(text("<null>"))),
        ];
        for (get, name, wanted) in cases {
            get(&core, &mut cx, text(name));
            assert_eq!(Given::take(&mut cx), Some(wanted.into()));
        }
        get_idx(&core, &mut cx, text("Via"), -1);
        assert!(matches!(Given::take(&mut cx), Some(RpcValue::Str(_))));
        get_idx(&core, &mut cx, text("Via"), 1);
        assert_eq!(Given::take(&mut cx), Some(RpcValue::Null));
        assert!(is_present(&core, &mut cx, text("v")) && !is_present(&core, &mut cx, text("X-No")));
    }

    #[test]
    fn replies_get_their_own_headers() {
        let (core, mut cx) = (Core::for_tests(), Server::default().invite());
        append_to_reply(&core, &mut cx, text("X-R: 1")).expect("a header");
        let Some(ReplyExtra::Header(line)) = cx.reply_extra.first() else {
            panic!("a header")
        };
        assert_eq!(&**line, b"X-R: 1\r\n");
    }
}
