//! Requests, read from bytes that may be anything.

use kahea_module::{Str, rpc::RpcValue};

use super::{DEEPEST, LONG, LONGEST, MAGIC, PacketKind, kind};

/// The bytes are no packet. What follows on the same connection cannot be read either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt;

/// The beginning of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What it is.
    pub kind: PacketKind,
    /// The client's mark, which the answer repeats.
    pub cookie: u32,
    /// Bytes of the header.
    pub header: usize,
    /// Bytes of the body, [`LONGEST`] at most.
    pub body: usize,
}

impl Header {
    /// Reads it; `None` where bytes are missing yet.
    ///
    /// # Errors
    /// It is no header, or announces more than [`LONGEST`] bytes.
    pub fn read(bytes: &[u8]) -> Result<Option<Header>, Corrupt> {
        if bytes.first().is_some_and(|magic| *magic != MAGIC) {
            return Err(Corrupt);
        }
        let Some(flags) = bytes.get(1).copied() else {
            return Ok(None);
        };
        let kind = match flags >> 4 {
            0 => PacketKind::Request,
            1 => PacketKind::Reply,
            3 => PacketKind::Fault,
            _ => return Err(Corrupt),
        };
        let length_ends = 3usize.saturating_add(usize::from(flags >> 2 & 3));
        let header = length_ends
            .saturating_add(1)
            .saturating_add(usize::from(flags & 3));
        let Some(body) = bytes.get(2..length_ends).map(number) else {
            return Ok(None);
        };
        let body = usize::try_from(body).unwrap_or(usize::MAX);
        if body > LONGEST {
            return Err(Corrupt);
        }
        let cookie = bytes.get(length_ends..header).map(number);
        Ok(cookie.map(|cookie| Header {
            kind,
            cookie,
            header,
            body,
        }))
    }

    /// Bytes of the whole packet.
    pub fn packet(&self) -> usize {
        self.header.saturating_add(self.body)
    }
}

/// At most four bytes, the most significant first; bits beyond are lost.
fn number(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte))
}

/// A record that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WrongRecord {
    /// The body ends in the middle of it.
    Short,
    /// It is of a type that there is not, or that does not belong here.
    Type,
    /// It nests too deep.
    Deep,
}

impl WrongRecord {
    /// In Kamailio's words.
    pub fn text(self) -> &'static str {
        match self {
            WrongRecord::Short => "end of packet encountered",
            WrongRecord::Type => "record doesn't match type",
            WrongRecord::Deep => "structures nest too deep",
        }
    }
}

struct Record<'a> {
    kind: u8,
    /// S was set.
    long: bool,
    value: &'a [u8],
}

