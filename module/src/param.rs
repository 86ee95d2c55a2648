//! Module parameters: `modparam("module", "name", value)`.

use crate::{Bind, BindError, Str, Value, value::parse_int};

/// A type that a parameter can have.
pub trait ParamValue: Send + 'static {
    /// For listings: `int`, `string`, …
    const TYPE: &'static str;

    /// Takes the value of one `modparam` line; types that collect are called once a line.
    ///
    /// # Errors
    /// The value is of another type or out of range.
    fn assign(&mut self, value: &Value) -> Result<(), BindError>;
}

fn wrong_type(wanted: &str, value: &Value) -> BindError {
    let given = match value {
        Value::Int(_) => "a number",
        Value::Str(_) => "a string",
        Value::Null => "nothing",
    };
    BindError::new(format!("the parameter takes {wanted}, not {given}"))
}

impl ParamValue for i64 {
    const TYPE: &'static str = "int";
    fn assign(&mut self, value: &Value) -> Result<(), BindError> {
        *self = match value {
            Value::Int(n) => *n,
            Value::Str(text) => parse_int(text).ok_or_else(|| wrong_type("a number", value))?,
            Value::Null => return Err(wrong_type("a number", value)),
        };
        Ok(())
    }
}

impl ParamValue for bool {
    const TYPE: &'static str = "int";
    fn assign(&mut self, value: &Value) -> Result<(), BindError> {
        let mut n = 0i64;
        n.assign(value)?;
        *self = n != 0;
        Ok(())
    }
}

impl ParamValue for Str {
    const TYPE: &'static str = "string";
    fn assign(&mut self, value: &Value) -> Result<(), BindError> {
        *self = match value {
            Value::Str(text) => text.clone(),
            Value::Int(_) | Value::Null => return Err(wrong_type("a string", value)),
        };
        Ok(())
    }
}

impl<T: ParamValue + Default> ParamValue for Option<T> {
    const TYPE: &'static str = T::TYPE;
    fn assign(&mut self, value: &Value) -> Result<(), BindError> {
        self.get_or_insert_default().assign(value)
    }
}

/// May be given several times.
impl<T: ParamValue + Default> ParamValue for Vec<T> {
    const TYPE: &'static str = T::TYPE;
    fn assign(&mut self, value: &Value) -> Result<(), BindError> {
        let mut item = T::default();
        item.assign(value)?;
        self.push(item);
        Ok(())
    }
}

/// How a parameter takes a value.
pub(crate) type Assign<P> = Box<dyn Fn(&mut P, &Value, &dyn Bind) -> Result<(), BindError> + Send + Sync>;

/// The declaration of a parameter.
pub struct ParamDecl<P> {
    pub(crate) info: ParamInfo,
    pub(crate) assign: Assign<P>,
}

/// What listings show of a parameter.
#[derive(Clone, Debug)]
pub struct ParamInfo {
    /// Its name.
    pub name: &'static str,
    /// Names it had in other versions of Kamailio.
    pub aliases: Vec<&'static str>,
    /// `int` or `string`.
    pub kind: &'static str,
    /// One sentence.
    pub doc: &'static str,
    /// Changes with a reload; otherwise a restart is needed.
    pub live: bool,
}

impl<P> ParamDecl<P> {
    pub(crate) fn answers_to(&self, name: &str) -> bool {
        self.info.name == name || self.info.aliases.contains(&name)
    }
}
