//! Domains and attributes in memory: read once, asked for each message, replaced as a whole.

use std::cmp::Ordering;

use kahea_db::{Rows, Value as Column};
use kahea_module::{Str, Value, rpc::RpcValue};

/// A domain.
#[derive(Debug)]
pub struct Known {
    /// As the table spells it.
    pub name: Str,
    /// Its id.
    pub did: Str,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Table {
    /// Ordered by name, whatever its case.
    domains: Vec<Known>,
    /// Ordered by id; of one id the last row first, so that the first row becomes the newest AVP.
    attributes: Vec<(Str, Str, Value)>,
}

impl Table {
    /// Of rows (domain, id) and (id, name, type, value).
    ///
    /// # Errors
    /// Which row cannot be used, and why.
    pub fn new(domains: &Rows, attributes: &Rows) -> Result<Table, String> {
        let mut table = Table::default();
        for (at, row) in domains.rows.iter().enumerate() {
            table
                .domains
                .push(domain(row).map_err(|why| format!("row {at} of the domains has {why}"))?);
        }
        for (at, row) in attributes.rows.iter().enumerate().rev() {
            table
                .attributes
                .push(attribute(row).map_err(|why| format!("row {at} of the attributes has {why}"))?);
        }
        table.domains.sort_by(|a, b| compare(&a.name, &b.name));
        table
            .attributes
            .sort_by(|a, b| a.0.as_bytes().cmp(b.0.as_bytes()));
        Ok(table)
    }

    /// The domain of this name, in any case.
    pub fn find(&self, name: &[u8]) -> Option<&Known> {
        let at = self
            .domains
            .binary_search_by(|known| compare(&known.name, name))
            .ok()?;
        self.domains.get(at)
    }

    /// The attributes of an id, in the order in which they become AVPs.
    pub fn attributes(&self, did: &[u8]) -> impl Iterator<Item = (&Str, &Value)> {
        let start = self.attributes.partition_point(|(known, _, _)| **known < *did);
        let rest = self.attributes.get(start..).unwrap_or_default();
        rest.iter()
            .take_while(move |(known, _, _)| **known == *did)
            .map(|(_, name, value)| (name, value))
    }

    /// As `domain.dump` shows it.
    pub fn dump(&self) -> RpcValue {
        let domains = self.domains.iter().map(|known| {
            RpcValue::members([
                ("domain", known.name.clone().into()),
                ("did", known.did.clone().into()),
            ])
        });
        let attributes = self.attributes.chunk_by(|a, b| a.0 == b.0).filter_map(|same| {
            let (did, _, _) = same.first()?;
            let names = same.iter().map(|(_, name, _)| name.clone().into());
            Some(RpcValue::members([
                ("did", did.clone().into()),
                ("attrs", RpcValue::Array(names.collect())),
            ]))
        });
        RpcValue::members([
            ("domains", RpcValue::Array(domains.collect())),
            ("attributes", RpcValue::Array(attributes.collect())),
        ])
    }
}

fn compare(a: &[u8], b: &[u8]) -> Ordering {
    let lower = u8::to_ascii_lowercase;
    a.iter().map(lower).cmp(b.iter().map(lower))
}

fn text(row: &[Column], at: usize) -> Option<Str> {
    row.get(at).and_then(Column::text).filter(|text| !text.is_empty())
}

fn domain(row: &[Column]) -> Result<Known, &'static str> {
    let name = text(row, 0).ok_or("no domain")?;
    let did = match row.get(1) {
        None | Some(Column::Null) => name.clone(),
        Some(_) => text(row, 1).ok_or("an empty id")?,
    };
    Ok(Known { name, did })
}

fn attribute(row: &[Column]) -> Result<(Str, Str, Value), &'static str> {
    let did = text(row, 0).ok_or("no id")?;
    let name = text(row, 1).ok_or("no name")?;
    let value = row.get(3).filter(|value| !value.is_null()).ok_or("no value")?;
    let value = match row.get(2).and_then(Column::int) {
        Some(0) => Value::Int(value.int().ok_or("type 0, and a value that is no number")?),
        Some(2) => Value::Str(value.text().unwrap_or_default()),
        _ => return Err("a type that is neither 0 (number) nor 2 (text)"),
    };
    Ok((did, name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(did: &str, name: &str, kind: i64, value: &str) -> Vec<Column> {
        vec![did.into(), name.into(), Column::Int(kind), value.into()]
    }

    fn table() -> Table {
        let domains = Rows::from(vec![
            vec!["two.example".into(), "group".into()],
            vec!["One.Example".into(), Column::Null],
        ]);
        let attributes = Rows::from(vec![
            attribute("group", "a", 2, "first"),
            attribute("One.Example", "n", 0, "42"),
            attribute("group", "a", 2, "second"),
        ]);
        Table::new(&domains, &attributes).unwrap()
    }

    #[test]
    fn domains_are_found_in_any_case() {
        let table = table();
        assert_eq!(
            table.find(b"ONE.example").map(|known| known.did.clone()),
            Some("One.Example".into())
        );
        assert_eq!(
            table.find(b"TWO.EXAMPLE").map(|known| known.did.clone()),
            Some("group".into())
        );
        for other in [b"".as_slice(), b"two.example.", b"example", b"x.two.example"] {
            assert!(table.find(other).is_none());
        }
    }

    #[test]
    fn the_first_row_of_an_attribute_becomes_the_newest_value() {
        let table = table();
        let values: Vec<_> = table
            .attributes(b"group")
            .map(|(_, value)| value.clone())
            .collect();
        assert_eq!(values, ["second".into(), "first".into()]);
        assert_eq!(table.attributes(b"none").count(), 0);
    }

    #[test]
    fn rows_that_make_no_sense_are_refused() {
        let none = Rows::from(Vec::new());
        let refused = |row| Table::new(&none, &Rows::from(vec![row])).unwrap_err();
        assert!(refused(attribute("d", "n", 0, "x1")).contains("row 0 of the attributes"));
        assert!(refused(attribute("d", "n", 1, "7")).contains("type"));
        assert!(refused(attribute("", "n", 2, "v")).contains("no id"));
        let empty = Rows::from(vec![vec!["d".into(), "".into()]]);
        assert!(Table::new(&empty, &none).unwrap_err().contains("empty id"));
    }

    #[test]
    fn the_dump_names_attributes_by_id() {
        let RpcValue::Struct(parts) = table().dump() else {
            panic!("no struct")
        };
        assert_eq!(parts.len(), 2);
    }
}
