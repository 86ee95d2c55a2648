//! The location tables in a database.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use kahea_db::{Database, Error, Op, Query, Row, Statement, Value, sql::Dialect};
use kahea_module::{Str, xavp::Xavps};
use parking_lot::RwLock;

use super::{
    columns::{Columns, LAST_MODIFIED},
    contact::Contact,
    domain::Domain,
    order::Order,
    rows::{self, Form},
    table::Unwritten,
};

/// How long the rows of a table may take at start.
const LOAD: Duration = Duration::from_secs(600);

/// What is kept in a database, and how.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub columns: Columns,
    pub form: Form,
    /// `db_ops_ruid`: rows are found by their identifier; otherwise by address of record and URI.
    pub by_ruid: bool,
    /// `xavp_contact` is set: fields are kept too.
    pub attributes: bool,
    /// What the identifiers of this process begin with.
    pub process: Str,
    /// `server_id_filter`: only rows of this server are read at start and cleaned.
    pub server_id: Option<i32>,
}

/// The statements for one table.
struct Queries {
    put: Arc<Query>,
    insert: Arc<Query>,
    update: Arc<Query>,
    delete: Arc<Query>,
    of_address: Arc<Query>,
    of_ruid: Arc<Query>,
    all: Arc<Query>,
    flagged: Arc<Query>,
    expired: Arc<Query>,
    clean: Arc<Query>,
    add_field: Arc<Query>,
    drop_fields: Arc<Query>,
    fields_of_address: Arc<Query>,
    all_fields: Arc<Query>,
}

/// The tables.
pub(crate) struct Store {
    database: Database,
    layout: Layout,
    queries: RwLock<BTreeMap<Str, Arc<Queries>>>,
}

/// What [`Store::count`] counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Count {
    /// Addresses of record that have a contact.
    Users,
    /// Contacts that have not ended.
    Contacts,
    /// Contacts that have.
    Expired,
}

/// Names of `location_attrs`.
const FIELD: [&str; 3] = ["aname", "atype", "avalue"];

impl Queries {
    fn new(table: &str, layout: &Layout) -> Queries {
        let columns = &layout.columns;
        let names = columns.all().map(|name| name.text());
        let mut all: Vec<&str> = names.iter().map(|name| &**name).collect();
        all.push(LAST_MODIFIED);
        let (ruid, expires) = (columns.ruid.text(), columns.expires.text());
        let found = |query: Query| match layout.by_ruid {
            true => query.when_eq(&ruid),
            false => layout.address(query).when_eq(&columns.contact.text()),
        };
        let own = |query: Query| match layout.server_id {
            Some(_) => query.when_eq(&columns.server_id.text()),
            None => query,
        };
        let ended = |query: Query| own(query.when(&expires, Op::Lt).when(&expires, Op::Ne));
        let attrs = format!("{table}_attrs");
        let mut field = vec![&*ruid];
        let (user, domain) = (columns.user.text(), columns.domain.text());
        field.extend([&*user, &*domain]);
        field.extend(FIELD);
        field.push(LAST_MODIFIED);
        let mut read = vec![&*ruid];
        read.extend(FIELD);
        Queries {
            put: Query::upsert(table, &all, &[&ruid]).build(),
            insert: Query::insert(table, &all).build(),
            update: found(Query::update(table, &all)).build(),
            delete: found(Query::delete(table)).build(),
            of_address: layout.address(Query::select(table, &all)).build(),
            of_ruid: Query::select(table, &all).when_eq(&ruid).build(),
            all: own(Query::select(table, &all)).build(),
            flagged: Query::select(table, &all)
                .when(&columns.cflags.text(), Op::Bits)
                .build(),
            expired: ended(Query::select(table, &all)).limit(1000).build(),
            clean: ended(Query::delete(table)).build(),
            add_field: Query::insert(&attrs, &field).build(),
            drop_fields: Query::delete(&attrs).when_eq(&ruid).build(),
            fields_of_address: layout.address(Query::select(&attrs, &read)).build(),
            all_fields: Query::select(&attrs, &read).build(),
        }
    }
}

impl Layout {
    /// Only rows of an address of record.
    fn address(&self, query: Query) -> Query {
        let query = query.when_eq(&self.columns.user.text());
        match self.form.use_domain {
            true => query.when_eq(&self.columns.domain.text()),
            false => query,
        }
    }

    /// The contact of a row; `None` where its strings are too long.
    fn contact(&self, row: &[Value]) -> Option<Contact> {
        let mut contact = self.form.contact(row).ok()?;
        // The numbers of connections begin again with each process: another's is a stranger's.
        if !contact.ruid().starts_with(&self.process) {
            contact.forget_connection();
        }
        Some(contact)
    }

    /// The values that [`Queries`] finds the row of a contact by.
    fn keys(&self, contact: &Contact) -> Vec<Value> {
        if self.by_ruid {
            return vec![Value::Text(Str::copy(contact.ruid()))];
        }
        let mut keys = self.form.keys(contact.aor());
        keys.push(Value::Text(Str::copy(contact.address())));
        keys
    }
}

