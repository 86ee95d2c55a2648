//! The timer: removes what has ended, writes what is to be written, and looks for lost connections. It goes in small
//! steps with pauses between, so that no message waits long for the worker that it runs on.

use std::{
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use kahea_db::Error;
use kahea_module::{
    Worker, error, info,
    log::{self, Level},
};

use super::{
    backend::{Backend, to_write},
    contact::Contact,
    domain::Domain,
    now,
    service::{Mode, Service},
    table::{Change, Changes, Unwritten},
};

/// Records of one step under a lock.
const STEP: usize = 128;
/// Shards looked at in one step.
const LOOKS: usize = 1024;
/// Contacts written in one transaction.
const BATCH: usize = 200;
/// Between two steps.
const PAUSE: Duration = Duration::from_millis(1);

/// What the timer is to do.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    /// `timer_procs`: side by side.
    pub parts: usize,
    /// `handle_lost_tcp`.
    pub lost_connections: bool,
    /// `close_expired_tcp`.
    pub close_connections: bool,
    /// `db_timer_clean`.
    pub clean: bool,
    /// `rm_expired_delay` in seconds.
    pub delay: u32,
}

/// The timer of one configuration.
pub(crate) struct Sweep {
    pub service: Arc<Service>,
    pub plan: Plan,
    /// A pass is under way; another one would only get in its way.
    pub busy: AtomicBool,
}

/// Ends a pass, also one that is dropped with its worker.
struct Busy(Arc<Sweep>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.store(false, Relaxed);
    }
}

impl Sweep {
    /// Begins a pass on this worker.
    pub fn begin(self: &Arc<Self>, worker: &Rc<Worker>) {
        if self.busy.swap(true, Relaxed) {
            return;
        }
        let busy = Busy(self.clone());
        let (sweep, on) = (self.clone(), worker.clone());
        worker.engine.spawn(Box::pin(async move {
            for domain in sweep.service.domains() {
                sweep.pass(&on, &domain).await;
            }
            drop(busy);
        }));
    }

    async fn pass(self: &Arc<Self>, worker: &Rc<Worker>, domain: &Arc<Domain>) {
        if self.service.settings().mode == Mode::DatabaseOnly {
            return self.clean_database(worker, domain).await;
        }
        if self.plan.lost_connections {
            self.drop_lost(worker, domain);
        }
        self.expire_all(worker, domain).await;
        if let Some(store) = self.service.store.clone() {
            let writes = matches!(self.service.settings().mode, Mode::WriteThrough | Mode::WriteBack);
            if writes && flush(&*store, domain).await.is_ok() && self.plan.clean {
                let now = now(worker);
                let cleaned = store.clean(domain.name(), now).await;
                cleaned.unwrap_or_else(|error| complain(domain, &error));
            }
        }
    }

    /// Parts take turns: each goes on where its pause has ended.
    async fn expire_all(&self, worker: &Rc<Worker>, domain: &Arc<Domain>) {
        let parts = self.plan.parts.max(1);
        let mut places: Vec<usize> = (0..parts).collect();
        while !places.is_empty() {
            let mut done = 0;
            for place in &mut places {
                done = usize::max(done, self.expire_some(worker, domain, place, parts));
            }
            places.retain(|place| *place < domain.slices());
            match done {
                0 => tokio::task::yield_now().await,
                _ => worker.engine.sleep(PAUSE).await,
            }
        }
    }

    /// One step of a part: through its shards until about [`STEP`] contacts have ended, [`LOOKS`] were looked at, or its
    /// end; how many ended.
    fn expire_some(
        &self,
        worker: &Rc<Worker>,
        domain: &Arc<Domain>,
        place: &mut usize,
        parts: usize,
    ) -> usize {
        let now = now(worker);
        let mut ended = Changes::new();
        let stop = place
            .saturating_add(LOOKS.saturating_mul(parts))
            .min(domain.slices());
        while *place < stop && ended.len() < STEP {
            let writing = self.service.writing();
            if !domain.table.expire(*place, now, STEP, writing, &mut ended) {
                *place = place.saturating_add(parts);
            }
        }
        self.tell_ended(worker, domain, &ended);
        ended.len()
    }

    fn tell_ended(&self, worker: &Rc<Worker>, domain: &Arc<Domain>, ended: &[Change]) {
        self.service.tell(worker, domain, ended);
        for change in ended {
            let contact = change.contact();
            if self.plan.close_connections
                && let Some(connection) = contact.connection()
            {
                worker.net.close(connection);
            }
            self.service.expired().run(worker, domain, contact);
        }
    }

