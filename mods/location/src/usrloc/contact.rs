//! A contact of the location table: numbers beside one packed text, which holds every string in one allocation.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use kahea_module::{Str, xavp::Xavps};
use kahea_sip::ConnectionId;
use smallvec::SmallVec;

/// The strings of a contact, in the order in which they are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Part {
    /// The address of record that it belongs to.
    Aor,
    /// The URI of its Contact.
    Address,
    /// Where its REGISTER came from, as a URI; empty where it is not known.
    Received,
    /// Its Path as one header value; empty without.
    Path,
    /// The User-Agent of its REGISTER.
    UserAgent,
    /// The Call-ID of its REGISTER.
    CallId,
    /// The identifier that no other contact has.
    Ruid,
    /// `+sip.instance`, with its angle brackets; empty without.
    Instance,
    /// The socket that its REGISTER came to, `proto:address:port`; empty where it is not known.
    Socket,
}

const PARTS: usize = 9;

/// How a contact stands to its row in the database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// It has no row yet.
    #[default]
    New,
    /// Its row is as it is.
    Synced,
    /// Its row is older than it.
    Dirty,
}

impl State {
    /// As `ul.dump` shows it.
    pub fn text(self) -> &'static str {
        match self {
            State::New => "CS_NEW",
            State::Synced => "CS_SYNC",
            State::Dirty => "CS_DIRTY",
        }
    }

    /// The state after a change.
    pub fn changed(self) -> State {
        match self {
            State::New => State::New,
            State::Synced | State::Dirty => State::Dirty,
        }
    }
}

/// The methods that a contact takes: all of them, as where its REGISTER has no Allow.
pub const ALL_METHODS: u32 = u32::MAX;

/// A contact about to be kept: what [`Contact::new`] packs.
#[derive(Clone, Debug)]
pub struct Draft<'a> {
    /// Strings by [`Part`].
    pub texts: [&'a [u8]; PARTS],
    /// Seconds since 1970 when it ends; 0 for never.
    pub expires: u32,
    /// Seconds since 1970 of its last REGISTER.
    pub modified: u32,
    /// The number in the CSeq of its REGISTER.
    pub cseq: u32,
    /// Preference in thousandths.
    pub q: Option<u16>,
    /// Flags of the location service itself (Kamailio's `flags`).
    pub flags: u32,
    /// Branch flags (Kamailio's `cflags`).
    pub cflags: u32,
    /// The methods that it takes, as bits; [`ALL_METHODS`] where it does not say.
    pub methods: u32,
    /// `reg-id` (RFC 5626); 0 without.
    pub reg_id: u32,
    /// The global parameter `server_id` of the server that took its REGISTER.
    pub server_id: i32,
    /// The connection that its REGISTER came over.
    pub connection: Option<ConnectionId>,
    /// The fields of `xavp_contact`.
    pub attributes: Option<Arc<Xavps>>,
}

impl Default for Draft<'_> {
    fn default() -> Self {
        Draft {
            texts: [b""; PARTS],
            expires: 0,
            modified: 0,
            cseq: 0,
            q: None,
            flags: 0,
            cflags: 0,
            methods: ALL_METHODS,
            reg_id: 0,
            server_id: 0,
            connection: None,
            attributes: None,
        }
    }
}

impl<'a> Draft<'a> {
    /// With this string.
    pub fn with(mut self, part: Part, text: &'a [u8]) -> Draft<'a> {
        self.set(part, text);
        self
    }

    /// Sets a string.
    pub fn set(&mut self, part: Part, text: &'a [u8]) {
        if let Some(place) = self.texts.get_mut(part as usize) {
            *place = text;
        }
    }

    /// A string.
    pub fn get(&self, part: Part) -> &'a [u8] {
        self.texts.get(part as usize).copied().unwrap_or_default()
    }
}

/// The strings of a contact are longer than 65,535 bytes together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the strings of the contact are longer than 65,535 bytes together")
    }
}

