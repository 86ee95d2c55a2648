//! `KSR.hdr.match_content()`.

use kahea_module::{Cx, Fault, Str};

use crate::core_module::Core;

/// Compares values of headers with a text.
pub fn match_content(
    _: &Core,
    cx: &mut Cx,
    name: Str,
    operator: Str,
    wanted: Str,
    which: Str,
) -> Result<bool, Fault> {
    let fits: fn(&[u8], &[u8]) -> bool = match &*operator {
        b"eq" => |value, wanted| value == wanted,
        b"ne" => |value, wanted| value != wanted,
        b"sw" => |value, wanted| value.starts_with(wanted),
        b"in" => |value, wanted| memchr::memmem::find(value, wanted).is_some(),
        _ => {
            return Err(Fault::script(format!(
                "there is no operator '{operator}'; use eq, ne, sw or in"
            )));
        }
    };
    let mut values = cx.msg.named(&name).map(|header| cx.msg.value(header));
    let mut fits = |value: &[u8]| fits(value, &wanted);
    Ok(match &*which {
        b"f" => values.next().is_some_and(fits),
        b"l" => values.next_back().is_some_and(fits),
        b"o" => values.any(fits),
        b"a" => {
            let mut values = values.peekable();
            values.peek().is_some() && values.all(&mut fits)
        }
        _ => {
            return Err(Fault::script(format!(
                "there is no choice '{which}'; use f, l, a or o"
            )));
        }
    })
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::*;

    #[test]
    fn headers_are_compared_one_or_all() {
        let mut cx = Server::default().message(
            "OPTIONS sip:x@y SIP/2.0\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKa\nFrom: <sip:a@b>;tag=1\nTo: <sip:a@b>\nCall-ID: 1\nCSeq: 1 OPTIONS\nX: one\nX: two\n",
        );
        let core = Core::for_tests();
        let mut test = |operator: &'static str, value: &'static str, which: &'static str| {
            let text = Str::from_static;
            match_content(
                &core,
                &mut cx,
                text("x"),
                text(operator),
                text(value),
                text(which),
            )
            .ok()
        };
        assert_eq!(test("eq", "one", "f"), Some(true));
        assert_eq!(test("eq", "one", "l"), Some(false));
        assert_eq!(test("in", "w", "o"), Some(true));
        assert_eq!(test("ne", "one", "a"), Some(false));
        assert_eq!(test("sw", "t", "l"), Some(true));
        assert_eq!(test("xx", "t", "l"), None);
        assert_eq!(test("sw", "t", "x"), None);
    }
}
