//! What the functions are about: whose AVPs, which of them, in which table.

use std::sync::{Arc, OnceLock};

use kahea_db::{Op, Query, Value as DbValue};
use kahea_module::{
    Bind, BindError, Cx, Fault, Literal, Str, Value, Var,
    avp::{Avp, AvpName},
};
use kahea_sip::view::Uri;

use super::{
    super::names::{AvpSpec, CLASS, Named, script_flags, split},
    Scheme, Store,
};
use crate::pv::avps::Aliases;

/// Marks AVPs that the database holds already: they are not stored again. Beyond the flags that scripts can set.
pub(super) const IN_DATABASE: u32 = 1 << 31;

/// Which columns name the owner.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Part {
    Uuid,
    Uri,
    Username,
    Domain,
}

/// Whose AVPs: `$fu`, `$ru/domain`, `$var(id)`, `text/uuid`.
pub(super) struct Source {
    value: Text,
    part: Part,
}

enum Text {
    Fixed(Str),
    Var(Var),
}

impl Literal for Source {
    const WHAT: &'static str = "a variable or text, with /username, /domain, /uri or /uuid";

    fn parse(text: &str, bind: &dyn Bind) -> Result<Source, BindError> {
        let parts = split(text.trim());
        let (value, part) = match parts.as_slice() {
            [value] => (*value, None),
            [value, part] => (*value, Some(*part)),
            _ => return Err(wrong_source(text)),
        };
        let part = match part {
            Some("uuid") => Part::Uuid,
            Some("uri") => Part::Uri,
            Some("username") => Part::Username,
            Some("domain") => Part::Domain,
            Some(_) => return Err(wrong_source(text)),
            None if matches!(value, "$ru" | "$fu" | "$tu" | "$ou") => Part::Uri,
            None => Part::Uuid,
        };
        let value = match value.starts_with('$') {
            true => Text::Var(bind.var(value)?),
            false if value.is_empty() => return Err(wrong_source(text)),
            false => Text::Fixed(Str::from(value)),
        };
        Ok(Source { value, part })
    }
}

fn wrong_source(text: &str) -> BindError {
    BindError::new(format!("'{text}' does not say whose AVPs are meant"))
        .help("write $fu, $ru/domain or $var(id)/uuid")
}

/// The owner of AVPs: columns and what stands in them.
pub(super) type Owner = Vec<(Str, DbValue)>;

impl Source {
    /// The owner now, by the columns of a scheme or of the module.
    ///
    /// # Errors
    /// The source is `$null`, or no URI where one is needed.
    pub fn owner(&self, store: &Store, scheme: Option<&Scheme>, cx: &mut Cx) -> Result<Owner, Fault> {
        let text = match &self.value {
            Text::Fixed(text) => text.clone(),
            Text::Var(var) => var
                .get(cx)
                .str()
                .ok_or_else(|| Fault::script(format!("{} names nobody: it is $null", var.text())))?,
        };
        let column = |own: &Str, of_scheme: fn(&Scheme) -> &Option<Str>| {
            scheme
                .and_then(|scheme| of_scheme(scheme).clone())
                .unwrap_or_else(|| own.clone())
        };
        let uuid = column(&store.uuid_column, |scheme| &scheme.uuid);
        let username = column(&store.username_column, |scheme| &scheme.username);
        let domain = column(&store.domain_column, |scheme| &scheme.domain);
        if self.part == Part::Uuid {
            return Ok(vec![(uuid, DbValue::Text(text))]);
        }
        let uri = Uri::parse(&text)
            .map_err(|error| Fault::peer(format!("'{text}' names nobody, it is no URI: {error}")))?;
        let user = (username, DbValue::Text(text.share(uri.user)));
        let host = (domain, DbValue::Text(text.share(uri.host)));
        Ok(match self.part {
            Part::Domain => vec![host],
            Part::Uri if store.use_domain => vec![user, host],
            Part::Uri | Part::Username | Part::Uuid => vec![user],
        })
    }
}

/// Which AVPs.
enum Which {
    /// One, by its name.
    One(AvpSpec),
    /// All whose name is of a kind; new ones get these script flags, and 0 matches all of the old ones.
    Kind { kind: Kind, flags: u32 },
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Any,
    Number,
    Text,
}

/// Where they stand.
enum Place {
    /// The table of the module.
    Own,
    Table(Str),
    Scheme(Str),
}

/// Which AVPs, and where: `$avp(x)`, `a`, `i3/table`, `$avp(x)/$scheme`.
pub(super) struct What {
    which: Which,
    place: Place,
    /// Made at the first call: a call has one source, so its columns do not change.
    query: OnceLock<Arc<Query>>,
}

impl Literal for What {
    const WHAT: &'static str = "$avp(name) or one of a, i, s, with /table or /$scheme";