/// A contact. Cloning shares its text.
#[derive(Clone)]
pub struct Contact {
    text: Arc<[u8]>,
    attributes: Option<Arc<Xavps>>,
    connection: Option<ConnectionId>,
    ends: [u16; PARTS],
    /// Thousandths; [`NO_Q`] without.
    q: u16,
    pub(crate) expires: u32,
    modified: u32,
    cseq: u32,
    flags: u32,
    cflags: u32,
    methods: u32,
    reg_id: u32,
    server_id: i32,
    pub(crate) last_answer: u32,
    pub(crate) round_trip: u32,
    pub(crate) state: State,
}

const NO_Q: u16 = u16::MAX;

impl Contact {
    /// Packs a contact; one allocation.
    ///
    /// # Errors
    /// Its strings are too long.
    pub fn new(draft: &Draft<'_>) -> Result<Contact, TooLong> {
        let mut text = SmallVec::<[u8; 768]>::new();
        let mut ends = [0u16; PARTS];
        for (end, part) in ends.iter_mut().zip(draft.texts) {
            text.extend_from_slice(part);
            *end = u16::try_from(text.len()).map_err(|_| TooLong)?;
        }
        Ok(Contact {
            text: Arc::from(&*text),
            attributes: draft.attributes.clone(),
            connection: draft.connection,
            ends,
            q: draft.q.unwrap_or(NO_Q),
            expires: draft.expires,
            modified: draft.modified,
            cseq: draft.cseq,
            flags: draft.flags,
            cflags: draft.cflags,
            methods: draft.methods,
            reg_id: draft.reg_id,
            server_id: draft.server_id,
            last_answer: draft.modified,
            round_trip: 0,
            state: State::New,
        })
    }

    /// What it was packed from, to pack it again with changes.
    pub fn draft(&self) -> Draft<'_> {
        let mut texts: [&[u8]; PARTS] = [b""; PARTS];
        let mut start = 0;
        for (text, end) in texts.iter_mut().zip(self.ends) {
            let end = usize::from(end);
            *text = self.text.get(start..end).unwrap_or_default();
            start = end;
        }
        Draft {
            texts,
            expires: self.expires,
            modified: self.modified,
            cseq: self.cseq,
            q: self.q(),
            flags: self.flags,
            cflags: self.cflags,
            methods: self.methods,
            reg_id: self.reg_id,
            server_id: self.server_id,
            connection: self.connection,
            attributes: self.attributes.clone(),
        }
    }

    /// A string of it.
    pub fn part(&self, part: Part) -> &[u8] {
        let at = part as usize;
        let start = at.checked_sub(1).and_then(|before| self.ends.get(before));
        let start = start.map_or(0, |end| usize::from(*end));
        let end = self.ends.get(at).map_or(start, |end| usize::from(*end));
        self.text.get(start..end).unwrap_or_default()
    }

    /// All its strings in one, of which [`Str::share`] takes [`Contact::part`]s without a copy.
    pub fn whole(&self) -> Str {
        Str::from(Bytes::from_owner(self.text.clone()))
    }

    /// The address of record.
    pub fn aor(&self) -> &[u8] {
        self.part(Part::Aor)
    }

    /// The URI of the Contact.
    pub fn address(&self) -> &[u8] {
        self.part(Part::Address)
    }

    /// Where its REGISTER came from, as a URI.
    pub fn received(&self) -> Option<&[u8]> {
        Some(self.part(Part::Received)).filter(|text| !text.is_empty())
    }

    /// Its Path.
    pub fn path(&self) -> Option<&[u8]> {
        Some(self.part(Part::Path)).filter(|text| !text.is_empty())
    }

    /// The User-Agent of its REGISTER.
    pub fn user_agent(&self) -> &[u8] {
        self.part(Part::UserAgent)
    }

    /// The Call-ID of its REGISTER.
    pub fn call_id(&self) -> &[u8] {
        self.part(Part::CallId)
    }

    /// Its own identifier.
    pub fn ruid(&self) -> &[u8] {
        self.part(Part::Ruid)
    }

    /// `+sip.instance`.
    pub fn instance(&self) -> Option<&[u8]> {
        Some(self.part(Part::Instance)).filter(|text| !text.is_empty())
    }

    /// The socket that its REGISTER came to.
    pub fn socket(&self) -> Option<&[u8]> {
        Some(self.part(Part::Socket)).filter(|text| !text.is_empty())
    }

    /// Preference in thousandths.
    pub fn q(&self) -> Option<u16> {
        (self.q != NO_Q).then_some(self.q)
    }

    /// Seconds since 1970 when it ends; 0 for never.
    pub fn expires(&self) -> u32 {
        self.expires
    }

    /// Seconds that it has left at `now`; `None` for one that never ends.
    pub fn seconds_left(&self, now: u32) -> Option<u32> {
        (self.expires != 0).then(|| self.expires.saturating_sub(now))
    }

    /// It has not ended at `now`.
    pub fn is_valid(&self, now: u32) -> bool {
        self.expires == 0 || self.expires > now
    }

    /// Seconds since 1970 of its last REGISTER.
    pub fn modified(&self) -> u32 {
        self.modified
    }

    /// The number in the CSeq of its REGISTER.
    pub fn cseq(&self) -> u32 {
        self.cseq
    }

    /// Flags of the location service itself.
    pub fn flags(&self) -> u32 {
        self.flags
    }

    /// Branch flags.
    pub fn cflags(&self) -> u32 {
        self.cflags
    }

    /// The methods that it takes, as bits.
    pub fn methods(&self) -> u32 {
        self.methods
    }

    /// `reg-id`; 0 without.
    pub fn reg_id(&self) -> u32 {
        self.reg_id
    }

    /// The `server_id` of the server that took its REGISTER.
    pub fn server_id(&self) -> i32 {
        self.server_id
    }

    /// The connection that its REGISTER came over.
    pub fn connection(&self) -> Option<ConnectionId> {
        self.connection
    }

    /// The fields of `xavp_contact`.
    pub fn attributes(&self) -> Option<&Arc<Xavps>> {
        self.attributes.as_ref()
    }

    /// Seconds since 1970 of its last answer to a keepalive, or of its last REGISTER.
    pub fn last_answer(&self) -> u32 {
        self.last_answer
    }

    /// Microseconds between the last keepalive and its answer; 0 where none came.
    pub fn round_trip(&self) -> u32 {
        self.round_trip
    }

    /// How it stands to its row.
    pub fn state(&self) -> State {
        self.state
    }

    pub(crate) fn forget_connection(&mut self) {
        self.connection = None;
    }

    pub(crate) fn set_attributes(&mut self, fields: Arc<Xavps>) {
        self.attributes = Some(fields);
    }

    /// Both are the same contact at the same REGISTER.
    pub(crate) fn is_same_version(&self, other: &Contact) -> bool {
        Arc::ptr_eq(&self.text, &other.text)
            && (self.expires, self.cseq, self.modified) == (other.expires, other.cseq, other.modified)
    }
}

