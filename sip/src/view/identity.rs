//! Identity, RFC 8224 4 (PASSporT) and the quoted form of RFC 4474.

use super::{Malformed, Params, scan};

/// A signed statement of who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity<'a> {
    /// The whole value, without blanks around it.
    pub raw: &'a [u8],
    /// The signature, `header.payload.signature` or `..signature`, without quotes.
    pub token: &'a [u8],
    /// The parameters, without the first `;`.
    pub params: Params<'a>,
}

impl<'a> Identity<'a> {
    /// Reads `token;info=<uri>[;alg=…][;ppt=…]`.
    ///
    /// # Errors
    /// No token.
    pub fn parse(text: &'a [u8]) -> Result<Identity<'a>, Malformed> {
        let raw = scan::trim(text);
        let (value, params) = scan::value_and_params(raw);
        let token = value
            .strip_prefix(b"\"")
            .and_then(|v| v.strip_suffix(b"\""))
            .unwrap_or(value);
        if token.is_empty() {
            return Err(Malformed::new(
                "identity without a token",
                scan::offset(text, raw),
            ));
        }
        Ok(Identity { raw, token, params })
    }

    /// Header, payload and signature of the token, each base64url; `None` unless there are three.
    pub fn segments(&self) -> Option<(&'a [u8], &'a [u8], &'a [u8])> {
        let (header, rest) = scan::split_once(self.token, b'.');
        let (payload, signature) = scan::split_once(rest?, b'.');
        Some((header, payload, signature?))
    }

    /// `;info=` without its brackets: where the certificate is.
    pub fn info(&self) -> Option<&'a [u8]> {
        let value = self.params.value("info")?;
        Some(
            value
                .strip_prefix(b"<")
                .and_then(|v| v.strip_suffix(b">"))
                .unwrap_or(value),
        )
    }

    /// `;alg=`, such as `ES256`.
    pub fn alg(&self) -> Option<&'a [u8]> {
        self.unquoted("alg")
    }

    /// `;ppt=`, such as `shaken`.
    pub fn ppt(&self) -> Option<&'a [u8]> {
        self.unquoted("ppt")
    }

    fn unquoted(&self, name: &str) -> Option<&'a [u8]> {
        let value = self.params.value(name)?;
        Some(
            value
                .strip_prefix(b"\"")
                .and_then(|v| v.strip_suffix(b"\""))
                .unwrap_or(value),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_passport() {
        let text = b" eyJh.eyJk.c2ln== ;info=<https://cert.example.org/a;b.cer>;alg=ES256;ppt=\"shaken\"";
        let identity = Identity::parse(text).unwrap();
        assert_eq!(
            identity.segments(),
            Some((&b"eyJh"[..], &b"eyJk"[..], &b"c2ln=="[..]))
        );
        assert_eq!(identity.info(), Some(&b"https://cert.example.org/a;b.cer"[..]));
        assert_eq!(
            (identity.alg(), identity.ppt()),
            (Some(&b"ES256"[..]), Some(&b"shaken"[..]))
        );
        assert_eq!(Identity::parse(b"\"abc==\"").unwrap().token, b"abc==");
        assert_eq!(Identity::parse(b"\"abc==\"").unwrap().segments(), None);
        assert!(Identity::parse(b";info=<x>").is_err());
    }
}
