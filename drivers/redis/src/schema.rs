//! The columns of tables, which Redis does not know: Kamailio's own, or those of files in `schema_path`.

use std::{collections::HashMap, fs, path::Path};

use kahea_db::schema;
use kahea_module::InitError;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Int,
    Double,
    Text,
    /// A date, kept as text.
    Time,
}

/// Columns in order.
pub(crate) type Columns = Vec<(String, Kind)>;

/// The files of a folder: `COLUMN/TYPE,COLUMN/TYPE,…` and the version in the next line.
pub(crate) fn folder(path: &str) -> Result<HashMap<String, Columns>, InitError> {
    let unreadable = |problem| {
        InitError::new(format!(
            "schema_path of db_redis, {path}, cannot be read: {problem}"
        ))
        .help("correct it, or take it out: Kamailio's tables are known without")
    };
    let mut tables = HashMap::new();
    for entry in fs::read_dir(Path::new(path)).map_err(unreadable)?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !entry.path().is_file() || name.starts_with('.') {
            continue;
        }
        let text = fs::read_to_string(entry.path()).map_err(unreadable)?;
        let line = text.lines().next().unwrap_or_default();
        let columns =
            columns(line).map_err(|why| InitError::new(format!("{}: {why}", entry.path().display())))?;
        tables.insert(name, columns);
    }
    Ok(tables)
}

/// Kamailio's table of that name.
pub(crate) fn known(name: &str) -> Option<Columns> {
    columns(schema::table(name)?.redis_schema().lines().next()?).ok()
}

fn columns(line: &str) -> Result<Columns, String> {
    let parts = line.split(',').map(str::trim).filter(|part| !part.is_empty());
    let read = parts.map(|part| {
        let (name, kind) = part
            .split_once('/')
            .ok_or_else(|| format!("\"{part}\" is no column; write NAME/TYPE"))?;
        let kind = match kind {
            "int" | "integer" | "bigint" | "bitmap" => Kind::Int,
            "double" | "float" => Kind::Double,
            "string" | "str" | "text" | "blob" => Kind::Text,
            "time" | "timestamp" | "datetime" => Kind::Time,
            other => {
                return Err(format!(
                    "column {name} has the type {other}; there are int, double, string and timestamp"
                ));
            }
        };
        Ok((name.to_owned(), kind))
    });
    read.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_folder_are_read() {
        let folder_of_files = tempfile::tempdir().expect("there is room");
        fs::write(
            folder_of_files.path().join("mine"),
            "a/int,b/string,c/timestamp,\n3\n",
        )
        .expect("it is written");
        let path = folder_of_files.path().display().to_string();
        let tables = folder(&path).expect("it can be read");
        let expected = [("a", Kind::Int), ("b", Kind::Text), ("c", Kind::Time)]
            .map(|(name, kind)| (name.to_owned(), kind));
        assert_eq!(tables.get("mine"), Some(&expected.to_vec()));
        fs::write(folder_of_files.path().join("bad"), "a/money\n").expect("it is written");
        assert!(folder(&path).is_err_and(|error| error.message.contains("type money")));
        assert!(folder("/nosuch").is_err());
    }

    #[test]
    fn kamailios_tables_are_known() {
        assert!(
            known("location").is_some_and(|columns| columns.contains(&("expires".to_owned(), Kind::Time)))
        );
        assert!(known("acc").is_some_and(|columns| columns.contains(&("time".to_owned(), Kind::Int))));
        assert_eq!(known("nosuch"), None);
    }
}
