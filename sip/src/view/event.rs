//! Event (RFC 6665 8.2.1) and Subscription-State (RFC 6665 8.2.3).

use super::{Malformed, Params, scan};

/// An event package: `presence.winfo;id=1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// The whole value, without blanks around it.
    pub raw: &'a [u8],
    /// The package with its templates, compared letter by letter.
    pub kind: &'a [u8],
    /// The parameters, without the first `;`.
    pub params: Params<'a>,
}

impl<'a> Event<'a> {
    /// Reads `package[.template][;params]`.
    ///
    /// # Errors
    /// No package, or one that is no token.
    pub fn parse(text: &'a [u8]) -> Result<Event<'a>, Malformed> {
        let (raw, kind, params) = scan::token_and_params(text, "event package that is no token")?;
        Ok(Event { raw, kind, params })
    }

    /// The package without its templates, `presence` of `presence.winfo`.
    pub fn package(&self) -> &'a [u8] {
        scan::split_once(self.kind, b'.').0
    }

    /// The templates, `winfo` of `presence.winfo`; empty where there are none.
    pub fn template(&self) -> &'a [u8] {
        scan::split_once(self.kind, b'.')
            .1
            .unwrap_or(scan::after(self.kind, self.kind.len()))
    }

    /// `;id=`, which tells subscriptions of one dialog apart.
    pub fn id(&self) -> Option<&'a [u8]> {
        self.params.value("id")
    }
}

/// The state of a subscription: `active;expires=600`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscriptionState<'a> {
    /// The whole value, without blanks around it.
    pub raw: &'a [u8],
    /// `active`, `pending`, `terminated` or an extension, compared in any case.
    pub state: &'a [u8],
    /// The parameters, without the first `;`.
    pub params: Params<'a>,
}

impl<'a> SubscriptionState<'a> {
    /// Reads `state[;params]`.
    ///
    /// # Errors
    /// No state, or one that is no token.
    pub fn parse(text: &'a [u8]) -> Result<SubscriptionState<'a>, Malformed> {
        let (raw, state, params) = scan::token_and_params(text, "subscription state that is no token")?;
        Ok(SubscriptionState { raw, state, params })
    }

    /// The subscription has ended.
    pub fn is_terminated(&self) -> bool {
        self.state.eq_ignore_ascii_case(b"terminated")
    }

    /// `;reason=`
    pub fn reason(&self) -> Option<&'a [u8]> {
        self.params.value("reason")
    }

    /// `;expires=` in seconds; `None` where it is absent or no number.
    pub fn expires(&self) -> Option<u32> {
        scan::delta_seconds(self.params.value("expires")?)
    }

    /// `;retry-after=` in seconds; `None` where it is absent or no number.
    pub fn retry_after(&self) -> Option<u32> {
        scan::delta_seconds(self.params.value("retry-after")?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events() {
        let event = Event::parse(b" presence.winfo ; id = 7").unwrap();
        assert_eq!(
            (event.package(), event.template(), event.id()),
            (&b"presence"[..], &b"winfo"[..], Some(&b"7"[..]))
        );
        assert_eq!(Event::parse(b"dialog").unwrap().template(), b"");
        assert!(Event::parse(b";id=1").is_err() && Event::parse(b"a b").is_err());
    }

    #[test]
    fn subscription_states() {
        let state = SubscriptionState::parse(b"Terminated;reason=timeout;retry-after=5").unwrap();
        assert!(state.is_terminated());
        assert_eq!(
            (state.reason(), state.retry_after(), state.expires()),
            (Some(&b"timeout"[..]), Some(5), None)
        );
        assert_eq!(
            SubscriptionState::parse(b"active;expires=600").unwrap().expires(),
            Some(600)
        );
        assert!(SubscriptionState::parse(b"").is_err());
    }
}
