//! `alias_subdomains`: domains that are "myself" with all that lies below them.

use std::sync::Arc;

use kahea_module::{BindError, Env, Str};
use kahea_sip::Transport;

/// A domain with its subdomains.
#[derive(Clone, Debug, PartialEq)]
pub struct Subdomains {
    transport: Transport,
    domain: Str,
    port: u16,
}

impl Subdomains {
    /// Reads `[proto:]domain[:port]`.
    ///
    /// # Errors
    /// No domain, an unknown transport, or no port.
    pub fn parse(text: &Str) -> Result<Subdomains, BindError> {
        super::sockets::Address::parse(text)
            .map(|address| Subdomains {
                transport: address.transport,
                domain: text.share(address.host),
                port: address.port.unwrap_or(0),
            })
            .ok_or_else(|| {
                BindError::new(format!("'{text}' is no domain"))
                    .help("write domain, proto:domain or proto:domain:port")
            })
    }

    /// The domain or one below it; as in Kamailio a URI without port or transport fits every restriction.
    fn matches(&self, host: &[u8], port: u16, transport: Transport) -> bool {
        let fits_port = self.port == 0 || port == 0 || self.port == port;
        // A URI's transport is not compared: `sip:x.example.com;transport=tcp` matches `udp:example.com`.
        let _ = (self.transport, transport);
        fits_port && self.covers(host)
    }

    fn covers(&self, host: &[u8]) -> bool {
        let Some(start) = host.len().checked_sub(self.domain.len()) else {
            return false;
        };
        let (before, tail) = host.split_at(start);
        tail.eq_ignore_ascii_case(&self.domain) && (before.is_empty() || before.ends_with(b"."))
    }
}

/// Adds the domains to who this server is.
pub fn register(all: Vec<Subdomains>, env: &mut Env<'_>) {
    if !all.is_empty() {
        env.identity.tests.push(Arc::new(move |host, port, transport| {
            all.iter().any(|one| one.matches(host, port, transport))
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(alias: &str, host: &str, port: u16) -> bool {
        Subdomains::parse(&Str::from(alias))
            .unwrap()
            .matches(host.as_bytes(), port, Transport::None)
    }

    #[test]
    fn the_domain_and_all_below_it() {
        for host in ["kamailio.org", "a.kamailio.org", "b.A.KAMAILIO.org"] {
            assert!(matches("kamailio.org", host, 5080), "{host}");
        }
        for host in ["notkamailio.org", "kamailio.org.example.com", "org"] {
            assert!(!matches("kamailio.org", host, 0), "{host}");
        }
    }

    #[test]
    fn a_port_restricts_only_where_the_uri_has_one() {
        let alias = "udp:sip-router.org:5060";
        assert!(matches(alias, "x.sip-router.org", 0) && matches(alias, "sip-router.org", 5060));
        assert!(!matches(alias, "x.sip-router.org", 5061));
        assert!(Subdomains::parse(&Str::from("")).is_err());
        assert!(Subdomains::parse(&Str::from("foo:example.com:5060")).is_err());
    }
}
