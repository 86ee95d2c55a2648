//! Module `print`: writes a text to the standard output.

use std::io::Write;

use kahea_module::{Cx, Decl, Env, Fault, InitError, Module, Str};

/// The module.
pub struct Print;

/// Its parameters, which Kamailio's example module has without a use for them.
#[derive(Default)]
pub struct Params {
    text: Str,
    number: i64,
}

impl Module for Print {
    const NAME: &'static str = "print";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        d.param(
            "str_param",
            |p| &mut p.text,
            "Has no meaning: it shows how modules take texts.",
        );
        d.param(
            "int_param",
            |p| &mut p.number,
            "Has no meaning: it shows how modules take numbers.",
        );
        d.func(
            "print",
            ["text"],
            print,
            "Writes a text and a line end to the standard output.",
        );
    }

    fn init(_: Params, _: &mut Env<'_>) -> Result<Self, InitError> {
        Ok(Print)
    }
}

fn print(_: &Print, _: &mut Cx, text: Str) -> Result<bool, Fault> {
    let line = [&*text, b"\n"].concat();
    let failed = |error| Fault::backend(format!("the standard output cannot be written: {error}"));
    std::io::stdout().lock().write_all(&line).map_err(failed)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::*;

    #[test]
    fn a_text_is_written() {
        assert_eq!(
            print(&Print, &mut Server::default().invite(), Str::from("hello")),
            Ok(true)
        );
    }
}
