//! Module `cfg_db`: run-time parameters whose values come from a database as the server starts, and parameters that only a
//! database declares. What changes there later counts from the next start or reload on.

use std::{collections::HashMap, sync::Arc};

use kahea_db::{Database, Query, Row, Value as Column};
use kahea_module::{Decl, Env, InitError, Module, Str, Value, settings::Settings};

/// The row of defaults of the table that says where values are.
const DEFAULT: &str = "<default>";
/// Matches any group or name there.
const ANY: &str = "*";

/// The module.
pub struct CfgDb;

/// Its parameters.
pub struct Params {
    db_url: Str,
    transl_tbl: Str,
    custom_tbl: Str,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            db_url: Str::from_static("mysql://kamailio:kamailiorw@localhost/kamailio"),
            transl_tbl: Str::from_static("cfg_transl"),
            custom_tbl: Str::from_static("cfg_custom"),
        }
    }
}

/// Where values are: a table, and its columns of groups, names and values.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Source([String; 4]);

impl Default for Source {
    fn default() -> Source {
        Source(["cfg_var", "group_name", "name", "value"].map(str::to_owned))
    }
}

/// Values by group and name.
type Values = HashMap<(String, String), String>;

/// What the database says.
#[derive(Default)]
struct Known {
    /// By group and name of a parameter, or [`ANY`].
    sources: HashMap<(String, String), Source>,
    values: HashMap<Source, Values>,
}

impl Module for CfgDb {
    const NAME: &'static str = "cfg_db";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        d.param("db_url", |p| &mut p.db_url, "The database with the tables.");
        let doc = "The table that says in which table and columns the values of which parameters are.";
        d.param("transl_tbl", |p| &mut p.transl_tbl, doc);
        let doc = "The table that declares parameters of its own: group, name, type (I or S), least, most, description.";
        d.param("custom_tbl", |p| &mut p.custom_tbl, doc);
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Self, InitError> {
        let database = Database::open(env, &params.db_url.text())?;
        declare_custom(&database, &params.custom_tbl, env.settings)?;
        let known = Arc::new(Known::read(&database, &params.transl_tbl)?);
        // Modules that are loaded later declare theirs later.
        env.hooks.worker_start.push(Arc::new(move |worker| {
            if worker.index == 0 {
                known.apply(&worker.config.settings);
            }
        }));
        Ok(CfgDb)
    }
}

fn rows(database: &Database, table: &str, columns: &[&str]) -> Result<Vec<Vec<String>>, InitError> {
    let query = Query::select(table, columns).build();
    let found = database.run_blocking(&query, Vec::new()).map_err(|error| {
        InitError::new(format!(
            "{}: table {table} cannot be read: {error}",
            database.url()
        ))
        .help("make the tables that the parameters transl_tbl and custom_tbl name")
    })?;
    let text = |column: &Column| {
        column
            .text()
            .map(|text| text.text().into_owned())
            .unwrap_or_default()
    };
    let row = |row: &Row| row.iter().map(text).collect();
    Ok(found.rows.iter().map(row).collect())
}

/// Declares the parameters of the table; numbers without a value are 0.
fn declare_custom(database: &Database, table: &Str, settings: &Settings) -> Result<(), InitError> {
    let columns = [
        "group_name",
        "name",
        "value_type",
        "min_value",
        "max_value",
        "description",
    ];
    for row in rows(database, &table.text(), &columns)? {
        let [group, name, kind, least, most, doc] = row.as_slice() else {
            continue;
        };
        match kind.as_str() {
            "I" | "i" => {
                settings.declare(group, name, Value::Int(0), doc, false);
                if let (Ok(least), Ok(most)) = (least.parse(), most.parse())
                    && (least, most) != (0, 0)
                {
                    settings.bound(group, name, least, most);
                }
            }
            "S" | "s" => settings.declare(group, name, Value::Str(Str::EMPTY), doc, false),
            other => {
                let text = format!("table {table}: the type of {group}.{name} is '{other}'");
                return Err(InitError::new(text).help("write I for numbers or S for texts"));
            }
        }
    }
    Ok(())
}

