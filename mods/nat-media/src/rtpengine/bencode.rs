//! Bencode, the encoding of rtpengine's ng protocol (BEP 3).

use kahea_module::Str;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `i…e`
    Int(i64),
    /// `N:…`
    Text(Str),
    /// `l…e`
    List(Vec<Value>),
    /// `d…e`; keys in the order in which they stand, which receivers do not look at.
    Dict(Vec<(Str, Value)>),
}

/// Deeper values are refused: rtpengine's answers have some six levels.
const DEPTH: usize = 32;

/// Why bytes are no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// More bytes are needed.
    Short,
    /// No bytes can make them one.
    Wrong,
}

impl Value {
    /// An empty dictionary.
    pub const fn dict() -> Value {
        Value::Dict(Vec::new())
    }

    /// Reads one value, which all of `bytes` belong to.
    ///
    /// # Errors
    /// They are none.
    pub fn parse(bytes: &Str) -> Result<Value, Trouble> {
        match read(bytes, bytes, 0)? {
            (value, []) => Ok(value),
            _ => Err(Trouble::Wrong),
        }
    }

    /// Reads the value at the start of `bytes`, whatever follows.
    ///
    /// # Errors
    /// There is none.
    pub fn parse_first(bytes: &Str) -> Result<Value, Trouble> {
        read(bytes, bytes, 0).map(|(value, _)| value)
    }

    /// Whether bytes are a whole value: `None` while more are needed, `Some(false)` where none can help.
    pub fn is_whole(bytes: &[u8]) -> Option<bool> {
        match read(&Str::EMPTY, bytes, 0) {
            Ok(_) => Some(true),
            Err(Trouble::Short) => None,
            Err(Trouble::Wrong) => Some(false),
        }
    }

