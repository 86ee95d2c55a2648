//! The parameters of usrloc.

use kahea_module::{Decl, InitError, Str};

use super::{
    Usrloc,
    common::{self, Common, HasCommon},
    order::Matching,
    service::{Mode, Settings},
};

/// The parameters of usrloc.
pub struct Params {
    pub(super) common: Common,
    pub(super) db_url: Str,
    pub(super) timer_interval: i64,
    pub(super) db_mode: i64,
    pub(super) db_load: bool,
    pub(super) db_insert_update: bool,
    pub(super) matching_mode: i64,
    pub(super) fetch_rows: i64,
    pub(super) hash_size: i64,
    pub(super) handle_lost_tcp: bool,
    pub(super) close_expired_tcp: bool,
    pub(super) skip_remote_socket: bool,
    pub(super) preload: Vec<Str>,
    pub(super) db_update_as_insert: bool,
    pub(super) timer_procs: i64,
    pub(super) db_check_update: bool,
    pub(super) xavp_contact: Option<Str>,
    pub(super) db_ops_ruid: i64,
    pub(super) expires_type: i64,
    pub(super) db_raw_fetch_type: i64,
    pub(super) db_insert_null: bool,
    pub(super) server_id_filter: bool,
    pub(super) db_timer_clean: bool,
    pub(super) rm_expired_delay: i64,
    pub(super) version_table: bool,
    pub(super) load_rank: i64,
    pub(super) db_clean_tcp: bool,
    pub(super) keepalive: KeepaliveParams,
}

/// The parameters `ka_*`.
pub(super) struct KeepaliveParams {
    pub mode: i64,
    pub from: Str,
    pub domain: Str,
    pub method: Str,
    pub filter: i64,
    pub interval: i64,
    pub randomize: i64,
    pub timeout: i64,
    pub loglevel: i64,
    pub logmsg: Str,
    pub reply_codes: Str,
}

impl Default for KeepaliveParams {
    fn default() -> KeepaliveParams {
        KeepaliveParams {
            mode: 0,
            from: Str::from_static("sip:server@kamailio.org"),
            domain: Str::from_static("kamailio.org"),
            method: Str::from_static("OPTIONS"),
            filter: 0,
            interval: 40,
            randomize: 20,
            timeout: 0,
            loglevel: 255,
            logmsg: Str::from_static(" to-uri: [$tu] remote-addr: [$sas]"),
            reply_codes: Str::from_static("0"),
        }
    }
}

impl Default for Params {
    fn default() -> Params {
        Params {
            common: Common::default(),
            db_url: Str::from_static("mysql://kamailio:kamailiorw@localhost/kamailio"),
            timer_interval: 60,
            db_mode: 0,
            db_load: true,
            db_insert_update: false,
            matching_mode: 0,
            fetch_rows: 2000,
            hash_size: 10,
            handle_lost_tcp: false,
            close_expired_tcp: false,
            skip_remote_socket: false,
            preload: Vec::new(),
            db_update_as_insert: false,
            timer_procs: 0,
            db_check_update: false,
            xavp_contact: None,
            db_ops_ruid: 1,
            expires_type: 0,
            db_raw_fetch_type: 0,
            db_insert_null: false,
            server_id_filter: false,
            db_timer_clean: false,
            rm_expired_delay: 0,
            version_table: true,
            load_rank: 1,
            db_clean_tcp: false,
            keepalive: KeepaliveParams::default(),
        }
    }
}

impl Params {
    /// What other modules go by.
    pub(super) fn settings(&self, server_id: i64) -> Result<Settings, InitError> {
        let mode = Mode::from_number(self.db_mode).ok_or_else(|| {
            out_of_range(
                "db_mode",
                self.db_mode,
                "0 (memory), 1 (write-through), 2 (write-back), 3 (database only) or 4 (load only)",
            )
        })?;
        let matching = Matching::from_number(self.matching_mode).ok_or_else(|| {
            out_of_range(
                "matching_mode",
                self.matching_mode,
                "0 (URI), 1 (URI and Call-ID), 2 (URI and Path) or 3 (Call-ID)",
            )
        })?;
        Ok(Settings {
            attributes: self.xavp_contact.clone().filter(|name| !name.is_empty()),
            ..self.common.settings(mode, matching, server_id)?
        })
    }

