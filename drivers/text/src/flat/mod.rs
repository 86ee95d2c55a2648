//! Module `db_flatstore`: rows that are only ever added, as lines of files that other programs read.

mod driver;

use std::sync::Arc;

use kahea_db::Databases;
use kahea_module::{BindError, Decl, Env, InitError, Module, Str, Value, rpc::RpcResult};

use self::driver::Files;
pub use self::driver::{FlatDriver, FlatSettings};

/// The module.
pub struct DbFlatstore {
    files: Arc<Files>,
}

/// Its parameters.
#[derive(Default)]
pub struct Params {
    settings: FlatSettings,
}

impl Module for DbFlatstore {
    const NAME: &'static str = "db_flatstore";
    const FIRST: bool = true;
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        d.param(
            "flush",
            |p| &mut p.settings.flush,
            "Writes each row at once; 0 gathers rows and writes them within a second of the next one.",
        );
        d.param(
            "encode_delimiter",
            |p| &mut p.settings.encode,
            "Writes a delimiter inside a value as %XX, as URIs do; 0 puts escape_char before it.",
        );
        d.param_fn(
            "field_delimiter",
            "string",
            |p, value, _| byte(value).map(|byte| p.settings.field = byte),
            "The character between values, | where it is not given.",
        );
        d.param_fn(
            "record_delimiter",
            "string",
            |p, value, _| byte(value).map(|byte| p.settings.record = byte),
            "The character behind a row, a line feed where it is not given.",
        );
        d.param_fn("escape_char", "string", |p, value, _| byte(value).map(|byte| p.settings.escape = byte),
            "The character before a delimiter inside a value where encode_delimiter is 0, \\ where it is not given.");
        d.param(
            "file_suffix",
            |p| &mut p.settings.suffix,
            "How names of files end, .log where it is not given.",
        );
        d.rpc(
            "flatstore.rotate",
            rotate,
            "Closes all files; the next row of each table opens a new one.",
        );
        d.rpc(
            "flatstore.k_rotate",
            rotate,
            "Closes all files; the next row of each table opens a new one.",
        );
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Self, InitError> {
        let files = env.shared.keep(Files::default);
        let driver = FlatDriver::new(params.settings, files.clone());
        Databases::of(env).register("flatstore", Arc::new(driver));
        let ending = files.clone();
        env.hooks.stop.push(Arc::new(move || ending.close()));
        Ok(DbFlatstore { files })
    }
}

fn rotate(module: &DbFlatstore, _: &mut kahea_module::rpc::RpcCall) -> RpcResult {
    module.files.rotate();
    Ok(Vec::new())
}

fn byte(value: &Value) -> Result<u8, BindError> {
    let text: Str = value.str_or_empty();
    match text.as_bytes() {
        [one] => Ok(*one),
        b"\\n" => Ok(b'\n'),
        b"\\t" => Ok(b'\t'),
        _ => Err(BindError::new("the parameter takes one character")),
    }
}
