//! Addresses of record: what of a URI names a user.

use kahea_module::Str;
use kahea_sip::view::{Uri, percent_decode};

use super::refusal::Refusal;

/// The longest address of record.
const LONGEST: usize = 256;

/// How addresses are made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    /// The domain is a part of them.
    pub use_domain: bool,
    /// Case counts in the user.
    pub case_sensitive: bool,
    /// Taken off the front of domains.
    pub realm_prefix: Str,
}

impl Rules {
    /// The address of record that a URI names.
    pub fn aor(&self, uri: &[u8]) -> Result<Str, Refusal> {
        let uri = Uri::parse(uri).map_err(|_| Refusal::AorParse)?;
        self.of_uri(&uri)
    }

    /// The same of a URI that is read already.
    pub fn of_uri(&self, uri: &Uri<'_>) -> Result<Str, Refusal> {
        let user = percent_decode(uri.user);
        let domain = uri.host.strip_prefix(&*self.realm_prefix).unwrap_or(uri.host);
        let mut out = Vec::with_capacity(user.len().saturating_add(domain.len()).saturating_add(1));
        out.extend_from_slice(&user);
        if !self.case_sensitive {
            out.make_ascii_lowercase();
        }
        if (self.use_domain || user.is_empty()) && !domain.is_empty() {
            if !user.is_empty() {
                out.push(b'@');
            }
            out.extend(domain.iter().map(u8::to_ascii_lowercase));
        }
        match out.len() {
            0 => Err(Refusal::AorParse),
            1..=LONGEST => Ok(Str::from(out)),
            _ => Err(Refusal::AorLength),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aor(rules: &Rules, uri: &str) -> Result<String, Refusal> {
        rules.aor(uri.as_bytes()).map(|aor| aor.to_string())
    }

    #[test]
    fn the_rules_decide_what_counts() {
        let mut rules = Rules::default();
        assert_eq!(
            aor(&rules, "sip:%41lice:pw@Example.com:5070;x=y"),
            Ok("alice".into())
        );
        assert_eq!(aor(&rules, "tel:+1234"), Ok("+1234".into()));
        assert_eq!(aor(&rules, "sip:Example.com"), Ok("example.com".into()));
        rules.use_domain = true;
        rules.realm_prefix = Str::from("sip.");
        assert_eq!(
            aor(&rules, "sips:Alice@sip.Example.com"),
            Ok("alice@example.com".into())
        );
        rules.case_sensitive = true;
        assert_eq!(
            aor(&rules, "sip:Alice@Example.com"),
            Ok("Alice@example.com".into())
        );
        assert_eq!(aor(&rules, "tel:+1234"), Ok("+1234".into()));
    }

    #[test]
    fn what_names_nobody_is_refused() {
        let rules = Rules::default();
        assert_eq!(aor(&rules, "nonsense"), Err(Refusal::AorParse));
        assert_eq!(aor(&rules, ""), Err(Refusal::AorParse));
        let long = format!("sip:{}@example.com", "u".repeat(257));
        assert_eq!(aor(&rules, &long), Err(Refusal::AorLength));
    }
}
