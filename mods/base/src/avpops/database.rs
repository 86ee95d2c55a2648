//! `avp_db_*()`: AVPs in a database. The functions need a database module.

use kahea_module::{Cx, Decl, Fault, InitError, Str};

use super::{Avpops, routes};

/// The parameters of the module; all are about its table.
pub struct Params {
    db_url: Option<Str>,
    avp_table: Option<Str>,
    use_domain: bool,
    uuid_column: Str,
    attribute_column: Str,
    value_column: Str,
    type_column: Str,
    username_column: Str,
    domain_column: Str,
    db_scheme: Vec<Str>,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            db_url: None,
            avp_table: None,
            use_domain: false,
            uuid_column: Str::from_static("uuid"),
            attribute_column: Str::from_static("attribute"),
            value_column: Str::from_static("value"),
            type_column: Str::from_static("type"),
            username_column: Str::from_static("username"),
            domain_column: Str::from_static("domain"),
            db_scheme: Vec::new(),
        }
    }
}

impl Params {
    /// The parameters fit together.
    ///
    /// # Errors
    /// A URL without a table.
    pub fn check(&self) -> Result<(), InitError> {
        if self.db_url.is_some() && self.avp_table.is_none() {
            return Err(InitError::new("avpops has a db_url but no avp_table")
                .help("add modparam(\"avpops\", \"avp_table\", \"usr_preferences\")"));
        }
        Ok(())
    }

    /// Why there is no database to ask.
    fn fault(&self, function: &str) -> Fault {
        let Some(url) = &self.db_url else {
            return Fault::backend(format!("{function}() needs a database: set db_url of avpops"));
        };
        let scheme = url.split(|byte| *byte == b':').next().unwrap_or_default();
        let scheme = String::from_utf8_lossy(scheme);
        Fault::backend(format!(
            "{function}() needs the module db_{scheme}, which is not loaded"
        ))
    }
}

/// Declares parameters and functions.
pub fn declare(d: &mut Decl<Avpops>) {
    d.param(
        "db_url",
        |p| &mut p.db_url,
        "The database of avp_db_load() and its siblings, `mysql://user:password@host/name`.",
    );
    d.param(
        "avp_table",
        |p| &mut p.avp_table,
        "The table with the AVPs; needed where db_url is set.",
    );
    d.param(
        "use_domain",
        |p| &mut p.use_domain,
        "Whether the domain of a URI is part of the key, where not 0.",
    );
    d.param(
        "uuid_column",
        |p| &mut p.uuid_column,
        "The column with the unique id of the user.",
    );
    d.param(
        "attribute_column",
        |p| &mut p.attribute_column,
        "The column with the name of the AVP.",
    );
    d.param(
        "value_column",
        |p| &mut p.value_column,
        "The column with the value of the AVP.",
    );
    d.param("type_column", |p| &mut p.type_column, "The column with the type: 0 text named by a text, 1 number named by a text, 2 and 3 the same named by a number.");
    d.param(
        "username_column",
        |p| &mut p.username_column,
        "The column with the user.",
    );
    d.param(
        "domain_column",
        |p| &mut p.domain_column,
        "The column with the domain.",
    );
    d.param("db_scheme", |p| &mut p.db_scheme, "Another table, `name:table=subscriber;uuid_col=uuid;value_col=first_name`; may be given several times.");
    let names = ["source", "avp"];
    d.func(
        "avp_db_load",
        names,
        avp_db_load,
        "Loads AVPs of a user from the database; needs a database module.",
    )
    .routes(routes());
    d.func(
        "avp_db_store",
        names,
        avp_db_store,
        "Stores AVPs of a user in the database; needs a database module.",
    )
    .routes(routes());
    d.func(
        "avp_db_delete",
        names,
        avp_db_delete,
        "Deletes AVPs of a user from the database; needs a database module.",
    )
    .routes(routes());
    d.func(
        "avp_db_query",
        ["query", "avps"],
        avp_db_query,
        "Asks the database and puts the columns into AVPs; needs a database module.",
    )
    .routes(routes());
}

fn avp_db_load(m: &Avpops, _: &mut Cx, _: Str, _: Str) -> Fault {
    m.database.fault("avp_db_load")
}

fn avp_db_store(m: &Avpops, _: &mut Cx, _: Str, _: Str) -> Fault {
    m.database.fault("avp_db_store")
}

fn avp_db_delete(m: &Avpops, _: &mut Cx, _: Str, _: Str) -> Fault {
    m.database.fault("avp_db_delete")
}

fn avp_db_query(m: &Avpops, _: &mut Cx, _: Str, _: Option<Str>) -> Fault {
    m.database.fault("avp_db_query")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fault_names_what_is_missing() {
        let mut params = Params::default();
        assert!(params.check().is_ok());
        assert!(params.fault("avp_db_load").text.text().contains("db_url"));
        params.db_url = Some(Str::from("mysql://u:p@h/k"));
        assert!(params.check().is_err());
        assert!(params.fault("avp_db_load").text.text().contains("db_mysql"));
    }
}
