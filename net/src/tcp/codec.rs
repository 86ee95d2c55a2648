//! [`Codec`]: how a stream is cut into messages. SIP brings its framer; HEP and others will bring theirs.

use bytes::BytesMut;
use kahea_sip::framing::{Frame, Framer, FramerOptions};

use crate::NetConfig;

/// Cuts a stream into frames without doing I/O.
pub trait Codec {
    /// Takes the next frame off the front of `buffer`; `None` needs more bytes; an error ends the connection.
    fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, Fault>;
}

/// Why a stream cannot be read on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// In one sentence.
    pub reason: String,
    /// The status to answer with, where an answer is due.
    pub reply: Option<(u16, &'static str)>,
}

impl From<&str> for Fault {
    fn from(reason: &str) -> Fault {
        Fault {
            reason: reason.to_owned(),
            reply: None,
        }
    }
}

impl Codec for Framer {
    fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, Fault> {
        Framer::next(self, buffer).map_err(|error| Fault {
            reason: error.to_string(),
            reply: error.reply(),
        })
    }
}

/// The codec of SIP.
pub fn sip(config: &NetConfig) -> Framer {
    Framer::new(FramerOptions {
        max_message: config.msg_recv_max_size,
        accept_no_content_length: config.tcp.accept_no_cl,
        crlf_ping: config.tcp.crlf_ping,
    })
}
