//! Replaced ranges of a message.

use kahea_sip::{Message, Span, Str};

/// Replacements of ranges of one message, none of which overlap.
#[derive(Default)]
pub struct Patches(Vec<(Span, Vec<u8>)>);

impl Patches {
    /// Puts `text` in place of `span`.
    pub fn replace(&mut self, span: Span, text: Vec<u8>) {
        self.0.push((span, text));
    }

    /// Puts `text` before the byte `at`.
    pub fn insert(&mut self, at: u32, text: Vec<u8>) {
        self.replace(Span::at(at), text);
    }

    /// Takes `span` out.
    pub fn remove(&mut self, span: Span) {
        self.replace(span, Vec::new());
    }

    /// The message with everything replaced.
    pub fn apply(mut self, msg: &Message) -> Str {
        if self.0.is_empty() {
            return msg.buffer().clone();
        }
        self.0.sort_by_key(|(span, _)| (span.start(), span.end()));
        let added: usize = self.0.iter().map(|(_, text)| text.len()).sum();
        let mut out = Vec::with_capacity(msg.buffer().len().saturating_add(added));
        let mut at = 0u32;
        for (span, text) in &self.0 {
            // A second edit of the same bytes cannot be; it would be passed over.
            if span.start() < at {
                continue;
            }
            out.extend_from_slice(msg.bytes(Span::new(at, span.start())));
            out.extend_from_slice(text);
            at = span.end();
        }
        let end = u32::try_from(msg.buffer().len()).unwrap_or(u32::MAX);
        out.extend_from_slice(msg.bytes(Span::new(at, end)));
        Str::from(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kahea_module::testing::Server;

    #[test]
    fn ranges_are_replaced_in_any_order() {
        let cx = Server::default().invite();
        let msg = &cx.msg;
        assert_eq!(Patches::default().apply(msg), *msg.buffer());
        let mut patches = Patches::default();
        patches.remove(Span::new(7, 11));
        patches.replace(Span::new(0, 6), b"BYE".to_vec());
        patches.insert(11, b"tel:".to_vec());
        assert!(patches.apply(msg).starts_with(b"BYE tel:bob@example.com:5070"));
    }
}
