//! Writes small databases of MaxMind's format, for tests: IPv4 networks, records of 24 bits.

/// A value of the data section.
pub(super) enum Field {
    Text(String),
    Double(f64),
    Uint16(u16),
    Uint32(u32),
    Uint64(u64),
    Map(Vec<(&'static str, Field)>),
    Array(Vec<Field>),
}

pub(super) fn text(value: &str) -> Field {
    Field::Text(value.to_owned())
}

pub(super) fn map(members: Vec<(&'static str, Field)>) -> Field {
    Field::Map(members)
}

fn control(kind: u8, size: usize, out: &mut Vec<u8>) {
    let (head, extra) = if kind < 8 {
        (kind << 5, None)
    } else {
        (0, Some(kind - 7))
    };
    let short = u8::try_from(size.min(29)).expect("at most 29");
    out.push(head | short);
    out.extend(extra);
    if size >= 29 {
        out.push(u8::try_from(size - 29).expect("no more than the tests need"));
    }
}

fn number(kind: u8, n: u64, out: &mut Vec<u8>) {
    let bytes = n.to_be_bytes();
    let skip = bytes.iter().take_while(|byte| **byte == 0).count();
    control(kind, bytes.len() - skip, out);
    out.extend(&bytes[skip..]);
}

fn encode(field: &Field, out: &mut Vec<u8>) {
    match field {
        Field::Text(text) => {
            control(2, text.len(), out);
            out.extend(text.as_bytes());
        }
        Field::Double(n) => {
            control(3, 8, out);
            out.extend(n.to_be_bytes());
        }
        Field::Uint16(n) => number(5, u64::from(*n), out),
        Field::Uint32(n) => number(6, u64::from(*n), out),
        Field::Uint64(n) => number(9, *n, out),
        Field::Map(members) => {
            control(7, members.len(), out);
            for (name, value) in members {
                encode(&text(name), out);
                encode(value, out);
            }
        }
        Field::Array(items) => {
            control(11, items.len(), out);
            items.iter().for_each(|item| encode(item, out));
        }
    }
}

#[derive(Clone, Copy)]
enum Side {
    Empty,
    Node(usize),
    Data(usize),
}

/// A whole file with a record for each network.
pub(super) fn file(networks: &[([u8; 4], u32, Field)]) -> Vec<u8> {
    let mut nodes = vec![[Side::Empty; 2]];
    let mut data = Vec::new();
    for (address, length, record) in networks {
        let offset = data.len();
        encode(record, &mut data);
        let bits = u32::from_be_bytes(*address);
        let bit = |at: u32| usize::from(bits >> (31 - at) & 1 == 1);
        let mut node = 0;
        for at in 0..length - 1 {
            node = match nodes[node][bit(at)] {
                Side::Node(next) => next,
                _ => {
                    nodes.push([Side::Empty; 2]);
                    let next = nodes.len() - 1;
                    nodes[node][bit(at)] = Side::Node(next);
                    next
                }
            };
        }
        nodes[node][bit(length - 1)] = Side::Data(offset);
    }
    let count = nodes.len();
    let mut out = Vec::new();
    for side in nodes.iter().flatten() {
        let n = match side {
            Side::Empty => count,
            Side::Node(n) => *n,
            Side::Data(offset) => count + 16 + offset,
        };
        out.extend(&u32::try_from(n).expect("a small file").to_be_bytes()[1..]);
    }
    out.extend([0; 16]);
    out.extend(data);
    out.extend(b"\xab\xcd\xefMaxMind.com");
    let meta = map(vec![
        (
            "node_count",
            Field::Uint32(u32::try_from(count).expect("a small file")),
        ),
        ("record_size", Field::Uint16(24)),
        ("ip_version", Field::Uint16(4)),
        ("database_type", text("GeoLite2-City")),
        ("languages", Field::Array(vec![text("en")])),
        ("binary_format_major_version", Field::Uint16(2)),
        ("binary_format_minor_version", Field::Uint16(0)),
        ("build_epoch", Field::Uint64(1_700_000_000)),
        ("description", map(vec![("en", text("made for a test"))])),
    ]);
    encode(&meta, &mut out);
    out
}
