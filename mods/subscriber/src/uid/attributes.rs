//! What rows of the `uid_*` tables have in common: flags, and attributes with a type.

use kahea_db::{Row, Value as Column};
use kahea_module::{
    Bind, BindError, Cx, Fault, Str, Value,
    arg::Literal,
    avp::{Avp, AvpClass, AvpName},
};

/// The row is for this server.
const LOADED: i64 = 1;
/// The row is switched off.
const DISABLED: i64 = 1 << 1;
/// The URI can be one that calls come to.
pub const IS_TO: i64 = 1 << 3;
/// The URI can be one that calls come from.
pub const IS_FROM: i64 = 1 << 4;

/// The flags in a column; none where it has no number.
pub fn flags(row: &Row, at: usize) -> i64 {
    row.get(at).and_then(Column::int).unwrap_or(0)
}

/// The row counts.
pub fn is_active(flags: i64) -> bool {
    flags & LOADED != 0 && flags & DISABLED == 0
}

/// The attribute counts; those that are switched off do too, as in Kamailio.
pub fn is_loaded(flags: i64) -> bool {
    flags & LOADED != 0
}

/// An attribute with its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Attribute {
    /// Its name.
    pub name: Str,
    /// Its value.
    pub value: Value,
}

impl Attribute {
    /// Of a row (…, name, type, value, flags) whose name stands at `at`; `None` where it is not loaded.
    ///
    /// # Errors
    /// The row has no name, or its value is not of its type.
    pub fn of(row: &Row, at: usize) -> Result<Option<Attribute>, String> {
        let column = |offset: usize| row.get(at.saturating_add(offset));
        if !is_loaded(flags(row, at.saturating_add(3))) {
            return Ok(None);
        }
        let name = column(0)
            .and_then(Column::text)
            .filter(|name| !name.is_empty())
            .ok_or("an attribute has no name")?;
        let value = match (column(1).and_then(Column::int), column(2)) {
            (_, None | Some(Column::Null)) => Value::EMPTY,
            (Some(0), Some(value)) => Value::Int(
                value
                    .int()
                    .ok_or_else(|| format!("attribute {name} is no number"))?,
            ),
            (Some(2), Some(value)) => Value::Str(value.text().unwrap_or_default()),
            _ => {
                return Err(format!(
                    "attribute {name} has a type that is neither 0 (number) nor 2 (text)"
                ));
            }
        };
        Ok(Some(Attribute { name, value }))
    }

    /// Adds it to the message, marked with these AVP flags.
    ///
    /// # Errors
    /// The message's memory budget is used up.
    pub fn add(self, cx: &mut Cx, class: AvpClass, mark: u32) -> Result<(), Fault> {
        cx.spend_bytes(std::mem::size_of::<Avp>())?;
        let name = AvpName::Str(self.name);
        cx.avps.add(class, name.clone(), self.value);
        if let Some(avp) = cx.avps.all_mut(class, &name).next() {
            avp.flags |= mark;
        }
        Ok(())
    }
}

/// The list that attributes go to: `$fu`, `$tu` of users, `$fr`, `$tr` of URIs, `$fd`, `$td` of domains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Track(pub AvpClass);

impl Track {
    /// It is about the receiver.
    pub fn is_to(self) -> bool {
        matches!(self.0, AvpClass::ToUser | AvpClass::ToUri | AvpClass::ToDomain)
    }
}

/// The list that a prefix of attribute names stands for.
fn class(prefix: &str) -> Option<AvpClass> {
    Some(match prefix {
        "f" | "fu" => AvpClass::FromUser,
        "t" | "tu" => AvpClass::ToUser,
        "fr" => AvpClass::FromUri,
        "tr" => AvpClass::ToUri,
        "fd" => AvpClass::FromDomain,
        "td" => AvpClass::ToDomain,
        "g" => AvpClass::Global,
        _ => return None,
    })
}

impl Literal for Track {
    const WHAT: &'static str = "a list of attributes: $fu, $tu, $fr, $tr, $fd, $td";

    fn parse(text: &str, _: &dyn Bind) -> Result<Track, BindError> {
        let prefix = text.trim().trim_start_matches('$');
        class(prefix).map(Track).ok_or_else(|| {
            BindError::new(format!("'{text}' is no list of attributes"))
                .help("write $fu, $tu, $fr, $tr, $fd or $td")
        })
    }
}

/// One attribute: `$fu.uid`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its list.
    pub track: Track,
    /// Its name.
    pub name: Str,
}

impl Literal for Named {
    const WHAT: &'static str = "an attribute such as $fu.uid";

    fn parse(text: &str, _: &dyn Bind) -> Result<Named, BindError> {
        let bare = text.trim().trim_start_matches('$');
        let (prefix, name) = bare.split_once('.').unwrap_or(("f", bare));
        let name = name.trim();
        match class(prefix) {
            Some(class) if !name.is_empty() => Ok(Named {
                track: Track(class),
                name: Str::from(name),
            }),
            _ => Err(BindError::new(format!("'{text}' is no attribute")).help("write $fu.uid or $tu.uid")),
        }
    }
}

#[cfg(test)]
mod tests {
    use kahea_module::{
        Index,
        testing::{FakeBind, Server},
    };

    use super::*;

    fn row(kind: i64, value: Column, flags: i64) -> Row {
        vec!["n".into(), Column::Int(kind), value, Column::Int(flags)]
    }

    #[test]
    fn values_have_the_type_of_their_row() {
        let of = |kind, value, flags| Attribute::of(&row(kind, value, flags), 0).map(|a| a.map(|a| a.value));
        assert_eq!(of(0, "42".into(), 1), Ok(Some(Value::Int(42))));
        assert_eq!(of(2, "42".into(), 33), Ok(Some("42".into())));
        assert_eq!(of(2, "42".into(), 32), Ok(None));
        assert_eq!(of(2, Column::Null, 1), Ok(Some(Value::EMPTY)));
        assert!(of(0, "x".into(), 1).is_err());
        assert!(of(1, "x".into(), 1).is_err());
    }

    #[test]
    fn attributes_go_to_their_list() {
        let mut cx = Server::default().invite();
        let attribute = Attribute {
            name: "a".into(),
            value: Value::Int(7),
        };
        attribute.add(&mut cx, AvpClass::ToUser, 4).unwrap();
        let name = AvpName::Str("a".into());
        assert_eq!(cx.avps.get(AvpClass::ToUser, &name, Index::None), Value::Int(7));
        assert_eq!(cx.avps.get(AvpClass::FromUser, &name, Index::None), Value::Null);
        assert_eq!(
            cx.avps.all(AvpClass::ToUser, &name).map(|avp| avp.flags).next(),
            Some(4)
        );
    }

    #[test]
    fn lists_and_attributes_are_named() {
        let bind = FakeBind::default();
        assert_eq!(Track::parse("$td", &bind).unwrap(), Track(AvpClass::ToDomain));
        assert!(Track::parse("$x", &bind).is_err());
        let named = Named::parse("$tu.uid", &bind).unwrap();
        assert_eq!((named.track.0, named.name), (AvpClass::ToUser, "uid".into()));
        assert!(Named::parse("$x.uid", &bind).is_err());
        assert!(is_active(33) && !is_active(3) && !is_active(0));
    }
}
