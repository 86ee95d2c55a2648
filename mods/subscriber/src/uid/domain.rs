//! Module `uid_domain`: domains by their ids, with attributes.

use std::sync::Arc;

use arc_swap::ArcSwap;
use kahea_db::{Answer, Database, Query, Rows, Value as Column};
use kahea_module::{
    BRANCH, Cx, Decl, Env, FAILURE, Fault, Format, InitError, Lit, Module, REQUEST, Ret, Str,
    avp::AvpClass,
    error,
    ret::LocalFuture,
    rpc::{RpcCall, RpcFault, RpcResult},
};

use super::attributes::{Attribute, Track, flags, is_active};
use crate::{domain::Table, queries};

/// The module.
pub struct UidDomain {
    domains: Arc<Domains>,
}

/// The domains, for this module and those that look for ids.
pub struct Domains {
    database: Database,
    all: Arc<Query>,
    one: Arc<Query>,
    all_attributes: Arc<Query>,
    attributes: Arc<Query>,
    with_attributes: bool,
    /// `None` without a cache.
    table: Option<ArcSwap<Table>>,
}

/// Its parameters.
pub struct Params {
    db_url: Str,
    db_mode: i64,
    domain_table: Str,
    domain_col: Str,
    did_col: Str,
    flags_col: Str,
    domattr_table: Str,
    domattr_did: Str,
    domattr_name: Str,
    domattr_type: Str,
    domattr_value: Str,
    domattr_flags: Str,
    load_domain_attrs: bool,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            db_url: Str::from_static(queries::READ_ONLY_URL),
            db_mode: 1,
            domain_table: Str::from_static("uid_domain"),
            domain_col: Str::from_static("domain"),
            did_col: Str::from_static("did"),
            flags_col: Str::from_static("flags"),
            domattr_table: Str::from_static("uid_domain_attrs"),
            domattr_did: Str::from_static("did"),
            domattr_name: Str::from_static("name"),
            domattr_type: Str::from_static("type"),
            domattr_value: Str::from_static("value"),
            domattr_flags: Str::from_static("flags"),
            load_domain_attrs: false,
        }
    }
}

impl Module for UidDomain {
    const NAME: &'static str = "uid_domain";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        params(d);
        d.func(
            "is_local",
            ["domain"],
            is_local,
            "The domain is one of this server's.",
        )
        .routes(REQUEST | FAILURE | BRANCH)
        .waits()
        .example("if (is_local(\"$rd\")) { xlog(\"ours\\n\"); }");
        d.func(
            "lookup_domain",
            ["track", "domain"],
            lookup,
            "The domain is one of this server's; its id becomes the attribute did of the list $fd or $td, with the domain's own attributes.",
        )
        .routes(REQUEST | FAILURE)
        .waits()
        .example("lookup_domain(\"$td\", \"$rd\");");
        d.rpc_waits(
            "domain.reload",
            rpc_reload,
            "Reads domains and attributes again; where that fails those known before stay.",
        );
        d.rpc(
            "domain.dump",
            rpc_dump,
            "Shows the domains in memory and the names of attributes.",
        );
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<UidDomain, InitError> {
        let mut tables = vec![(&params.domain_table, 2)];
        if params.load_domain_attrs {
            tables.push((&params.domattr_table, 1));
        }
        let database = queries::open(env, &params.db_url, &tables)?;
        let mut domains = Domains::new(&params, database);
        if params.db_mode != 0 {
            domains.table = Some(ArcSwap::from_pointee(domains.read_now()?));
        }
        let domains = Arc::new(domains);
        env.provide(domains.clone());
        Ok(UidDomain { domains })
    }
}