    /// Adds its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Value::Int(number) => {
                out.push(b'i');
                kahea_module::value::push_int(*number, out);
                out.push(b'e');
            }
            Value::Text(text) => push_text(text, out),
            Value::List(items) => {
                out.push(b'l');
                items.iter().for_each(|item| item.encode(out));
                out.push(b'e');
            }
            Value::Dict(members) => {
                out.push(b'd');
                for (key, value) in members {
                    push_text(key, out);
                    value.encode(out);
                }
                out.push(b'e');
            }
        }
    }

    /// A member of a dictionary.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let members = self.members();
        members
            .iter()
            .find(|(name, _)| *name == key)
            .map(|(_, value)| value)
    }

    /// The members of a dictionary; none of another value.
    pub fn members(&self) -> &[(Str, Value)] {
        match self {
            Value::Dict(members) => members,
            _ => &[],
        }
    }

    /// The elements of a list; none of another value.
    pub fn items(&self) -> &[Value] {
        match self {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// Its text.
    pub fn text(&self) -> Option<&Str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Its number.
    pub fn int(&self) -> Option<i64> {
        match self {
            Value::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// The text of a member.
    pub fn text_of(&self, key: &str) -> Option<&Str> {
        self.get(key)?.text()
    }

    /// The number of a member.
    pub fn int_of(&self, key: &str) -> Option<i64> {
        self.get(key)?.int()
    }

    /// Sets a member of a dictionary; one that is there keeps its place.
    pub fn set(&mut self, key: impl Into<Str>, value: impl Into<Value>) {
        let (key, value) = (key.into(), value.into());
        let Value::Dict(members) = self else { return };
        match members.iter_mut().find(|(name, _)| *name == key) {
            Some((_, known)) => *known = value,
            None => members.push((key, value)),
        }
    }

    /// Adds an element to a member that is a list.
    pub fn add(&mut self, key: &str, item: impl Into<Value>) {
        let Value::Dict(members) = self else { return };
        let item = item.into();
        match members.iter_mut().find(|(name, _)| *name == key) {
            Some((_, Value::List(items))) => items.push(item),
            Some((_, known)) => *known = Value::List(vec![item]),
            None => members.push((Str::from(key), Value::List(vec![item]))),
        }
    }

    /// A member that is a dictionary, made where it is new; `None` where this is none.
    pub fn inner(&mut self, key: &'static str) -> Option<&mut Value> {
        let Value::Dict(members) = self else {
            return None;
        };
        let at = match members.iter().position(|(name, _)| *name == key) {
            Some(at) => at,
            None => {
                members.push((Str::from_static(key), Value::dict()));
                members.len().checked_sub(1)?
            }
        };
        members.get_mut(at).map(|(_, value)| value)
    }
}

impl From<Str> for Value {
    fn from(text: Str) -> Value {
        Value::Text(text)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(Str::from(text))
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Value {
        Value::Int(number)
    }
}

fn push_text(text: &[u8], out: &mut Vec<u8>) {
    kahea_module::value::push_int(i64::try_from(text.len()).unwrap_or(i64::MAX), out);
    out.push(b':');
    out.extend_from_slice(text);
}

/// Takes a value off the start of `bytes`; texts share the buffer of `whole`.
fn read<'a>(whole: &Str, bytes: &'a [u8], depth: usize) -> Result<(Value, &'a [u8]), Trouble> {
    if depth > DEPTH {
        return Err(Trouble::Wrong);
    }
    let deeper = depth.saturating_add(1);
    match bytes {
        [] => Err(Trouble::Short),
        [b'i', rest @ ..] => {
            let (digits, rest) = until(rest, b'e', 20)?;
            let number = std::str::from_utf8(digits)
                .ok()
                .and_then(|digits| digits.parse().ok());
            Ok((Value::Int(number.ok_or(Trouble::Wrong)?), rest))
        }
        [b'l', rest @ ..] => {
            let (mut items, mut rest) = (Vec::new(), rest);
            loop {
                if let [b'e', after @ ..] = rest {
                    return Ok((Value::List(items), after));
                }
                let (item, after) = read(whole, rest, deeper)?;
                items.push(item);
                rest = after;
            }
        }
        [b'd', rest @ ..] => {
            let (mut members, mut rest) = (Vec::new(), rest);
            loop {
                if let [b'e', after @ ..] = rest {
                    return Ok((Value::Dict(members), after));
                }
                let (key, after) = text(rest)?;
                let (value, after) = read(whole, after, deeper)?;
                members.push((whole.share(key), value));
                rest = after;
            }
        }
        [b'0'..=b'9', ..] => {
            let (text, rest) = text(bytes)?;
            Ok((Value::Text(whole.share(text)), rest))
        }
        _ => Err(Trouble::Wrong),
    }
}

/// The bytes before `mark`, which stands within the first `most` bytes, and those behind it.
fn until(bytes: &[u8], mark: u8, most: usize) -> Result<(&[u8], &[u8]), Trouble> {
    match bytes
        .iter()
        .take(most.saturating_add(1))
        .position(|byte| *byte == mark)
    {
        Some(at) => {
            let (before, after) = bytes.split_at(at);
            Ok((before, after.get(1..).unwrap_or_default()))
        }
        None if bytes.len() > most => Err(Trouble::Wrong),
        None => Err(Trouble::Short),
    }
}

fn text(bytes: &[u8]) -> Result<(&[u8], &[u8]), Trouble> {
    if !matches!(bytes.first(), None | Some(b'0'..=b'9')) {
        return Err(Trouble::Wrong);
    }
    let (digits, rest) = until(bytes, b':', 10)?;
    let length = std::str::from_utf8(digits)
        .ok()
        .and_then(|digits| digits.parse().ok());
    let length: usize = length.ok_or(Trouble::Wrong)?;
    rest.split_at_checked(length).ok_or(Trouble::Short)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_the_round_trip() {
        let mut value = Value::dict();
        value.set("command", "offer");
        value.set("TOS", -1);
        value.add("flags", "a");
        value.add("flags", "b");
        value.inner("codec").unwrap().add("strip", "PCMU");
        value.set("command", "answer");
        let mut out = Vec::new();
        value.encode(&mut out);
        let text = "d7:command6:answer3:TOSi-1e5:flagsl1:a1:be5:codecd5:stripl4:PCMUeee";
        assert_eq!(String::from_utf8(out.clone()).unwrap(), text);
        let bytes = Str::from(out);
        assert_eq!(Value::parse(&bytes), Ok(value));
        for cut in 0..bytes.len() {
            assert_eq!(Value::is_whole(&bytes[..cut]), None, "at {cut}");
        }
        assert_eq!(Value::is_whole(&bytes), Some(true));
    }

    #[test]
    fn rubbish_is_refused() {
        let deep = "l".repeat(100) + &"e".repeat(100);
        for bad in [
            "x",
            "ie",
            "i1",
            "i1x2e",
            "-1:a",
            "1",
            "5:ab",
            "d1:ae",
            "di1e1:ae",
            "l",
            "i99999999999999999999e",
            "12345678901:a",
            "de1",
            &deep,
            "1:",
            "le5",
        ] {
            assert!(Value::parse(&Str::from(bad)).is_err(), "{bad}");
        }
        assert_eq!(Value::parse_first(&Str::from("de trailing")), Ok(Value::dict()));
        assert_eq!(Value::is_whole(b"99999999999"), Some(false));
    }
}
