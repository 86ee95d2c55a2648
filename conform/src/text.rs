//! Bytes as text and back: what is not UTF-8 survives the round trip, and one escape syntax serves every input.

use std::fmt::Write as _;

/// First of 256 private characters that stand for a byte which is not part of valid UTF-8.
const RAW: u32 = 0xF_0000;

/// Turns bytes into text; each byte that is not UTF-8 becomes a private character which [`encode`] turns back.
pub fn decode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        out.extend(chunk.invalid().iter().map(|byte| raw(*byte)));
    }
    out
}

/// Turns text from [`decode`] or [`unescape`] back into bytes.
pub fn encode(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut buffer = [0; 4];
    for c in text.chars() {
        match u32::from(c)
            .checked_sub(RAW)
            .and_then(|offset| u8::try_from(offset).ok())
        {
            Some(byte) => out.push(byte),
            None => out.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes()),
        }
    }
    out
}

/// Makes text fit for a transcript: line feeds and tabs stay, other control characters and raw bytes become `\xHH`.
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.replace("\r\n", "\n").chars() {
        let raw_byte = u32::from(c)
            .checked_sub(RAW)
            .and_then(|offset| u8::try_from(offset).ok());
        match (c, raw_byte) {
            ('\r', _) => out.push_str("<CR>"),
            (_, Some(byte)) => push_hex(&mut out, byte),
            ('\n' | '\t', _) => out.push(c),
            _ if c.is_ascii_control() => push_hex(&mut out, c as u8),
            _ => out.push(c),
        }
    }
    out
}

fn push_hex(out: &mut String, byte: u8) {
    // Writing to a String cannot fail.
    let _ = write!(out, "\\x{byte:02X}");
}

/// Resolves the escapes of a scenario: `\r \n \t \0 \\ \" \xHH`, and `\*{N,text}` for N copies of text.
///
/// # Errors
/// Names the escape that is unknown or incomplete.
pub fn unescape(text: &str) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let mut chars = after.chars();
        let Some(c) = chars.next() else {
            return Err("a backslash at the end".into());
        };
        rest = chars.as_str();
        match c {
            'r' => out.push('\r'),
            'n' => out.push('\n'),
            't' => out.push('\t'),
            '0' => out.push('\0'),
            '\\' | '"' => out.push(c),
            'x' => rest = hex(rest, &mut out)?,
            '*' => rest = repeat(rest, &mut out)?,
            other => {
                return Err(format!(
                    "unknown escape \\{other} (double the backslash to send one)"
                ));
            }
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn hex<'a>(rest: &'a str, out: &mut String) -> Result<&'a str, String> {
    let (digits, rest) = rest
        .split_at_checked(2)
        .ok_or("\\x needs two hexadecimal digits")?;
    let byte = u8::from_str_radix(digits, 16).map_err(|_| format!("\\x{digits} is not hexadecimal"))?;
    out.push(if byte.is_ascii() {
        char::from(byte)
    } else {
        raw(byte)
    });
    Ok(rest)
}

fn repeat<'a>(rest: &'a str, out: &mut String) -> Result<&'a str, String> {
    let wrong = "\\*{N,text} needs a count, a comma, a text and a closing brace";
    let (inner, rest) = rest
        .strip_prefix('{')
        .and_then(|r| r.split_once('}'))
        .ok_or(wrong)?;
    let (count, text) = inner.split_once(',').ok_or(wrong)?;
    let count: usize = count.trim().parse().map_err(|_| wrong)?;
    out.push_str(&unescape(text)?.repeat(count));
    Ok(rest)
}

fn raw(byte: u8) -> char {
    char::from_u32(RAW + u32::from(byte)).unwrap_or(char::REPLACEMENT_CHARACTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_survive_the_round_trip() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(encode(&decode(&all)), all);
        assert_eq!(encode(&decode("žluť".as_bytes())), "žluť".as_bytes());
    }

    #[test]
    fn escapes() {
        assert_eq!(encode(&unescape(r"a\x41\xff\r\n\\").unwrap()), b"aA\xff\r\n\\");
        assert_eq!(unescape(r"x\*{3,ab}y").unwrap(), "xabababy");
        assert!(unescape(r"\q").is_err());
        assert!(unescape(r"\x4").is_err());
        assert!(unescape(r"\*{x,y}").is_err());
    }

    #[test]
    fn transcripts_are_printable() {
        assert_eq!(visible(&decode(b"a\r\nb\rc\xfe\0\t")), "a\nb<CR>c\\xFE\\x00\t");
    }
}
