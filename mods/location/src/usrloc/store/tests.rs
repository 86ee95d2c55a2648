use std::sync::Arc;

use kahea_db::{Kind, Rows, testing::fake};
use kahea_module::stats::Stats;
use parking_lot::Mutex;

use super::{
    super::{
        backend::to_write,
        contact::{Draft, Part, State},
        domain::Domains,
        sweep::flush,
        table::{Change, Edit, Writing},
    },
    *,
};

const LAYOUT: Form = Form {
    use_domain: true,
    numeric_times: false,
    utc: false,
};

fn layout() -> Layout {
    Layout {
        columns: Columns::default(),
        form: LAYOUT,
        by_ruid: true,
        attributes: false,
        process: Str::from_static("uloc-1-1-"),
        server_id: None,
    }
}

fn contact(aor: &str, expires: u32) -> Contact {
    let draft = Draft {
        expires,
        ..Draft::default()
    };
    let draft = draft
        .with(Part::Aor, aor.as_bytes())
        .with(Part::Ruid, aor.as_bytes())
        .with(Part::Address, b"sip:x@192.0.2.1");
    Contact::new(&draft).unwrap()
}

fn domain() -> Arc<Domain> {
    let domains = Domains::new(std::time::UNIX_EPOCH, 1);
    domains.open(&Str::from("location"), 1, &Stats::default())
}

fn put(domain: &Domain, contact: Contact) {
    let aor = contact.aor().to_vec();
    domain
        .table
        .edit(&aor, Order::Preference, Writing::Later, |edit: &mut Edit<'_>| {
            edit.insert(contact);
        });
}

/// What the database was told, and the answers that it gives.
type Said = Arc<Mutex<Vec<(Kind, Vec<Value>)>>>;

fn store(answer: impl Fn(&Query) -> Result<Rows, Error> + Send + Sync + 'static) -> (Store, Said) {
    let said = Said::default();
    let notes = said.clone();
    let database = fake(move |statement| match statement {
        Statement::Query(query, values) => {
            notes.lock().push((query.kind(), values.clone()));
            answer(query)
        }
        Statement::Sql(..) => Err(Error::Unsupported("SQL")),
    });
    (Store::new(database, layout()), said)
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(future)
}

#[test]
fn what_is_to_be_written_is_written_once() {
    let (store, said) = store(|_| Ok(Rows::default()));
    let domain = domain();
    put(&domain, contact("alice@example.com", 500));
    put(&domain, contact("bob@example.com", 500));
    assert_eq!(run(flush(&store, &domain)), Ok(()));
    assert_eq!(run(flush(&store, &domain)), Ok(()));
    let said = said.lock();
    assert_eq!(said.len(), 2);
    assert!(said.iter().all(|(kind, _)| *kind == Kind::Upsert));
    assert_eq!(domain.in_memory(b"bob@example.com")[0].state(), State::Synced);
}

#[test]
fn nothing_is_lost_while_the_database_is_away() {
    let away = Arc::new(Mutex::new(true));
    let switch = away.clone();
    let (store, said) = store(move |_| match *switch.lock() {
        true => Err(Error::Refused("disk full".to_owned())),
        false => Ok(Rows::default()),
    });
    let domain = domain();
    put(&domain, contact("alice@example.com", 500));
    let _ = run(flush(&store, &domain));
    assert_eq!(domain.in_memory(b"alice@example.com")[0].state(), State::New);
    *away.lock() = false;
    said.lock().clear();
    assert_eq!(run(flush(&store, &domain)), Ok(()));
    assert_eq!(said.lock().len(), 1);
    assert_eq!(domain.in_memory(b"alice@example.com")[0].state(), State::Synced);
}

#[test]
fn rows_of_contacts_that_are_gone_are_removed_even_later() {
    let (store, said) = store(|_| Ok(Rows::default()));
    let domain = domain();
    put(&domain, contact("alice@example.com", 500));
    run(flush(&store, &domain)).unwrap();
    domain
        .table
        .edit(b"alice@example.com", Order::Preference, Writing::Later, |edit| {
            edit.remove(0);
        });
    said.lock().clear();
    run(flush(&store, &domain)).unwrap();
    let said = said.lock();
    assert_eq!(*said, [(Kind::Delete, vec![Value::from("alice@example.com")])]);
}

#[test]
fn rows_become_contacts_and_ended_ones_are_passed_over() {
    let rows: Vec<Row> = [("alice@example.com", 2_000), ("old@example.com", 900)]
        .map(|(aor, expires)| LAYOUT.row(&contact(aor, expires)))
        .to_vec();
    let (store, _) = store(move |_| Ok(Rows::from(rows.clone())));
    let domain = domain();
    assert_eq!(store.load(&domain, Order::Preference, 1_000, |_| false), Ok(1));
    assert_eq!(domain.in_memory(b"alice@example.com")[0].state(), State::Synced);
    let fetched = run(store.fetch(domain.name(), b"alice@example.com")).unwrap();
    assert_eq!(fetched.len(), 2);
}

#[test]
fn a_change_that_takes_itself_back_writes_no_row() {
    let (store, said) = store(|_| Ok(Rows::default()));
    let one = contact("alice@example.com", 500);
    let changes = [Change::Inserted(one.clone()), Change::Deleted(one)];
    run(store.write_all(&Str::from("location"), &to_write(&changes))).unwrap();
    assert_eq!(
        said.lock().iter().map(|(kind, _)| *kind).collect::<Vec<_>>(),
        [Kind::Delete]
    );
}

#[test]
fn connections_of_other_processes_are_forgotten() {
    let of = |ruid: &[u8]| {
        let draft = Draft {
            connection: Some(kahea_sip::ConnectionId(7)),
            ..Draft::default()
        };
        LAYOUT.row(&Contact::new(&draft.with(Part::Ruid, ruid)).unwrap())
    };
    let own = layout().contact(&of(b"uloc-1-1-5")).unwrap();
    let others = layout().contact(&of(b"uloc-9-1-5")).unwrap();
    assert_eq!((own.connection().is_some(), others.connection()), (true, None));
}
