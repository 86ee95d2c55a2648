//! Who a message is from, once its credentials were found right: noted by modules that authenticate, asked for by those
//! that decide what a user may do.

use crate::{Cx, Str};

/// Credentials that were found right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorized {
    /// The user, without a domain.
    pub user: Str,
    /// The domain behind the user name, where it has one.
    pub domain: Option<Str>,
    /// The realm.
    pub realm: Str,
}

#[derive(Default)]
struct Noted(Option<Authorized>);

impl Authorized {
    /// Notes them with the message; those noted last count.
    pub fn note(self, cx: &mut Cx) {
        cx.extra::<Noted>().0 = Some(self);
    }

    /// Those of the message.
    pub fn of(cx: &Cx) -> Option<&Authorized> {
        cx.extra_ref::<Noted>()?.0.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Server;

    #[test]
    fn nobody_is_authorized_until_noted() {
        let mut cx = Server::default().invite();
        assert_eq!(Authorized::of(&cx), None);
        let alice = Authorized {
            user: "alice".into(),
            domain: None,
            realm: "example.org".into(),
        };
        alice.clone().note(&mut cx);
        assert_eq!(Authorized::of(&cx), Some(&alice));
    }
}
