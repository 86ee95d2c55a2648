//! The definition of a table: `name=>size=4;autoexpire=7200;…`.

use kahea_module::{BindError, Str, value::parse_int};

/// What the script says of one table.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Definition {
    /// The name that `$sht(name=>key)` refers to.
    pub name: Str,
    /// Power of two: how many slots Kamailio would have.
    pub size: u32,
    /// Seconds that an item lives; 0 for ever.
    pub autoexpire: u64,
    /// What a key that is not set gives.
    pub initval: Option<i64>,
    /// An update begins the life of an item anew.
    pub updateexpire: bool,
    /// The table of the database that is loaded at start.
    pub dbtable: Option<Str>,
    /// Its columns: the key, then one or more values. Empty: those of the module's parameters.
    pub cols: Vec<Str>,
    /// What stands for NULL among packed columns.
    pub colnull: Str,
    /// Written to the database at the end.
    pub dbmode: bool,
    /// Replicated to other nodes.
    pub dmqreplicate: bool,
}

impl Definition {
    fn named(name: &str) -> Definition {
        Definition {
            name: Str::from(name),
            size: DEFAULT_SIZE,
            autoexpire: 0,
            initval: None,
            updateexpire: true,
            dbtable: None,
            cols: Vec::new(),
            colnull: Str::from_static("*"),
            dbmode: false,
            dmqreplicate: false,
        }
    }

    /// How many slots Kamailio would have.
    pub fn slots(&self) -> u64 {
        1_u64 << self.size.min(31)
    }

    /// Reads a definition.
    pub fn parse(text: &str) -> Result<Definition, BindError> {
        let Some((name, settings)) = text.split_once("=>") else {
            return Err(BindError::new(format!("'{text}' defines no table"))
                .help("write name=>size=8;autoexpire=3600;"));
        };
        let name = name.trim();
        if name.is_empty() {
            return Err(BindError::new("the table has no name").help("write name=>size=8;"));
        }
        let mut out = Definition::named(name);
        for setting in split_settings(settings) {
            let (key, value) = setting
                .split_once('=')
                .map_or((setting, ""), |(key, value)| (key.trim(), unquote(value.trim())));
            out.set(key, value)?;
        }
        if out.cols.len() == 1 {
            return Err(
                BindError::new("cols needs a key column and at least one value column")
                    .help("write cols='key_name,key_value'"),
            );
        }
        Ok(out)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), BindError> {
        match key {
            "size" => self.size = size(number(key, value)?),
            "autoexpire" => self.autoexpire = u64::try_from(number(key, value)?).unwrap_or(0),
            "initval" => self.initval = Some(number(key, value)?),
            "updateexpire" => self.updateexpire = number(key, value)? != 0,
            "dbtable" => self.dbtable = Some(Str::from(value)).filter(|table| !table.is_empty()),
            "cols" => self.cols = columns(value),
            "colnull" => self.colnull = Str::from(value),
            "dbmode" => self.dbmode = number(key, value)? != 0,
            "dmqreplicate" => self.dmqreplicate = number(key, value)? != 0,
            _ => {
                return Err(BindError::new(format!("a table has no setting '{key}'")).help(
                    "write size, autoexpire, initval, updateexpire, dbtable, cols, colnull, dbmode or dmqreplicate",
                ));
            }
        }
        Ok(())
    }
}

const DEFAULT_SIZE: u32 = 3;
const LARGEST_SIZE: u32 = 14;

/// As Kamailio corrects it: 8 slots for less than 4, 16384 for more than 2^31.
fn size(wanted: i64) -> u32 {
    match u32::try_from(wanted) {
        Ok(size @ 2..=31) => size,
        Ok(0 | 1) | Err(_) => DEFAULT_SIZE,
        Ok(_) => LARGEST_SIZE,
    }
}

fn columns(list: &str) -> Vec<Str> {
    list.split(',')
        .map(|column| Str::from(column.trim()))
        .filter(|column| !column.is_empty())
        .collect()
}

fn number(key: &str, value: &str) -> Result<i64, BindError> {
    parse_int(value.as_bytes()).ok_or_else(|| {
        BindError::new(format!("{key}={value}: a number is needed")).help(format!("write {key}=1"))
    })
}

/// At semicolons outside of quotes.
fn split_settings(text: &str) -> Vec<&str> {
    let mut quote = None;
    let parts = text.split(move |c: char| {
        match (quote, c) {
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            (None, ';') => return true,
            _ => {}
        }
        false
    });
    parts.map(str::trim).filter(|part| !part.is_empty()).collect()
}

fn unquote(value: &str) -> &str {
    let quoted = |quote: char| {
        value
            .strip_prefix(quote)
            .and_then(|rest| rest.strip_suffix(quote))
    };
    quoted('\'').or_else(|| quoted('"')).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_read() {
        let read = Definition::parse(
            "t=>size=4; autoexpire=7200;initval=-1;updateexpire=0;dbtable=x;cols='k, v1,v2';colnull='';dbmode=1;dmqreplicate=1;",
        )
        .expect("a definition");
        let wanted = Definition {
            size: 4,
            autoexpire: 7200,
            initval: Some(-1),
            updateexpire: false,
            dbtable: Some(Str::from("x")),
            cols: ["k", "v1", "v2"].map(Str::from).to_vec(),
            colnull: Str::EMPTY,
            dbmode: true,
            dmqreplicate: true,
            ..Definition::named("t")
        };
        assert_eq!(read, wanted);
        assert_eq!(read.slots(), 16);
    }

    #[test]
    fn sizes_are_corrected_as_kamailio_does() {
        let slots = |text: &str| Definition::parse(text).expect("a definition").slots();
        assert_eq!(slots("t=>"), 8);
        assert_eq!(slots("t=>size=1"), 8);
        assert_eq!(slots("t=>size=31"), 1 << 31);
        assert_eq!(slots("t=>size=32"), 16384);
        assert_eq!(slots("t=>size=-3"), 8);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for broken in ["t", "=>size=4", "t=>size=x", "t=>nope=1", "t=>cols='k'"] {
            assert!(Definition::parse(broken).is_err(), "{broken}");
        }
    }
}