/// Takes values off a body, one after the other.
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Of a body.
    pub fn new(body: &'a [u8]) -> Reader<'a> {
        Reader { rest: body }
    }

    /// The name of the command, which comes first.
    ///
    /// # Errors
    /// It is missing or no text.
    pub fn method(&mut self) -> Result<String, WrongRecord> {
        match self.value(0)? {
            Some(RpcValue::Str(name)) => Ok(name.text().into_owned()),
            Some(_) => Err(WrongRecord::Type),
            None => Err(WrongRecord::Short),
        }
    }

    /// All that is left, as values.
    ///
    /// # Errors
    /// One of them cannot be read: its place, counted from 0, and why.
    pub fn values(&mut self) -> Result<Vec<RpcValue>, (usize, WrongRecord)> {
        let mut values = Vec::new();
        loop {
            match self.value(0) {
                Ok(Some(value)) => values.push(value),
                Ok(None) => return Ok(values),
                Err(wrong) => return Err((values.len(), wrong)),
            }
        }
    }

    fn value(&mut self, depth: usize) -> Result<Option<RpcValue>, WrongRecord> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let record = self.record()?;
        self.read(&record, depth).map(Some)
    }

    fn record(&mut self) -> Result<Record<'a>, WrongRecord> {
        let (first, mut rest) = self.rest.split_first().ok_or(WrongRecord::Short)?;
        let (kind, long, mut size) = (first & 0x0f, first & LONG != 0, usize::from(first >> 4 & 7));
        if long && size > 0 {
            // Sizes beyond four bytes are beyond every packet too.
            let (bytes, behind) = rest.split_at_checked(size).ok_or(WrongRecord::Short)?;
            if size > 4 {
                return Err(WrongRecord::Short);
            }
            size = usize::try_from(number(bytes)).unwrap_or(usize::MAX);
            rest = behind;
        }
        let has_no_value = matches!(kind, kind::STRUCT | kind::ARRAY);
        let (value, rest) = match has_no_value {
            true if size == 0 => ([].as_slice(), rest),
            true => return Err(WrongRecord::Type),
            false => rest.split_at_checked(size).ok_or(WrongRecord::Short)?,
        };
        self.rest = rest;
        Ok(Record { kind, long, value })
    }

    fn read(&mut self, record: &Record<'a>, depth: usize) -> Result<RpcValue, WrongRecord> {
        match record.kind {
            kind::INT => signed(record.value).map(RpcValue::Int),
            kind::DOUBLE => {
                signed(record.value).map(|thousandths| RpcValue::Double(thousandths as f64 / 1000.0))
            }
            kind::STR => Ok(RpcValue::Str(Str::copy(until_nul(record.value)))),
            kind::BYTES => Ok(RpcValue::Str(Str::copy(record.value))),
            kind::STRUCT | kind::ARRAY if record.long => Err(WrongRecord::Type),
            kind::STRUCT | kind::ARRAY if depth >= DEEPEST => Err(WrongRecord::Deep),
            kind::STRUCT => self.members(depth.saturating_add(1)),
            kind::ARRAY => self.items(depth.saturating_add(1)),
            _ => Err(WrongRecord::Type),
        }
    }

    fn members(&mut self, depth: usize) -> Result<RpcValue, WrongRecord> {
        let mut members = Vec::new();
        loop {
            let record = self.record()?;
            match record.kind {
                kind::STRUCT if record.long => return Ok(RpcValue::Struct(members)),
                kind::NAME => {
                    let value = self.value(depth)?.ok_or(WrongRecord::Short)?;
                    members.push((Str::copy(until_nul(record.value)), value));
                }
                _ => return Err(WrongRecord::Type),
            }
        }
    }

    fn items(&mut self, depth: usize) -> Result<RpcValue, WrongRecord> {
        let mut items = Vec::new();
        loop {
            let record = self.record()?;
            if record.kind == kind::ARRAY && record.long {
                return Ok(RpcValue::Array(items));
            }
            items.push(self.read(&record, depth)?);
        }
    }
}

/// Texts end with a NUL, which some clients leave out.
fn until_nul(bytes: &[u8]) -> &[u8] {
    let end = memchr::memchr(0, bytes).unwrap_or(bytes.len());
    bytes.get(..end).unwrap_or(bytes)
}

