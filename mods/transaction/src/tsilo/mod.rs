//! Module `tsilo`: which transactions ring for a user, so that contacts that register meanwhile ring too.

mod location;

use std::{collections::HashMap, sync::Arc};

use kahea_mods_location::usrloc::Service;
use kahea_module::{
    Cx, Decl, Env, Fault, InitError, Module, Ret, Str,
    route::{FAILURE, REQUEST},
    rpc::{RpcCall, RpcFault, RpcResult, RpcValue},
    stats::Counter,
};
use kahea_sip::view::Uri;
use parking_lot::Mutex;

use crate::tm::{attached, cell::Cell, core::Core, more_branches::append, uac::Requests};

/// The name of a transaction.
type Name = (u32, u32);

/// The transactions of each user. It outlives reloads.
#[derive(Default)]
struct Silo {
    users: HashMap<Str, Vec<Name>>,
    stored: usize,
    /// At this many transactions those that ended are looked for.
    sweep_at: usize,
}

impl Silo {
    /// Notes a transaction; whether the user is new, and the transaction.
    fn store(&mut self, user: Str, name: Name, alive: impl Fn(Name) -> bool) -> (bool, bool) {
        if self.stored >= self.sweep_at.max(64) {
            self.sweep(alive);
            self.sweep_at = self.stored.saturating_mul(2);
        }
        let new_user = !self.users.contains_key(&user);
        let names = self.users.entry(user).or_default();
        let new = !names.contains(&name);
        if new {
            names.push(name);
            self.stored = self.stored.saturating_add(1);
        }
        (new_user, new)
    }

    fn sweep(&mut self, alive: impl Fn(Name) -> bool) {
        self.users.retain(|_, names| {
            names.retain(|name| alive(*name));
            !names.is_empty()
        });
        self.stored = self.users.values().map(Vec::len).sum();
    }
}

/// The module.
pub struct Tsilo {
    core: Arc<Core>,
    silo: Arc<Mutex<Silo>>,
    /// The location tables, where usrloc is loaded before.
    location: Option<Arc<Service>>,
    use_domain: bool,
    added: Counter,
    users: Counter,
    transactions: Counter,
}

/// Its parameters.
pub struct Params {
    use_domain: bool,
    hash_size: i64,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            use_domain: false,
            hash_size: 2048,
        }
    }
}

impl Module for Tsilo {
    const NAME: &'static str = "tsilo";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        d.param(
            "use_domain",
            |p| &mut p.use_domain,
            "Users of several domains are told apart.",
        );
        d.param(
            "hash_size",
            |p| &mut p.hash_size,
            "No effect: the table grows with what is in it.",
        );
        functions(d);
        d.rpc("ts.dump", dump, "Every user with the transactions stored for it.");
        d.rpc("ts.lookup", lookup, "The transactions stored for a Request-URI.");
        d.stat("stored_ruris", "Users that transactions are stored for.");
        d.stat("stored_transactions", "Transactions that are stored.");
        d.stat("added_branches", "Branches added to stored transactions.");
        d.stat(
            "total_ruris",
            "Users that transactions were stored for since the start.",
        );
        d.stat("total_transactions", "Transactions stored since the start.");
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Tsilo, InitError> {
        let requests = env
            .service::<Requests>()
            .ok_or_else(|| InitError::new("tsilo needs the module tm").help("load tm.so before tsilo.so"))?;
        let core = requests.0.clone();
        let silo = env.shared.keep(Mutex::<Silo>::default);
        gauge(env, &core, &silo, "stored_ruris", |silo| silo.users.len());
        gauge(env, &core, &silo, "stored_transactions", |silo| silo.stored);
        Ok(Tsilo {
            core,
            silo,
            location: env.service::<Service>(),
            use_domain: params.use_domain,
            added: env.counter("added_branches"),
            users: env.counter("total_ruris"),
            transactions: env.counter("total_transactions"),
        })
    }
}

/// A statistic that is counted when somebody asks.
fn gauge(
    env: &Env<'_>,
    core: &Arc<Core>,
    silo: &Arc<Mutex<Silo>>,
    name: &'static str,
    read: fn(&Silo) -> usize,
) {
    let (core, silo) = (core.clone(), silo.clone());
    let count = move || {
        let mut silo = silo.lock();
        silo.sweep(|name| core.table.get_short(name.0, name.1).is_some());
        i64::try_from(read(&silo)).unwrap_or(i64::MAX)
    };
    env.shared.stats.computed(Tsilo::NAME, name, "", Arc::new(count));
}

fn functions(d: &mut Decl<Tsilo>) {
    let here = REQUEST | FAILURE;
    d.func(
        "ts_store",
        ["uri"],
        ts_store,
        "Stores the transaction of the request for a user: that of $ru, or of the URI.",
    )
    .routes(here)
    .kemi(0, "ts_store")
    .kemi(1, "ts_store_uri");
    d.func(
        "ts_append_branches",
        ["uri"],
        ts_append_branches,
        "Relays the transactions stored for the user to the destination set of this message.",
    )
    .routes(here)
    .waits();
    location::declare(d);
}

