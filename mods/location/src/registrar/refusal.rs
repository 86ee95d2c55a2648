//! Why a REGISTER is refused: the reply, and the reason in `P-Registrar-Error`.

/// Why a REGISTER is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// A header is missing or cannot be read.
    Message,
    /// A Contact cannot be read.
    Contact,
    /// `*` beside another Contact.
    StarAndMore,
    /// `*` without `Expires: 0`.
    StarExpires,
    /// The address of record cannot be read.
    AorParse,
    /// The address of record is too long.
    AorLength,
    /// A Contact URI, its received address or all together is too long.
    ContactLength,
    /// The Call-ID is too long.
    CallIdLength,
    /// The `q` of a Contact is none.
    Q,
    /// The `reg-id` of a Contact is none.
    RegId,
    /// The request is older than one that was taken.
    CSeq,
    /// There would be more contacts than are allowed.
    TooMany,
    /// A Path cannot be read.
    PathParse,
    /// There is a Path, and the user agent does not know of them.
    PathUnsupported,
    /// The user agent requires outbound, which is not in use here.
    OutboundUnsupported,
    /// Outbound is required here, and the user agent does not have it.
    OutboundRequired,
    /// The first hop does not have outbound.
    OutboundEdge,
    /// A contact would last for less time than is allowed.
    TooBrief,
    /// The database did not take it.
    Database,
}

impl Refusal {
    /// Status and reason phrase.
    pub fn status(self) -> (u16, &'static str) {
        use Refusal::*;
        match self {
            Message | Contact | StarAndMore | StarExpires | AorParse | ContactLength | Q | RegId | CSeq
            | PathParse | CallIdLength => (400, "Bad Request"),
            AorLength => (500, "Server Internal Error"),
            TooMany | Database => (503, "Service Unavailable"),
            PathUnsupported | OutboundUnsupported => (420, "Bad Extension"),
            OutboundRequired => (421, "Extension Required"),
            OutboundEdge => (439, "First Hop Lacks Outbound Support"),
            TooBrief => (423, "Interval Too Brief"),
        }
    }

    /// What `P-Registrar-Error` says.
    pub fn reason(self) -> &'static str {
        use Refusal::*;
        match self {
            Message => "Message parse error",
            Contact => "Contact parse error",
            StarAndMore => "* used in contact and more than 1 contact",
            StarExpires => "* used in contact and expires is not zero",
            AorParse => "Error while parsing AOR",
            AorLength => "Address Of Record too long",
            ContactLength => "Contact/received too long",
            CallIdLength => "Callid too long",
            Q => "Invalid q param in contact",
            RegId => "Invalid reg-id param in contact",
            CSeq => "Invalid CSeq number",
            TooMany => "Too many registered contacts",
            PathParse => "Path parse error",
            PathUnsupported => "No support for found Path indicated",
            OutboundUnsupported => "No support for Outbound on server",
            OutboundRequired => "No support for Outbound on client",
            OutboundEdge => "No support for Outbound on edge proxy",
            TooBrief => "Interval too brief",
            Database => "Location database not available",
        }
    }

    /// What `save()` returns.
    pub fn code(self) -> i64 {
        match self {
            Refusal::TooMany => -2,
            _ => -1,
        }
    }
}
