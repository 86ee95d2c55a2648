use super::{
    super::contact::{Draft, Part},
    *,
};

fn table() -> Table {
    Table::new(4, Counts::default())
}

fn contact(aor: &str, address: &str, expires: u32) -> Contact {
    let ruid = format!("uloc-{aor}-{address}");
    let draft = Draft {
        expires,
        modified: 100,
        ..Draft::default()
    };
    let draft = draft
        .with(Part::Aor, aor.as_bytes())
        .with(Part::Address, address.as_bytes())
        .with(Part::Ruid, ruid.as_bytes());
    Contact::new(&draft).unwrap()
}

fn put(table: &Table, contact: Contact, writing: Writing) {
    let aor = contact.aor().to_vec();
    table.edit(&aor, Order::Preference, writing, |edit| {
        let at = edit
            .contacts()
            .iter()
            .position(|c| c.address() == contact.address());
        match at {
            Some(at) => edit.replace(at, contact),
            None => edit.insert(contact),
        }
    });
}

fn expire(table: &Table, now: u32) -> Vec<String> {
    let mut out = Changes::new();
    for shard in 0..table.shards() {
        while table.expire(shard, now, 1, Writing::No, &mut out) {}
    }
    let mut names: Vec<_> = out
        .iter()
        .map(|change| String::from_utf8(change.contact().address().to_vec()).unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn records_come_and_go_with_their_contacts() {
    let table = table();
    put(&table, contact("alice", "a", 200), Writing::No);
    put(&table, contact("alice", "b", 300), Writing::No);
    put(&table, contact("bob", "c", 300), Writing::No);
    assert_eq!(table.get(b"alice").len(), 2);
    assert_eq!((table.counts.users.get(), table.counts.contacts.get()), (2, 3));
    assert!(table.by_ruid(b"uloc-alice-b", |c| c.address() == b"b").unwrap());
    let (_, changes, now) = table.edit(b"alice", Order::Preference, Writing::No, |edit| {
        edit.remove_if(|_| true);
    });
    assert_eq!((changes.len(), now.len()), (2, 0));
    assert!(table.get(b"alice").is_empty());
    assert_eq!((table.counts.users.get(), table.counts.contacts.get()), (1, 1));
    assert!(table.by_ruid(b"uloc-alice-b", |_| ()).is_none());
    assert_eq!(table.fill(), (1, 1));
}

#[test]
fn contacts_end_in_time_and_refreshed_ones_do_not() {
    let table = table();
    for n in 0..50u32 {
        put(
            &table,
            contact(&format!("u{n}"), &format!("c{n:02}"), 200 + n),
            Writing::No,
        );
    }
    put(&table, contact("ever", "ever", 0), Writing::No);
    put(&table, contact("u3", "c03", 900), Writing::No);
    put(&table, contact("u3", "extra", 203), Writing::No);
    assert_eq!(expire(&table, 199), [""; 0]);
    assert_eq!(expire(&table, 203), ["c00", "c01", "c02", "extra"]);
    assert_eq!(expire(&table, 899).len(), 46);
    assert_eq!(expire(&table, 900), ["c03"]);
    assert_eq!(expire(&table, u32::MAX), [""; 0]);
    assert_eq!((table.counts.users.get(), table.counts.expired.get()), (1, 51));
}

#[test]
fn a_contact_that_is_refreshed_a_thousand_times_has_one_entry() {
    let table = table();
    for n in 0..1000 {
        put(&table, contact("alice", "a", 200 + n), Writing::No);
    }
    let entries: usize = table.shards.iter().map(|shard| shard.lock().due.len()).sum();
    assert_eq!(entries, 1);
    assert_eq!(expire(&table, 1198), [""; 0]);
    assert_eq!(expire(&table, 1199), ["a"]);
}

#[test]
fn a_bounded_step_says_that_there_is_more() {
    let table = Table::new(0, Counts::default());
    for n in 0..10 {
        put(&table, contact(&format!("u{n}"), "c", 200), Writing::No);
    }
    let mut out = Changes::new();
    assert!(table.expire(0, 300, 4, Writing::No, &mut out));
    assert_eq!(out.len(), 4);
    assert!(!table.expire(0, 300, 100, Writing::No, &mut out));
    assert_eq!(out.len(), 10);
}

fn unwritten(table: &Table) -> Unwritten {
    let mut out = Unwritten::default();
    assert!(!table.take_unwritten(0, 100, &mut out));
    out
}

#[test]
fn a_batch_takes_no_more_than_fits() {
    let table = Table::new(0, Counts::default());
    for n in 0..5 {
        put(&table, contact(&format!("user{n}"), "a", 200), Writing::Later);
    }
    let mut out = Unwritten::default();
    assert!(table.take_unwritten(0, 3, &mut out));
    assert_eq!(out.rows(), 3);
    assert!(table.take_unwritten(0, 3, &mut out));
    assert_eq!(out.rows(), 3);
    assert!(!table.take_unwritten(0, 100, &mut out));
    assert_eq!(out.rows(), 5);
}

#[test]
fn what_is_not_written_stays_marked() {
    let table = Table::new(0, Counts::default());
    put(&table, contact("alice", "a", 200), Writing::Later);
    put(&table, contact("alice", "a", 210), Writing::Later);
    let first = unwritten(&table);
    assert_eq!((first.contacts.len(), first.gone.len()), (1, 0));
    assert!(unwritten(&table).contacts.is_empty());
    table.put_back(first);
    let again = unwritten(&table);
    assert_eq!(again.contacts[0].expires(), 210);
    table.written(&again.contacts[0]);
    assert_eq!(table.get(b"alice")[0].state(), State::Synced);
    put(&table, contact("alice", "a", 220), Writing::Later);
    assert_eq!(table.get(b"alice")[0].state(), State::Dirty);
    table.edit(b"alice", Order::Preference, Writing::Later, |edit| edit.remove(0));
    let gone = unwritten(&table);
    assert_eq!((gone.contacts.len(), gone.gone.len()), (0, 1));
}

#[test]
fn a_contact_without_a_row_leaves_none_to_be_removed() {
    let table = Table::new(0, Counts::default());
    put(&table, contact("alice", "a", 200), Writing::Later);
    table.edit(b"alice", Order::Preference, Writing::Later, |edit| edit.remove(0));
    let nothing = unwritten(&table);
    assert!(nothing.contacts.is_empty() && nothing.gone.is_empty());
}

#[test]
fn a_version_that_changed_while_it_was_written_is_dirty() {
    let table = Table::new(0, Counts::default());
    put(&table, contact("alice", "a", 200), Writing::Later);
    let taken = unwritten(&table).contacts;
    put(&table, contact("alice", "a", 250), Writing::Later);
    table.written(&taken[0]);
    assert_eq!(table.get(b"alice")[0].state(), State::Dirty);
    assert_eq!(unwritten(&table).contacts[0].expires(), 250);
}

#[test]
fn keepalives_find_their_contact() {
    let table = table();
    put(&table, contact("alice", "a", 200), Writing::No);
    assert!(table.answered(b"uloc-alice-a", 150, 1234));
    assert!(!table.answered(b"uloc-alice-x", 150, 1234));
    let known = &table.get(b"alice")[0];
    assert_eq!((known.last_answer(), known.round_trip()), (150, 1234));
}

#[test]
fn what_is_for_memory_alone_is_not_written_with_the_others() {
    let table = Table::new(0, Counts::default());
    put(&table, contact("alice", "a", 200), Writing::Later);
    put(&table, contact("alice", "b", 200), Writing::Never);
    assert_eq!(unwritten(&table).contacts.len(), 1);
    put(&table, contact("alice", "b", 300), Writing::Later);
    assert_eq!(unwritten(&table).contacts.len(), 2);
}