/// Leading zero bytes are left out; four bytes are a number of 32 bits with a sign.
fn signed(bytes: &[u8]) -> Result<i64, WrongRecord> {
    match bytes.len() {
        0..=3 => Ok(i64::from(number(bytes))),
        4 => Ok(i64::from(number(bytes).cast_signed())),
        5..=8 => {
            let sum = bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
            Ok(sum.cast_signed())
        }
        _ => Err(WrongRecord::Type),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(body: &[u8]) -> Result<Vec<RpcValue>, (usize, WrongRecord)> {
        Reader::new(body).values()
    }

    #[test]
    fn headers_name_the_packet() {
        let header = Header::read(b"\xa1\x03\x05\x12\x34\x56\x78").unwrap().unwrap();
        assert_eq!((header.kind, header.cookie), (PacketKind::Request, 0x1234_5678));
        assert_eq!((header.header, header.body, header.packet()), (7, 5, 12));
        let header = Header::read(b"\xa1\x34\x01\x00\x07").unwrap().unwrap();
        assert_eq!(
            (header.kind, header.cookie, header.body),
            (PacketKind::Fault, 7, 256)
        );
    }

    #[test]
    fn headers_are_waited_for_byte_by_byte() {
        let whole = b"\xa1\x03\x05\x12\x34\x56\x78";
        for end in 0..whole.len() {
            assert_eq!(Header::read(&whole[..end]), Ok(None), "{end} bytes");
        }
    }

    #[test]
    fn what_is_no_header_is_refused() {
        for bytes in [
            &b"\x51"[..],
            b"\xa2\x03\x05\x12\x34\x56\x78",
            b"\xa1\x73\x05\x12\x34\x56\x78",
            b"\xa1\x0f\xff\xff\xff\xff\x01\x02\x03\x04",
            b"\xa1\x08\x01\x00\x00\x00",
        ] {
            assert_eq!(Header::read(bytes), Err(Corrupt), "{bytes:x?}");
        }
    }

    #[test]
    fn plain_values_are_read() {
        let body = b"\x21a\x00\x10\x05\x40\xff\xff\xff\xfb\x00\x22\x09\xc4\x11\x00\x91\x03ab\x00\x36abc";
        let expected = vec![
            RpcValue::from("a"),
            RpcValue::Int(5),
            RpcValue::Int(-5),
            RpcValue::Int(0),
            RpcValue::Double(2.5),
            RpcValue::from(""),
            RpcValue::from("ab"),
            RpcValue::from("abc"),
        ];
        assert_eq!(values(body), Ok(expected));
    }

    #[test]
    fn texts_end_at_the_nul_or_with_the_record() {
        assert_eq!(values(b"\x31abc"), Ok(vec!["abc".into()]));
        assert_eq!(values(b"\x51a\x00bc\x00"), Ok(vec!["a".into()]));
        assert_eq!(values(b"\x01"), Ok(vec!["".into()]));
    }

    #[test]
    fn structs_and_arrays_nest() {
        let inner = RpcValue::members([("b", RpcValue::Int(1))]);
        let expected = RpcValue::members([("a", RpcValue::Array(vec![inner, "x".into()]))]);
        assert_eq!(
            values(b"\x03\x25a\x00\x04\x03\x25b\x00\x10\x01\x83\x21x\x00\x84\x83"),
            Ok(vec![expected])
        );
    }

    #[test]
    fn what_does_not_end_or_does_not_belong_is_refused_in_its_place() {
        for (body, wrong) in [
            (&b"\x71abc"[..], (0, WrongRecord::Short)),
            (b"\x10\x01\x03", (1, WrongRecord::Short)),
            (b"\x03\x25a\x00", (0, WrongRecord::Short)),
            (b"\x03\x10\x01\x83", (0, WrongRecord::Type)),
            (b"\x83", (0, WrongRecord::Type)),
            (b"\x25a\x00", (0, WrongRecord::Type)),
            (b"\x1f\x01", (0, WrongRecord::Type)),
            (b"\xf1\xff\xff\xff\xff\xff\xff\xffx", (0, WrongRecord::Short)),
            (b"\xc1\xff\xff\xff\xffx", (0, WrongRecord::Short)),
        ] {
            assert_eq!(values(body), Err(wrong), "{body:x?}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = [vec![4u8; 5000], vec![0x84; 5000]].concat();
        assert_eq!(values(&deep), Err((0, WrongRecord::Deep)));
    }

    #[test]
    fn the_method_is_a_text() {
        assert_eq!(Reader::new(b"\x21a\x00").method(), Ok("a".to_owned()));
        assert_eq!(Reader::new(b"\x10\x05").method(), Err(WrongRecord::Type));
        assert_eq!(Reader::new(b"").method(), Err(WrongRecord::Short));
    }
}
