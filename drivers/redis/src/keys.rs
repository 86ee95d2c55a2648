//! The parameter `keys`: by which keys rows of a table are found.

use std::collections::HashMap;

use kahea_module::BindError;

/// The keys of a table.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Keys {
    /// The columns of `TABLE:entry::…`, which name one row.
    pub(crate) entry: Vec<String>,
    /// What leads to several rows, `TABLE:MAP::…`.
    pub(crate) maps: Vec<Map>,
}

/// A set of rows that are alike in some columns.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Map {
    pub(crate) name: String,
    pub(crate) columns: Vec<String>,
}

/// The keys of all tables.
pub(crate) type AllKeys = HashMap<String, Keys>;

/// `TABLE=entry:COLUMN,COLUMN&MAP:COLUMN;TABLE=…`
pub(crate) fn read(text: &str, all: &mut AllKeys) -> Result<(), BindError> {
    for definition in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
        let wrong = || {
            BindError::new(format!("\"{definition}\" defines no keys"))
                .help("write for example location=entry:ruid&usrdom:username,domain")
        };
        let (table, list) = definition.split_once('=').ok_or_else(wrong)?;
        let mut keys = Keys::default();
        for key in list.split('&').map(str::trim) {
            let (name, columns) = key.split_once(':').ok_or_else(wrong)?;
            let columns = columns
                .split(',')
                .map(str::trim)
                .filter(|column| !column.is_empty());
            let columns: Vec<String> = columns.map(str::to_owned).collect();
            match name.trim() {
                "" => return Err(wrong()),
                "entry" if columns.is_empty() => return Err(wrong()),
                "entry" => keys.entry = columns,
                name => keys.maps.push(Map {
                    name: name.to_owned(),
                    columns,
                }),
            }
        }
        if keys.entry.is_empty() || table.trim().is_empty() {
            return Err(wrong());
        }
        all.insert(table.trim().to_owned(), keys);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_several_tables_are_read() {
        let mut all = AllKeys::default();
        let text =
            "version=entry:table_name;location=entry:ruid&usrdom:username,domain&timer:partition,keepalive;";
        read(text, &mut all).expect("they are keys");
        let location = all.get("location").expect("it is there");
        assert_eq!(location.entry, ["ruid"]);
        assert_eq!(location.maps.len(), 2);
        assert_eq!(
            location.maps.first().map(|map| map.columns.as_slice()),
            Some(["username", "domain"].map(str::to_owned).as_slice())
        );
        for wrong in [
            "location",
            "location=usrdom:username",
            "location=entry:",
            "=entry:a",
            "location=entry:a&:b",
        ] {
            assert!(read(wrong, &mut all).is_err(), "{wrong}");
        }
    }
}