impl Tsilo {
    /// Under what a user's transactions are kept.
    fn key(&self, uri: &[u8]) -> Result<Str, Fault> {
        let parsed = Uri::parse(uri).map_err(|error| {
            Fault::script(format!("'{}' is no URI: {error}", String::from_utf8_lossy(uri)))
        })?;
        Ok(if self.use_domain {
            Str::from(
                [
                    parsed.user_without_params(),
                    b"@",
                    &parsed.host.to_ascii_lowercase(),
                ]
                .concat(),
            )
        } else {
            Str::copy(parsed.user_without_params())
        })
    }

    fn alive(&self, name: Name) -> Option<Arc<Cell>> {
        self.core.table.get_short(name.0, name.1)
    }

    /// The transactions that are stored for a user and run.
    fn cells(&self, uri: &[u8]) -> Result<Vec<Arc<Cell>>, Fault> {
        let names = self.names(uri)?;
        Ok(names.into_iter().filter_map(|name| self.alive(name)).collect())
    }

    fn names(&self, uri: &[u8]) -> Result<Vec<Name>, Fault> {
        let key = self.key(uri)?;
        let mut silo = self.silo.lock();
        silo.sweep(|name| self.alive(name).is_some());
        Ok(silo.users.get(&key).cloned().unwrap_or_default())
    }
}

fn ts_store(m: &Tsilo, cx: &mut Cx, uri: Option<Str>) -> Result<bool, Fault> {
    let cell = attached::cell(cx)
        .ok_or_else(|| Fault::script("the request has no transaction: call t_newtran() before ts_store()"))?;
    let key = m.key(&uri.unwrap_or_else(|| cx.ruri()))?;
    let name = (cell.id.index, cell.id.short_label());
    let (user, transaction) = m.silo.lock().store(key, name, |name| m.alive(name).is_some());
    m.users.add(user.into());
    m.transactions.add(transaction.into());
    Ok(true)
}

fn ts_append_branches(m: &Tsilo, cx: &mut Cx, uri: Str) -> Result<Ret, Fault> {
    let cells = m.cells(&uri)?;
    let first = cx.target.ruri.is_some().then(|| cx.target.clone());
    let targets: Vec<_> = first.into_iter().chain(cx.branches.iter().cloned()).collect();
    if cells.is_empty() || targets.is_empty() {
        return Ok(Ret::FALSE);
    }
    let added = m.added.clone();
    Ok(Ret::wait(move |cx| {
        Box::pin(async move {
            let mut any = false;
            for cell in cells {
                match append(&cell, &cx.worker, targets.clone()).await {
                    Ok(true) => {
                        any = true;
                        added.add(i64::try_from(targets.len()).unwrap_or(i64::MAX));
                    }
                    Ok(false) => {}
                    Err(fault) => return Ret::Fault(fault),
                }
            }
            any.into()
        })
    }))
}

fn row(user: &Str, names: &[Name]) -> RpcValue {
    let transaction = |name: &Name| {
        RpcValue::members([
            ("Tindex", RpcValue::Int(name.0.into())),
            ("Tlabel", RpcValue::Int(name.1.into())),
        ])
    };
    RpcValue::members([
        ("R-URI", user.clone().into()),
        (
            "Transactions",
            RpcValue::Array(names.iter().map(transaction).collect()),
        ),
    ])
}

fn dump(m: &Tsilo, _: &mut RpcCall) -> RpcResult {
    let mut silo = m.silo.lock();
    silo.sweep(|name| m.alive(name).is_some());
    let mut rows: Vec<_> = silo.users.iter().collect();
    rows.sort();
    Ok(rows.into_iter().map(|(user, names)| row(user, names)).collect())
}

fn lookup(m: &Tsilo, call: &mut RpcCall) -> RpcResult {
    let uri = call.text()?;
    let names = m.names(&uri).map_err(|fault| RpcFault::new(400, fault.text))?;
    if names.is_empty() {
        return Err(RpcFault::new(404, "No transactions are stored for this URI"));
    }
    Ok(vec![row(&uri, &names)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ended_transactions_do_not_pile_up() {
        let mut silo = Silo::default();
        assert_eq!(silo.store("a".into(), (1, 1), |_| true), (true, true));
        assert_eq!(silo.store("a".into(), (1, 1), |_| true), (false, false));
        for label in 0..1_000 {
            silo.store("b".into(), (2, label), |name| name.1 >= label.saturating_sub(3));
        }
        assert!(silo.stored <= 130, "{}", silo.stored);
        silo.sweep(|_| false);
        assert!(silo.users.is_empty() && silo.stored == 0);
    }
}
