//! Module `domain`: the domains that this server is responsible for, and their attributes.

mod table;

use std::sync::Arc;

use arc_swap::ArcSwap;
use kahea_db::{Database, Query};
use kahea_module::{
    BRANCH, Cx, Decl, EVENT, Env, FAILURE, Fault, Format, InitError, Module, REQUEST, RouteKinds, Str,
    avp::{AvpClass, AvpName},
    error,
    ret::LocalFuture,
    rpc::{RpcCall, RpcFault, RpcResult},
};

pub use self::table::Table;
use crate::{queries, who::Account};

/// The module.
pub struct Domain {
    source: Source,
    table: Arc<ArcSwap<Table>>,
}

/// Where domains are read from.
struct Source {
    database: Database,
    domains: Arc<Query>,
    attributes: Arc<Query>,
}

/// Its parameters.
pub struct Params {
    db_url: Str,
    domain_table: Str,
    domain_attrs_table: Str,
    did_col: Str,
    domain_col: Str,
    name_col: Str,
    type_col: Str,
    value_col: Str,
    register_myself: bool,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            db_url: Str::from_static(queries::READ_ONLY_URL),
            domain_table: Str::from_static("domain"),
            domain_attrs_table: Str::from_static("domain_attrs"),
            did_col: Str::from_static("did"),
            domain_col: Str::from_static("domain"),
            name_col: Str::from_static("name"),
            type_col: Str::from_static("type"),
            value_col: Str::from_static("value"),
            register_myself: false,
        }
    }
}

/// What other modules ask of domains.
pub struct Service(Arc<ArcSwap<Table>>);

impl Service {
    /// The domain is one of this server's.
    pub fn is_local(&self, domain: &[u8]) -> bool {
        self.0.load().find(domain).is_some()
    }
}

/// Where its functions may be called.
fn routes() -> RouteKinds {
    REQUEST | FAILURE | BRANCH | EVENT
}

impl Module for Domain {
    const NAME: &'static str = "domain";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        params(d);
        d.func(
            "is_from_local",
            [],
            |m: &Domain, cx: &mut Cx| Account::of_from(cx).is_some_and(|from| m.is_local(&from.host)),
            "The host in From is a domain of this server.",
        )
        .routes(routes())
        .kemi(0, "is_from_local")
        .example("if (is_from_local()) { xlog(\"ours\\n\"); }");
        d.func(
            "is_uri_host_local",
            [],
            |m: &Domain, cx: &mut Cx| Account::of_uri(&cx.ruri()).is_some_and(|uri| m.is_local(&uri.host)),
            "The host of the Request-URI, in a branch of the branch's, is a domain of this server.",
        )
        .routes(routes())
        .kemi(0, "is_uri_host_local")
        .example("if (is_uri_host_local()) { xlog(\"ours\\n\"); }");
        d.func(
            "is_domain_local",
            ["domain"],
            |m: &Domain, cx: &mut Cx, domain: Format| m.is_local(&domain.text(cx)),
            "The domain is one of this server's.",
        )
        .routes(routes())
        .kemi(1, "is_domain_local")
        .example("if (is_domain_local(\"$rd\")) { xlog(\"ours\\n\"); }");
        d.func(
            "lookup_domain",
            ["domain", "prefix"],
            lookup,
            "The domain is one of this server's; its id becomes $avp(did) and its attributes AVPs, with the prefix before their names.",
        )
        .routes(routes())
        .kemi(1, "lookup_domain")
        .kemi(2, "lookup_domain_prefix")
        .example("if (lookup_domain(\"$fd\", \"from_\")) { xlog(\"$avp(from_did)\\n\"); }");
        d.rpc_waits(
            "domain.reload",
            rpc_reload,
            "Reads domains and attributes again; where that fails those known before stay.",
        );
        d.rpc(
            "domain.dump",
            rpc_dump,
            "Shows domains and the names of attributes.",
        );
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Domain, InitError> {
        let tables = [(&params.domain_table, 2), (&params.domain_attrs_table, 1)];
        let database = queries::open(env, &params.db_url, &tables)?;
        let source = Source::new(&params, database);
        let table = Arc::new(ArcSwap::from_pointee(source.read_now()?));
        if params.register_myself {
            let own = table.clone();
            env.identity
                .tests
                .push(Arc::new(move |host, _, _| own.load().find(host).is_some()));
        }
        env.provide(Arc::new(Service(table.clone())));
        Ok(Domain { source, table })
    }
}

