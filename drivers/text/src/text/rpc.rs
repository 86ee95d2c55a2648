//! `db_text.dump` and `db_text.query`.

use std::sync::Arc;

use kahea_db::Error;
use kahea_module::{
    Str, error,
    rpc::{RpcCall, RpcFault, RpcResult, RpcValue},
};

use super::{
    DbText, TextDriver,
    engine::{Request, Work},
    sql,
};

/// Writes changed tables to their files.
pub(crate) async fn dump(module: &DbText) -> RpcResult {
    let driver = module.driver.clone();
    on_thread(move || driver.write_out()).await?;
    Ok(vec!["Dump OK".into()])
}

/// Runs a statement and shows its rows as they stand in the file.
pub(crate) async fn query(module: &DbText, call: &mut RpcCall) -> RpcResult {
    let Some(folder) = module.default_folder.clone() else {
        return Err(RpcFault::new(
            500,
            "db_text.query needs the parameter default_connection of db_text",
        ));
    };
    let text = call.text()?;
    let driver = module.driver.clone();
    on_thread(move || answer(&driver, &folder, &text)).await?
}

/// Waits for the disk elsewhere.
async fn on_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, RpcFault> {
    let (sender, done) = tokio::sync::oneshot::channel();
    let started = std::thread::Builder::new()
        .name("db_text".to_owned())
        .spawn(move || drop(sender.send(work())));
    started.map_err(|problem| RpcFault::new(500, format!("no thread for files: {problem}")))?;
    done.await
        .map_err(|_| RpcFault::new(500, "the thread for files ended"))
}

/// What is wrong goes to the log, as in Kamailio.
fn answer(driver: &Arc<TextDriver>, folder: &str, text: &Str) -> RpcResult {
    shown(driver, folder, text).or_else(|why| {
        error!("db_text", "db_text.query: {why}\n");
        Ok(vec!["error executing sql statement".into()])
    })
}

fn shown(driver: &Arc<TextDriver>, folder: &str, text: &Str) -> Result<Vec<RpcValue>, Error> {
    let request = sql::parse(text.as_bytes(), &[])?;
    let rows = driver.run(folder, &request)?;
    if request.work.changes() {
        return Ok(vec![format!("{} affected rows", rows.affected).into()]);
    }
    if rows.rows.is_empty() {
        return Ok(vec!["statement returned 0 rows".into()]);
    }
    driver.show(folder, &request.table, |table, format| {
        let mut lines: Vec<RpcValue> = vec![head(table, &request, &rows.columns).into(), "".into()];
        for row in &rows.rows {
            let mut line = Vec::new();
            table.write_row(row, format, &mut line);
            lines.push(Str::from(line).into());
        }
        let count = rows.rows.len();
        lines.extend(["".into(), format!("total rows {count} / {count}").into()]);
        lines
    })
}

fn head(table: &super::table::Table, request: &Request, shown: &[Str]) -> Str {
    match &request.work {
        Work::Select { columns, .. } if !columns.is_empty() => {
            let declared = shown
                .iter()
                .filter_map(|name| table.columns.get(table.place(name.as_bytes())?));
            let words: Vec<String> = declared
                .map(|column| column.declared.text().into_owned())
                .collect();
            Str::from(words.join(" "))
        }
        _ => Str::from(table.head()),
    }
}
