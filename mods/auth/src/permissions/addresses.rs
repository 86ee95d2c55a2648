//! `allow_address()` and its like: the table in use, where it comes from, and how it is exchanged.

use std::sync::Arc;

use arc_swap::ArcSwap;
use kahea_db::{Database, Query, Rows, TableVersion, check_table};
use kahea_module::{Cx, Env, Fault, InitError, Ret, Str, Value, Var, log, log::Level};
use tokio::sync::oneshot;

use super::{
    Permissions,
    params::Params,
    table::{Record, Subnets, Table, Wanted, parse_file},
};

/// The layout of the table `address` that this module reads.
const VERSION: i64 = 6;

/// Where the addresses come from.
enum Source {
    Nowhere,
    File(String),
    Database(Database, Arc<Query>),
}

/// The addresses of this configuration.
pub(super) struct Addresses {
    source: Source,
    table: ArcSwap<Table>,
    max_subnets: usize,
    subnets: Subnets,
}

impl Addresses {
    /// Loads them.
    ///
    /// # Errors
    /// The file or table cannot be read, or holds what cannot be.
    pub(super) fn load(params: &Params, env: &Env<'_>) -> Result<Addresses, InitError> {
        let source = Addresses::source(params, env)?;
        let max_subnets = usize::try_from(params.max_subnets)
            .map_err(|_| InitError::new("max_subnets is below 0").help("give 0 or more"))?;
        let records = match &source {
            Source::Nowhere => Vec::new(),
            Source::File(path) => {
                let text = (env.read_file)(path).map_err(|error| error.to_string());
                text.and_then(|text| read_file(path, &text)).map_err(|error| {
                    InitError::new(format!("the addresses of {path} cannot be loaded: {error}"))
                        .help("a line is `group address [mask [port [tag]]]`")
                })?
            }
            Source::Database(database, query) => {
                let rows = database.run_blocking(query, Vec::new());
                let rows = rows.map_err(|error| {
                    InitError::new(format!(
                        "{}: the table of addresses cannot be read: {error}",
                        database.url()
                    ))
                })?;
                read_rows(&rows)
            }
        };
        Ok(Addresses {
            source,
            table: ArcSwap::from_pointee(Table::new(records, max_subnets).map_err(InitError::new)?),
            max_subnets,
            subnets: if params.subnet_match_mode == 0 {
                Subnets::First
            } else {
                Subnets::Longest
            },
        })
    }

    fn source(params: &Params, env: &Env<'_>) -> Result<Source, InitError> {
        if !params.loads(Params::ADDRESSES) {
            return Ok(Source::Nowhere);
        }
        if let Some(file) = &params.address_file {
            return Ok(Source::File(env.bind.beside(&file.text())));
        }
        let Some(url) = &params.db_url else {
            return Ok(Source::Nowhere);
        };
        let database = Database::open(env, &url.text())?;
        let table = params.address_table.text();
        check_table(
            &database,
            TableVersion {
                versions: &env.globals.version_table.text(),
                table: &table,
                accepted: &[VERSION],
            },
        )?;
        let columns = [
            &params.grp_col,
            &params.ip_addr_col,
            &params.mask_col,
            &params.port_col,
            &params.tag_col,
        ];
        let columns = columns.map(Str::text);
        let columns = columns.each_ref().map(|name| &**name);
        Ok(Source::Database(
            database,
            Query::select(&table, &columns).build(),
        ))
    }

    /// Loads them anew and exchanges the table at once; where that fails the old one stays.
    pub(super) async fn reload(&self) -> Result<(), String> {
        let records = match &self.source {
            Source::Nowhere => return Err("neither address_file nor db_url is set".to_owned()),
            Source::File(path) => {
                let text = read_elsewhere(path.clone()).await?;
                read_file(path, &text)?
            }
            Source::Database(database, query) => {
                let rows = database.run(query, Vec::new()).await;
                read_rows(&rows.map_err(|error| error.to_string())?)
            }
        };
        self.table.store(Arc::new(Table::new(records, self.max_subnets)?));
        Ok(())
    }

    pub(super) fn table(&self) -> Arc<Table> {
        self.table.load_full()
    }

