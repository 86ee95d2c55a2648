//! The parts of a variable as ranges of bytes.

use std::ops::Range;

/// Where the parts of a variable lie, counted from the start of the text it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) name: Range<usize>,
    /// Between the parentheses after the name.
    pub(super) inner: Option<Range<usize>>,
    /// Between the brackets.
    pub(super) index: Option<Range<usize>>,
    /// Between the braces of each transformation.
    pub(super) transformations: Vec<Range<usize>>,
    /// One past the last byte.
    pub(super) end: usize,
}

/// Why a text is no variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// Where.
    pub(super) at: Range<usize>,
    /// What is wrong.
    pub(super) message: &'static str,
    /// What to do.
    pub(super) help: &'static str,
    /// Whether the text ended too early, so that nothing behind the `$` can be told apart.
    pub(super) unclosed: bool,
}

/// Variables nest at most this deep.
pub(super) const MAX_DEPTH: usize = 16;

/// Reads the variable whose `$` stands at `start`.
pub(super) fn read(text: &[u8], start: usize, depth: usize) -> Result<Shape, Fault> {
    let byte = |at: usize| text.get(at).copied();
    if depth > MAX_DEPTH {
        let at = start..start.saturating_add(1);
        return Err(Fault {
            at,
            message: "variables nested too deeply",
            help: "use a variable for the inner value",
            unclosed: true,
        });
    }
    let mut at = start.saturating_add(1);
    let wrapped = byte(at) == Some(b'(');
    if wrapped {
        at = at.saturating_add(1);
    }
    let name = name(text, at, wrapped);
    if name.is_empty() {
        return Err(Fault {
            at: start..at,
            message: "name missing after `$`",
            help: "a plain dollar sign in a format string is written `$$`",
            unclosed: false,
        });
    }
    at = name.end;
    let mut inner = None;
    if byte(at) == Some(b'(') {
        let from = at.saturating_add(1);
        let to = closing(text, from, b'(', b')')
            .ok_or_else(|| unclosed(start, at, "parenthesis after the name"))?;
        inner = Some(from..to);
        at = to.saturating_add(1);
    }
    let mut shape = Shape {
        name,
        inner,
        index: None,
        transformations: Vec::new(),
        end: at,
    };
    if wrapped {
        read_tail(text, start, depth, &mut shape)?;
    }
    Ok(shape)
}

/// Index, transformations and the closing parenthesis of `$(…)`.
fn read_tail(text: &[u8], start: usize, depth: usize, shape: &mut Shape) -> Result<(), Fault> {
    let byte = |at: usize| text.get(at).copied();
    let mut at = shape.end;
    if byte(at) == Some(b'[') {
        let from = at.saturating_add(1);
        let to = closing(text, from, b'[', b']').ok_or_else(|| unclosed(start, at, "bracket"))?;
        shape.index = Some(from..to);
        at = to.saturating_add(1);
    }
    while byte(at) == Some(b'{') {
        let from = at.saturating_add(1);
        let to = end_of_transformation(text, from, depth).ok_or_else(|| unclosed(start, at, "brace"))?;
        shape.transformations.push(from..to);
        at = to.saturating_add(1);
    }
    while byte(at).is_some_and(|byte| byte.is_ascii_whitespace()) {
        at = at.saturating_add(1);
    }
    match byte(at) {
        Some(b')') => {
            shape.end = at.saturating_add(1);
            Ok(())
        }
        Some(_) => Err(Fault {
            at: at..at.saturating_add(1),
            message: "unexpected character in a variable",
            help: "after the name follow (inner), [index], {class.function,argument} and the closing `)`",
            unclosed: false,
        }),
        None => Err(unclosed(start, start.saturating_add(1), "parenthesis")),
    }
}

fn unclosed(start: usize, at: usize, what: &'static str) -> Fault {
    let message = match what {
        "parenthesis after the name" => "parenthesis after the name of a variable is never closed",
        "bracket" => "`[` in a variable is never closed",
        "brace" => "`{` in a variable is never closed",
        _ => "`$(` is never closed",
    };
    Fault {
        at: start..at.saturating_add(1),
        message,
        help: "close it before the string or line ends",
        unclosed: true,
    }
}

/// Dots belong to names (`$err.class`), but a dot that ends a sentence does not.
fn name(text: &[u8], from: usize, wrapped: bool) -> Range<usize> {
    let tail = text.get(from..).unwrap_or_default();
    if tail.first() == Some(&b'?') {
        return from..from.saturating_add(1);
    }
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
    let found = tail.iter().take_while(|byte| is_name(byte)).count();
    let mut found = tail.get(..found).unwrap_or_default();
    while !wrapped && let Some(shorter) = found.strip_suffix(b".") {
        found = shorter;
    }
    from..from.saturating_add(found.len())
}

/// Where the bracket that was opened just before `from` is closed; brackets of its kind nest.
fn closing(text: &[u8], from: usize, open: u8, close: u8) -> Option<usize> {
    let mut depth = 0_usize;
    for (offset, byte) in text.get(from..)?.iter().enumerate() {
        if *byte == open {
            depth = depth.saturating_add(1);
        } else if *byte == close {
            match depth.checked_sub(1) {
                Some(less) => depth = less,
                None => return Some(from.saturating_add(offset)),
            }
        }
    }
    None
}

/// The brace that ends a transformation: variables in it have their own; in regular expressions (`re`) braces nest,
/// elsewhere an opening one is an argument like any other character.
fn end_of_transformation(text: &[u8], from: usize, depth: usize) -> Option<usize> {
    if text.get(from..)?.starts_with(b"re.") {
        return closing(text, from, b'{', b'}');
    }
    let mut at = from;
    loop {
        match text.get(at)? {
            b'}' => return Some(at),
            b'$' => {
                at = match read(text, at, depth.saturating_add(1)) {
                    Ok(shape) => shape.end,
                    // Trying each further `$` would take time without bound.
                    Err(fault) if fault.unclosed => return None,
                    Err(_) => at.saturating_add(1),
                };
            }
            _ => at = at.saturating_add(1),
        }
    }
}
