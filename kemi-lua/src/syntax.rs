//! Whether a text is Lua, without running it.

use mlua::Lua;

use crate::state::message;

/// What Lua says about a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// From 1.
    pub line: u32,
    /// In Lua's words.
    pub message: String,
}

/// Compiles a script for its errors.
///
/// # Errors
/// It is no Lua; the first mistake.
pub fn check_syntax(text: &[u8]) -> Result<(), SyntaxError> {
    let compiled = Lua::new().load(text).set_name("=script").into_function();
    compiled.map(drop).map_err(|error| {
        let text = message(&error);
        let parts = text
            .strip_prefix("script:")
            .and_then(|rest| rest.split_once(": "));
        match parts.and_then(|(line, what)| Some((line.parse().ok()?, what))) {
            Some((line, what)) => SyntaxError {
                line,
                message: what.to_owned(),
            },
            None => SyntaxError {
                line: 1,
                message: text,
            },
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_have_lines() {
        assert_eq!(check_syntax(b"function f() return 1 end"), Ok(()));
        let error = check_syntax(b"x = 1\nfunction f(\n").expect_err("no Lua");
        assert_eq!(error.line, 3, "{error:?}");
        assert!(error.message.contains("expected"), "{error:?}");
    }
}
