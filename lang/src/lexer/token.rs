//! [`Token`]: a word of the language.

use std::{fmt, net::IpAddr};

use kahea_diag::Span;

use crate::{ast::Text, pv::Pv};

/// A word with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    /// What it is.
    pub kind: Tok,
    /// Where it stands.
    pub span: Span,
}

/// What a token is.
#[derive(Clone, Debug, PartialEq)]
pub enum Tok {
    /// A word: letters, digits and `_`, not beginning with a digit.
    Ident(Box<str>),
    /// A word that begins with a digit and is no number, as in `1and1.example`.
    NumWord(Box<str>),
    /// A number.
    Int(i64),
    /// An address, without brackets.
    Ip(IpAddr),
    /// A string, neighbours joined.
    Str(Box<Text>),
    /// A pseudo-variable.
    Pv(Box<Pv>),
    /// An operator or a bracket.
    Punct(&'static str),
    /// Something malformed that has been reported already.
    Bad,
    /// The end of the configuration.
    End,
}

impl fmt::Display for Tok {
    /// As it is called in messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Tok::Ident(word) | Tok::NumWord(word) => write!(f, "`{word}`"),
            Tok::Int(number) => write!(f, "`{number}`"),
            Tok::Ip(address) => write!(f, "`{address}`"),
            Tok::Str(_) => f.write_str("a string"),
            Tok::Pv(pv) => write!(f, "`{}`", pv.raw),
            Tok::Punct(text) => write!(f, "`{text}`"),
            Tok::Bad => f.write_str("something malformed"),
            Tok::End => f.write_str("the end of the configuration"),
        }
    }
}
