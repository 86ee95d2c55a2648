//! Methods as bits, as location tables keep them.

use kahea_module::Cx;
use kahea_sip::{HeaderId, Method, view::Tokens};

use crate::usrloc::ALL_METHODS;

/// Of a list such as the value of Allow.
pub(crate) fn of_list(text: &[u8]) -> u32 {
    Tokens::new(text).fold(0, |all, name| all | Method::parse(name).bit())
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
        let all = Method::ALL.iter().fold(0, |all, method| all | method.bit());
        assert_eq!(all, Method::Other.bit() - 1);
    }
}
