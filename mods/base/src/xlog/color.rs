//! Terminal colours: `$C(xy)` and the colours of log levels.

use kahea_module::{Bind, BindError, Str, log::Level};

/// The escape sequence of one `$C(xy)`.
pub struct Sequence(pub Str);

/// Reads two letters: foreground and background. A capital foreground is bold; `x` is the terminal's own.
pub fn parse(name: &str, _: &dyn Bind) -> Result<Sequence, BindError> {
    pair(name)
        .and_then(|[foreground, background]| sequence(foreground, background))
        .ok_or_else(|| {
            BindError::new(format!("'{name}' is no pair of colours")).help(
            "write two of x s r g y b p c w (default, black, red, green, yellow, blue, purple, cyan, white)",
        )
        })
}

/// Reads `L_ERR=cr;L_WARN=px`.
pub fn parse_levels(text: &str) -> Result<Vec<(Level, [u8; 2])>, BindError> {
    text.split(';')
        .map(str::trim)
        .filter(|item| !item.is_empty())
        .map(parse_level)
        .collect()
}

fn parse_level(item: &str) -> Result<(Level, [u8; 2]), BindError> {
    let (name, colors) = item.split_once('=').ok_or_else(|| {
        BindError::new(format!("'{item}' does not set the colours of a level")).help("write \"L_ERR=cr\"")
    })?;
    let level = super::level_named(name).ok_or_else(|| super::level_error(name))?;
    let known = pair(colors.trim()).filter(|[f, b]| sequence(*f, *b).is_some());
    let colors = known.ok_or_else(|| {
        BindError::new(format!("'{colors}' is no pair of colours")).help("write \"L_ERR=cr\"")
    })?;
    Ok((level, colors))
}

fn pair(text: &str) -> Option<[u8; 2]> {
    text.as_bytes().try_into().ok()
}

fn sequence(foreground: u8, background: u8) -> Option<Sequence> {
    let bold = u8::from(foreground.is_ascii_uppercase());
    let front = color(foreground.to_ascii_lowercase())?;
    let back = color(background)?;
    Some(Sequence(Str::from(format!("\x1b[{bold};3{front};4{back}m"))))
}

/// The last digit of the colour in ECMA-48's SGR codes 30–39 and 40–49.
const fn color(letter: u8) -> Option<u8> {
    Some(match letter {
        b's' => 0,
        b'r' => 1,
        b'g' => 2,
        b'y' => 3,
        b'b' => 4,
        b'p' => 5,
        b'c' => 6,
        b'w' => 7,
        b'x' => 9,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_letters_make_an_escape_sequence() {
        let text = |name: &str| parse(name, &kahea_module::testing::FakeBind::default()).map(|s| s.0);
        assert_eq!(text("rg").unwrap(), "\x1b[0;31;42m");
        assert_eq!(text("xx").unwrap(), "\x1b[0;39;49m");
        assert_eq!(text("Bx").unwrap(), "\x1b[1;34;49m");
        assert!(text("_x").is_err());
        assert!(text("r").is_err());
    }

    #[test]
    fn levels_get_colors() {
        let all = parse_levels("L_ERR=cr;L_WARN=px").unwrap();
        assert_eq!(all, [(Level::Error, *b"cr"), (Level::Warning, *b"px")]);
        assert!(parse_levels("L_ERR").is_err());
        assert!(parse_levels("L_ERR=zz").is_err());
    }
}
