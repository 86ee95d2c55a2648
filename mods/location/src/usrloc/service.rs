//! What usrloc does for other modules: reading and changing contacts, whichever way they are kept.

use std::{fmt, rc::Rc, sync::Arc};

use kahea_module::{Fault, RouteId, Str, Worker, ret::LocalFuture};
use parking_lot::RwLock;

use super::{
    backend::{Backend, to_write},
    contact::{Contact, Contacts},
    domain::{Domain, Domains},
    expired::Expired,
    order::{Matching, Order},
    table::{Change, Edit, Writing},
};

/// `db_mode`: where contacts are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// In memory alone.
    #[default]
    Memory,
    /// In memory, and in the database before the REGISTER is answered.
    WriteThrough,
    /// In memory, and in the database some time later.
    WriteBack,
    /// In the database alone.
    DatabaseOnly,
    /// In memory; the database is read at start and never written.
    LoadOnly,
}

impl Mode {
    /// By Kamailio's number.
    pub fn from_number(number: i64) -> Option<Mode> {
        match number {
            0 => Some(Mode::Memory),
            1 => Some(Mode::WriteThrough),
            2 => Some(Mode::WriteBack),
            3 => Some(Mode::DatabaseOnly),
            4 => Some(Mode::LoadOnly),
            _ => None,
        }
    }

    /// Kamailio's number.
    pub fn number(self) -> i64 {
        self as i64
    }
}

/// The parameters that other modules go by.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// `db_mode`.
    pub mode: Mode,
    /// `use_domain`: addresses of record have a domain.
    pub use_domain: bool,
    /// The branch flag of contacts behind NAT, as a mask; 0 without `nat_bflag`.
    pub nat_flag: u32,
    /// `matching_mode`.
    pub matching: Matching,
    /// `desc_time_order`.
    pub order: Order,
    /// `cseq_delay` in seconds.
    pub cseq_delay: u32,
    /// `xavp_contact`: the xavp whose fields are kept with a contact.
    pub attributes: Option<Str>,
    /// The global parameter `server_id`.
    pub server_id: i32,
}

impl Settings {
    /// Contacts are in the database alone, so that who looks at them has to wait.
    pub fn mode_waits(&self) -> bool {
        self.mode == Mode::DatabaseOnly
    }
}

/// Is told of what happens to contacts; runs on the worker that made it happen, with no lock held.
pub type Callback = Arc<dyn Fn(&Rc<Worker>, &Domain, &Change) + Send + Sync>;

/// What an edit gave.
pub struct Edited<R> {
    /// What the function that changed the contacts gave.
    pub result: R,
    /// The contacts as they are now, ended ones too.
    pub contacts: Contacts,
}

