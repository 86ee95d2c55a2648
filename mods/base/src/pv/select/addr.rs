//! The parts of an address: `.name`, `.uri`, `.tag`, `.params.x`.

use std::sync::Arc;

use kahea_module::Str;
use kahea_sip::view::{Addrs, NameAddr};

use super::{Read, Word, name, uri};

/// The last address of the list that `source` yields, alone: Kamailio's selects read this one of a Contact header.
pub fn last(source: Read) -> Read {
    Arc::new(move |cx| {
        let text = source(cx)?;
        let addr = Addrs::new(&text).flatten().last()?;
        Some(text.share(addr.raw))
    })
}

/// The select of a part of the first address that `source` yields.
///
/// A display name that is not there is null where `strict` (From, To and their kind), an empty text elsewhere.
pub fn of(source: Read, words: &[Word], strict: bool) -> Option<Read> {
    let (word, rest) = match words.split_first() {
        None => return Some(source),
        Some((word, rest)) => (name(word)?, rest),
    };
    if word == "uri" {
        let inner = read(source, |text, addr| Some(text.share(addr.uri)));
        return uri::of(inner, rest);
    }
    Some(match (word, rest) {
        ("name", []) if strict => read(source, |text, addr| {
            (!addr.display.is_empty()).then(|| text.share(addr.display))
        }),
        ("name", []) => read(source, |text, addr| Some(text.share(addr.display))),
        ("tag", []) if strict => read(source, |text, addr| addr.tag().map(|tag| text.share(tag))),
        ("params", [param]) => {
            let param = name(param)?.to_owned();
            read(source, move |text, addr| value(text, addr, &param))
        }
        ("params", []) => read(source, |text, addr| {
            (!addr.params.is_empty()).then(|| text.share(addr.params.raw))
        }),
        _ => return None,
    })
}

/// A parameter without its quotes.
pub fn value(text: &Str, addr: &NameAddr<'_>, param: &str) -> Option<Str> {
    let param = addr.params.get(param).filter(|param| param.value.is_some())?;
    Some(text.share(&param.unquoted()))
}

/// The select of what `part` finds in the first address.
pub fn read(source: Read, part: impl Fn(&Str, &NameAddr<'_>) -> Option<Str> + Send + Sync + 'static) -> Read {
    Arc::new(move |cx| {
        let text = source(cx)?;
        let addr = Addrs::new(&text).next()?.ok()?;
        part(&text, &addr)
    })
}
