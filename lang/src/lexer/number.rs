//! Numbers and IPv4 addresses.

use std::net::Ipv4Addr;

use kahea_diag::{Diagnostic, Diagnostics, codes};

use super::{Lexer, Tok, Token, is_word};

impl Lexer {
    /// A number, an IPv4 address, or a word that begins with a digit.
    pub(super) fn number(&mut self, diagnostics: &mut Diagnostics) -> Token {
        if let Some(token) = self.ipv4(diagnostics) {
            return token;
        }
        let start = self.pos;
        let length = self.rest().iter().take_while(|byte| is_word(**byte)).count();
        self.pos = self.pos.saturating_add(length);
        let span = self.span_from(start);
        let text = String::from_utf8_lossy(self.text.get(start..self.pos).unwrap_or_default()).into_owned();
        let kind = match parse(&text) {
            Ok(number) => Tok::Int(number),
            Err(Fault::Word) => Tok::NumWord(text.into()),
            Err(Fault::Range) => {
                let message = format!("`{text}` is out of range");
                diagnostics.push(
                    Diagnostic::error(codes::BAD_NUMBER, span, message)
                        .help("numbers go from -9223372036854775808 to 9223372036854775807"),
                );
                Tok::Bad
            }
            Err(Fault::Octal) => {
                let message = format!("`{text}` begins with 0 and is no octal number");
                diagnostics.push(
                    Diagnostic::error(codes::BAD_NUMBER, span, message)
                        .help("leave the leading 0 out for a decimal number"),
                );
                Tok::Bad
            }
        };
        Token { kind, span }
    }

    /// Four numbers with dots between them.
    fn ipv4(&mut self, diagnostics: &mut Diagnostics) -> Option<Token> {
        let length = self
            .rest()
            .iter()
            .take_while(|byte| byte.is_ascii_digit() || **byte == b'.')
            .count();
        let mut text = std::str::from_utf8(self.rest().get(..length)?).ok()?;
        let ends_in_word = self.rest().get(length).is_some_and(|byte| is_word(*byte));
        text = text.strip_suffix('.').unwrap_or(text);
        let parts: Vec<&str> = text.split('.').collect();
        if parts.len() != 4 || parts.iter().any(|part| part.is_empty()) || ends_in_word {
            return None;
        }
        let octets: Option<Vec<u8>> = parts.iter().map(|part| part.parse().ok()).collect();
        let octets: Option<[u8; 4]> = octets.and_then(|octets| octets.try_into().ok());
        let message = format!("`{text}` is no IPv4 address");
        let start = self.pos;
        self.pos = self.pos.saturating_add(text.len());
        let span = self.span_from(start);
        let kind = match octets {
            Some(octets) => Tok::Ip(Ipv4Addr::from(octets).into()),
            None => {
                diagnostics.push(
                    Diagnostic::error(codes::BAD_ADDRESS, span, message).label("each number is 255 at most"),
                );
                Tok::Bad
            }
        };
        Some(Token { kind, span })
    }
}

#[derive(Debug, PartialEq)]
enum Fault {
    /// It is no number but a word.
    Word,
    /// It does not fit.
    Range,
    /// It begins with 0 and has an 8 or a 9.
    Octal,
}

fn parse(text: &str) -> Result<i64, Fault> {
    let radix = |digits: &str, radix| i64::from_str_radix(digits, radix).map_err(|_| Fault::Range);
    if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        let is_hex = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        return if is_hex {
            radix(digits, 16)
        } else {
            Err(Fault::Word)
        };
    }
    if let Some(digits) = text.strip_suffix('b') {
        let is_binary = !digits.is_empty() && digits.bytes().all(|byte| matches!(byte, b'0' | b'1'));
        return if is_binary {
            radix(digits, 2)
        } else {
            Err(Fault::Word)
        };
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Fault::Word);
    }
    match text.strip_prefix('0') {
        Some(digits) if !digits.is_empty() => {
            let is_octal = digits.bytes().all(|byte| byte < b'8');
            if is_octal {
                radix(digits, 8)
            } else {
                Err(Fault::Octal)
            }
        }
        _ => radix(text, 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(parse("0"), Ok(0));
        assert_eq!(parse("42"), Ok(42));
        assert_eq!(parse("0x1F"), Ok(31));
        assert_eq!(parse("010"), Ok(8));
        assert_eq!(parse("101b"), Ok(5));
        assert_eq!(parse("9223372036854775807"), Ok(i64::MAX));
        assert_eq!(parse("9223372036854775808"), Err(Fault::Range));
        assert_eq!(parse("09"), Err(Fault::Octal));
        assert_eq!(parse("1and1"), Err(Fault::Word));
        assert_eq!(parse("0x"), Err(Fault::Word));
        assert_eq!(parse("12b"), Err(Fault::Word));
    }
}