impl fmt::Debug for Contact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contact")
            .field("aor", &String::from_utf8_lossy(self.aor()))
            .field("address", &String::from_utf8_lossy(self.address()))
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// The contacts of one address of record, in the order of preference. Mostly one.
pub type Contacts = SmallVec<[Contact; 1]>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_packed_and_taken_out_again() {
        let draft = Draft::default()
            .with(Part::Aor, b"alice")
            .with(Part::Address, b"sip:alice@192.0.2.1")
            .with(Part::Socket, b"udp:192.0.2.9:5060");
        let contact = Contact::new(&draft).unwrap();
        assert_eq!(contact.aor(), b"alice");
        assert_eq!(contact.address(), b"sip:alice@192.0.2.1");
        assert_eq!(
            (contact.received(), contact.path(), contact.instance()),
            (None, None, None)
        );
        assert_eq!(contact.socket(), Some(&b"udp:192.0.2.9:5060"[..]));
        let whole = contact.whole();
        let shared = whole.share(contact.address());
        assert_eq!(shared.as_ptr(), contact.address().as_ptr());
        assert_eq!(Contact::new(&contact.draft()).unwrap().socket(), contact.socket());
    }

    #[test]
    fn a_text_that_does_not_fit_is_refused() {
        let long = vec![b'x'; 70_000];
        assert_eq!(
            Contact::new(&Draft::default().with(Part::Path, &long)).map(|_| ()),
            Err(TooLong)
        );
    }

    #[test]
    fn a_contact_takes_no_more_than_its_place() {
        assert!(size_of::<Contact>() <= 112, "{}", size_of::<Contact>());
    }
}
