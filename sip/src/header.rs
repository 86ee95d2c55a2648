//! Header names: the known ones as an enum, found in any case and in compact form without an allocation.

/// A header's name, independent of its spelling. Unknown ones are [`HeaderId::Other`]; their name is in the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum HeaderId {
    /// `Via`, compact `v`.
    Via,
    /// `From`, compact `f`.
    From,
    /// `To`, compact `t`.
    To,
    /// `Call-ID`, compact `i`.
    CallId,
    /// `CSeq`.
    CSeq,
    /// `Contact`, compact `m`.
    Contact,
    /// `Max-Forwards`.
    MaxForwards,
    /// `Route`.
    Route,
    /// `Record-Route`.
    RecordRoute,
    /// `Content-Type`, compact `c`.
    ContentType,
    /// `Content-Length`, compact `l`.
    ContentLength,
    /// `Expires`.
    Expires,
    /// `Authorization`.
    Authorization,
    /// `Proxy-Authorization`.
    ProxyAuthorization,
    /// `WWW-Authenticate`.
    WwwAuthenticate,
    /// `Proxy-Authenticate`.
    ProxyAuthenticate,
    /// `Authentication-Info`.
    AuthenticationInfo,
    /// `Supported`, compact `k`.
    Supported,
    /// `Require`.
    Require,
    /// `Proxy-Require`.
    ProxyRequire,
    /// `Unsupported`.
    Unsupported,
    /// `Allow`.
    Allow,
    /// `Event`, compact `o`.
    Event,
    /// `Accept`.
    Accept,
    /// `Accept-Contact`, compact `a`.
    AcceptContact,
    /// `Accept-Language`.
    AcceptLanguage,
    /// `Accept-Encoding`.
    AcceptEncoding,
    /// `Organization`.
    Organization,
    /// `Priority`.
    Priority,
    /// `Subject`, compact `s`.
    Subject,
    /// `User-Agent`.
    UserAgent,
    /// `Server`.
    Server,
    /// `Content-Disposition`.
    ContentDisposition,
    /// `Content-Encoding`, compact `e`.
    ContentEncoding,
    /// `Diversion`.
    Diversion,
    /// `Remote-Party-ID`.
    RemotePartyId,
    /// `Refer-To`, compact `r`.
    ReferTo,
    /// `Referred-By`, compact `b`.
    ReferredBy,
    /// `Reject-Contact`, compact `j`.
    RejectContact,
    /// `Request-Disposition`, compact `d`.
    RequestDisposition,
    /// `Session-Expires`, compact `x`.
    SessionExpires,
    /// `Min-SE`.
    MinSe,
    /// `Min-Expires`.
    MinExpires,
    /// `SIP-If-Match`.
    SipIfMatch,
    /// `SIP-ETag`.
    SipETag,
    /// `Subscription-State`.
    SubscriptionState,
    /// `Date`.
    Date,
    /// `Identity`, compact `y`.
    Identity,
    /// `Identity-Info`, compact `n`.
    IdentityInfo,
    /// `P-Asserted-Identity`.
    PAssertedIdentity,
    /// `P-Preferred-Identity`.
    PPreferredIdentity,
    /// `Privacy`.
    Privacy,
    /// `Retry-After`.
    RetryAfter,
    /// `Path`.
    Path,
    /// `Reason`.
    Reason,
    /// `RAck`.
    RAck,
    /// `RSeq`.
    RSeq,
    /// `Replaces`.
    Replaces,
    /// `Allow-Events`, compact `u`.
    AllowEvents,
    /// `Service-Route`.
    ServiceRoute,
    /// `Warning`.
    Warning,
    /// `Timestamp`.
    Timestamp,
    /// `MIME-Version`.
    MimeVersion,
    /// Any other header.
    Other,
}