impl Known {
    fn read(database: &Database, table: &Str) -> Result<Known, InitError> {
        let columns = [
            "group_name",
            "name",
            "cfg_table",
            "cfg_table_group_name_field",
            "cfg_table_name_field",
            "cfg_table_value_field",
        ];
        let mut known = Known {
            sources: sources(rows(database, &table.text(), &columns)?),
            ..Known::default()
        };
        for source in known.sources.values() {
            if known.values.contains_key(source) {
                continue;
            }
            let Source([table, group, name, value]) = source;
            let found = rows(database, table, &[group, name, value])?.into_iter();
            let values = found.filter_map(|row| {
                let [group, name, value] = <[String; 3]>::try_from(row).ok()?;
                Some(((group, name), value))
            });
            known.values.insert(source.clone(), values.collect());
        }
        Ok(known)
    }

    /// The value that the database has for a parameter.
    fn value(&self, group: &str, name: &str) -> Option<&String> {
        let places = [(group, name), (group, ANY), (ANY, name), (ANY, ANY)];
        let source = places
            .iter()
            .find_map(|(group, name)| self.sources.get(&((*group).to_owned(), (*name).to_owned())))?;
        self.values.get(source)?.get(&(group.to_owned(), name.to_owned()))
    }

    fn apply(&self, settings: &Settings) {
        for group in settings.groups() {
            for (name, setting) in settings.group(&group) {
                let Some(text) = self.value(&group.text(), &name.text()) else {
                    continue;
                };
                let fit = setting.fit(Value::Str(Str::from(text.as_str())));
                let set = fit.is_some_and(|value| settings.set(&group, &name, value));
                if !set {
                    kahea_module::warning!("cfg_db", "{group}.{name} cannot be '{text}'; it stays as it is.");
                }
            }
        }
    }
}

/// Rows of where values are, with what they leave out filled in.
fn sources(rows: Vec<Vec<String>>) -> HashMap<(String, String), Source> {
    let read = |row: &[String], default: &Source| {
        let mut source = default.clone();
        for (place, given) in source.0.iter_mut().zip(row.iter().skip(2)) {
            if !given.is_empty() {
                place.clone_from(given);
            }
        }
        source
    };
    let own = Source::default();
    let default = rows
        .iter()
        .find(|row| row.first().is_some_and(|group| group == DEFAULT));
    let default = default.map_or_else(|| own.clone(), |row| read(row, &own));
    let others = rows
        .iter()
        .filter(|row| row.first().is_some_and(|group| group != DEFAULT));
    let entry = |row: &Vec<String>| match row.as_slice() {
        [group, name, ..] => Some(((group.clone(), name.clone()), read(row, &default))),
        _ => None,
    };
    others.filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: [&str; 6]) -> Vec<String> {
        cells.map(str::to_owned).to_vec()
    }

    #[test]
    fn rows_fill_in_what_they_leave_out() {
        let sources = sources(vec![
            row(["my", "route", "cfg_my", "my_group", "my_name", "my_value"]),
            row(["core", "debug", "cfg_core", "", "", ""]),
            row(["*", "*", "", "", "", ""]),
            row(["<default>", "", "vars", "g", "n", "v"]),
        ]);
        let of = |group: &str, name: &str| sources.get(&(group.to_owned(), name.to_owned())).cloned();
        let source = |cells: [&str; 4]| Some(Source(cells.map(str::to_owned)));
        assert_eq!(
            of("my", "route"),
            source(["cfg_my", "my_group", "my_name", "my_value"])
        );
        assert_eq!(of("core", "debug"), source(["cfg_core", "g", "n", "v"]));
        assert_eq!(of("*", "*"), source(["vars", "g", "n", "v"]));
        assert_eq!(of("<default>", ""), None);
    }

    #[test]
    fn values_that_fit_are_set() {
        let settings = Settings::default();
        settings.declare("core", "debug", Value::Int(2), "", false);
        settings.declare("my", "text", Value::Str(Str::EMPTY), "", false);
        settings.declare("my", "number", Value::Int(1), "", false);
        let source = Source::default();
        let values = [
            (("core", "debug"), "4"),
            (("my", "text"), "x"),
            (("my", "number"), "no"),
        ];
        let values =
            values.map(|((group, name), value)| ((group.to_owned(), name.to_owned()), value.to_owned()));
        let known = Known {
            sources: [((ANY.to_owned(), ANY.to_owned()), source.clone())].into(),
            values: [(source, values.into())].into(),
        };
        known.apply(&settings);
        assert_eq!(settings.get(b"core", b"debug"), Some(Value::Int(4)));
        assert_eq!(settings.get(b"my", b"text"), Some(Value::Str(Str::from("x"))));
        assert_eq!(settings.get(b"my", b"number"), Some(Value::Int(1)), "no number");
    }
}
