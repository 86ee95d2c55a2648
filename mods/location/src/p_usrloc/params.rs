//! The parameters of p_usrloc.

use kahea_module::{BindError, Decl, InitError, Str, Value};

use super::{PUsrloc, cluster::Master};
use crate::usrloc::{Common, Form, HasCommon, Layout, Matching, Mode, Settings, common, out_of_range};

/// Which tables are in the cluster (`domain_db`, `default_db_type`).
#[derive(Clone, Debug)]
pub struct Kinds {
    named: Vec<(Str, bool)>,
    default: bool,
}

impl Kinds {
    /// The table is spread over several databases.
    pub(super) fn is_cluster(&self, table: &Str) -> bool {
        let named = self.named.iter().find(|(name, _)| name == table);
        named.map_or(self.default, |(_, cluster)| *cluster)
    }
}

/// The parameters of p_usrloc.
pub struct Params {
    common: Common,
    db_mode: i64,
    pub(super) use_domain_crc32: bool,
    pub(super) matching_mode: i64,
    fetch_rows: i64,
    hash_size: i64,
    pub(super) default_db_url: Str,
    pub(super) kinds: Kinds,
    pub(super) write_db_url: Str,
    pub(super) read_db_url: Str,
    pub(super) master: Master,
    pub(super) expire_time: i64,
    pub(super) utc_timestamps: bool,
    pub(super) db_err_threshold: i64,
    pub(super) failover_level: i64,
    pub(super) db_retry_interval: i64,
    db_use_transactions: bool,
    db_transaction_level: Str,
    pub(super) write_on_db: bool,
    pub(super) write_on_master_db: bool,
    connection_expires: i64,
    alg_location: i64,
    pub(super) db_ops_ruid: i64,
    pub(super) db_update_as_insert: bool,
    pub(super) mdb_availability_control: bool,
    pub(super) preload: Vec<Str>,
}

const DATABASE: &str = "mysql://kamailio:kamailiorw@localhost/kamailio";

impl Default for Params {
    fn default() -> Params {
        let name = Str::from_static;
        Params {
            common: Common::default(),
            db_mode: 3,
            use_domain_crc32: true,
            matching_mode: 0,
            fetch_rows: 2000,
            hash_size: 9,
            default_db_url: name(DATABASE),
            kinds: Kinds {
                named: vec![(name("location"), true), (name("cfa"), false)],
                default: false,
            },
            write_db_url: name(DATABASE),
            read_db_url: name(DATABASE),
            master: Master::default(),
            expire_time: 3600,
            utc_timestamps: false,
            db_err_threshold: 50,
            failover_level: 1,
            db_retry_interval: 10,
            db_use_transactions: false,
            db_transaction_level: name("READ UNCOMMITTED"),
            write_on_db: false,
            write_on_master_db: false,
            connection_expires: 300,
            alg_location: 0,
            db_ops_ruid: 0,
            db_update_as_insert: true,
            mdb_availability_control: false,
            preload: Vec::new(),
        }
    }
}

impl Params {
    pub(super) fn settings(&self, server_id: i64) -> Result<Settings, InitError> {
        if self.db_mode != Mode::DatabaseOnly.number() {
            return Err(out_of_range(
                "db_mode",
                self.db_mode,
                "3, the only mode that p_usrloc has",
            ));
        }
        let matching = Matching::from_number(self.matching_mode).filter(|mode| *mode != Matching::CallId);
        let matching = matching.ok_or_else(|| {
            out_of_range(
                "matching_mode",
                self.matching_mode,
                "0 (URI), 1 (URI and Call-ID) or 2 (URI and Path)",
            )
        })?;
        self.common.settings(Mode::DatabaseOnly, matching, server_id)
    }

    pub(super) fn layout(&self, process: Str) -> Layout {
        Layout {
            columns: self.common.columns.clone(),
            form: Form {
                use_domain: self.common.use_domain,
                numeric_times: false,
                utc: self.utc_timestamps,
            },
            by_ruid: self.db_ops_ruid == 1,
            attributes: false,
            process,
            server_id: None,
        }
    }
}

impl HasCommon for Params {
    fn common(&mut self) -> &mut Common {
        &mut self.common
    }
}

fn is_cluster(word: &str) -> Result<bool, BindError> {
    match word.trim() {
        "cluster" => Ok(true),
        "single" => Ok(false),
        other => {
            Err(BindError::new(format!("'{other}' is no kind of database")).help("write single or cluster"))
        }
    }
}

/// `location=cluster,cfa=single`.
fn kinds(text: &str) -> Result<Vec<(Str, bool)>, BindError> {
    let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
    let read = words.map(|word| {
        let (name, kind) = word.split_once('=').ok_or_else(|| {
            BindError::new(format!("'{word}' says nothing of a table"))
                .help("write table=single or table=cluster")
        })?;
        Ok((Str::from(name.trim()), is_cluster(kind)?))
    });
    read.collect()
}

fn word(value: &Value) -> Result<Str, BindError> {
    value
        .str()
        .ok_or_else(|| BindError::new("the parameter takes a string"))
}

/// Declares them.
pub(super) fn declare(d: &mut Decl<PUsrloc>) {
    common::declare(d);
    contacts(d);
    master(d);
    failover(d);
}