    fn find(&self, place: &[u8], port: i64, group: Option<i64>) -> Option<(i64, Option<Str>, bool)> {
        let wanted = Wanted {
            place,
            port: u16::try_from(port).ok()?,
            group: group.map(u32::try_from).transpose().ok()?,
            subnets: self.subnets,
        };
        let table = self.table.load();
        let found = table.find(wanted)?;
        let is_name = matches!(found.place, super::table::Place::Name(_));
        Some((i64::from(found.group), found.tag.clone(), is_name))
    }
}

/// Reads a file on a thread of its own: a worker must not wait for a disk.
async fn read_elsewhere(path: String) -> Result<Vec<u8>, String> {
    let (sender, receiver) = oneshot::channel();
    std::thread::spawn(move || {
        let text = std::fs::read(&path).map_err(|error| format!("{path} cannot be read: {error}"));
        let _ = sender.send(text);
    });
    receiver
        .await
        .unwrap_or_else(|_| Err("the thread that reads the file ended".to_owned()))
}

fn read_file(path: &str, text: &[u8]) -> Result<Vec<Record>, String> {
    parse_file(text).map_err(|(number, why)| format!("{path}:{number}: {why}"))
}

/// Rows that cannot be are passed over, which allows less and never more.
fn read_rows(rows: &Rows) -> Vec<Record> {
    let mut records = Vec::with_capacity(rows.rows.len());
    for row in &rows.rows {
        let [group, place, mask, port, tag] = row.as_slice() else {
            continue;
        };
        let number = |value: &kahea_db::Value| value.int().unwrap_or(0);
        let text = place.text().unwrap_or_default();
        match Record::read(
            number(group),
            text.trim_ascii(),
            number(mask),
            number(port),
            tag.text(),
        ) {
            Ok(record) => records.push(record),
            Err(why) => log::write(
                Level::Error,
                "permissions",
                format_args!("a row of the table of addresses is passed over ({text}): {why}"),
            ),
        }
    }
    records
}

/// Gives the peer's tag to `peer_tag_avp`.
pub(super) fn leave_tag(var: Option<&Var>, cx: &mut Cx, tag: Option<Str>) -> Result<(), Fault> {
    match (var, tag) {
        (Some(var), Some(tag)) => var.set(cx, Value::Str(tag)),
        _ => Ok(()),
    }
}

fn in_group(m: &Permissions, cx: &mut Cx, group: i64, place: &[u8], port: i64) -> Ret {
    match m.addresses.find(place, port, Some(group)) {
        Some((_, tag, _)) => leave_tag(m.peer_tag.as_ref(), cx, tag).map(|()| true).into(),
        None => Ret::FALSE,
    }
}

fn group_of(m: &Permissions, cx: &mut Cx, place: &[u8], port: i64) -> Ret {
    match m.addresses.find(place, port, None) {
        // As in Kamailio a name leaves no tag here.
        Some((group, tag, is_name)) => {
            let tag = tag.filter(|_| !is_name);
            leave_tag(m.peer_tag.as_ref(), cx, tag).map(|()| group).into()
        }
        None => Ret::FALSE,
    }
}

fn source_of(cx: &Cx) -> (String, i64) {
    let source = cx.received.source;
    (source.ip().to_string(), i64::from(source.port()))
}

pub(super) fn allow_address(m: &Permissions, cx: &mut Cx, group: i64, place: Str, port: i64) -> Ret {
    in_group(m, cx, group, &place, port)
}

pub(super) fn allow_source_address(m: &Permissions, cx: &mut Cx, group: Option<i64>) -> Ret {
    let (place, port) = source_of(cx);
    in_group(m, cx, group.unwrap_or(1), place.as_bytes(), port)
}

pub(super) fn allow_source_address_group(m: &Permissions, cx: &mut Cx) -> Ret {
    let (place, port) = source_of(cx);
    group_of(m, cx, place.as_bytes(), port)
}

pub(super) fn allow_address_group(m: &Permissions, cx: &mut Cx, place: Str, port: i64) -> Ret {
    group_of(m, cx, &place, port)
}