    fn drop_lost(&self, worker: &Rc<Worker>, domain: &Arc<Domain>) {
        let order = self.service.settings().order;
        let lost = domain.table.connections.take_lost(|id| worker.net.is_open(id));
        for (connection, hashes) in lost {
            for aor in hashes.iter().flat_map(|hash| domain.table.aors_of(*hash)) {
                let gone = |contact: &Contact| contact.connection() == Some(connection);
                let writing = self.service.writing();
                let edit = |edit: &mut super::table::Edit<'_>| edit.remove_if(gone);
                let ((), changes, _) = domain.table.edit(&aor, order, writing, edit);
                self.service.tell(worker, domain, &changes);
            }
        }
    }

    /// Where there is nothing in memory the database forgets what has ended.
    async fn clean_database(&self, worker: &Rc<Worker>, domain: &Arc<Domain>) {
        let Some(store) = self.service.store.clone() else {
            return;
        };
        let before = now(worker).saturating_sub(self.plan.delay);
        if self.service.expired().is_wanted() {
            match store.fetch_expired(domain.name(), before).await {
                Ok(ended) => {
                    let ended: Vec<Change> = ended.into_iter().map(Change::Expired).collect();
                    for step in ended.chunks(STEP) {
                        self.tell_ended(worker, domain, step);
                        worker.engine.sleep(PAUSE).await;
                    }
                    if !ended.is_empty()
                        && let Err(error) = store.write_all(domain.name(), &to_write(&ended)).await
                    {
                        complain(domain, &error);
                    }
                }
                Err(error) => complain(domain, &error),
            }
            return;
        }
        match store.clean(domain.name(), before).await {
            Ok(()) => {}
            Err(error) => complain(domain, &error),
        }
    }
}

fn complain(domain: &Domain, error: &Error) {
    log::write(
        Level::Error,
        "usrloc",
        format_args!(
            "table {}: {error}; it is tried again at the next timer",
            domain.name()
        ),
    );
}

/// Writes all that is to be written. What the database does not take stays marked.
pub(crate) async fn flush(store: &dyn Backend, domain: &Domain) -> Result<(), Error> {
    let mut failed = Unwritten::default();
    let mut passing = None;
    let mut place = 0;
    loop {
        let batch = next_batch(domain, &mut place).await;
        if batch.rows() == 0 {
            break;
        }
        match store.write_all(domain.name(), &batch).await {
            Ok(()) => batch
                .contacts
                .iter()
                .for_each(|contact| domain.table.written(contact)),
            Err(error) if error.is_passing() => {
                domain.table.put_back(batch);
                passing = Some(error);
                break;
            }
            // One contact that the database refuses does not keep the others out.
            Err(_) => one_by_one(store, domain, batch, &mut failed).await,
        }
    }
    domain.table.put_back(failed);
    match passing {
        Some(error) => {
            complain(domain, &error);
            Err(error)
        }
        None => Ok(()),
    }
}

/// What the next transaction writes: of as many shards as it takes to fill it, since each shard has little.
async fn next_batch(domain: &Domain, place: &mut usize) -> Unwritten {
    let mut batch = Unwritten::default();
    while *place < domain.slices() && batch.rows() < BATCH {
        if domain.table.take_unwritten(*place, BATCH, &mut batch) {
            continue;
        }
        *place = place.saturating_add(1);
        if place.is_multiple_of(LOOKS) {
            tokio::task::yield_now().await;
        }
    }
    batch
}

async fn one_by_one(store: &dyn Backend, domain: &Domain, batch: Unwritten, failed: &mut Unwritten) {
    for contact in batch.contacts {
        let one = Unwritten {
            contacts: vec![contact],
            gone: Vec::new(),
        };
        match store.write_all(domain.name(), &one).await {
            Ok(()) => one
                .contacts
                .iter()
                .for_each(|contact| domain.table.written(contact)),
            Err(error) => {
                let names = one
                    .contacts
                    .iter()
                    .map(|c| String::from_utf8_lossy(c.aor()).into_owned());
                let names: Vec<_> = names.collect();
                error!(
                    "usrloc",
                    "Table {}: the contact of {} is not written: {error}.",
                    domain.name(),
                    names.join(", ")
                );
                failed.contacts.extend(one.contacts);
            }
        }
    }
    for contact in batch.gone {
        let one = Unwritten {
            contacts: Vec::new(),
            gone: vec![contact],
        };
        if let Err(error) = store.write_all(domain.name(), &one).await {
            error!(
                "usrloc",
                "Table {}: the row of a contact that is gone is not removed: {error}.",
                domain.name()
            );
            failed.gone.extend(one.gone);
        }
    }
}

/// Writes what is left when the server ends.
pub(crate) fn flush_at_end(service: &Service) {
    let Some(store) = service
        .store
        .as_ref()
        .filter(|_| service.writing() == super::table::Writing::Later)
    else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    match runtime {
        Ok(runtime) => {
            for domain in service.domains() {
                if runtime.block_on(flush(&**store, &domain)).is_ok() {
                    info!("usrloc", "Table {} is written.", domain.name());
                }
            }
        }
        Err(error) => error!("usrloc", "The location tables cannot be written: {error}."),
    }
}