impl HeaderId {
    /// Every known header; without [`HeaderId::Other`].
    pub const ALL: [HeaderId; 63] = [
        HeaderId::Via,
        HeaderId::From,
        HeaderId::To,
        HeaderId::CallId,
        HeaderId::CSeq,
        HeaderId::Contact,
        HeaderId::MaxForwards,
        HeaderId::Route,
        HeaderId::RecordRoute,
        HeaderId::ContentType,
        HeaderId::ContentLength,
        HeaderId::Expires,
        HeaderId::Authorization,
        HeaderId::ProxyAuthorization,
        HeaderId::WwwAuthenticate,
        HeaderId::ProxyAuthenticate,
        HeaderId::AuthenticationInfo,
        HeaderId::Supported,
        HeaderId::Require,
        HeaderId::ProxyRequire,
        HeaderId::Unsupported,
        HeaderId::Allow,
        HeaderId::Event,
        HeaderId::Accept,
        HeaderId::AcceptContact,
        HeaderId::AcceptLanguage,
        HeaderId::AcceptEncoding,
        HeaderId::Organization,
        HeaderId::Priority,
        HeaderId::Subject,
        HeaderId::UserAgent,
        HeaderId::Server,
        HeaderId::ContentDisposition,
        HeaderId::ContentEncoding,
        HeaderId::Diversion,
        HeaderId::RemotePartyId,
        HeaderId::ReferTo,
        HeaderId::ReferredBy,
        HeaderId::RejectContact,
        HeaderId::RequestDisposition,
        HeaderId::SessionExpires,
        HeaderId::MinSe,
        HeaderId::MinExpires,
        HeaderId::SipIfMatch,
        HeaderId::SipETag,
        HeaderId::SubscriptionState,
        HeaderId::Date,
        HeaderId::Identity,
        HeaderId::IdentityInfo,
        HeaderId::PAssertedIdentity,
        HeaderId::PPreferredIdentity,
        HeaderId::Privacy,
        HeaderId::RetryAfter,
        HeaderId::Path,
        HeaderId::Reason,
        HeaderId::RAck,
        HeaderId::RSeq,
        HeaderId::Replaces,
        HeaderId::AllowEvents,
        HeaderId::ServiceRoute,
        HeaderId::Warning,
        HeaderId::Timestamp,
        HeaderId::MimeVersion,
    ];

    /// By name: any case, long or compact. Space around the name is the caller's to remove.
    #[inline]
    pub fn parse(name: &[u8]) -> HeaderId {
        match name {
            [] => HeaderId::Other,
            [letter] => HeaderId::compact(*letter),
            _ => {
                let (known, id) = TABLE
                    .slots
                    .get(hash(name, TABLE.seed))
                    .copied()
                    .unwrap_or(NO_NAME);
                // Most senders spell names as the RFCs do, and that is one comparison of memory.
                if name == known || name.eq_ignore_ascii_case(known) {
                    id
                } else {
                    HeaderId::Other
                }
            }
        }
    }

    /// The name in its usual spelling; empty for [`HeaderId::Other`].
    pub const fn name(self) -> &'static str {
        match self {
            HeaderId::Via => "Via",
            HeaderId::From => "From",
            HeaderId::To => "To",
            HeaderId::CallId => "Call-ID",
            HeaderId::CSeq => "CSeq",
            HeaderId::Contact => "Contact",
            HeaderId::MaxForwards => "Max-Forwards",
            HeaderId::Route => "Route",
            HeaderId::RecordRoute => "Record-Route",
            HeaderId::ContentType => "Content-Type",
            HeaderId::ContentLength => "Content-Length",
            HeaderId::Expires => "Expires",
            HeaderId::Authorization => "Authorization",
            HeaderId::ProxyAuthorization => "Proxy-Authorization",
            HeaderId::WwwAuthenticate => "WWW-Authenticate",
            HeaderId::ProxyAuthenticate => "Proxy-Authenticate",
            HeaderId::AuthenticationInfo => "Authentication-Info",
            HeaderId::Supported => "Supported",
            HeaderId::Require => "Require",
            HeaderId::ProxyRequire => "Proxy-Require",
            HeaderId::Unsupported => "Unsupported",
            HeaderId::Allow => "Allow",
            HeaderId::Event => "Event",
            HeaderId::Accept => "Accept",
            HeaderId::AcceptContact => "Accept-Contact",
            HeaderId::AcceptLanguage => "Accept-Language",
            HeaderId::AcceptEncoding => "Accept-Encoding",
            HeaderId::Organization => "Organization",
            HeaderId::Priority => "Priority",
            HeaderId::Subject => "Subject",
            HeaderId::UserAgent => "User-Agent",
            HeaderId::Server => "Server",
            HeaderId::ContentDisposition => "Content-Disposition",
            HeaderId::ContentEncoding => "Content-Encoding",
            HeaderId::Diversion => "Diversion",
            HeaderId::RemotePartyId => "Remote-Party-ID",
            HeaderId::ReferTo => "Refer-To",
            HeaderId::ReferredBy => "Referred-By",
            HeaderId::RejectContact => "Reject-Contact",
            HeaderId::RequestDisposition => "Request-Disposition",
            HeaderId::SessionExpires => "Session-Expires",
            HeaderId::MinSe => "Min-SE",
            HeaderId::MinExpires => "Min-Expires",
            HeaderId::SipIfMatch => "SIP-If-Match",
            HeaderId::SipETag => "SIP-ETag",
            HeaderId::SubscriptionState => "Subscription-State",
            HeaderId::Date => "Date",
            HeaderId::Identity => "Identity",
            HeaderId::IdentityInfo => "Identity-Info",
            HeaderId::PAssertedIdentity => "P-Asserted-Identity",
            HeaderId::PPreferredIdentity => "P-Preferred-Identity",
            HeaderId::Privacy => "Privacy",
            HeaderId::RetryAfter => "Retry-After",
            HeaderId::Path => "Path",
            HeaderId::Reason => "Reason",
            HeaderId::RAck => "RAck",
            HeaderId::RSeq => "RSeq",
            HeaderId::Replaces => "Replaces",
            HeaderId::AllowEvents => "Allow-Events",
            HeaderId::ServiceRoute => "Service-Route",
            HeaderId::Warning => "Warning",
            HeaderId::Timestamp => "Timestamp",
            HeaderId::MimeVersion => "MIME-Version",
            HeaderId::Other => "",
        }
    }

    /// This header's bit in a set of headers; [`HeaderId::Other`] has the last one.
    pub const fn bit(self) -> u64 {
        1 << (self as u8)
    }

    /// By compact form (IANA's registry of SIP header fields), in any case.
    const fn compact(letter: u8) -> HeaderId {
        match letter.to_ascii_lowercase() {
            b'a' => HeaderId::AcceptContact,
            b'b' => HeaderId::ReferredBy,
            b'c' => HeaderId::ContentType,
            b'd' => HeaderId::RequestDisposition,
            b'e' => HeaderId::ContentEncoding,
            b'f' => HeaderId::From,
            b'i' => HeaderId::CallId,
            b'j' => HeaderId::RejectContact,
            b'k' => HeaderId::Supported,
            b'l' => HeaderId::ContentLength,
            b'm' => HeaderId::Contact,
            b'n' => HeaderId::IdentityInfo,
            b'o' => HeaderId::Event,
            b'r' => HeaderId::ReferTo,
            b's' => HeaderId::Subject,
            b't' => HeaderId::To,
            b'u' => HeaderId::AllowEvents,
            b'v' => HeaderId::Via,
            b'x' => HeaderId::SessionExpires,
            b'y' => HeaderId::Identity,
            _ => HeaderId::Other,
        }
    }
}

