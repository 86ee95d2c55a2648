//! The write queue of one connection.

use std::{collections::VecDeque, io::IoSlice};

use bytes::{Buf, Bytes};
use kahea_sip::{Destination, Str};

/// Pieces given to the kernel with one call.
pub const PIECES: usize = 16;

/// A message on its way out.
#[derive(Debug)]
struct Item {
    rest: Bytes,
    message: Str,
    destination: Option<Destination>,
}

/// Messages that wait for the socket; holds no memory when it is empty.
#[derive(Debug, Default)]
pub struct Queue {
    items: VecDeque<Item>,
    bytes: usize,
}

impl Queue {
    /// Bytes that wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Adds a message; without a destination it is our own (a keepalive's answer) and nobody hears of its loss.
    pub fn push(&mut self, message: Str, destination: Option<Destination>) {
        self.bytes = self.bytes.saturating_add(message.len());
        self.items.push_back(Item {
            rest: message.clone().into_bytes(),
            message,
            destination,
        });
    }

    /// The next pieces to write.
    pub fn pieces(&self) -> Vec<Bytes> {
        self.items
            .iter()
            .take(PIECES)
            .map(|item| item.rest.clone())
            .collect()
    }

    /// Takes `count` written bytes off.
    pub fn advance(&mut self, mut count: usize) {
        self.bytes = self.bytes.saturating_sub(count);
        while let Some(item) = self.items.front_mut() {
            if item.rest.len() > count {
                item.rest.advance(count);
                return;
            }
            count = count.saturating_sub(item.rest.len());
            self.items.pop_front();
        }
        self.items = VecDeque::new();
    }

    /// Empties the queue: the messages that were not sent completely, with their destinations.
    pub fn fail(&mut self) -> Vec<(Destination, Str)> {
        self.bytes = 0;
        let items = std::mem::take(&mut self.items);
        items
            .into_iter()
            .filter_map(|item| Some((item.destination?, item.message)))
            .collect()
    }
}

/// The pieces as the system call wants them.
pub fn slices(pieces: &[Bytes]) -> Vec<IoSlice<'_>> {
    pieces.iter().map(|piece| IoSlice::new(piece)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writing_in_any_portions_gives_the_same_stream() {
        for portion in 1..12 {
            let mut queue = Queue::default();
            for text in ["one", "", "twotwo", "3"] {
                queue.push(Str::from(text), None);
            }
            let mut out = Vec::new();
            while queue.bytes() > 0 {
                let all = queue.pieces().concat();
                let count = portion.min(all.len());
                out.extend_from_slice(&all[..count]);
                queue.advance(count);
            }
            assert_eq!(out, b"onetwotwo3");
            assert!(queue.is_empty(), "portion {portion}");
        }
    }
}