fn params(d: &mut Decl<UidDomain>) {
    d.param("db_url", |p| &mut p.db_url, "The database.");
    d.param(
        "db_mode",
        |p| &mut p.db_mode,
        "1 keeps domains in memory, 0 asks the database for each.",
    );
    d.param("domain_table", |p| &mut p.domain_table, "The table of domains.");
    d.param("domain_col", |p| &mut p.domain_col, "The column of domains.");
    d.param("did_col", |p| &mut p.did_col, "The column of ids.");
    d.param("flags_col", |p| &mut p.flags_col, "The column of flags.");
    d.param(
        "domattr_table",
        |p| &mut p.domattr_table,
        "The table of attributes.",
    );
    d.param(
        "domattr_did",
        |p| &mut p.domattr_did,
        "The column of ids of attributes.",
    );
    d.param(
        "domattr_name",
        |p| &mut p.domattr_name,
        "The column of names of attributes.",
    );
    d.param(
        "domattr_type",
        |p| &mut p.domattr_type,
        "The column of types of attributes: 0 numbers, 2 texts.",
    );
    d.param(
        "domattr_value",
        |p| &mut p.domattr_value,
        "The column of values of attributes.",
    );
    d.param(
        "domattr_flags",
        |p| &mut p.domattr_flags,
        "The column of flags of attributes.",
    );
    d.param(
        "load_domain_attrs",
        |p| &mut p.load_domain_attrs,
        "lookup_domain() gives the attributes of the domain.",
    );
}

impl Domains {
    fn new(params: &Params, database: Database) -> Domains {
        let [domain, did, flags] = [&params.domain_col, &params.did_col, &params.flags_col].map(Str::text);
        let [own, name, kind, value, marks] = [
            &params.domattr_did,
            &params.domattr_name,
            &params.domattr_type,
            &params.domattr_value,
            &params.domattr_flags,
        ]
        .map(Str::text);
        let table = params.domain_table.text();
        let rows = || Query::select(&table, &[&domain, &did, &flags]);
        let attributes = || {
            Query::select(
                &params.domattr_table.text(),
                &[&own, &name, &kind, &value, &marks],
            )
        };
        Domains {
            database,
            all: rows().build(),
            one: rows().when_eq(&domain).limit(1).build(),
            all_attributes: attributes().build(),
            attributes: attributes().when_eq(&own).build(),
            with_attributes: params.load_domain_attrs,
            table: None,
        }
    }

    fn read_now(&self) -> Result<Table, InitError> {
        let run = |query| {
            self.database
                .run_blocking(query, Vec::new())
                .map_err(|error| InitError::new(format!("{}: {error}", self.database.url())))
        };
        let domains = run(&self.all)?;
        let attributes = if self.with_attributes {
            run(&self.all_attributes)?
        } else {
            Rows::default()
        };
        table(&domains, &attributes)
            .map_err(|why| InitError::new(why).help("correct the table, and start again"))
    }

    async fn read(&self) -> Result<Table, String> {
        let failed = |error: kahea_db::Error| format!("{}: {error}", self.database.url());
        let domains = self.database.run(&self.all, Vec::new()).await.map_err(failed)?;
        let attributes = if self.with_attributes {
            let asked = self.database.run(&self.all_attributes, Vec::new());
            asked.await.map_err(failed)?
        } else {
            Rows::default()
        };
        table(&domains, &attributes)
    }

    /// The id of a domain where it is known without asking the database: `None` without a cache.
    fn cached(&self, domain: &[u8]) -> Option<Option<Str>> {
        let table = self.table.as_ref()?.load();
        Some(table.find(domain).map(|known| known.did.clone()))
    }

    /// The id of a domain; `None` where it is none of this server's.
    ///
    /// # Errors
    /// The database failed.
    pub async fn id(&self, domain: &[u8]) -> Result<Option<Str>, kahea_db::Error> {
        if let Some(known) = self.cached(domain) {
            return Ok(known);
        }
        let name = Column::Text(Str::from(domain.to_ascii_lowercase()));
        let rows = self.database.run(&self.one, vec![name]).await?;
        let row = rows.first().filter(|row| is_active(flags(row, 2)));
        Ok(row.and_then(|row| row.get(1)?.text()))
    }

    /// The attributes of a domain.
    async fn attributes(&self, did: &Str) -> Result<Vec<Attribute>, Fault> {
        if !self.with_attributes {
            return Ok(Vec::new());
        }
        if let Some(table) = &self.table {
            let table = table.load();
            let known = table.attributes(did).map(|(name, value)| Attribute {
                name: name.clone(),
                value: value.clone(),
            });
            return Ok(known.collect());
        }
        let answer: Answer = self
            .database
            .run(&self.attributes, vec![Column::Text(did.detach())])
            .await;
        let rows = answer.map_err(|error| queries::failed(&self.database, &error))?;
        let read = rows.rows.iter().map(|row| Attribute::of(row, 1));
        read.filter_map(Result::transpose)
            .collect::<Result<_, _>>()
            .map_err(Fault::backend)
    }
}

