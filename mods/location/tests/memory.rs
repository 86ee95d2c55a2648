//! What a million contacts take in memory, counted by the allocator, and that looking one up takes no longer among them.
#![expect(unsafe_code, reason = "a global allocator that counts")]
#![allow(clippy::panic)] // reason: a test

use std::{
    alloc::{GlobalAlloc, Layout, System},
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use kahea_mods_location::usrloc::{Contact, Draft, Edit, Now, Part, testing};
use kahea_module::{Str, testing::Server};

struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // What the allocator rounds up to counts too.
        HELD.fetch_add(layout.size().next_multiple_of(16), Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size().next_multiple_of(16), Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const ALL: usize = 1_000_000;

/// A contact such as a phone behind NAT registers through a proxy.
fn contact(number: usize) -> Contact {
    let aor = format!("user{number}@example.com");
    let address = format!("sip:user{number}@10.1.2.3:5060;transport=udp");
    let call_id = format!("{number:032x}");
    let ruid = format!("uloc-18a1b2c3d4e5f-15cd-{number:x}");
    let draft = Draft {
        expires: 2_000_000_000_u32.saturating_add(u32::try_from(number).unwrap_or(0)),
        modified: 1_900_000_000,
        cseq: 7,
        ..Draft::default()
    };
    let draft = draft
        .with(Part::Aor, aor.as_bytes())
        .with(Part::Address, address.as_bytes())
        .with(Part::Received, b"sip:203.0.113.77:40123")
        .with(Part::UserAgent, b"Yealink SIP-T46S 66.85.0.5")
        .with(Part::CallId, call_id.as_bytes())
        .with(Part::Ruid, ruid.as_bytes())
        .with(Part::Instance, b"<urn:uuid:00000000-0000-1000-8000-805ec0123456>")
        .with(Part::Socket, b"udp:203.0.113.1:5060");
    Contact::new(&draft).expect("it is short")
}

#[test]
fn a_million_contacts_take_at_most_500_bytes_each_and_are_found_as_fast_as_a_thousand() {
    let server = Server::default();
    let (service, domain) = testing::memory(&server.worker.config.shared, "location");
    let before = HELD.load(Relaxed);
    let mut among_few = Duration::MAX;
    for number in 0..ALL {
        let contact = contact(number);
        let aor = Str::copy(contact.aor());
        let insert = move |edit: &mut Edit<'_>| edit.insert(contact);
        match service.edit(&server.worker, &domain, &aor, false, insert) {
            Now::Ready(edited) => assert!(edited.is_ok()),
            Now::Later(_) => panic!("memory does not wait"),
        }
        if number == 1_000 {
            among_few = quickest(&service, &domain, 1_000);
        }
    }
    let each = HELD.load(Relaxed).saturating_sub(before) / ALL;
    println!("{each} bytes for each contact");
    assert!(each <= 500, "{each} bytes for each contact");
    let among_all = quickest(&service, &domain, ALL);
    println!("{among_few:?} for 1,000 look-ups among 1,000, {among_all:?} among {ALL}");
    // A million records do not fit into the processor's caches; a search that went through them would take thousands of
    // times as long.
    assert!(
        among_all < among_few.saturating_mul(20),
        "{among_few:?} {among_all:?}"
    );
}

/// The best of several rounds of a thousand look-ups, spread over all contacts.
fn quickest(
    service: &Arc<kahea_mods_location::usrloc::Service>,
    domain: &Arc<kahea_mods_location::usrloc::Domain>,
    all: usize,
) -> Duration {
    let names: Vec<Str> = (0..1_000)
        .map(|n| Str::from(format!("user{}@example.com", n * (all / 1_000))))
        .collect();
    let round = |_| {
        #[expect(
            clippy::disallowed_methods,
            reason = "the time of look-ups is what is measured"
        )]
        let start = Instant::now();
        for name in &names {
            match service.contacts(domain, name) {
                Now::Ready(found) => assert_eq!(black_box(found).map(|all| all.len()), Ok(1)),
                Now::Later(_) => panic!("memory does not wait"),
            }
        }
        start.elapsed()
    };
    (0..20).map(round).min().unwrap_or_default()
}