    /// The shards of a table, as a power of 2.
    pub(super) fn bits(&self) -> Result<u32, InitError> {
        u32::try_from(self.hash_size)
            .ok()
            .filter(|bits| *bits <= 16)
            .ok_or_else(|| out_of_range("hash_size", self.hash_size, "an exponent of 2 from 0 to 16"))
    }
}

impl HasCommon for Params {
    fn common(&mut self) -> &mut Common {
        &mut self.common
    }
}

pub(crate) fn out_of_range(name: &str, value: i64, wanted: &str) -> InitError {
    InitError::new(format!("{name} is {value}")).help(format!("give {wanted}"))
}

/// Declares them.
pub(super) fn declare(d: &mut Decl<Usrloc>) {
    columns(d);
    tables(d);
    database(d);
    connections(d);
    keepalives(d);
}

fn columns(d: &mut Decl<Usrloc>) {
    common::declare(d);
    d.param(
        "server_id_column",
        |p| &mut p.common.columns.server_id,
        "The column of the server's id.",
    );
    d.param(
        "connection_id_column",
        |p| &mut p.common.columns.connection_id,
        "The column of the number of the connection.",
    );
    d.param(
        "keepalive_column",
        |p| &mut p.common.columns.keepalive,
        "The column of the state of keepalives.",
    );
    d.param(
        "partition_column",
        |p| &mut p.common.columns.partition,
        "The column of the part of the table that a contact is in.",
    );
}

fn tables(d: &mut Decl<Usrloc>) {
    d.param(
        "timer_interval",
        |p| &mut p.timer_interval,
        "Seconds between two passes that remove ended contacts, write to the database and send keepalives.",
    );
    d.param(
        "matching_mode",
        |p| &mut p.matching_mode,
        "What makes two contacts the same: 0 the URI, 1 URI and Call-ID, 2 URI and Path, 3 the Call-ID.",
    );
    d.param(
        "hash_size",
        |p| &mut p.hash_size,
        "A table has 2^hash_size parts, each with its own lock.",
    );
    d.param(
        "preload",
        |p| &mut p.preload,
        "A table to read at start though no function of the script names it; may be given several times.",
    );
    d.param("timer_procs", |p| &mut p.timer_procs, "In how many parts, side by side, a pass goes over a table; 0 is one. No process is started for it: a pass never holds a worker for long.");
    d.param(
        "xavp_contact",
        |p| &mut p.xavp_contact,
        "The xavp whose fields are kept with a contact and given back by lookup().",
    );
    d.param(
        "load_rank",
        |p| &mut p.load_rank,
        "Accepted; tables are read before any worker takes a message, so that there is no process to choose.",
    );
}

