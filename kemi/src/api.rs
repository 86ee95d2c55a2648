//! `*.api_list`: the functions of `KSR` as RPC commands of Kamailio list them.

use kahea_module::{ArgKind, rpc::RpcValue};

use crate::{Entry, Returns, Table};

/// Every form of every function: what it returns, its place, its name and the kinds of its parameters.
pub fn api_list(table: &Table) -> RpcValue {
    let rows: Vec<_> = table.entries().iter().flat_map(forms).collect();
    let count = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    let rows = rows.into_iter().map(|row| ("func".into(), row)).collect();
    RpcValue::members([
        ("msize", RpcValue::Int(count)),
        ("methods", RpcValue::Named(rows)),
    ])
}

fn forms(entry: &Entry) -> Vec<RpcValue> {
    let returns = match entry.returns {
        Returns::Code => "int",
        Returns::Bool => "bool",
        Returns::Nothing => "none",
        Returns::Value => "xval",
    };
    let row = |params: String| {
        RpcValue::members([
            ("ret", returns.into()),
            ("module", entry.module.into()),
            ("name", entry.name.into()),
            ("params", params.as_str().into()),
        ])
    };
    match entry.counts() {
        None => vec![row("str...".to_owned())],
        Some(counts) => counts
            .into_iter()
            .map(|count| row(params(entry, count)))
            .collect(),
    }
}

/// `none`, or the kinds behind one another.
fn params(entry: &Entry, count: usize) -> String {
    let kinds: Vec<&str> = entry
        .parameters(count)
        .iter()
        .map(|parameter| match parameter.kind {
            ArgKind::Int => "int",
            _ => "str",
        })
        .collect();
    match kinds.is_empty() {
        true => "none".to_owned(),
        false => kinds.join(", "),
    }
}