const SLOTS: usize = 512;

/// A perfect hash of the long names, found when the crate is compiled.
struct Table {
    seed: u32,
    slots: [(&'static [u8], HeaderId); SLOTS],
}

static TABLE: Table = table();

const NO_NAME: (&[u8], HeaderId) = (b"", HeaderId::Other);

/// Mixes the length and three letters, which together tell all known names apart.
#[expect(
    clippy::indexing_slicing,
    reason = "runs at compile time too, where `get` on a slice is not const; indexes are below the length"
)]
#[inline]
const fn hash(name: &[u8], seed: u32) -> usize {
    let len = name.len();
    if len == 0 {
        return 0;
    }
    let first = name[0].to_ascii_lowercase() as u32;
    let middle = name[len / 2].to_ascii_lowercase() as u32;
    let last = name[len - 1].to_ascii_lowercase() as u32;
    let key = first | middle << 8 | last << 16 | (len as u32) << 24;
    (key.wrapping_mul(seed) >> 23) as usize % SLOTS
}

/// Tries odd multipliers until no two names meet in one slot.
#[expect(clippy::indexing_slicing, reason = "runs at compile time only")]
const fn table() -> Table {
    let mut seed: u32 = 0x9e37_79b1;
    loop {
        let mut slots = [NO_NAME; SLOTS];
        let mut index = 0;
        while index < HeaderId::ALL.len() {
            let id = HeaderId::ALL[index];
            let slot = hash(id.name().as_bytes(), seed);
            if !slots[slot].0.is_empty() {
                break;
            }
            slots[slot] = (id.name().as_bytes(), id);
            index += 1;
        }
        if index == HeaderId::ALL.len() {
            return Table { seed, slots };
        }
        seed = seed.wrapping_mul(0x2c92_77b5).wrapping_add(2) | 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_any_case() {
        for id in HeaderId::ALL {
            assert_eq!(HeaderId::parse(id.name().as_bytes()), id);
            assert_eq!(HeaderId::parse(id.name().to_ascii_uppercase().as_bytes()), id);
            assert_eq!(HeaderId::parse(id.name().to_ascii_lowercase().as_bytes()), id);
        }
        assert!(HeaderId::ALL.len() < 64, "a set of headers is a u64");
    }

    #[test]
    fn compact_forms_and_strangers() {
        assert_eq!(HeaderId::parse(b"v"), HeaderId::Via);
        assert_eq!(HeaderId::parse(b"I"), HeaderId::CallId);
        assert_eq!(HeaderId::parse(b"z"), HeaderId::Other);
        assert_eq!(HeaderId::parse(b"Vib"), HeaderId::Other);
        assert_eq!(HeaderId::parse(b"X-Call-ID"), HeaderId::Other);
        assert_eq!(HeaderId::parse(b""), HeaderId::Other);
        assert_eq!(HeaderId::parse(b"\xff\0"), HeaderId::Other);
    }
}