fn contacts(d: &mut Decl<PUsrloc>) {
    d.param(
        "db_mode",
        |p| &mut p.db_mode,
        "3, the database alone; p_usrloc has no other mode.",
    );
    d.param(
        "use_domain_crc32",
        |p| &mut p.use_domain_crc32,
        "The domain counts for the group of databases too.",
    );
    d.param(
        "matching_mode",
        |p| &mut p.matching_mode,
        "What makes two contacts the same: 0 the URI, 1 URI and Call-ID, 2 URI and Path.",
    );
    d.param(
        "fetch_rows",
        |p| &mut p.fetch_rows,
        "Accepted; rows are taken one by one as they come.",
    );
    d.param(
        "hash_size",
        |p| &mut p.hash_size,
        "Accepted; nothing is kept in memory that would be divided.",
    );
    d.param(
        "preload",
        |p| &mut p.preload,
        "A table to know of though no function of the script names it; may be given several times.",
    );
    d.param(
        "db_ops_ruid",
        |p| &mut p.db_ops_ruid,
        "1: rows are found by their identifier; 0 and 2: by address of record and URI.",
    );
    d.param(
        "db_update_as_insert",
        |p| &mut p.db_update_as_insert,
        "Accepted; a row that is not there is always added when its contact changes.",
    );
    d.param(
        "UTC_timestamps",
        |p| &mut p.utc_timestamps,
        "Times in the tables are in UTC, not in local time.",
    );
}

fn master(d: &mut Decl<PUsrloc>) {
    d.param(
        "read_db_url",
        |p| &mut p.read_db_url,
        "The master database, for reading.",
    );
    d.param(
        "write_db_url",
        |p| &mut p.write_db_url,
        "The master database, for writing.",
    );
    d.param(
        "default_db_url",
        |p| &mut p.default_db_url,
        "The database of tables that are not in the cluster.",
    );
    d.param(
        "reg_db_table",
        |p| &mut p.master.table,
        "The table of the master database that names the databases.",
    );
    d.param(
        "id_column",
        |p| &mut p.master.id,
        "Its column of the group of a database.",
    );
    d.param(
        "num_column",
        |p| &mut p.master.number,
        "Its column of the number of a database in its group.",
    );
    d.param("url_column", |p| &mut p.master.url, "Its column of the URL.");
    d.param(
        "status_column",
        |p| &mut p.master.status,
        "Its column of the status: 0 off, 1 on, 2 taken out of use.",
    );
    d.param(
        "failover_time_column",
        |p| &mut p.master.failover,
        "Its column of the time of the last change.",
    );
    d.param(
        "spare_flag_column",
        |p| &mut p.master.spare,
        "Its column that marks spare databases.",
    );
    d.param(
        "error_column",
        |p| &mut p.master.errors,
        "Its column of the number of errors.",
    );
    d.param(
        "risk_group_column",
        |p| &mut p.master.risk,
        "Its column of what databases share that fail together.",
    );
    d.param_fn(
        "domain_db",
        "string",
        |p, value, _| {
            p.kinds.named = kinds(&word(value)?.text())?;
            Ok(())
        },
        "Which tables are in the cluster: table=cluster or table=single, separated by commas.",
    );
    d.param_fn(
        "default_db_type",
        "string",
        |p, value, _| {
            p.kinds.default = is_cluster(&word(value)?.text())?;
            Ok(())
        },
        "Where tables are that domain_db does not name: single or cluster.",
    );
    d.param(
        "alg_location",
        |p| &mut p.alg_location,
        "Accepted; as in Kamailio there is one way of spreading, by checksum.",
    );
}

fn failover(d: &mut Decl<PUsrloc>) {
    d.param(
        "expire_time",
        |p| &mut p.expire_time,
        "Seconds until a database that was turned on is read again.",
    )
    .live();
    d.param(
        "db_err_threshold",
        |p| &mut p.db_err_threshold,
        "Errors after which a database is turned off.",
    )
    .live();
    d.param(
        "failover_level",
        |p| &mut p.failover_level,
        "What a failing database leads to: 1 it is turned off, 2 a spare takes its place too.",
    )
    .live();
    d.param(
        "db_retry_interval",
        |p| &mut p.db_retry_interval,
        "Seconds between two looks at the master table and at databases that are off.",
    );
    d.param("write_on_db", |p| &mut p.write_on_db, "Locations may be written.");
    d.param(
        "write_on_master_db",
        |p| &mut p.write_on_master_db,
        "The master database may be written.",
    );
    d.param(
        "mdb_availability_control",
        |p| &mut p.mdb_availability_control,
        "The master database is written whenever it can be reached.",
    );
    d.param(
        "db_use_transactions",
        |p| &mut p.db_use_transactions,
        "Accepted; each change is one transaction, where the database has them.",
    );
    d.param(
        "db_transaction_level",
        |p| &mut p.db_transaction_level,
        "Accepted; a change touches rows of one contact only, so that the level does not matter.",
    );
    d.param(
        "connection_expires",
        |p| &mut p.connection_expires,
        "Accepted; connections are asked before they are used again, and closed by their pool.",
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_single_or_in_the_cluster() {
        let mut params = Params::default();
        let is = |params: &Params, name: &str| params.kinds.is_cluster(&Str::from(name));
        assert!(is(&params, "location") && !is(&params, "cfa") && !is(&params, "other"));
        params.kinds.named = kinds("a=cluster, b=single").unwrap();
        params.kinds.default = is_cluster("cluster").unwrap();
        assert!(is(&params, "a") && !is(&params, "b") && is(&params, "other"));
        assert!(kinds("a").is_err() && kinds("a=both").is_err());
    }

    #[test]
    fn other_modes_are_refused() {
        let mut params = Params::default();
        assert!(params.settings(0).is_ok());
        params.db_mode = 0;
        assert!(params.settings(0).is_err());
    }
}