fn params(d: &mut Decl<Domain>) {
    d.param("db_url", |p| &mut p.db_url, "The database.");
    d.param("domain_table", |p| &mut p.domain_table, "The table of domains.");
    d.param(
        "domain_attrs_table",
        |p| &mut p.domain_attrs_table,
        "The table of attributes.",
    );
    d.param(
        "did_col",
        |p| &mut p.did_col,
        "The column of ids, in both tables.",
    );
    d.param("domain_col", |p| &mut p.domain_col, "The column of domains.");
    d.param(
        "name_col",
        |p| &mut p.name_col,
        "The column of the names of attributes.",
    );
    d.param(
        "type_col",
        |p| &mut p.type_col,
        "The column of the types of attributes: 0 numbers, 2 texts.",
    );
    d.param(
        "value_col",
        |p| &mut p.value_col,
        "The column of the values of attributes.",
    );
    d.param(
        "register_myself",
        |p| &mut p.register_myself,
        "The domains are part of \"myself\".",
    );
}

impl Source {
    fn new(params: &Params, database: Database) -> Source {
        let [did, domain, name, kind, value] = [
            &params.did_col,
            &params.domain_col,
            &params.name_col,
            &params.type_col,
            &params.value_col,
        ]
        .map(Str::text);
        Source {
            database,
            domains: Query::select(&params.domain_table.text(), &[&domain, &did]).build(),
            attributes: Query::select(&params.domain_attrs_table.text(), &[&did, &name, &kind, &value])
                .build(),
        }
    }

    fn read_now(&self) -> Result<Table, InitError> {
        let run = |query| self.database.run_blocking(query, Vec::new());
        let read =
            |query| run(query).map_err(|error| InitError::new(format!("{}: {error}", self.database.url())));
        Table::new(&read(&self.domains)?, &read(&self.attributes)?)
            .map_err(|why| InitError::new(why).help("correct the table, and start again"))
    }

    async fn read(&self) -> Result<Table, String> {
        let run = |query| self.database.run(query, Vec::new());
        let failed = |error: kahea_db::Error| format!("{}: {error}", self.database.url());
        let domains = run(&self.domains).await.map_err(failed)?;
        let attributes = run(&self.attributes).await.map_err(failed)?;
        Table::new(&domains, &attributes)
    }
}

impl Domain {
    fn is_local(&self, domain: &[u8]) -> bool {
        self.table.load().find(domain).is_some()
    }
}

fn lookup(m: &Domain, cx: &mut Cx, domain: Format, prefix: Option<Str>) -> Result<bool, Fault> {
    let domain = domain.text(cx);
    let table = m.table.load();
    let Some(found) = table.find(&domain) else {
        return Ok(false);
    };
    let prefix = prefix.unwrap_or_default();
    let name = |name: &Str| {
        AvpName::Str(if prefix.is_empty() {
            name.clone()
        } else {
            Str::from([&*prefix, &**name].concat())
        })
    };
    for (attribute, value) in table.attributes(&found.did) {
        cx.spend_bytes(std::mem::size_of::<kahea_module::avp::Avp>())?;
        cx.avps.add(AvpClass::FromUser, name(attribute), value.clone());
    }
    cx.avps.add(
        AvpClass::FromUser,
        name(&Str::from_static("did")),
        found.did.clone().into(),
    );
    Ok(true)
}

fn rpc_reload<'a>(m: &'a Domain, _: &'a mut RpcCall) -> LocalFuture<'a, RpcResult> {
    Box::pin(async move {
        match m.source.read().await {
            Ok(table) => {
                m.table.store(Arc::new(table));
                Ok(Vec::new())
            }
            Err(why) => {
                error!("domain", "The domains were not read again: {why}.");
                Err(RpcFault::new(500, "Failed to reload domain table"))
            }
        }
    })
}

fn rpc_dump(m: &Domain, _: &mut RpcCall) -> RpcResult {
    Ok(vec![m.table.load().dump()])
}
