//! Module `db_redis`.

use std::sync::Arc;

use kahea_db::Databases;
use kahea_module::{BindError, Decl, Env, InitError, Module, Str};

use crate::{RedisDriver, Settings, keys, schema};

/// The module.
pub struct DbRedis;

/// Its parameters.
pub struct Params {
    settings: Settings,
    schema_path: Str,
    verbosity: i64,
    structure: i64,
    max_key_length: i64,
    hash_expires: i64,
    with_sentinels: bool,
    use_replicas: i64,
    recheck_replicas: i64,
    tls: i64,
    ca_path: Str,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            settings: Settings::default(),
            schema_path: Str::EMPTY,
            verbosity: 1,
            structure: 0,
            max_key_length: 0,
            hash_expires: 0,
            with_sentinels: false,
            use_replicas: 0,
            recheck_replicas: 120,
            tls: 0,
            ca_path: Str::EMPTY,
        }
    }
}

impl Module for DbRedis {
    const NAME: &'static str = "db_redis";
    const FIRST: bool = true;
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        d.param_fn("keys", "string", |params, value, _| {
            keys::read(&value.str_or_empty().text(), &mut params.settings.keys)
        }, "How rows of tables are found: TABLE=entry:COLUMN,…&MAP:COLUMN,…;TABLE=… May be given several times.");
        d.param(
            "schema_path",
            |p| &mut p.schema_path,
            "A folder with a file for each table that differs from Kamailio's, or that Kamailio has not.",
        );
        d.param(
            "verbosity",
            |p| &mut p.verbosity,
            "Read and without effect: schemas are not printed at every connection.",
        );
        d.param(
            "mapping_struct_type",
            |p| &mut p.structure,
            "What leads to rows: 0 sets, 1 hashes.",
        );
        d.param(
            "max_key_length",
            |p| &mut p.max_key_length,
            "Rows whose key would be longer are refused; 0: any length.",
        );
        d.param(
            "hash_value",
            |p| &mut p.settings.hash_value,
            "The value of each field in the hashes of mapping_struct_type 1.",
        );
        d.param(
            "hash_expires",
            |p| &mut p.hash_expires,
            "Seconds after which Redis takes a field out of the hashes of mapping_struct_type 1; 0: never.",
        );
        sentinels(d);
        d.param(
            "opt_tls",
            |p| &mut p.tls,
            "TLS to the server; refused, since this build has none for Redis.",
        );
        d.param(
            "ca_path",
            |p| &mut p.ca_path,
            "Authorities for opt_tls; refused with it.",
        );
        d.param(
            "db_pass",
            |p| &mut p.settings.password,
            "The password, where the URL has none.",
        );
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Self, InitError> {
        if params.tls != 0 || !params.ca_path.is_empty() {
            return Err(
                InitError::new("db_redis cannot encrypt its connections (opt_tls, ca_path)").help(
                    "take the parameters out, and lead the connection through a tunnel such as stunnel",
                ),
            );
        }
        let mut settings = params.settings;
        settings.hashes = match params.structure {
            0 => false,
            1 => true,
            other => {
                return Err(
                    InitError::new(format!("mapping_struct_type of db_redis is {other}"))
                        .help("write 0 for sets or 1 for hashes"),
                );
            }
        };
        let positive = |n: i64| u64::try_from(n).ok().filter(|n| *n > 0);
        settings.longest_key = positive(params.max_key_length).and_then(|n| usize::try_from(n).ok());
        settings.hash_expires = positive(params.hash_expires);
        if params.with_sentinels && settings.sentinels.is_empty() {
            return Err(InitError::new("with_sentinels of db_redis is set, and there are no sentinels")
                .help("name them: modparam(\"db_redis\", \"sentinels_config\", \"sentinel=10.0.0.1:26379;sentinel=10.0.0.2:26379\")"));
        }
        if !params.with_sentinels {
            settings.sentinels.clear();
        }
        if !params.schema_path.is_empty() {
            settings.tables = schema::folder(params.schema_path.text().as_ref())?;
        }
        Databases::of(env).register("redis", Arc::new(RedisDriver::new(settings)));
        Ok(DbRedis)
    }
}

fn sentinels(d: &mut Decl<DbRedis>) {
    d.param(
        "with_sentinels",
        |p| &mut p.with_sentinels,
        "Asks the sentinels of sentinels_config where the master is, in place of the host of the URL.",
    );
    d.param_fn(
        "sentinels_config",
        "string",
        |params, value, _| {
            let text = value.str_or_empty();
            for part in text
                .text()
                .split(';')
                .map(str::trim)
                .filter(|part| !part.is_empty())
            {
                let place = part.split_once('=').map_or(part, |(_, place)| place).trim();
                let (host, port) = place.rsplit_once(':').unwrap_or((place, "26379"));
                let port = port.parse().map_err(|_| {
                    BindError::new(format!("{part} names no sentinel"))
                        .help("write sentinel=HOST:PORT;sentinel=HOST:PORT")
                })?;
                params.settings.sentinels.push((host.to_owned(), port));
            }
            Ok(())
        },
        "The sentinels, sentinel=HOST:PORT;sentinel=HOST:PORT. May be given several times.",
    );
    d.param(
        "redis_master_name",
        |p| &mut p.settings.master,
        "What the sentinels call the master, mymaster where it is not given.",
    );
    d.param(
        "use_replicas",
        |p| &mut p.use_replicas,
        "Read and without effect: the master is asked, so that what was written is found at once.",
    );
    d.param(
        "recheck_replicas_interval",
        |p| &mut p.recheck_replicas,
        "Read and without effect, as use_replicas.",
    );
}
