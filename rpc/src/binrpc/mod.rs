//! BINRPC, version 1: the packets that `kamcmd` speaks.
//!
//! A packet is a header and a body of records.
//!
//! ```text
//! byte 0   magic 0xA in the high half, version 1 in the low half
//! byte 1   packet type in the high half (0 request, 1 reply, 3 fault);
//!          bits 2-3: bytes of the length - 1; bits 0-1: bytes of the cookie - 1
//! ...      length of the body, cookie: most significant byte first
//! ```
//!
//! A record is one byte (bit 7: S, bits 4-6: size, bits 0-3: type), and where S is set `size` further bytes that are the
//! size of the value; then the value. A struct is a record of size 0, members (a record of type name before each value)
//! and the same record with S set; an array likewise.

mod read;
mod write;

pub use self::{
    read::{Header, Reader},
    write::{Sizes, fault, reply},
};

/// What a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketKind {
    /// From a client.
    Request,
    /// What a command answered.
    Reply,
    /// Why there is no answer: a code and a text.
    Fault,
}

const MAGIC: u8 = 0xa1;
/// The longest body of a request that is taken.
pub const LONGEST: usize = 65_535;

/// Types of records.
mod kind {
    pub const INT: u8 = 0;
    pub const STR: u8 = 1;
    pub const DOUBLE: u8 = 2;
    pub const STRUCT: u8 = 3;
    pub const ARRAY: u8 = 4;
    pub const NAME: u8 = 5;
    pub const BYTES: u8 = 6;
}

/// The bit of a record that says where its size is.
const LONG: u8 = 0x80;
/// How deep structs and arrays may nest.
const DEEPEST: usize = 16;
