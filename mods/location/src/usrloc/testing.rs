//! A location service in memory, for tests of other modules.

use std::sync::Arc;

use kahea_module::{Str, config::Shared};

use super::{Domain, Service, Settings, domain::Domains};

/// A service without a database, and one of its tables.
pub fn memory(shared: &Shared, table: &str) -> (Arc<Service>, Arc<Domain>) {
    let domains = Domains::of(shared);
    let domain = domains.open(&Str::from(table), 10, &shared.stats);
    let service = Service::new(Settings::default(), domains, None);
    (Arc::new(service), domain)
}
