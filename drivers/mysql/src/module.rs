//! Module `db_mysql`.

use std::sync::Arc;

use kahea_db::Databases;
use kahea_module::{Decl, Env, InitError, Module, Str};

use crate::{
    MysqlDriver, Settings,
    settings::{TlsMode, seconds},
};

/// The module.
pub struct DbMysql;

/// Its parameters.
pub struct Params {
    ping_interval: i64,
    timeout_interval: i64,
    connect_timeout: i64,
    send_timeout: i64,
    receive_timeout: i64,
    auto_reconnect: i64,
    retries: i64,
    server_timezone: bool,
    insert_delayed: bool,
    update_affected_found: bool,
    unsigned_type: i64,
    ssl_mode: i64,
    ssl_ca: Str,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            ping_interval: 300,
            timeout_interval: 2,
            connect_timeout: 0,
            send_timeout: 0,
            receive_timeout: 0,
            auto_reconnect: 1,
            retries: 1,
            server_timezone: false,
            insert_delayed: false,
            update_affected_found: false,
            unsigned_type: 0,
            ssl_mode: 0,
            ssl_ca: Str::EMPTY,
        }
    }
}

impl Module for DbMysql {
    const NAME: &'static str = "db_mysql";
    const FIRST: bool = true;
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        times(d);
        d.param("auto_reconnect", |p| &mut p.auto_reconnect,
            "Read and without effect: a lost connection is always opened again, or its statements could never be run.");
        d.param("retries", |p| &mut p.retries,
            "Read and without effect: a statement is tried once more on a new connection where that cannot do it twice.");
        d.param(
            "server_timezone",
            |p| &mut p.server_timezone,
            "Lets the server turn seconds into dates (FROM_UNIXTIME), for servers in another time zone.",
        );
        d.param(
            "insert_delayed",
            |p| &mut p.insert_delayed,
            "Adds rows by INSERT DELAYED, which few kinds of tables still take.",
        );
        d.param(
            "update_affected_found",
            |p| &mut p.update_affected_found,
            "Counts the rows that an UPDATE finds, not those that it changes.",
        );
        d.param("unsigned_type", |p| &mut p.unsigned_type,
            "Read and without effect: every number has 64 bits here, so that columns without a sign fit as they are.");
        d.param("opt_ssl_mode", |p| &mut p.ssl_mode,
            "TLS to the server: 0 and 1 without, 2 where the server has it, 3 always, 4 with a certificate of a known \
             authority, 5 for the server's name too.");
        d.param("opt_ssl_ca", |p| &mut p.ssl_ca,
            "A PEM file with the authorities that count for opt_ssl_mode 4 and 5, beside the well-known ones.");
        d.stat_in(
            "mysql",
            "driver_errors",
            "Statements and connections that failed for another reason than their SQL.",
        );
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Self, InitError> {
        let tls = TlsMode::of(params.ssl_mode).ok_or_else(|| {
            InitError::new(format!(
                "opt_ssl_mode of db_mysql is {}, which means nothing",
                params.ssl_mode
            ))
            .help("write a number from 0 to 5")
        })?;
        let patience = params.timeout_interval.saturating_mul(3);
        let receive = params.receive_timeout.max(params.send_timeout);
        let settings = Settings {
            connect: seconds(if params.connect_timeout > 0 {
                params.connect_timeout
            } else {
                patience
            }),
            statement: seconds(if receive > 0 { receive } else { patience }),
            keepalive: seconds(params.ping_interval),
            server_timezone: params.server_timezone,
            insert_delayed: params.insert_delayed,
            found_rows: params.update_affected_found,
            tls,
            tls_authorities: (!params.ssl_ca.is_empty()).then(|| params.ssl_ca.text().into_owned().into()),
            ..Settings::default()
        };
        let errors = env.shared.stats.counter("mysql", "driver_errors", "");
        Databases::of(env).register("mysql", Arc::new(MysqlDriver::new(settings, errors)));
        Ok(DbMysql)
    }
}

fn times(d: &mut Decl<DbMysql>) {
    d.param("ping_interval", |p| &mut p.ping_interval,
        "Seconds of silence after which TCP asks whether the server is there (keepalive); 0: never. Besides, a \
         connection that was idle is asked before a row is added over it.");
    d.param(
        "timeout_interval",
        |p| &mut p.timeout_interval,
        "A third of the seconds that a connection or an answer may take; 0 leaves it to the pool.",
    );
    d.param(
        "connect_timeout",
        |p| &mut p.connect_timeout,
        "Seconds that a connection may take; where it is not given timeout_interval counts.",
    );
    d.param(
        "send_timeout",
        |p| &mut p.send_timeout,
        "Seconds that a statement may take to be sent and answered, where receive_timeout gives no more.",
    );
    d.param(
        "receive_timeout",
        |p| &mut p.receive_timeout,
        "Seconds that an answer may take; where it is not given timeout_interval counts.",
    );
}