/// An answer that is there at once, or has to be waited for.
pub enum Now<T> {
    /// There.
    Ready(T),
    /// The database has to be asked.
    Later(LocalFuture<'static, T>),
}

/// The location service of one configuration; published for other modules by [`Env::provide`].
///
/// [`Env::provide`]: kahea_module::Env::provide
pub struct Service {
    settings: Settings,
    pub(crate) domains: Arc<Domains>,
    pub(crate) store: Option<Arc<dyn Backend>>,
    callbacks: RwLock<Vec<Callback>>,
    expired: RwLock<Expired>,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Service {
    pub(crate) fn new(settings: Settings, domains: Arc<Domains>, store: Option<Arc<dyn Backend>>) -> Service {
        Service {
            settings,
            domains,
            store,
            callbacks: RwLock::default(),
            expired: RwLock::default(),
        }
    }

    /// Runs this route when a contact has ended, in place of `event_route[usrloc:contact-expired]`.
    pub fn on_expired(&self, route: RouteId) {
        *self.expired.write() = Expired(Some(route));
    }

    pub(crate) fn expired(&self) -> Expired {
        *self.expired.read()
    }

    /// The parameters.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// A table by name: one that the script names, or `preload`.
    pub fn domain(&self, name: &[u8]) -> Option<Arc<Domain>> {
        self.domains.get(name)
    }

    /// All tables.
    pub fn domains(&self) -> Vec<Arc<Domain>> {
        self.domains.all()
    }

    /// Has `callback` told of every change from now on.
    pub fn on_change(&self, callback: Callback) {
        self.callbacks.write().push(callback);
    }

    /// An identifier for a new contact.
    pub fn ruid(&self) -> String {
        self.domains.ruid("uloc", self.settings.server_id.into())
    }

    /// The contacts of an address of record, in their order; ended ones too, see [`Contact::is_valid`].
    pub fn contacts(self: &Arc<Self>, domain: &Arc<Domain>, aor: &Str) -> Now<Result<Contacts, Fault>> {
        let Some(store) = self.asked() else {
            return Now::Ready(Ok(domain.in_memory(aor)));
        };
        let (domain, aor) = (domain.clone(), aor.clone());
        let order = self.settings.order;
        Now::Later(Box::pin(async move {
            Ok(sorted(store.fetch(domain.name(), &aor).await?, order))
        }))
    }

    /// The contact with that identifier.
    pub fn by_ruid(
        self: &Arc<Self>,
        domain: &Arc<Domain>,
        ruid: &Str,
    ) -> Now<Result<Option<Contact>, Fault>> {
        let Some(store) = self.asked() else {
            return Now::Ready(Ok(domain.by_ruid(ruid)));
        };
        let (domain, ruid) = (domain.clone(), ruid.clone());
        Now::Later(Box::pin(async move {
            Ok(store.fetch_ruid(domain.name(), &ruid).await?)
        }))
    }

    /// Every valid contact with any of these branch flags (0: all), of the `part`-th of `parts` parts: what a keepalive
    /// goes through. In memory the caller takes [`Domain::slice`]s, which cost less at a time.
    pub fn all(
        self: &Arc<Self>,
        domain: &Arc<Domain>,
        filter: Filter,
        now: u32,
    ) -> Now<Result<Vec<Contact>, Fault>> {
        let Some(store) = self.asked() else {
            let slices = (0..domain.slices()).filter(|at| filter.has_slice(*at));
            let wanted = |contact: &Contact| contact.is_valid(now) && filter.has_flags(contact);
            return Now::Ready(Ok(slices.flat_map(|at| domain.slice(at, wanted)).collect()));
        };
        let domain = domain.clone();
        Now::Later(Box::pin(async move {
            let mut all = store.fetch_all(domain.name(), filter.flags, now).await?;
            all.retain(|contact| filter.has_slice(usize::try_from(domain.hash(contact.aor())).unwrap_or(0)));
            Ok(all)
        }))
    }

    /// Changes the contacts of an address of record. Who waits for it knows that what `db_mode` promises is done.
    ///
    /// `memory_only` leaves the database alone (`save()` with flag 1).
    pub fn edit<R: 'static>(
        self: &Arc<Self>,
        worker: &Rc<Worker>,
        domain: &Arc<Domain>,
        aor: &Str,
        memory_only: bool,
        change: impl FnOnce(&mut Edit<'_>) -> R + 'static,
    ) -> Now<Result<Edited<R>, Fault>> {
        match (self.settings.mode, &self.store) {
            (Mode::WriteThrough, Some(store)) if !memory_only => {
                let edit = self.clone().write_through(
                    worker.clone(),
                    domain.clone(),
                    aor.clone(),
                    store.clone(),
                    change,
                );
                Now::Later(Box::pin(edit))
            }
            (Mode::DatabaseOnly, Some(store)) => {
                let edit = self.clone().in_database(
                    worker.clone(),
                    domain.clone(),
                    aor.clone(),
                    store.clone(),
                    change,
                );
                Now::Later(Box::pin(edit))
            }
            (mode, _) => {
                let writing = match mode {
                    Mode::WriteBack if !memory_only => Writing::Later,
                    _ => Writing::No,
                };
                let (result, changes, contacts) =
                    domain.table.edit(aor, self.settings.order, writing, change);
                self.tell(worker, domain, &changes);
                Now::Ready(Ok(Edited { result, contacts }))
            }
        }
    }

    async fn write_through<R>(
        self: Arc<Self>,
        worker: Rc<Worker>,
        domain: Arc<Domain>,
        aor: Str,
        store: Arc<dyn Backend>,
        change: impl FnOnce(&mut Edit<'_>) -> R,
    ) -> Result<Edited<R>, Fault> {
        let turn = domain.turn(&aor).await;
        let (result, changes, contacts) = domain.table.edit(&aor, self.settings.order, Writing::No, change);
        let written = store.write_all(domain.name(), &to_write(&changes)).await;
        match &written {
            Ok(()) => {
                let kept = changes.iter().filter(|change| !change.is_gone());
                kept.for_each(|change| domain.table.written(change.contact()));
            }
            Err(_) => domain.table.put_back(to_write(&changes)),
        }
        drop(turn);
        self.tell(&worker, &domain, &changes);
        written?;
        Ok(Edited { result, contacts })
    }

    async fn in_database<R>(
        self: Arc<Self>,
        worker: Rc<Worker>,
        domain: Arc<Domain>,
        aor: Str,
        store: Arc<dyn Backend>,
        change: impl FnOnce(&mut Edit<'_>) -> R,
    ) -> Result<Edited<R>, Fault> {
        let turn = domain.turn(&aor).await;
        let fetched = store.fetch(domain.name(), &aor).await?;
        let mut contacts = sorted(fetched, self.settings.order);
        let mut edit = Edit::new(&mut contacts, self.settings.order);
        let result = change(&mut edit);
        let changes = edit.changes;
        if !changes.is_empty() {
            store.write_all(domain.name(), &to_write(&changes)).await?;
        }
        drop(turn);
        self.tell(&worker, &domain, &changes);
        Ok(Edited { result, contacts })
    }

    /// The database, where it is asked for every contact.
    fn asked(&self) -> Option<Arc<dyn Backend>> {
        let store = self.store.clone()?;
        (self.settings.mode == Mode::DatabaseOnly).then_some(store)
    }

    /// How changes that nobody waits for are written.
    pub(crate) fn writing(&self) -> Writing {
        match self.settings.mode {
            Mode::WriteThrough | Mode::WriteBack if self.store.is_some() => Writing::Later,
            _ => Writing::No,
        }
    }

    /// Tells those who asked for it.
    pub(crate) fn tell(&self, worker: &Rc<Worker>, domain: &Domain, changes: &[Change]) {
        if changes.is_empty() {
            return;
        }
        let callbacks = self.callbacks.read().clone();
        for callback in &callbacks {
            changes.iter().for_each(|change| callback(worker, domain, change));
        }
    }
}

/// Which contacts [`Service::all`] gives.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter {
    /// Branch flags of which a contact has at least one; 0 for all contacts.
    pub flags: u32,
    /// Which part, from 0.
    pub part: usize,
    /// Of how many; 0 and 1 for all.
    pub parts: usize,
}

impl Filter {
    /// The contact has one of the flags.
    pub fn has_flags(&self, contact: &Contact) -> bool {
        self.flags == 0 || contact.cflags() & self.flags != 0
    }

    /// The slice is of the part.
    pub fn has_slice(&self, at: usize) -> bool {
        self.parts < 2 || at.checked_rem(self.parts) == Some(self.part)
    }
}

fn sorted(contacts: Vec<Contact>, order: Order) -> Contacts {
    let mut out = Contacts::new();
    contacts
        .into_iter()
        .for_each(|contact| order.insert(&mut out, contact));
    out
}
