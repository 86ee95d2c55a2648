//! Module `db_text`: tables in text files, kept in memory and written back.

mod driver;
mod engine;
mod rpc;
mod sql;
mod store;
mod table;

use std::sync::Arc;

use kahea_db::Databases;
use kahea_module::{BindError, Decl, Env, InitError, Module, Str, Value};

use self::store::Store;
pub use self::{driver::TextDriver, table::Format};

/// The module.
pub struct DbText {
    driver: Arc<TextDriver>,
    /// The folder that `db_text.query` asks.
    default_folder: Option<String>,
}

/// Its parameters.
pub struct Params {
    db_mode: i64,
    format: Format,
    file_buffer_size: i64,
    max_result_rows: i64,
    default_connection: Str,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            db_mode: 0,
            format: Format::default(),
            file_buffer_size: 16_384,
            max_result_rows: 100_000,
            default_connection: Str::EMPTY,
        }
    }
}

impl Module for DbText {
    const NAME: &'static str = "db_text";
    const FIRST: bool = true;
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        d.param(
            "db_mode",
            |p| &mut p.db_mode,
            "0 reads each file once; 1 reads it again whenever it has changed on disk.",
        );
        d.param("emptystring", |p| &mut p.format.empty_text,
            "Takes an empty field of a text column for the empty text; otherwise it is NULL where the column allows that.");
        d.param(
            "file_buffer_size",
            |p| &mut p.file_buffer_size,
            "Read and without effect: a line may have any length.",
        );
        d.param(
            "max_result_rows",
            |p| &mut p.max_result_rows,
            "The most rows that a file may have; one with more is refused.",
        );
        d.param(
            "default_connection",
            |p| &mut p.default_connection,
            "The database that db_text.query asks, such as text:///etc/kamailio/dbtext.",
        );
        d.param_fn(
            "db_delim",
            "string",
            |params, value, _| {
                params.format.delimiter = delimiter(value)?;
                Ok(())
            },
            "The character between fields, : where it is not given.",
        );
        d.rpc_waits(
            "db_text.dump",
            |m, _| Box::pin(rpc::dump(m)),
            "Writes changed tables to their files.",
        );
        d.rpc_waits(
            "db_text.query",
            |m, call| Box::pin(rpc::query(m, call)),
            "Runs a statement on the database of default_connection and shows its rows.",
        );
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Self, InitError> {
        let mut format = params.format;
        format.most_rows = usize::try_from(params.max_result_rows).unwrap_or(0);
        let store = env.shared.keep(Store::default);
        let driver = Arc::new(TextDriver::new(store.clone(), format, params.db_mode == 1));
        let writing = driver.clone();
        env.hooks.stop.push(Arc::new(move || writing.write_out()));
        Databases::of(env).register("text", driver.clone());
        let folder = match params.default_connection.is_empty() {
            true => None,
            false => {
                let url = kahea_db::Url::parse(&params.default_connection.text()).map_err(InitError::new)?;
                Some(driver::folder_of(&url))
            }
        };
        Ok(DbText {
            driver,
            default_folder: folder,
        })
    }
}

fn delimiter(value: &Value) -> Result<u8, BindError> {
    match value.str_or_empty().as_bytes() {
        [one] if !one.is_ascii_alphanumeric() && !b"\\\n\r".contains(one) => Ok(*one),
        _ => Err(BindError::new(
            "db_delim is one character that is no letter, digit or backslash",
        )),
    }
}
