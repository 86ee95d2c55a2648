//! Request methods: the known ones as an enum, all others by their text.

/// A request method. Unknown ones are [`Method::Other`]; their text is in the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Method {
    /// RFC 3261.
    Invite,
    /// RFC 3261.
    Ack,
    /// RFC 3261.
    Bye,
    /// RFC 3261.
    Cancel,
    /// RFC 3261.
    Register,
    /// RFC 3261.
    Options,
    /// RFC 6086.
    Info,
    /// RFC 3311.
    Update,
    /// RFC 3262.
    Prack,
    /// RFC 6665.
    Subscribe,
    /// RFC 6665.
    Notify,
    /// RFC 3515.
    Refer,
    /// RFC 3428.
    Message,
    /// RFC 3903.
    Publish,
    /// Kamailio's distributed message queue (module dmq).
    Kdmq,
    /// HTTP on a SIP port (module xhttp).
    Get,
    /// HTTP on a SIP port (module xhttp).
    Post,
    /// HTTP on a SIP port (module xhttp).
    Put,
    /// HTTP on a SIP port (module xhttp).
    Delete,
    /// Any other.
    Other,
}

impl Method {
    /// Every known method; without [`Method::Other`].
    pub const ALL: [Method; 19] = [
        Method::Invite,
        Method::Ack,
        Method::Bye,
        Method::Cancel,
        Method::Register,
        Method::Options,
        Method::Info,
        Method::Update,
        Method::Prack,
        Method::Subscribe,
        Method::Notify,
        Method::Refer,
        Method::Message,
        Method::Publish,
        Method::Kdmq,
        Method::Get,
        Method::Post,
        Method::Put,
        Method::Delete,
    ];

    /// By name, in its exact case: methods are case-sensitive (RFC 3261 section 7.1).
    pub fn parse(name: &[u8]) -> Method {
        match name {
            b"INVITE" => Method::Invite,
            b"ACK" => Method::Ack,
            b"BYE" => Method::Bye,
            b"CANCEL" => Method::Cancel,
            b"REGISTER" => Method::Register,
            b"OPTIONS" => Method::Options,
            b"INFO" => Method::Info,
            b"UPDATE" => Method::Update,
            b"PRACK" => Method::Prack,
            b"SUBSCRIBE" => Method::Subscribe,
            b"NOTIFY" => Method::Notify,
            b"REFER" => Method::Refer,
            b"MESSAGE" => Method::Message,
            b"PUBLISH" => Method::Publish,
            b"KDMQ" => Method::Kdmq,
            b"GET" => Method::Get,
            b"POST" => Method::Post,
            b"PUT" => Method::Put,
            b"DELETE" => Method::Delete,
            _ => Method::Other,
        }
    }

    /// The name as on the wire; empty for [`Method::Other`].
    pub const fn name(self) -> &'static str {
        match self {
            Method::Invite => "INVITE",
            Method::Ack => "ACK",
            Method::Bye => "BYE",
            Method::Cancel => "CANCEL",
            Method::Register => "REGISTER",
            Method::Options => "OPTIONS",
            Method::Info => "INFO",
            Method::Update => "UPDATE",
            Method::Prack => "PRACK",
            Method::Subscribe => "SUBSCRIBE",
            Method::Notify => "NOTIFY",
            Method::Refer => "REFER",
            Method::Message => "MESSAGE",
            Method::Publish => "PUBLISH",
            Method::Kdmq => "KDMQ",
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
            Method::Other => "",
        }
    }

    /// Kamailio's number for it (`$rmid`): one bit each, so that sets of methods are sums.
    pub const fn bit(self) -> u32 {
        match self {
            Method::Invite => 1,
            Method::Cancel => 1 << 1,
            Method::Ack => 1 << 2,
            Method::Bye => 1 << 3,
            Method::Info => 1 << 4,
            Method::Register => 1 << 5,
            Method::Subscribe => 1 << 6,
            Method::Notify => 1 << 7,
            Method::Message => 1 << 8,
            Method::Options => 1 << 9,
            Method::Prack => 1 << 10,
            Method::Update => 1 << 11,
            Method::Refer => 1 << 12,
            Method::Publish => 1 << 13,
            Method::Kdmq => 1 << 14,
            Method::Get => 1 << 15,
            Method::Post => 1 << 16,
            Method::Put => 1 << 17,
            Method::Delete => 1 << 18,
            Method::Other => 1 << 19,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_round_and_bits_are_distinct() {
        let mut seen = Method::Other.bit();
        for method in Method::ALL {
            assert_eq!(Method::parse(method.name().as_bytes()), method);
            assert_eq!(seen & method.bit(), 0, "{method:?} shares its bit");
            seen |= method.bit();
        }
        assert_eq!(seen, (1 << 20) - 1);
    }

    #[test]
    fn case_matters() {
        assert_eq!(Method::parse(b"invite"), Method::Other);
        assert_eq!(Method::parse(b""), Method::Other);
    }
}