    fn parse(text: &str, bind: &dyn Bind) -> Result<What, BindError> {
        let parts = split(text.trim());
        let (name, place) = match parts.as_slice() {
            [name] => (*name, Place::Own),
            [name, place] => match place.strip_prefix('$') {
                Some(scheme) => (*name, Place::Scheme(Str::from(scheme))),
                None => (*name, Place::Table(Str::from(*place))),
            },
            _ => return Err(BindError::new(format!("'{text}' names no AVPs")).help("write $avp(x)/table")),
        };
        let which = which(name, bind)?;
        if matches!((&which, &place), (Which::Kind { .. }, Place::Scheme(_))) {
            return Err(
                BindError::new("a scheme holds one value, which needs the name of an AVP")
                    .help("write $avp(name)/$scheme"),
            );
        }
        Ok(What {
            which,
            place,
            query: OnceLock::new(),
        })
    }
}

fn which(name: &str, bind: &dyn Bind) -> Result<Which, BindError> {
    if name.starts_with("$avp(") {
        return AvpSpec::parse(name, bind).map(Which::One);
    }
    let mut chars = name.chars();
    let kind = match chars.next().map(|c| c.to_ascii_lowercase()) {
        Some('a') => Kind::Any,
        Some('i') => Kind::Number,
        Some('s') => Kind::Text,
        _ => {
            return Err(BindError::new(format!("'{name}' names no AVPs")).help("write $avp(name), a, i or s"));
        }
    };
    let flags = script_flags(chars.as_str())?;
    Ok(Which::Kind { kind, flags })
}

/// The types of AVPs in the table: bit 0, a number as the value; bit 1, a number as the name.
const NUMBER_VALUE: i64 = 1;
const NUMBER_NAME: i64 = 2;

impl What {
    /// The scheme, where one is named.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn scheme<'a>(&self, store: &'a Store) -> Result<Option<&'a Scheme>, Fault> {
        let Place::Scheme(name) = &self.place else {
            return Ok(None);
        };
        let found = store.schemes.iter().find(|scheme| scheme.name == *name);
        found.map(Some).ok_or_else(|| {
            Fault::script(format!(
                "there is no scheme {name}: add modparam(\"avpops\", \"db_scheme\", \"{name}:table=…;value_col=…\")"
            ))
        })
    }

    fn table(&self, store: &Store, scheme: Option<&Scheme>) -> Str {
        match (&self.place, scheme) {
            (_, Some(scheme)) => scheme.table.clone().unwrap_or_else(|| store.table.clone()),
            (Place::Table(table), None) => table.clone(),
            (_, None) => store.table.clone(),
        }
    }

    /// The AVP, where one is named.
    ///
    /// # Errors
    /// Its name is `$null`.
    pub fn named(&self, aliases: &Aliases, cx: &mut Cx) -> Result<Option<Named>, Fault> {
        match &self.which {
            Which::One(spec) => spec.resolve(aliases, cx).map(Some),
            Which::Kind { .. } => Ok(None),
        }
    }

    /// The flags that loaded AVPs get.
    pub fn flags(&self, named: Option<&Named>) -> u32 {
        match (&self.which, named) {
            (_, Some(named)) => named.flags,
            (Which::Kind { flags, .. }, None) => *flags,
            (Which::One(_), None) => 0,
        }
    }

    /// Conditions besides the owner, with their values.
    fn conditions(&self, store: &Store, named: Option<&Named>) -> Vec<(Str, Op, DbValue)> {
        match (&self.which, named) {
            (_, Some(named)) => vec![(
                store.attribute_column.clone(),
                Op::Eq,
                DbValue::Text(name_text(&named.name)),
            )],
            (
                Which::Kind {
                    kind: Kind::Number, ..
                },
                None,
            ) => {
                vec![(store.type_column.clone(), Op::Ge, DbValue::Int(NUMBER_NAME))]
            }
            (Which::Kind { kind: Kind::Text, .. }, None) => {
                vec![(store.type_column.clone(), Op::Lt, DbValue::Int(NUMBER_NAME))]
            }
            (Which::Kind { .. } | Which::One(_), None) => Vec::new(),
        }
    }

    /// The query that reads or deletes, with its values.
    pub fn query(
        &self,
        store: &Store,
        scheme: Option<&Scheme>,
        named: Option<&Named>,
        owner: Owner,
        make: impl FnOnce(&str) -> Query,
    ) -> (Arc<Query>, Vec<DbValue>) {
        let conditions = match scheme {
            Some(_) => Vec::new(),
            None => self.conditions(store, named),
        };
        let query = self.query.get_or_init(|| {
            let query = make(&self.table(store, scheme).text());
            let query = owner
                .iter()
                .fold(query, |query, (column, _)| query.when_eq(&column.text()));
            let all = conditions.iter();
            all.fold(query, |query, (column, op, _)| query.when(&column.text(), *op))
                .build()
        });
        let values = owner.into_iter().map(|(_, value)| value);
        let further = conditions.into_iter().map(|(_, _, value)| value);
        (query.clone(), values.chain(further).collect())
    }

    /// The query that stores, whose columns are those of the owner and these.
    pub fn insert(
        &self,
        store: &Store,
        scheme: Option<&Scheme>,
        owner: &Owner,
        columns: &[&Str],
    ) -> Arc<Query> {
        let make = || {
            let names: Vec<_> = owner
                .iter()
                .map(|(column, _)| column.text())
                .chain(columns.iter().map(|column| column.text()))
                .collect();
            let names: Vec<&str> = names.iter().map(|name| &**name).collect();
            Query::insert(&self.table(store, scheme).text(), &names).build()
        };
        self.query.get_or_init(make).clone()
    }

    /// The AVP is one of those meant.
    pub fn picks(&self, avp: &Avp, named: Option<&Named>) -> bool {
        match (&self.which, named) {
            (_, Some(named)) => named.matches(avp),
            (Which::Kind { kind, flags }, None) => {
                let fits = match kind {
                    Kind::Any => true,
                    Kind::Number => matches!(avp.name, AvpName::Int(_)),
                    Kind::Text => matches!(avp.name, AvpName::Str(_)),
                };
                avp.class == CLASS && fits && (*flags == 0 || avp.flags & flags != 0)
            }
            (Which::One(_), None) => false,
        }
    }
}

