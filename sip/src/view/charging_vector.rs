//! P-Charging-Vector, RFC 7315 4.6 and 5.6.

use std::borrow::Cow;

use super::{Malformed, Params, scan};

/// Ids by which charging records of one session are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChargingVector<'a> {
    /// All parameters, without blanks around them.
    pub params: Params<'a>,
}

impl<'a> ChargingVector<'a> {
    /// Reads `icid-value=…[;params]`.
    ///
    /// # Errors
    /// No `icid-value`, the one thing that has to be there.
    pub fn parse(text: &'a [u8]) -> Result<ChargingVector<'a>, Malformed> {
        let raw = scan::trim(text);
        let vector = ChargingVector {
            params: Params::header(raw),
        };
        match vector.params.value("icid-value") {
            Some(_) => Ok(vector),
            None => Err(Malformed::new(
                "charging vector without icid-value",
                scan::offset(text, raw),
            )),
        }
    }

    /// `icid-value`, the id of the session.
    pub fn icid_value(&self) -> Cow<'a, [u8]> {
        self.unquoted("icid-value").unwrap_or_default()
    }

    /// `icid-generated-at`, the host that made the id.
    pub fn icid_generated_at(&self) -> Option<Cow<'a, [u8]>> {
        self.unquoted("icid-generated-at")
    }

    /// `orig-ioi`, the operator that the session comes from.
    pub fn orig_ioi(&self) -> Option<Cow<'a, [u8]>> {
        self.unquoted("orig-ioi")
    }

    /// `term-ioi`, the operator that it goes to.
    pub fn term_ioi(&self) -> Option<Cow<'a, [u8]>> {
        self.unquoted("term-ioi")
    }

    fn unquoted(&self, name: &str) -> Option<Cow<'a, [u8]>> {
        self.params.get(name).map(|param| param.unquoted())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_vector() {
        let vector =
            ChargingVector::parse(b" icid-value=\"12;34\"; icid-generated-at=192.0.2.1;orig-ioi=home1.net")
                .unwrap();
        assert_eq!(vector.icid_value().as_ref(), b"12;34");
        assert_eq!(vector.icid_generated_at().unwrap().as_ref(), b"192.0.2.1");
        assert_eq!(
            (vector.orig_ioi().unwrap().as_ref(), vector.term_ioi()),
            (&b"home1.net"[..], None)
        );
        assert!(ChargingVector::parse(b"orig-ioi=x").is_err());
    }
}
