//! Replies and faults.

use kahea_module::rpc::{RpcFault, RpcValue};

use super::{LONG, MAGIC, PacketKind, kind};

/// How long answers may become.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Bytes of the body.
    pub body: usize,
    /// Bytes of one struct or array.
    pub group: usize,
}

/// An answer is longer than it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflow;

impl From<Overflow> for RpcFault {
    fn from(_: Overflow) -> RpcFault {
        let text = "Internal server error: buffer too small (overflow): raise binrpc_max_body_size or \
                    binrpc_struct_max_body_size of ctl";
        RpcFault::new(500, text)
    }
}

/// The packet of an answer.
///
/// # Errors
/// It is longer than `sizes` let it be.
pub fn reply(cookie: u32, values: &[RpcValue], sizes: Sizes) -> Result<Vec<u8>, Overflow> {
    let mut writer = Writer::new(sizes);
    for value in values {
        writer.value(value)?;
    }
    Ok(packet(PacketKind::Reply, cookie, &writer.body))
}

/// The packet of a refusal.
pub fn fault(cookie: u32, fault: &RpcFault) -> Vec<u8> {
    let mut body = Vec::new();
    push_int(&mut body, kind::INT, i32::try_from(fault.code).unwrap_or(500));
    push_text(&mut body, kind::STR, &fault.text);
    packet(PacketKind::Fault, cookie, &body)
}

fn packet(kind: PacketKind, cookie: u32, body: &[u8]) -> Vec<u8> {
    let number = match kind {
        PacketKind::Request => 0,
        PacketKind::Reply => 1,
        PacketKind::Fault => 3u8,
    };
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let (length, cookie) = (
        at_least_one(significant(&length.to_be_bytes())),
        cookie.to_be_bytes(),
    );
    let cookie = at_least_one(significant(&cookie));
    let sizes = (length.len().saturating_sub(1) << 2) | cookie.len().saturating_sub(1);
    let mut packet = vec![MAGIC, number << 4 | u8::try_from(sizes).unwrap_or(0)];
    packet.extend_from_slice(&length);
    packet.extend_from_slice(&cookie);
    packet.extend_from_slice(body);
    packet
}

/// Without leading zero bytes.
fn significant(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.get(zeros..).unwrap_or_default()
}

fn at_least_one(bytes: &[u8]) -> Vec<u8> {
    match bytes {
        [] => vec![0],
        bytes => bytes.to_vec(),
    }
}

/// Puts values into a body.
pub struct Writer {
    body: Vec<u8>,
    sizes: Sizes,
}

impl Writer {
    /// Of an empty body.
    pub fn new(sizes: Sizes) -> Writer {
        Writer {
            body: Vec::new(),
            sizes,
        }
    }

    /// Adds a value.
    ///
    /// # Errors
    /// The body is full.
    pub fn value(&mut self, value: &RpcValue) -> Result<(), Overflow> {
        match value {
            RpcValue::Null => push_text(&mut self.body, kind::STR, b""),
            RpcValue::Bool(yes) => push_int(&mut self.body, kind::INT, i32::from(*yes)),
            RpcValue::Int(n) => self.int(*n),
            // A cast of a float saturates.
            RpcValue::Double(n) => push_int(&mut self.body, kind::DOUBLE, (n * 1000.0) as i32),
            RpcValue::Str(text) => push_text(&mut self.body, kind::STR, text),
            RpcValue::Struct(members) | RpcValue::Named(members) => self.group(kind::STRUCT, |writer| {
                for (name, value) in members {
                    push_text(&mut writer.body, kind::NAME, name);
                    writer.value(value)?;
                }
                Ok(())
            })?,
            RpcValue::Array(items) => self.group(kind::ARRAY, |writer| {
                items.iter().try_for_each(|item| writer.value(item))
            })?,
        }
        match self.body.len() <= self.sizes.body {
            true => Ok(()),
            false => Err(Overflow),
        }
    }

    /// Numbers beyond 32 bits go as text: clients read no longer ones.
    fn int(&mut self, n: i64) {
        match i32::try_from(n) {
            Ok(n) => push_int(&mut self.body, kind::INT, n),
            Err(_) => push_text(&mut self.body, kind::STR, n.to_string().as_bytes()),
        }
    }

    fn group(
        &mut self,
        kind: u8,
        fill: impl FnOnce(&mut Writer) -> Result<(), Overflow>,
    ) -> Result<(), Overflow> {
        let before = self.body.len();
        self.body.push(kind);
        fill(self)?;
        self.body.push(LONG | kind);
        match self.body.len().saturating_sub(before) <= self.sizes.group {
            true => Ok(()),
            false => Err(Overflow),
        }
    }
}

