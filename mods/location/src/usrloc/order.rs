//! Which of several contacts a REGISTER means, and in which order they are kept.

use super::contact::{Contact, Contacts, Part};

/// `matching_mode`: which strings make two contacts the same one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Matching {
    /// The URI alone (RFC 3261).
    #[default]
    Address,
    /// URI and Call-ID.
    AddressAndCallId,
    /// URI and Path; the URI alone for one that has no Path.
    AddressAndPath,
    /// The Call-ID alone.
    CallId,
}

impl Matching {
    /// By Kamailio's number.
    pub fn from_number(number: i64) -> Option<Matching> {
        match number {
            0 => Some(Matching::Address),
            1 => Some(Matching::AddressAndCallId),
            2 => Some(Matching::AddressAndPath),
            3 => Some(Matching::CallId),
            _ => None,
        }
    }

    /// The place of the contact that `wanted` means: that of the same instance and `reg-id` first.
    pub fn find(self, contacts: &[Contact], wanted: &Contact) -> Option<usize> {
        if let Some(instance) = wanted.instance() {
            let same =
                |known: &Contact| known.instance() == Some(instance) && known.reg_id() == wanted.reg_id();
            if let Some(at) = contacts.iter().position(same) {
                return Some(at);
            }
        }
        contacts.iter().position(|known| self.is_same(known, wanted))
    }

    fn is_same(self, known: &Contact, wanted: &Contact) -> bool {
        let equal = |part: Part| known.part(part) == wanted.part(part);
        match self {
            Matching::Address => equal(Part::Address),
            Matching::AddressAndCallId => equal(Part::Address) && equal(Part::CallId),
            Matching::AddressAndPath => {
                equal(Part::Address) && (wanted.path().is_none() || equal(Part::Path))
            }
            Matching::CallId => equal(Part::CallId),
        }
    }
}

/// What a REGISTER with the Call-ID and CSeq of a contact may do to it (RFC 3261 section 10.3, step 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It is newer.
    Newer,
    /// It is the one that the contact is of, repeated: nothing is to be done.
    Repeated,
    /// It is older.
    Older,
}

impl Turn {
    /// Of `wanted` towards `known`; a repetition is taken for one within `delay` seconds.
    pub fn of(known: &Contact, wanted: &Contact, delay: u32) -> Turn {
        if known.call_id() != wanted.call_id() || known.cseq() < wanted.cseq() {
            return Turn::Newer;
        }
        let age = wanted.modified().saturating_sub(known.modified());
        match known.cseq() == wanted.cseq() && age < delay.max(1) && delay > 0 {
            true => Turn::Repeated,
            false => Turn::Older,
        }
    }
}

/// The order of an address's contacts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// By preference, the highest q first; of equals the older one first.
    #[default]
    Preference,
    /// By time, the last registered first (`desc_time_order`).
    Newest,
}

impl Order {
    fn place(self, contacts: &[Contact], contact: &Contact) -> usize {
        match self {
            Order::Newest => contacts
                .iter()
                .position(|known| known.modified() <= contact.modified())
                .unwrap_or(contacts.len()),
            Order::Preference => contacts
                .iter()
                .position(|known| known.q() < contact.q())
                .unwrap_or(contacts.len()),
        }
    }

    /// Puts a contact in.
    pub fn insert(self, contacts: &mut Contacts, contact: Contact) {
        let at = self.place(contacts, &contact);
        contacts.insert(at, contact);
    }

    /// Puts a contact in the place of an older version of it.
    pub fn replace(self, contacts: &mut Contacts, at: usize, contact: Contact) {
        let Some(known) = contacts.get_mut(at) else {
            return self.insert(contacts, contact);
        };
        if self == Order::Preference && known.q() == contact.q() {
            *known = contact;
            return;
        }
        contacts.remove(at);
        self.insert(contacts, contact);
    }
}

#[cfg(test)]
mod tests {
    use super::{super::contact::Draft, *};

    fn contact(address: &str, call_id: &str, path: &str, q: Option<u16>) -> Contact {
        let draft = Draft {
            q,
            ..Draft::default()
        };
        let draft = draft
            .with(Part::Address, address.as_bytes())
            .with(Part::CallId, call_id.as_bytes())
            .with(Part::Path, path.as_bytes());
        Contact::new(&draft).unwrap()
    }

    #[test]
    fn each_mode_compares_its_strings() {
        let known = [contact("a", "1", "", None), contact("a", "2", "<p>", None)];
        let find = |mode: Matching, wanted: &Contact| mode.find(&known, wanted);
        assert_eq!(find(Matching::Address, &contact("a", "9", "<x>", None)), Some(0));
        assert_eq!(
            find(Matching::AddressAndCallId, &contact("a", "2", "", None)),
            Some(1)
        );
        assert_eq!(
            find(Matching::AddressAndCallId, &contact("a", "9", "", None)),
            None
        );
        assert_eq!(
            find(Matching::AddressAndPath, &contact("a", "9", "<p>", None)),
            Some(1)
        );
        assert_eq!(
            find(Matching::AddressAndPath, &contact("a", "9", "", None)),
            Some(0)
        );
        assert_eq!(find(Matching::CallId, &contact("b", "2", "", None)), Some(1));
        assert_eq!(Matching::from_number(4), None);
    }

    #[test]
    fn an_instance_stands_above_the_address() {
        let of = |address: &[u8], reg_id| {
            let draft = Draft {
                reg_id,
                ..Draft::default()
            };
            let draft = draft
                .with(Part::Address, address)
                .with(Part::Instance, b"<urn:uuid:1>");
            Contact::new(&draft).unwrap()
        };
        let known = [of(b"a", 1), of(b"b", 2)];
        assert_eq!(Matching::Address.find(&known, &of(b"c", 2)), Some(1));
        assert_eq!(Matching::Address.find(&known, &of(b"c", 3)), None);
    }

    #[test]
    fn contacts_are_ordered_by_preference_or_time() {
        let mut list = Contacts::new();
        for (address, q) in [("a", Some(500)), ("b", None), ("c", Some(900)), ("d", Some(500))] {
            Order::Preference.insert(&mut list, contact(address, "1", "", q));
        }
        let names = |list: &Contacts| {
            let text: Vec<_> = list.iter().flat_map(|c| c.address().to_vec()).collect();
            String::from_utf8(text).unwrap()
        };
        assert_eq!(names(&list), "cadb");
        Order::Preference.replace(&mut list, 0, contact("c", "2", "", Some(100)));
        assert_eq!(names(&list), "adcb");
        Order::Newest.replace(&mut list, 3, contact("b", "2", "", None));
        assert_eq!(names(&list), "badc");
    }

    #[test]
    fn repetitions_are_told_from_older_requests() {
        let at = |cseq, modified| {
            let draft = Draft {
                cseq,
                modified,
                ..Draft::default()
            };
            Contact::new(&draft.with(Part::CallId, b"1")).unwrap()
        };
        let known = at(5, 100);
        assert_eq!(Turn::of(&known, &at(6, 100), 20), Turn::Newer);
        assert_eq!(Turn::of(&known, &at(5, 119), 20), Turn::Repeated);
        assert_eq!(Turn::of(&known, &at(5, 120), 20), Turn::Older);
        assert_eq!(Turn::of(&known, &at(5, 100), 0), Turn::Older);
        assert_eq!(Turn::of(&known, &at(4, 100), 20), Turn::Older);
    }
}
