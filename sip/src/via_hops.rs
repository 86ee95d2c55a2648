//! Splitting Via headers into hops: several may share one header, divided by commas.

use memchr::memchr2;

use crate::{Header, HeaderId, Message, Span, span::offset};

/// One hop of a message's Vias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ViaHop {
    /// The index of its header in [`Message::headers`].
    pub header: usize,
    /// Its value alone, without surrounding space and commas.
    pub span: Span,
    /// Its place among the hops of its header, from 0.
    pub index: usize,
}

/// Iterator over all Via hops of a message, topmost first.
#[derive(Clone, Debug)]
pub struct Vias<'m> {
    message: &'m Message,
    header: usize,
    rest: Option<Span>,
    index: usize,
}

impl<'m> Vias<'m> {
    pub(crate) fn new(message: &'m Message) -> Vias<'m> {
        Vias {
            message,
            header: 0,
            rest: None,
            index: 0,
        }
    }

    /// Moves to the next Via header, at or behind the current index.
    fn next_header(&mut self) -> Option<Span> {
        let headers: &[Header] = self.message.headers();
        let found = headers
            .iter()
            .enumerate()
            .skip(self.header)
            .find(|(_, header)| header.id == HeaderId::Via)?;
        self.header = found.0;
        self.index = 0;
        Some(found.1.value)
    }
}

impl Iterator for Vias<'_> {
    type Item = ViaHop;

    fn next(&mut self) -> Option<ViaHop> {
        loop {
            let value = match self.rest.take() {
                Some(rest) => rest,
                None => self.next_header()?,
            };
            let (hop, rest) = split(self.message.buffer(), value);
            let found = ViaHop {
                header: self.header,
                span: hop,
                index: self.index,
            };
            self.rest = rest;
            match rest {
                Some(_) => self.index = self.index.saturating_add(1),
                None => self.header = self.header.saturating_add(1),
            }
            if !hop.is_empty() {
                return Some(found);
            }
        }
    }
}

/// The first element of a comma list and what follows its comma; commas in quoted strings do not count.
pub(crate) fn split(buffer: &[u8], list: Span) -> (Span, Option<Span>) {
    let bytes = list.of_bytes(buffer);
    match position(bytes, b',') {
        Some(at) => {
            let comma = list.start().saturating_add(offset(at));
            let rest = Span::new(comma.saturating_add(1), list.end());
            (
                trim(buffer, Span::new(list.start(), comma)),
                Some(trim(buffer, rest)),
            )
        }
        None => (trim(buffer, list), None),
    }
}

/// The index of the first `wanted` outside of quoted strings.
pub(crate) fn position(bytes: &[u8], wanted: u8) -> Option<usize> {
    let first = memchr2(wanted, b'"', bytes)?;
    if bytes.get(first) == Some(&wanted) {
        return Some(first);
    }
    let mut quoted = false;
    let mut escaped = false;
    for (at, byte) in bytes.iter().enumerate().skip(first) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            byte if *byte == wanted && !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

/// Without surrounding white space.
pub(crate) fn trim(buffer: &[u8], span: Span) -> Span {
    let front = span.of_bytes(buffer).trim_ascii_end();
    let end = span.start().saturating_add(offset(front.len()));
    Span::new(end.saturating_sub(offset(front.trim_ascii_start().len())), end)
}
