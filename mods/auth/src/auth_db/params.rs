//! The parameters of `auth_db`.

use std::sync::Arc;

use kahea_db::{Database, TableVersion, check_table};
use kahea_module::{BindError, Decl, Env, InitError, Str, Var};

use super::{
    AuthDb,
    check::{Loaded, Store},
    table::{Columns, Found, Name, Queries, TO_MAKE},
};
use crate::auth::Service;

/// The layout of the table `subscriber` that this module reads.
const VERSION: i64 = 7;

/// The parameters.
pub struct Params {
    db_url: Str,
    user_column: Str,
    domain_column: Str,
    password_column: Str,
    password_column_2: Str,
    calculate_ha1: bool,
    use_domain: bool,
    load_credentials: Str,
    version_table: bool,
    force_generate_avps: bool,
}

impl Default for Params {
    fn default() -> Params {
        let text = Str::from_static;
        Params {
            db_url: text("mysql://kamailioro:kamailioro@localhost/kamailio"),
            user_column: text("username"),
            domain_column: text("domain"),
            password_column: text("ha1"),
            password_column_2: text("ha1b"),
            calculate_ha1: false,
            use_domain: false,
            load_credentials: Str::EMPTY,
            version_table: true,
            force_generate_avps: false,
        }
    }
}

impl Params {
    /// Opens the database, and makes the queries of all tables that the script names.
    ///
    /// # Errors
    /// No `auth` module, no database, or a table of another layout.
    pub(super) fn store(self, env: &Env<'_>) -> Result<Store, InitError> {
        let auth = env.service::<Service>().ok_or_else(|| {
            InitError::new("auth_db needs the auth module").help("add loadmodule \"auth.so\" before auth_db")
        })?;
        let database = Database::open(env, &self.db_url.text())?;
        let loaded = loaded(&self.load_credentials, env)?;
        let columns = Columns {
            user: self.user_column,
            domain: self.domain_column,
            password: self.password_column,
            password_2: self.password_column_2,
            loaded: loaded.iter().map(|(_, column)| column.clone()).collect(),
        };
        for place in TO_MAKE.take(&*env.bind) {
            let Name::Known(name) = &place.name else { continue };
            if self.version_table {
                let wanted = TableVersion {
                    versions: &env.globals.version_table.text(),
                    table: &name.text(),
                    accepted: &[VERSION],
                };
                check_table(&database, wanted)?;
            }
            let _ = place.queries.set(Arc::new(Queries::new(name, &columns)));
        }
        Ok(Store {
            auth,
            database,
            loaded: Loaded(loaded.into_iter().map(|(var, _)| var).collect()),
            found: Found::new(columns),
            plain: self.calculate_ha1,
            use_domain: self.use_domain,
            always_load: self.force_generate_avps,
        })
    }
}

/// Reads `$avp(x)=column;column;…`: variables and their columns.
pub(crate) fn loaded(text: &Str, env: &Env<'_>) -> Result<Vec<(Var, Str)>, InitError> {
    let text = text.text();
    let items = text
        .split([';', ','])
        .map(str::trim)
        .filter(|item| !item.is_empty());
    items
        .map(|item| {
            let (var, column) = match item.rsplit_once('=') {
                Some((var, column)) => (var.trim().to_owned(), column.trim()),
                None => (format!("$avp({item})"), item),
            };
            let bound = env.bind.var(&var).and_then(|var| {
                if column.is_empty() {
                    return Err(BindError::new("the column is missing"));
                }
                Ok((var, Str::from(column)))
            });
            bound.map_err(|error| {
                InitError::new(format!("load_credentials: '{item}': {}", error.message))
                    .help("write $avp(name)=column, or a column alone, with semicolons between them")
            })
        })
        .collect()
}

pub(super) fn declare(d: &mut Decl<AuthDb>) {
    d.param("db_url", |p| &mut p.db_url, "The database.");
    d.param("user_column", |p| &mut p.user_column, "The column of user names.");
    d.param(
        "domain_column",
        |p| &mut p.domain_column,
        "The column of domains.",
    );
    d.param(
        "password_column",
        |p| &mut p.password_column,
        "The column of passwords or of HA1s.",
    );
    d.param(
        "password_column_2",
        |p| &mut p.password_column_2,
        "The column of HA1s made with the domain in the user name.",
    );
    d.param(
        "calculate_ha1",
        |p| &mut p.calculate_ha1,
        "The column holds passwords, not HA1s.",
    );
    d.param(
        "use_domain",
        |p| &mut p.use_domain,
        "A user is one of a domain: of the user name, or else of the realm.",
    );
    d.param(
        "load_credentials",
        |p| &mut p.load_credentials,
        "What else is read of a user: `$avp(x)=column;column;…`.",
    );
    d.param(
        "version_table",
        |p| &mut p.version_table,
        "The layout of the tables is checked at start.",
    );
    d.param(
        "force_generate_avps",
        |p| &mut p.force_generate_avps,
        "The same is read where the password is wrong, too.",
    );
}
