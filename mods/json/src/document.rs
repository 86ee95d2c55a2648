//! JSON documents (RFC 8259) as scripts see them: members keep their order, numbers their text.
//!
//! Kamailio's modules read with two libraries that differ in what they take and in how they write. Both ways are here,
//! over one tree: [`Dialect::Strict`] is that of module `jansson`, [`Dialect::Loose`] that of module `json`.

mod read;
mod write;

use indexmap::IndexMap;
use kahea_module::Str;

pub use self::write::{Style, escaped, significant};

/// Which texts are documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// RFC 8259 with an object or array at the top, unique names, UTF-8, and integers of 64 bits.
    Strict,
    /// Also single quotes, a comma before a closing bracket, `NaN`, text behind the document, and any case of `true`.
    Loose,
}

/// A number: what it is, and how it was written.
#[derive(Clone, Debug, PartialEq)]
pub enum Number {
    /// Without fraction and exponent.
    Int(i128),
    /// The rest; the text where it was read from one.
    Real(f64, Option<Str>),
}

/// A value of a document.
#[derive(Clone, Debug, PartialEq, Default)]
pub enum Node {
    /// `null`.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A text, without its escapes.
    Text(Str),
    /// An array.
    Array(Vec<Node>),
    /// An object.
    Object(IndexMap<Str, Node>),
}

/// Why a text is no document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// What is wrong.
    pub what: &'static str,
    /// Bytes before the place.
    pub at: usize,
}

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at byte {}", self.what, self.at)
    }
}

impl Node {
    /// Reads a document.
    ///
    /// # Errors
    /// It is none in this dialect, or is nested too deeply.
    pub fn read(text: &[u8], dialect: Dialect) -> Result<Node, Malformed> {
        read::document(text, dialect)
    }

    /// Writes it.
    pub fn text(&self, style: Style) -> Str {
        let mut out = Vec::new();
        write::node(self, style, &mut out);
        Str::from(out)
    }

    /// A member of an object.
    pub fn member(&self, name: &[u8]) -> Option<&Node> {
        match self {
            Node::Object(members) => members.get(name),
            _ => None,
        }
    }

    /// An integer.
    pub fn int(n: i64) -> Node {
        Node::Number(Number::Int(i128::from(n)))
    }
}