fn database(d: &mut Decl<Usrloc>) {
    d.param("db_url", |p| &mut p.db_url, "The database.");
    d.param("db_mode", |p| &mut p.db_mode, "0: memory alone; 1: database before the answer; 2: database at the timer; 3: database alone; 4: read at start, never written.");
    d.param(
        "db_load",
        |p| &mut p.db_load,
        "The tables are read at start (db_mode 1 and 2).",
    );
    d.param("db_insert_update", |p| &mut p.db_insert_update, "Accepted; a row of the same identifier is always changed where one is added, where the database can.");
    d.param("db_update_as_insert", |p| &mut p.db_update_as_insert, "Accepted; changed contacts are written by the same statement as new ones, where the database can replace rows.");
    d.param(
        "db_check_update",
        |p| &mut p.db_check_update,
        "Accepted; a row that is not there is always added when its contact changes.",
    );
    d.param(
        "db_ops_ruid",
        |p| &mut p.db_ops_ruid,
        "1: rows are found by their identifier; 0: by address of record and URI.",
    );
    d.param(
        "expires_type",
        |p| &mut p.expires_type,
        "Times in the tables are 0 dates, 1 numbers.",
    );
    d.param(
        "db_raw_fetch_type",
        |p| &mut p.db_raw_fetch_type,
        "Accepted; each driver knows how its database compares bits.",
    );
    d.param(
        "db_insert_null",
        |p| &mut p.db_insert_null,
        "Accepted; every column is written, those without a value as NULL.",
    );
    d.param(
        "server_id_filter",
        |p| &mut p.server_id_filter,
        "Only rows with the server_id of this server are read at start and cleaned.",
    );
    d.param(
        "db_timer_clean",
        |p| &mut p.db_timer_clean,
        "Rows of ended contacts are removed at the timer in db_mode 1 and 2 too.",
    );
    d.param(
        "rm_expired_delay",
        |p| &mut p.rm_expired_delay,
        "Seconds for which rows of ended contacts stay in db_mode 3.",
    );
    d.param(
        "version_table",
        |p| &mut p.version_table,
        "The versions of the tables are checked.",
    );
    d.param("fetch_rows", |p| &mut p.fetch_rows, "Accepted; rows are taken one by one as they come, so that their number in one answer does not matter.");
    d.param(
        "db_clean_tcp",
        |p| &mut p.db_clean_tcp,
        "Contacts over connections are removed at start in place of being read.",
    );
    d.param(
        "skip_remote_socket",
        |p| &mut p.skip_remote_socket,
        "Contacts at sockets of other servers are not read at start.",
    );
}

fn connections(d: &mut Decl<Usrloc>) {
    d.param(
        "handle_lost_tcp",
        |p| &mut p.handle_lost_tcp,
        "Contacts whose connection was lost are removed at the timer.",
    );
    d.param(
        "close_expired_tcp",
        |p| &mut p.close_expired_tcp,
        "The connection of a contact is closed when the contact ends.",
    );
}

fn keepalives(d: &mut Decl<Usrloc>) {
    d.param(
        "ka_mode",
        |p| &mut p.keepalive.mode,
        "Keepalives to contacts: 0 none, or the sum of 1 (all), 2 (behind NAT only), 4 (over UDP only).",
    );
    d.param(
        "ka_from",
        |p| &mut p.keepalive.from,
        "The From URI of keepalives.",
    );
    d.param(
        "ka_domain",
        |p| &mut p.keepalive.domain,
        "The domain in the To of keepalives, where addresses of record have none.",
    );
    d.param(
        "ka_method",
        |p| &mut p.keepalive.method,
        "The method of keepalives.",
    );
    d.param(
        "ka_filter",
        |p| &mut p.keepalive.filter,
        "1: only contacts with the server_id of this server get keepalives.",
    );
    d.param(
        "ka_interval",
        |p| &mut p.keepalive.interval,
        "Seconds between two keepalives to a contact; not below timer_interval.",
    );
    d.param(
        "ka_randomize",
        |p| &mut p.keepalive.randomize,
        "Seconds by which the first keepalives of contacts are spread.",
    );
    d.param(
        "ka_timeout",
        |p| &mut p.keepalive.timeout,
        "Seconds without an answer after which a contact is removed; 0: never.",
    );
    d.param(
        "ka_loglevel",
        |p| &mut p.keepalive.loglevel,
        "The level of the line about each answer; 255: none.",
    );
    d.param(
        "ka_logmsg",
        |p| &mut p.keepalive.logmsg,
        "What that line says behind the round trip; variables are those of the answer.",
    );
    d.param(
        "ka_reply_codes",
        |p| &mut p.keepalive.reply_codes,
        "Codes of answers that count, separated by commas; 0: all.",
    );
}