/// An AVP's name as the table has it.
pub(super) fn name_text(name: &AvpName) -> Str {
    match name {
        AvpName::Int(n) => kahea_module::value::int_text(*n),
        AvpName::Str(text) => text.clone(),
    }
}

/// An AVP's type as the table has it.
pub(super) fn type_of(avp: &Avp) -> i64 {
    let name = if matches!(avp.name, AvpName::Int(_)) {
        NUMBER_NAME
    } else {
        0
    };
    let value = if matches!(avp.value, Value::Int(_)) {
        NUMBER_VALUE
    } else {
        0
    };
    name | value
}

/// An AVP of a row: its name, type and value; `None` where a number is none.
pub(super) fn avp_of(attribute: &DbValue, kind: &DbValue, value: &DbValue) -> Option<(AvpName, Value)> {
    let kind = kind.int().unwrap_or(0);
    let name = match kind & NUMBER_NAME {
        0 => AvpName::Str(attribute.text()?),
        _ => AvpName::Int(attribute.int()?),
    };
    let value = match kind & NUMBER_VALUE {
        0 => Value::Str(value.text()?),
        _ => Value::Int(value.int()?),
    };
    Some((name, value))
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::FakeBind;

    use super::*;

    #[test]
    fn sources_and_names_are_read() {
        let bind = FakeBind::default();
        let part = |text: &str| Source::parse(text, &bind).map(|source| source.part);
        assert_eq!(part("$var(x)").expect("a source"), Part::Uuid);
        assert_eq!(part("$var(x)/uri").expect("a source"), Part::Uri);
        assert_eq!(part("$var(x)/domain").expect("a source"), Part::Domain);
        assert_eq!(part("text/username").expect("a source"), Part::Username);
        for broken in ["", "$var(x)/nope", "a/b/c"] {
            assert!(part(broken).is_err(), "{broken}");
        }
        for right in ["a", "i3", "S", "$avp(x)/table", "$avp(x)/$scheme", "a/table"] {
            assert!(What::parse(right, &bind).is_ok(), "{right}");
        }
        for broken in ["", "x", "a/$scheme", "i999", "a/b/c"] {
            assert!(What::parse(broken, &bind).is_err(), "{broken}");
        }
    }

    #[test]
    fn types_round_trip() {
        for (name, value, kind) in [
            (AvpName::Str(Str::from("x")), Value::from("v"), 0),
            (AvpName::Str(Str::from("x")), Value::Int(4), 1),
            (AvpName::Int(5), Value::from("v"), 2),
            (AvpName::Int(5), Value::Int(4), 3),
        ] {
            let avp = Avp {
                class: CLASS,
                name: name.clone(),
                value: value.clone(),
                flags: 0,
            };
            assert_eq!(type_of(&avp), kind);
            let (attribute, text) = (
                DbValue::Text(name_text(&name)),
                DbValue::Text(value.str_or_empty()),
            );
            assert_eq!(
                avp_of(&attribute, &DbValue::Int(kind), &text),
                Some((name, value))
            );
        }
        assert_eq!(
            avp_of(&DbValue::from("x"), &DbValue::Int(1), &DbValue::from("no number")),
            None
        );
    }
}
