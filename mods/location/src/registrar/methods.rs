//! Methods as bits, as location tables keep them.

use kahea_module::Cx;
use kahea_sip::{HeaderId, Method, view::Tokens};

use crate::usrloc::ALL_METHODS;

/// Any method that has no bit of its own.
const OTHER: u32 = 1 << 19;

/// The bit of a method, Kamailio's.
pub(crate) fn bit(method: Method) -> u32 {
    match method {
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
        Method::Other => OTHER,
    }
}

/// Of a list such as the value of Allow.
pub(crate) fn of_list(text: &[u8]) -> u32 {
    Tokens::new(text).fold(0, |all, name| all | bit(Method::parse(name)))
}

/// What the message's Allow headers name; all methods without one.
pub(crate) fn allowed(cx: &Cx) -> u32 {
    let mut headers = cx.msg.all(HeaderId::Allow).peekable();
    if headers.peek().is_none() {
        return ALL_METHODS;
    }
    headers.fold(0, |all, header| all | of_list(cx.msg.value(header)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_method_has_its_bit() {
        assert_eq!(of_list(b"INVITE, ACK,BYE"), 13);
        assert_eq!(of_list(b"INVITE, FOO"), 524_289);
        assert_eq!(of_list(b""), 0);
        let all = Method::ALL.iter().fold(0, |all, method| all | bit(*method));
        assert_eq!(all, OTHER - 1);
    }
}
