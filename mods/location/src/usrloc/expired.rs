//! `event_route[usrloc:contact-expired]`, and the contacts that `$ulc()` shows.

use std::{rc::Rc, sync::Arc};

use kahea_module::{Cx, RouteId, Str, Worker, log};

use super::{
    contact::{Contact, Contacts},
    domain::Domain,
};

/// Contacts that a script looks at by `$ulc(profile=>attribute)`.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Its name.
    pub name: Str,
    /// The table.
    pub domain: Arc<Domain>,
    /// The address of record.
    pub aor: Str,
    /// The contacts.
    pub contacts: Contacts,
}

/// The profiles of a message.
#[derive(Debug, Default)]
pub struct Profiles(Vec<Profile>);

impl Profiles {
    /// By name.
    pub fn get(&self, name: &[u8]) -> Option<&Profile> {
        self.0.iter().find(|profile| *profile.name == *name)
    }

    /// Sets one; an earlier one of the name is gone.
    pub fn set(&mut self, profile: Profile) {
        self.remove(&profile.name.clone());
        self.0.push(profile);
    }

    /// Empties one.
    pub fn remove(&mut self, name: &[u8]) {
        self.0.retain(|known| *known.name != *name);
    }
}

/// The event route, where the script has one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Expired(pub Option<RouteId>);

impl Expired {
    /// Someone wants to know of contacts that ended.
    pub fn is_wanted(self) -> bool {
        self.0.is_some()
    }

    /// Runs the route on a message of the server's own, with the contact as profile `exp`.
    pub fn run(self, worker: &Rc<Worker>, domain: &Arc<Domain>, contact: &Contact) {
        let Some(route) = self.0 else { return };
        match Cx::faked(worker.clone()) {
            Ok(mut cx) => {
                cx.extra::<Profiles>().set(Profile {
                    name: Str::from_static("exp"),
                    domain: domain.clone(),
                    aor: Str::copy(contact.aor()),
                    contacts: Contacts::from_iter([contact.clone()]),
                });
                let engine = worker.engine.clone();
                engine.run_then(cx, route, Box::new(|cx, _| cx.finish()));
            }
            Err(fault) => log::write(
                log::Level::Critical,
                "usrloc",
                format_args!("event_route[usrloc:contact-expired] does not run: {fault}"),
            ),
        }
    }
}