impl Store {
    pub fn new(database: Database, layout: Layout) -> Store {
        Store {
            database,
            layout,
            queries: RwLock::default(),
        }
    }

    /// Where it is.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Kamailio's names of its columns.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    fn queries(&self, table: &Str) -> Arc<Queries> {
        if let Some(known) = self.queries.read().get(table) {
            return known.clone();
        }
        let made = Arc::new(Queries::new(&table.text(), &self.layout));
        self.queries.write().entry(table.clone()).or_insert(made).clone()
    }

    /// The contacts of an address of record.
    pub async fn fetch(&self, table: &Str, aor: &[u8]) -> Result<Vec<Contact>, Error> {
        let queries = self.queries(table);
        let keys = self.layout.form.keys(aor);
        let rows = self.database.run(&queries.of_address, keys.clone()).await?.rows;
        let mut contacts = self.contacts(rows);
        if self.layout.attributes && !contacts.is_empty() {
            let fields = self.database.run(&queries.fields_of_address, keys).await?;
            attach(&mut contacts, fields.rows);
        }
        Ok(contacts)
    }

    /// The contact with that identifier.
    pub async fn fetch_ruid(&self, table: &Str, ruid: &Str) -> Result<Option<Contact>, Error> {
        let queries = self.queries(table);
        let rows = self
            .database
            .run(&queries.of_ruid, vec![Value::Text(ruid.clone())])
            .await?;
        Ok(self.contacts(rows.rows).pop())
    }

    /// Every contact that has not ended and has one of the branch flags; 0 for all.
    pub async fn fetch_all(&self, table: &Str, flags: u32, now: u32) -> Result<Vec<Contact>, Error> {
        let queries = self.queries(table);
        let rows = match flags {
            0 => self.database.run(&queries.all, self.own()).await?,
            flags => {
                let values = vec![Value::Int(flags.into())];
                self.database.run(&queries.flagged, values).await?
            }
        };
        let mut contacts = self.contacts(rows.rows);
        contacts.retain(|contact| contact.is_valid(now));
        Ok(contacts)
    }

    /// Up to a thousand contacts that ended before that time.
    pub async fn fetch_expired(&self, table: &Str, before: u32) -> Result<Vec<Contact>, Error> {
        let queries = self.queries(table);
        let rows = self.database.run(&queries.expired, self.ended(before)).await?;
        Ok(self.contacts(rows.rows))
    }

    /// Takes away the rows of contacts that ended before that time; how many.
    pub async fn clean(&self, table: &Str, before: u32) -> Result<u64, Error> {
        let queries = self.queries(table);
        Ok(self
            .database
            .run(&queries.clean, self.ended(before))
            .await?
            .affected)
    }

    /// Counts in a table.
    pub async fn count(&self, table: &Str, what: Count, now: u32) -> Result<i64, Error> {
        let Some(dialect) = self.database.features().dialect else {
            return Err(Error::Unsupported("counting"));
        };
        let columns = &self.layout.columns;
        let name = |name: &Str| dialect.quote_name(name);
        let (user, domain) = (name(&columns.user), name(&columns.domain));
        let users = match self.layout.form.use_domain {
            true => format!("{user}, {domain}"),
            false => user,
        };
        let (expires, table) = (name(&columns.expires), name(table));
        let (first, second) = match dialect {
            Dialect::Postgres => ("$1", "$2"),
            Dialect::Sqlite | Dialect::Mysql => ("?", "?"),
        };
        let text = match what {
            Count::Users => format!(
                "SELECT COUNT(*) FROM (SELECT DISTINCT {users} FROM {table} WHERE {expires} > {first} OR {expires} = {second}) AS users"
            ),
            Count::Contacts => {
                format!("SELECT COUNT(*) FROM {table} WHERE {expires} > {first} OR {expires} = {second}")
            }
            Count::Expired => {
                format!("SELECT COUNT(*) FROM {table} WHERE {expires} <= {first} AND {expires} <> {second}")
            }
        };
        let rows = self
            .database
            .sql(
                Str::from(text),
                vec![self.layout.form.time(now), self.layout.form.time(0)],
            )
            .await?;
        Ok(rows.single().and_then(Value::int).unwrap_or(0))
    }

    fn own(&self) -> Vec<Value> {
        let own = self.layout.server_id.map(|id| Value::Int(id.into()));
        own.into_iter().collect()
    }

    fn ended(&self, before: u32) -> Vec<Value> {
        let mut values = vec![self.layout.form.time(before), self.layout.form.time(0)];
        values.extend(self.own());
        values
    }

    fn contacts(&self, rows: Vec<Row>) -> Vec<Contact> {
        let read = rows.iter().filter_map(|row| self.layout.contact(row));
        read.collect()
    }

    /// Writes contacts as they are, and takes away the rows of others.
    pub async fn write_all(&self, table: &Str, unwritten: &Unwritten) -> Result<(), Error> {
        let queries = self.queries(table);
        let upserts = self.layout.by_ruid && self.database.features().replaces;
        let mut statements = Vec::new();
        for contact in &unwritten.gone {
            let keys = self.layout.keys(contact);
            statements.push(Statement::Query(queries.delete.clone(), keys));
            self.drop_fields(&queries, contact, &mut statements);
        }
        for contact in &unwritten.contacts {
            let row = self.layout.form.row(contact);
            match upserts {
                true => statements.push(Statement::Query(queries.put.clone(), row)),
                false => self.put_plainly(&queries, contact, row).await?,
            }
            self.drop_fields(&queries, contact, &mut statements);
            self.add_fields(&queries, contact, &mut statements);
        }
        match statements.is_empty() {
            true => Ok(()),
            false => self.database.run_all(statements).await.map(drop),
        }
    }

    /// For databases that cannot replace a row: changes it, and adds it where there is none.
    async fn put_plainly(&self, queries: &Queries, contact: &Contact, row: Row) -> Result<(), Error> {
        let mut values = row.clone();
        values.extend(self.layout.keys(contact));
        let updated = self.database.run(&queries.update, values).await?;
        if updated.affected == 0 {
            match self.database.run(&queries.insert, row).await {
                // Where changed rows are not counted, or nothing in the row differed.
                Ok(_) | Err(Error::Constraint(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn drop_fields(&self, queries: &Queries, contact: &Contact, statements: &mut Vec<Statement>) {
        if self.layout.attributes {
            let ruid = vec![Value::Text(Str::copy(contact.ruid()))];
            statements.push(Statement::Query(queries.drop_fields.clone(), ruid));
        }
    }

    fn add_fields(&self, queries: &Queries, contact: &Contact, statements: &mut Vec<Statement>) {
        if !self.layout.attributes {
            return;
        }
        let (user, domain) = self.layout.form.address(contact.aor());
        for (name, kind, value) in rows::attributes(contact) {
            let row = vec![
                Value::Text(Str::copy(contact.ruid())),
                user.clone(),
                domain.clone(),
                Value::Text(name),
                Value::Int(kind),
                Value::Text(value),
                Value::Time(contact.modified().into()),
            ];
            statements.push(Statement::Query(queries.add_field.clone(), row));
        }
    }

    /// Reads a table into memory while this thread stands still; how many contacts there are then.
    ///
    /// Rows whose time is over at `now` are passed over, and those that `skip` picks.
    pub fn load(
        &self,
        domain: &Arc<Domain>,
        order: Order,
        now: u32,
        skip: impl Fn(&Contact) -> bool + Send + 'static,
    ) -> Result<i64, Error> {
        let queries = self.queries(domain.name());
        let fields = match self.layout.attributes {
            true => self.load_fields(&queries)?,
            false => HashMap::new(),
        };
        let (layout, into) = (self.layout.clone(), domain.clone());
        let mut fields = fields;
        self.database.load(&queries.all, self.own(), LOAD, move |row| {
            let Some(contact) = layout.contact(&row) else {
                return;
            };
            if !contact.is_valid(now) || skip(&contact) {
                return;
            }
            let contact = match fields.remove(contact.ruid()) {
                Some(known) => with_fields(&contact, known),
                None => contact,
            };
            into.take_in(contact, order);
        })?;
        Ok(domain.table.counts.contacts.get())
    }

    fn load_fields(&self, queries: &Queries) -> Result<HashMap<Str, Arc<Xavps>>, Error> {
        let found = Arc::new(parking_lot::Mutex::new(HashMap::new()));
        let into = found.clone();
        self.database
            .load(&queries.all_fields, Vec::new(), LOAD, move |row| {
                collect(&mut into.lock(), row);
            })?;
        Ok(std::mem::take(&mut *found.lock()))
    }
}

type Fields = HashMap<Str, Arc<Xavps>>;

/// Adds a row of `location_attrs`: identifier, name, type, value.
fn collect(fields: &mut Fields, row: Row) {
    let [ruid, name, kind, value] = &*row else { return };
    let (Some(ruid), Some(name)) = (ruid.text(), name.text()) else {
        return;
    };
    let mut known = fields.remove(&ruid);
    rows::add_attribute(&mut known, name, kind.int().unwrap_or(0), value);
    if let Some(known) = known {
        fields.insert(ruid, known);
    }
}

fn attach(contacts: &mut [Contact], rows: Vec<Row>) {
    let mut fields = Fields::new();
    rows.into_iter().for_each(|row| collect(&mut fields, row));
    for contact in contacts {
        if let Some(known) = fields.remove(contact.ruid()) {
            *contact = with_fields(contact, known);
        }
    }
}

fn with_fields(contact: &Contact, fields: Arc<Xavps>) -> Contact {
    let mut with = contact.clone();
    with.set_attributes(fields);
    with
}

#[cfg(test)]
mod tests;
