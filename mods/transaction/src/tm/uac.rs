//! Requests that this server makes itself: what other modules ask for, and its text.

use std::{
    hash::BuildHasher,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use kahea_module::{Config, Cx, Fault, Str, Worker};
use kahea_sip::{
    HeaderId, Limits, ListenerId, Message, Received,
    view::{NameAddr, Uri},
};

use super::{core::Core, local, table::Id};

/// The CSeq number of a request that names none, as Kamailio's.
const FIRST_CSEQ: u32 = 10;

/// Counts Call-IDs.
static MADE: AtomicU64 = AtomicU64::new(0);

/// A reply to a request of this server, or what stands for it where none came.
pub struct Answer<'a> {
    /// Its status; 408 for a request that nobody answered.
    pub status: u16,
    /// Its reason phrase.
    pub reason: &'a [u8],
    /// The reply and how it came; `None` where this server gave up by itself.
    pub message: Option<(&'a Message, &'a Received)>,
    /// The transaction, as `tm.list` and `$T(id_index)`, `$T(id_label)` name it.
    pub id: (u32, u32),
}

/// Told of replies, on the worker that received them.
pub type OnAnswer = Arc<dyn Fn(&Rc<Worker>, &Answer<'_>) + Send + Sync>;

/// A request to be sent in a transaction of its own.
#[derive(Clone, Default)]
pub struct LocalRequest {
    /// `OPTIONS`, …
    pub method: Str,
    /// The Request-URI.
    pub ruri: Str,
    /// The URI of the next hop; the Request-URI where none is given.
    pub next_hop: Option<Str>,
    /// The listener to send from.
    pub socket: Option<ListenerId>,
    /// The value of From; a tag is added where it has none.
    pub from: Str,
    /// The value of To.
    pub to: Str,
    /// Call-ID; made where none is given.
    pub call_id: Option<Str>,
    /// The CSeq number; 10 where none is given.
    pub cseq: Option<u32>,
    /// Max-Forwards; 70 where none is given.
    pub max_forwards: Option<u32>,
    /// Further header lines, each with its line end.
    pub headers: Str,
    /// The body; Content-Type belongs to the headers.
    pub body: Str,
    /// Milliseconds in place of the parameter `fr_timer`.
    pub fr_timer: Option<u32>,
    /// Milliseconds in place of the parameter `fr_inv_timer`.
    pub fr_inv_timer: Option<u32>,
    /// Final replies to an INVITE are acknowledged by whoever asked.
    pub no_ack: bool,
    /// Told of the final reply.
    pub answered: Option<OnAnswer>,
    /// Told of provisional replies too, whatever `pass_provisional_replies` says.
    pub provisional: bool,
}

impl LocalRequest {
    /// A request whose From, To, Call-ID and CSeq stand among its header lines, as scripts and commands give them.
    ///
    /// # Errors
    /// The lines cannot be read, or From or To is missing.
    pub fn with_headers(method: Str, ruri: Str, headers: &[u8], body: Str) -> Result<LocalRequest, Fault> {
        let mut text = b"OPTIONS sip:x SIP/2.0\r\n".to_vec();
        text.extend_from_slice(without_length(headers).trim_ascii_end());
        text.extend_from_slice(b"\r\n\r\n");
        let parsed = Message::parse(Str::from(text), &Limits::default())
            .map_err(|error| Fault::script(format!("the headers cannot be read: {error}")))?;
        let value = |id: HeaderId| parsed.first(id).map(|header| parsed.value_text(header));
        let required = |id: HeaderId| {
            let text = value(id).ok_or_else(|| Fault::script(format!("{} missing", id.name())))?;
            let readable = NameAddr::parse(&text).is_ok();
            readable
                .then_some(text)
                .ok_or_else(|| Fault::script(format!("Invalid headers: {} is no address", id.name())))
        };
        let number = |id: HeaderId| value(id)?.text().trim().parse().ok();
        let mut rest = Vec::new();
        let mut typed = false;
        for header in parsed.headers() {
            typed |= header.id == HeaderId::ContentType;
            if !is_own(header.id) {
                rest.extend_from_slice(parsed.bytes(header.line));
            }
        }
        if !body.is_empty() && !typed {
            return Err(Fault::script("Content-Type missing"));
        }
        Ok(LocalRequest {
            method,
            ruri,
            from: bracketed(&required(HeaderId::From)?),
            to: bracketed(&required(HeaderId::To)?),
            call_id: value(HeaderId::CallId),
            cseq: value(HeaderId::CSeq).and_then(|text| number_of(&text)),
            max_forwards: number(HeaderId::MaxForwards),
            headers: Str::from(rest),
            body,
            ..LocalRequest::default()
        })
    }

    /// Method and URIs can stand in a request.
    fn check(&self) -> Result<(), Fault> {
        let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(byte);
        if self.method.is_empty() || !self.method.iter().all(token) {
            return Err(Fault::script(format!("'{}' is no method", self.method)));
        }
        for uri in std::iter::once(&self.ruri).chain(&self.next_hop) {
            Uri::parse(uri).map_err(|error| Fault::script(format!("'{uri}' is no URI: {error}")))?;
        }
        let values = [&self.from, &self.to].into_iter().chain(&self.call_id);
        if values.into_iter().any(|value| value.contains(&b'\n')) {
            return Err(Fault::script("From, To and Call-ID cannot have line breaks"));
        }
        Ok(())
    }

    /// The request without Via.
    ///
    /// # Errors
    /// It would not be a request.
    pub(super) fn text(&self, core: &Core, config: &Config, host: &str, random: u64) -> Result<Str, Fault> {
        self.check()?;
        let call_id = self.call_id.clone().unwrap_or_else(|| {
            let made = MADE.fetch_add(1, Relaxed);
            Str::from(format!(
                "{:016x}-{made:x}@{host}",
                core.table.seed.hash_one((random, made))
            ))
        });
        let mut out = Vec::with_capacity(512);
        let mut put = |pieces: &[&[u8]]| pieces.iter().for_each(|piece| out.extend_from_slice(piece));
        put(&[
            &self.method,
            b" ",
            &self.ruri,
            b" SIP/2.0\r\nTo: ",
            &self.to,
            b"\r\nFrom: ",
            &self.from,
        ]);
        if NameAddr::parse(&self.from).is_ok_and(|from| from.tag().is_none()) {
            // The same for a repetition of the request, which then is the same request to its receiver.
            let tag = core.table.seed.hash_one((&call_id, &self.from, "tag"));
            put(&[format!(";tag={tag:016x}").as_bytes()]);
        }
        let cseq = self.cseq.unwrap_or(FIRST_CSEQ).to_string();
        put(&[
            b"\r\nCSeq: ",
            cseq.as_bytes(),
            b" ",
            &self.method,
            b"\r\nCall-ID: ",
            &call_id,
        ]);
        let hops = self.max_forwards.unwrap_or(70).to_string();
        let length = self.body.len().to_string();
        put(&[
            b"\r\nMax-Forwards: ",
            hops.as_bytes(),
            b"\r\nContent-Length: ",
            length.as_bytes(),
            b"\r\n",
        ]);
        if !names_user_agent(&self.headers) {
            put(&[&user_agent(config)]);
        }
        put(&[&self.headers, b"\r\n", &self.body]);
        Ok(Str::from(out))
    }
}

/// The lines but for Content-Length, which follows from the body.
fn without_length(headers: &[u8]) -> Vec<u8> {
    let is_length = |line: &&[u8]| {
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        let name = name.trim_ascii();
        name.eq_ignore_ascii_case(b"Content-Length") || name.eq_ignore_ascii_case(b"l")
    };
    let lines = headers.trim_ascii().split_inclusive(|byte| *byte == b'\n');
    lines.filter(|line| !is_length(line)).collect::<Vec<_>>().concat()
}

/// An address with `<>` around its URI.
fn bracketed(value: &Str) -> Str {
    match NameAddr::parse(value) {
        Ok(addr) if !addr.bracketed => {
            let params = addr.raw.strip_prefix(addr.uri).unwrap_or_default();
            Str::from([b"<", addr.uri, b">", params].concat())
        }
        _ => value.clone(),
    }
}

/// Headers that the request gets from this server.
fn is_own(id: HeaderId) -> bool {
    matches!(
        id,
        HeaderId::Via
            | HeaderId::From
            | HeaderId::To
            | HeaderId::CallId
            | HeaderId::CSeq
            | HeaderId::MaxForwards
            | HeaderId::ContentLength
    )
}

fn number_of(cseq: &[u8]) -> Option<u32> {
    let digits = cseq.split(|byte| !byte.is_ascii_digit()).next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn names_user_agent(headers: &[u8]) -> bool {
    const NAME: &[u8] = b"user-agent:";
    let lines = headers.split(|byte| *byte == b'\n');
    lines.into_iter().any(|line| {
        line.get(..NAME.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(NAME))
    })
}

/// The User-Agent line of this server's requests; empty where `server_signature` is off.
pub(super) fn user_agent(config: &Config) -> Vec<u8> {
    if !config.globals.server_signature {
        return Vec::new();
    }
    let mut line = match &config.globals.user_agent_header {
        Some(line) => line.to_vec(),
        None => {
            let product = config.server_header.strip_prefix(b"Server:");
            [
                b"User-Agent: ",
                product.unwrap_or(&config.server_header).trim_ascii(),
            ]
            .concat()
        }
    };
    line.extend_from_slice(b"\r\n");
    line
}

/// Sends requests of this server; modules loaded behind `tm` find it as a service.
#[derive(Clone)]
pub struct Requests(pub(crate) Arc<Core>);

impl Requests {
    /// Sends a request; its answer goes to [`LocalRequest::answered`]. Gives the transaction's name.
    ///
    /// # Errors
    /// The request is none, its destination does not resolve, or the network refuses it.
    pub async fn send(&self, worker: &Rc<Worker>, request: LocalRequest) -> Result<(u32, u32), Fault> {
        let id = local::send(&self.0, worker, request).await?;
        Ok((id.index, id.short_label()))
    }

    /// Cancels the INVITE of this name; false where it is gone.
    pub fn cancel(&self, worker: &Rc<Worker>, id: (u32, u32)) -> bool {
        match self.0.table.get_short(id.0, id.1) {
            Some(cell) => {
                local::cancel(&cell, worker);
                true
            }
            None => false,
        }
    }

    /// The transaction of the message, for a module that wants to name it.
    pub fn of(&self, cx: &Cx) -> Option<(u32, u32)> {
        super::attached::cell(cx).map(|cell| (cell.id.index, cell.id.short_label()))
    }
}

/// A name as `index:label`.
pub(super) fn parse_id(text: &str) -> Option<(u32, u32)> {
    let (index, label) = text.split_once(':')?;
    Some((index.trim().parse().ok()?, label.trim().parse().ok()?))
}

/// The same of a transaction.
pub(super) fn pair(id: Id) -> (u32, u32) {
    (id.index, id.short_label())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(headers: &str, body: &'static str) -> Result<LocalRequest, Fault> {
        LocalRequest::with_headers(
            "MESSAGE".into(),
            "sip:b@h".into(),
            headers.as_bytes(),
            body.into(),
        )
    }

    #[test]
    fn headers_are_taken_apart() {
        let request = of(
            "f: <sip:a@h>\r\nt: sip:b@h\r\ni: c1\r\nCSeq: 7 MESSAGE\r\nX: 1\r\nContent-Length: 9",
            "",
        )
        .unwrap();
        assert_eq!((request.cseq, request.call_id), (Some(7), Some("c1".into())));
        assert_eq!(request.headers, "X: 1\r\n");
        assert_eq!(request.to, "<sip:b@h>");
        assert_eq!(bracketed(&"sip:a@h;tag=1".into()), "<sip:a@h>;tag=1");
        assert!(of("From: <sip:a@h>\r\n", "").is_err());
        assert!(of("From: <sip:a@h>\r\nTo: <sip:b@h>\r\n", "text").is_err());
        assert!(
            of(
                "From: <sip:a@h>\r\nTo: <sip:b@h>\r\nContent-Type: a/b\r\n",
                "text"
            )
            .is_ok()
        );
    }

    #[test]
    fn nobody_puts_a_second_line_into_the_request_line() {
        let mut request = of("From: <sip:a@h>\r\nTo: <sip:b@h>", "").unwrap();
        assert!(request.check().is_ok());
        request.method = "MESSAGE sip:x SIP/2.0\r\nX:".into();
        assert!(request.check().is_err());
        request.method = "MESSAGE".into();
        request.ruri = "sip:b@h SIP/2.0\r\nX: ".into();
        assert!(request.check().is_err());
    }

    #[test]
    fn a_transaction_has_a_name() {
        assert_eq!(parse_id("7:12"), Some((7, 12)));
        assert_eq!(parse_id("7"), None);
    }
}