fn push_int(body: &mut Vec<u8>, kind: u8, n: i32) {
    let bytes = n.to_be_bytes();
    let bytes = significant(&bytes);
    body.push(u8::try_from(bytes.len()).unwrap_or(0) << 4 | kind);
    body.extend_from_slice(bytes);
}

/// Texts end with a NUL, which counts.
fn push_text(body: &mut Vec<u8>, kind: u8, text: &[u8]) {
    let size = u32::try_from(text.len().saturating_add(1)).unwrap_or(u32::MAX);
    match u8::try_from(size) {
        Ok(size @ 0..=7) => body.push(size << 4 | kind),
        _ => {
            let bytes = size.to_be_bytes();
            let bytes = significant(&bytes);
            body.push(LONG | u8::try_from(bytes.len()).unwrap_or(0) << 4 | kind);
            body.extend_from_slice(bytes);
        }
    }
    body.extend_from_slice(text);
    body.push(0);
}

#[cfg(test)]
mod tests {
    use kahea_module::Str;

    use super::{
        super::{Header, Reader},
        *,
    };

    const SIZES: Sizes = Sizes {
        body: 32 << 10,
        group: 8 << 10,
    };

    #[test]
    fn packets_are_as_kamailio_writes_them() {
        let echo = reply(0x1234_5678, &["a".into()], SIZES);
        assert_eq!(echo, Ok(b"\xa1\x13\x03\x12\x34\x56\x78\x21a\x00".to_vec()));
        assert_eq!(reply(7, &[], SIZES), Ok(b"\xa1\x10\x00\x07".to_vec()));
        let refused = fault(0, &RpcFault::new(400, "bad request: corrupted packet"));
        let expected = b"\xa1\x30\x23\x00\x20\x01\x90\x91\x1ebad request: corrupted packet\x00";
        assert_eq!(refused, expected);
        let long = reply(0x1234_5678, &["x".repeat(300).into()], SIZES).unwrap();
        assert!(long.starts_with(b"\xa1\x17\x01\x30\x12\x34\x56\x78\xa1\x01\x2dxx"));
        let uptime = RpcValue::members([
            ("now", "Sat Nov 21 18:24:58 2026".into()),
            ("uptime", RpcValue::Int(52)),
        ]);
        let expected =
            b"\xa1\x10\x2c\x01\x03\x45now\x00\x91\x19Sat Nov 21 18:24:58 2026\x00\x75uptime\x00\x10\x34\x83";
        assert_eq!(reply(1, &[uptime], SIZES), Ok(expected.to_vec()));
    }

    #[test]
    fn what_is_written_can_be_read() {
        let value = RpcValue::members([
            ("int", RpcValue::Int(i64::from(i32::MIN))),
            ("most", RpcValue::Int(i64::from(i32::MAX))),
            ("double", RpcValue::Double(-1.5)),
            (
                "list",
                RpcValue::Array(vec!["x".into(), RpcValue::Array(Vec::new())]),
            ),
            ("text", "longer than seven bytes".into()),
        ]);
        let packet = reply(1, std::slice::from_ref(&value), SIZES).unwrap();
        let header = Header::read(&packet).unwrap().unwrap();
        assert_eq!(header.packet(), packet.len());
        assert_eq!(Reader::new(&packet[header.header..]).values(), Ok(vec![value]));
    }

    #[test]
    fn numbers_that_clients_cannot_read_are_texts() {
        let packet = reply(1, &[RpcValue::Int(1 << 40)], SIZES).unwrap();
        assert_eq!(
            Reader::new(&packet[4..]).values(),
            Ok(vec!["1099511627776".into()])
        );
    }

    #[test]
    fn answers_are_bounded() {
        let text = |n: usize| RpcValue::from("x".repeat(n));
        assert!(reply(1, &[text(30_000)], SIZES).is_ok());
        assert_eq!(reply(1, &[text(33_000)], SIZES), Err(Overflow));
        assert_eq!(reply(1, &[text(20_000), text(20_000)], SIZES), Err(Overflow));
        let group = |n| RpcValue::Struct(vec![(Str::from_static("a"), text(n))]);
        assert!(reply(1, &[group(8000)], SIZES).is_ok());
        assert_eq!(reply(1, &[group(9000)], SIZES), Err(Overflow));
    }
}
