//! Tables as db_text and db_redis keep them.

use super::{Column, Kind, Table, tables};

impl Column {
    /// `int`, `double` or `string`: the types of databases that know no others. Times are seconds there.
    fn plain_kind(&self) -> &'static str {
        match self.kind {
            Kind::Float => "double",
            Kind::DateTime => "int",
            kind if kind.is_integer() => "int",
            _ => "string",
        }
    }
}

impl Table {
    /// The first line of the table's file in db_text.
    pub fn text_header(&self) -> String {
        let mut out = String::new();
        for column in &self.columns {
            let more = match (column.key, column.null) {
                (true, _) => ",auto",
                (_, true) => ",null",
                _ => "",
            };
            out.push_str(&format!("{}({}{more}) ", column.name, column.plain_kind()));
        }
        out
    }

    /// The file `TABLE` in the folder `schema_path` of db_redis: columns and version.
    pub fn redis_schema(&self) -> String {
        let mut out = String::new();
        for column in &self.columns {
            // The times of locations are the ones that db_redis keeps as text.
            let kind = match (self.name, column.kind) {
                ("location", Kind::DateTime) => "time",
                _ => column.plain_kind(),
            };
            out.push_str(&format!("{}/{kind},", column.name));
        }
        format!("{out}\n{}\n", self.version)
    }
}

/// The whole file `version` of a db_text database that has these tables.
pub fn text_versions<'a>(made: impl IntoIterator<Item = &'a Table>) -> String {
    let mut out = String::new();
    if let Some(version) = tables().first() {
        out.push_str(&version.text_header());
        out.push_str(&format!("\n0:version:{}\n", version.version));
    }
    for table in made {
        out.push_str(&format!("0:{}:{}\n", table.name, table.version));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{super::table, *};

    #[test]
    fn files_have_the_forms_of_kamailio() {
        let htable = table("htable").expect("htable is there");
        assert_eq!(
            htable.text_header(),
            "id(int,auto) key_name(string) key_type(int) value_type(int) key_value(string) expires(int) "
        );
        assert_eq!(
            htable.redis_schema(),
            "id/int,key_name/string,key_type/int,value_type/int,key_value/string,expires/int,\n2\n"
        );
        let versions = text_versions([htable]);
        assert_eq!(
            versions,
            "id(int,auto) table_name(string) table_version(int) \n0:version:1\n0:htable:2\n"
        );
    }

    #[test]
    fn files_are_those_of_the_package_where_it_is_installed() {
        for table in tables()
            .iter()
            .filter(|table| !["acc_cdrs", "uacreg", "version"].contains(&table.name))
        {
            if let Ok(file) =
                std::fs::read_to_string(format!("/usr/share/kamailio/dbtext/kamailio/{}", table.name))
            {
                assert_eq!(
                    file.lines().next(),
                    Some(table.text_header().as_str()),
                    "{}",
                    table.name
                );
            }
            if let Ok(file) =
                std::fs::read_to_string(format!("/usr/share/kamailio/db_redis/kamailio/{}", table.name))
            {
                let lines = |text: &str| -> Vec<String> {
                    text.lines()
                        .map(|line| line.trim_end_matches(',').to_owned())
                        .collect()
                };
                assert_eq!(lines(&file), lines(&table.redis_schema()), "{}", table.name);
            }
        }
    }
}
