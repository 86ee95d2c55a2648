//! Selects of textopsx: `@hf_value.x_name[2]`, the values of headers that hold lists.

use std::sync::Arc;

use kahea_module::{Cx, Str};
use kahea_sip::view::Params;

use super::{Read, Word, addr, index, message, name, place, uri};

/// The select of that name.
pub fn root(first: &str, rest: &[Word]) -> Option<Read> {
    match (first, rest) {
        ("hf_value", [header, rest @ ..]) => value(header_name(header)?, rest),
        ("hf_value2", [header, rest @ ..]) => whole(header_name(header)?, rest),
        ("hf_value_exists", [header, wanted]) => {
            let (header, wanted) = (header_name(header)?, name(wanted)?.to_owned());
            Some(Arc::new(move |cx| {
                let found = values(cx, &header).any(|value| *value == *wanted.as_bytes());
                Some(Str::from_static(if found { "1" } else { "0" }))
            }))
        }
        _ => None,
    }
}

/// In a header's name `_` stands for `-`.
fn header_name(word: &Word) -> Option<Str> {
    Some(Str::from(name(word)?.replace('_', "-")))
}

/// Every value of the header, those divided by commas one by one.
fn values<'a>(cx: &'a Cx, header: &'a Str) -> impl Iterator<Item = &'a [u8]> {
    // Quoted strings and brackets hide commas; the raw text of an element is its value.
    cx.msg.named(header).flat_map(|header| {
        Params::auth(cx.msg.value(header))
            .iter()
            .map(|element| element.raw)
    })
}

fn value(header: Str, rest: &[Word]) -> Option<Read> {
    let (at, rest) = index(rest);
    let one = {
        let header = header.clone();
        let read: Read = Arc::new(move |cx: &mut Cx| {
            let at = place(at, values(cx, &header).count())?;
            let value = values(cx, &header).nth(at)?;
            Some(cx.msg.buffer().share(value))
        });
        read
    };
    match rest {
        [] if at.is_some() => Some(one),
        [] => Some(Arc::new(move |cx| {
            let all: Vec<&[u8]> = values(cx, &header).collect();
            (!all.is_empty()).then(|| Str::from(all.join(&b","[..])))
        })),
        [word, rest @ ..] => match (name(word)?, rest) {
            ("uri", rest) => uri::of(addr::of(one, &[Word::Name("uri".to_owned())], false)?, rest),
            ("name", []) => Some(addr::read(one, |text, addr| Some(text.share(&addr.unquoted())))),
            ("nameaddr", rest) => addr::of(one, rest, false),
            ("p" | "param", [param]) => message::header_params(one, std::slice::from_ref(param)),
            ("params", rest) => message::header_params(one, rest),
            _ => None,
        },
    }
}

/// `@hf_value2`: the whole value of a header that holds no list.
fn whole(header: Str, rest: &[Word]) -> Option<Read> {
    let (at, rest) = index(rest);
    let read: Read = Arc::new(move |cx: &mut Cx| {
        let at = place(at, cx.msg.named(&header).count())?;
        let found = cx.msg.named(&header).nth(at)?;
        Some(cx.msg.text(found.value))
    });
    match rest {
        [] => Some(read),
        [word, rest @ ..] => match (name(word)?, rest) {
            ("uri", rest) => uri::of(read, rest),
            ("nameaddr", rest) => addr::of(read, rest, false),
            ("params", rest) => message::header_params(read, rest),
            _ => None,
        },
    }
}
