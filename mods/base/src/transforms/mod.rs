//! The transformations of module `pv` (`{s.len}`, `{uri.user}`, …), and `{sock.…}` for `corex`.
//!
//! One file per class; class `s` has one file per group. Common rules, as Kamailio has them: what has no value, or cannot be
//! done with the value, is `$null`, which prints as nothing behind a transformation; a part that is merely absent is the
//! empty text. A result that is longer than its input and than [`MAX_RESULT`] is `$null` too, so that chains cannot grow
//! without bounds.

mod address;
mod args;
mod codec;
mod cut;
mod digest;
mod escape;
mod line;
mod param;
mod socket;
mod spaces;
mod text;
mod uri;
mod value;

use kahea_module::{Decl, Module, Str, Value};

pub use self::{digest::core_hash, socket::declare_sock};

/// The longest text in bytes that a transformation makes out of a shorter one.
pub const MAX_RESULT: usize = 65_536;

/// Declares every class of module `pv`: s, nameaddr, uri, param, tobody, line, urialias, val, num.
pub fn declare<M: Module>(d: &mut Decl<M>) {
    text::declare(d);
    cut::declare(d);
    spaces::declare(d);
    digest::declare(d);
    codec::declare(d);
    escape::declare(d);
    uri::declare(d);
    param::declare(d);
    address::declare(d);
    line::declare(d);
    socket::declare(d);
    value::declare(d);
}

/// Declares a transformation without arguments that works on a text.
macro_rules! on_text {
    ($d:expr, $class:literal, $($name:literal, $doc:literal, $run:expr;)+) => {
        $($d.transform(
            $class,
            $name,
            &[],
            kahea_module::TransformKind::Args(0, 0, |_, value, _| {
                crate::transforms::with_text(&value, $run)
            }),
            $doc,
        );)+
    };
}
use on_text;

/// Runs over the value's text; `$null` stays `$null`.
fn with_text(value: &Value, run: impl FnOnce(&Str) -> Value) -> Value {
    match value {
        Value::Str(text) => bounded(text.len(), run(text)),
        Value::Int(n) => run(&kahea_module::value::int_text(*n)),
        Value::Null => Value::Null,
    }
}

fn bounded(input: usize, result: Value) -> Value {
    match &result {
        Value::Str(text) if text.len() > input.max(MAX_RESULT) => Value::Null,
        _ => result,
    }
}

#[cfg(test)]
mod testing;

#[cfg(test)]
mod tests {
    use super::{testing::apply, *};

    #[test]
    fn null_stays_null_and_prints_nothing() {
        for step in [
            "s.len",
            "s.md5",
            "uri.user",
            "line.count",
            "nameaddr.uri",
            "tobody.uri",
            "urialias.encode",
        ] {
            assert_eq!(apply(Value::Null, step), Value::Null, "{step}");
        }
    }

    #[test]
    fn numbers_have_a_text() {
        assert_eq!(apply(Value::Int(-56), "s.len"), Value::Int(3));
        assert_eq!(apply(Value::Int(1234), "s.substr,1,1"), Value::from("2"));
    }

    #[test]
    fn results_do_not_grow_without_bounds() {
        let long = Value::from(vec![b'a'; 60_000]);
        assert_eq!(apply(long.clone(), "s.prefixes"), Value::Null);
        assert_eq!(apply(long.clone(), "s.replace,a,bb"), Value::Null);
        assert_eq!(apply(long.clone(), "s.encode.hexa"), Value::Null);
        assert_eq!(apply(long.clone(), "s.fmtlines,1,9000"), Value::Null);
        assert_eq!(apply(long, "s.len"), Value::Int(60_000));
    }
}
