//! What a text is made of.

use kahea_module::{Cx, Str, Value};
use kahea_sip::view::{Scheme, Uri};

use super::SipUtils;

pub(super) fn is_numeric(_: &SipUtils, _: &mut Cx, text: Str) -> i64 {
    yes_or(-2, !text.is_empty() && text.iter().all(u8::is_ascii_digit))
}

pub(super) fn is_alphanum(m: &SipUtils, cx: &mut Cx, text: Str) -> i64 {
    is_alphanumex(m, cx, text, Str::EMPTY)
}

pub(super) fn is_alphanumex(_: &SipUtils, _: &mut Cx, text: Str, set: Str) -> i64 {
    if text.is_empty() {
        return -2;
    }
    yes_or(
        -3,
        text.iter().all(|b| b.is_ascii_alphanumeric() || set.contains(b)),
    )
}

pub(super) fn is_tel_number(_: &SipUtils, _: &mut Cx, text: Str) -> i64 {
    let digits = text.strip_prefix(b"+").unwrap_or(&text);
    yes_or(-2, !digits.is_empty() && digits.iter().all(u8::is_ascii_digit))
}

pub(super) fn is_e164(m: &SipUtils, _: &mut Cx, value: Value) -> bool {
    matches!(value, Value::Str(text) if m.is_e164(&text))
}

pub(super) fn is_uri_user_e164(m: &SipUtils, _: &mut Cx, value: Value) -> bool {
    let Value::Str(text) = value else {
        return false;
    };
    Uri::parse(&text).is_ok_and(|uri| m.has_e164_user(&uri))
}

fn yes_or(code: i64, yes: bool) -> i64 {
    if yes { 1 } else { code }
}

impl SipUtils {
    /// A plus sign and at least two digits.
    fn is_e164(&self, text: &[u8]) -> bool {
        text.len() > 2
            && text.len() <= self.e164_max_len
            && text
                .strip_prefix(b"+")
                .is_some_and(|digits| digits.iter().all(u8::is_ascii_digit))
    }

    /// The number of a `tel:` URI is no user, as in Kamailio.
    pub(super) fn has_e164_user(&self, uri: &Uri<'_>) -> bool {
        matches!(uri.scheme, Scheme::Sip | Scheme::Sips) && self.is_e164(uri.user)
    }
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::{super::tests::started, *};

    fn all(test: fn(&SipUtils, &mut Cx, Str) -> i64, texts: &[&str]) -> Vec<i64> {
        let mut cx = Server::default().invite();
        let texts = texts.iter();
        texts
            .map(|text| test(&started(), &mut cx, Str::from(*text)))
            .collect()
    }

    #[test]
    fn digits_and_letters() {
        assert_eq!(all(is_numeric, &["0123", "", "12a", "+12"]), [1, -2, -2, -2]);
        assert_eq!(all(is_alphanum, &["ab12", "ab-", ""]), [1, -3, -2]);
        assert_eq!(
            all(is_tel_number, &["+123", "123", "+", "12-3", "", "++1"]),
            [1, 1, -2, -2, -2, -2]
        );
        let mut cx = Server::default().invite();
        let ex = |cx: &mut Cx, text, set| is_alphanumex(&started(), cx, Str::from(text), Str::from(set));
        assert_eq!(
            [
                ex(&mut cx, "a-b", "-_"),
                ex(&mut cx, "a b", "-_"),
                ex(&mut cx, "", "x")
            ],
            [1, -3, -2]
        );
    }

    #[test]
    fn numbers_of_e164() {
        let mut cx = Server::default().invite();
        for (text, wanted) in [
            ("+12", true),
            ("+123456789012345", true),
            ("+1234567890123456", false),
            ("+1", false),
            ("123", false),
            ("+12a", false),
            ("", false),
        ] {
            assert_eq!(
                is_e164(&started(), &mut cx, Value::from(Str::from(text))),
                wanted,
                "{text}"
            );
        }
        assert!(!is_e164(&started(), &mut cx, Value::Null) && !is_e164(&started(), &mut cx, Value::Int(123)));
        for (text, wanted) in [
            ("sip:+123@x", true),
            ("tel:+123", false),
            ("sip:123@x", false),
            ("sip:x", false),
            ("junk", false),
        ] {
            assert_eq!(
                is_uri_user_e164(&started(), &mut cx, Value::from(Str::from(text))),
                wanted,
                "{text}"
            );
        }
    }
}
