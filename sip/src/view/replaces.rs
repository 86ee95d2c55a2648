//! Replaces (RFC 3891 6.1), Join (RFC 3911 7.1) and Target-Dialog (RFC 4538 7): a dialog named by its ids.

use super::{Malformed, Params, scan};

/// A dialog: Call-ID and tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replaces<'a> {
    /// The whole value, without blanks around it.
    pub raw: &'a [u8],
    /// The Call-ID.
    pub call_id: &'a [u8],
    /// The parameters, without the first `;`.
    pub params: Params<'a>,
}

impl<'a> Replaces<'a> {
    /// Reads `call-id;to-tag=…;from-tag=…`; tags that are missing are the caller's to refuse.
    ///
    /// # Errors
    /// No Call-ID, or blanks in it.
    pub fn parse(text: &'a [u8]) -> Result<Replaces<'a>, Malformed> {
        let raw = scan::trim(text);
        // A Call-ID may hold quotes and brackets (RFC 3261 25.1 `word`), so the first `;` ends it.
        let (call_id, params) = scan::split_once(raw, b';');
        let call_id = scan::trim_end(call_id);
        if call_id.is_empty() || call_id.iter().any(|b| scan::is_lws(*b)) {
            return Err(Malformed::new(
                "dialog without a Call-ID",
                scan::offset(text, raw),
            ));
        }
        let params = Params::header(params.unwrap_or(scan::after(raw, raw.len())));
        Ok(Replaces { raw, call_id, params })
    }

    /// `;to-tag=`: the tag of the one who gets the request.
    pub fn to_tag(&self) -> Option<&'a [u8]> {
        self.params.value("to-tag")
    }

    /// `;from-tag=`: the tag of its peer.
    pub fn from_tag(&self) -> Option<&'a [u8]> {
        self.params.value("from-tag")
    }

    /// `;local-tag=` of Target-Dialog.
    pub fn local_tag(&self) -> Option<&'a [u8]> {
        self.params.value("local-tag")
    }

    /// `;remote-tag=` of Target-Dialog.
    pub fn remote_tag(&self) -> Option<&'a [u8]> {
        self.params.value("remote-tag")
    }

    /// `;early-only`: only a dialog that is not confirmed is replaced.
    pub fn early_only(&self) -> bool {
        self.params.has("early-only")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_dialogs() {
        let dialog = Replaces::parse(b" 98\"7<@x ;to-tag=a; from-tag = b;early-only").unwrap();
        assert_eq!((dialog.call_id, dialog.early_only()), (&b"98\"7<@x"[..], true));
        assert_eq!(
            (dialog.to_tag(), dialog.from_tag()),
            (Some(&b"a"[..]), Some(&b"b"[..]))
        );
        let target = Replaces::parse(b"1@x;local-tag=l;remote-tag=r").unwrap();
        assert_eq!(
            (target.local_tag(), target.remote_tag()),
            (Some(&b"l"[..]), Some(&b"r"[..]))
        );
        assert!(Replaces::parse(b";to-tag=a").is_err() && Replaces::parse(b"a b").is_err());
    }
}