/// Rows that count, as the table of domains keeps them.
fn table(domains: &Rows, attributes: &Rows) -> Result<Table, String> {
    let known = domains.rows.iter().filter(|row| is_active(flags(row, 2)));
    let loaded = attributes
        .rows
        .iter()
        .filter(|row| super::attributes::is_loaded(flags(row, 4)));
    let cut = |row: &kahea_db::Row, count: usize| row.iter().take(count).cloned().collect();
    let known = Rows::from(known.map(|row| cut(row, 2)).collect::<Vec<_>>());
    // The last row becomes the newest value here.
    let loaded = Rows::from(loaded.rev().map(|row| cut(row, 4)).collect::<Vec<_>>());
    Table::new(&known, &loaded)
}

fn is_local(m: &UidDomain, cx: &mut Cx, domain: Format) -> Ret {
    let domain = domain.text(cx);
    if let Some(known) = m.domains.cached(&domain) {
        return known.is_some().into();
    }
    let domains = m.domains.clone();
    Ret::wait(move |_| {
        Box::pin(async move {
            match domains.id(&domain).await {
                Ok(known) => known.is_some().into(),
                Err(error) => queries::failed(&domains.database, &error).into(),
            }
        })
    })
}

fn lookup(m: &UidDomain, cx: &mut Cx, track: Lit<Track>, domain: Format) -> Ret {
    let class = if track.is_to() {
        AvpClass::ToDomain
    } else {
        AvpClass::FromDomain
    };
    let domain = domain.text(cx);
    if let Some(None) = m.domains.cached(&domain) {
        return Ret::FALSE;
    }
    let domains = m.domains.clone();
    Ret::wait(move |cx| {
        Box::pin(async move {
            let did = match domains.id(&domain).await {
                Ok(Some(did)) => did,
                Ok(None) => return Ret::FALSE,
                Err(error) => return queries::failed(&domains.database, &error).into(),
            };
            match domains.attributes(&did).await {
                Ok(attributes) => give(cx, class, did, attributes).into(),
                Err(fault) => fault.into(),
            }
        })
    })
}

fn give(cx: &mut Cx, class: AvpClass, did: Str, attributes: Vec<Attribute>) -> Result<bool, Fault> {
    // What an earlier call gave is replaced.
    cx.avps.remove(|avp| avp.class == class);
    let did = Attribute {
        name: Str::from_static("did"),
        value: did.into(),
    };
    for attribute in attributes.into_iter().chain([did]) {
        attribute.add(cx, class, 0)?;
    }
    Ok(true)
}

fn rpc_reload<'a>(m: &'a UidDomain, _: &'a mut RpcCall) -> LocalFuture<'a, RpcResult> {
    Box::pin(async move {
        let Some(table) = &m.domains.table else {
            return Err(RpcFault::new(400, "Not running in caching mode"));
        };
        match m.domains.read().await {
            Ok(read) => {
                table.store(Arc::new(read));
                Ok(Vec::new())
            }
            Err(why) => {
                error!("uid_domain", "The domains were not read again: {why}.");
                Err(RpcFault::new(500, "Failed to reload domain table"))
            }
        }
    })
}

fn rpc_dump(m: &UidDomain, _: &mut RpcCall) -> RpcResult {
    match &m.domains.table {
        Some(table) => Ok(vec![table.load().dump()]),
        None => Err(RpcFault::new(400, "Not running in caching mode")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rows_for_this_server_count() {
        let domain = |name: &'static str, flags: i64| vec![name.into(), "d".into(), Column::Int(flags)];
        let attribute = |value: &'static str, flags: i64| {
            vec![
                "d".into(),
                "a".into(),
                Column::Int(2),
                value.into(),
                Column::Int(flags),
            ]
        };
        let table = table(
            &Rows::from(vec![domain("on", 33), domain("off", 3), domain("zero", 0)]),
            &Rows::from(vec![
                attribute("first", 1),
                attribute("second", 33),
                attribute("no", 0),
            ]),
        )
        .unwrap();
        assert!(table.find(b"ON").is_some() && table.find(b"off").is_none() && table.find(b"zero").is_none());
        let values: Vec<_> = table.attributes(b"d").map(|(_, value)| value.clone()).collect();
        assert_eq!(values, ["first".into(), "second".into()]);
    }
}
