//! Arguments of script functions: taken from the handler's Rust signature, prepared at load.

use std::{ops::Deref, sync::Arc};

use crate::{Bind, BindError, Cx, Fault, Format, Str, Value, Var, regex::Regex};

/// What stands in the script for one argument.
#[derive(Clone)]
pub enum ArgSource {
    /// A string literal (escapes done) or a bare identifier.
    Text(Str),
    /// A number.
    Int(i64),
    /// A bare pseudo-variable.
    Var(Var),
    /// Any other expression.
    Expr(Arc<dyn Fn(&mut Cx) -> Value + Send + Sync>),
}

/// The kind of an argument, for listings and the checker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgKind {
    /// An integer, or text or a variable that holds one.
    Int,
    /// Text with variables in it.
    Str,
    /// Any value.
    Value,
    /// A variable that the function writes.
    Var,
    /// A regular expression.
    Regex,
    /// Text that is read once at load; the string says what it must be.
    Literal(&'static str),
}

/// A type that can stand in a handler's signature.
pub trait Arg: Sized + 'static {
    /// For listings and the checker.
    const KIND: ArgKind;
    /// May be left out.
    const OPTIONAL: bool = false;
    /// Takes all that follow.
    const VARIADIC: bool = false;
    /// The form prepared at load.
    type Fixed: Send + Sync + 'static;

    /// Prepares it; `None` where the script gives no argument.
    ///
    /// # Errors
    /// The argument is missing or cannot be right.
    fn fix(source: Option<&ArgSource>, bind: &dyn Bind) -> Result<Self::Fixed, BindError>;

    /// Its value for this call.
    ///
    /// # Errors
    /// The value does not fit, which only now is known.
    fn get(fixed: &Self::Fixed, cx: &mut Cx) -> Result<Self, Fault>;

    /// From a value of an embedded language.
    ///
    /// # Errors
    /// The value does not fit.
    fn from_value(value: Option<Value>, cx: &mut Cx) -> Result<Self, Fault>;

    /// Takes what it needs off the arguments of the call: one, or all that follow.
    ///
    /// # Errors
    /// As [`Arg::fix`].
    fn take(
        sources: &mut std::slice::Iter<'_, ArgSource>,
        bind: &dyn Bind,
    ) -> Result<Self::Fixed, BindError> {
        Self::fix(sources.next(), bind)
    }

    /// Takes what it needs off the values of the call.
    ///
    /// # Errors
    /// As [`Arg::from_value`].
    fn take_values(values: &mut std::vec::IntoIter<Value>, cx: &mut Cx) -> Result<Self, Fault> {
        Self::from_value(values.next(), cx)
    }
}

/// A text or number, fixed or found at run time.
pub enum Fixed<T> {
    /// Known at load.
    Known(T),
    /// A text with variables.
    Format(Format),
    /// A variable.
    Var(Var),
    /// An expression.
    Expr(Arc<dyn Fn(&mut Cx) -> Value + Send + Sync>),
}

impl<T> Fixed<T> {
    fn of(
        source: &ArgSource,
        bind: &dyn Bind,
        known: impl Fn(Value) -> Result<T, BindError>,
    ) -> Result<Self, BindError> {
        Ok(match source {
            ArgSource::Int(n) => Fixed::Known(known(Value::Int(*n))?),
            ArgSource::Var(var) => Fixed::Var(var.clone()),
            ArgSource::Expr(expr) => Fixed::Expr(expr.clone()),
            ArgSource::Text(text) => {
                let format = bind.format(&text.text())?;
                match (format.as_constant(), format.as_var()) {
                    (Some(text), _) => Fixed::Known(known(Value::Str(text))?),
                    (None, Some(var)) => Fixed::Var(var.clone()),
                    (None, None) => Fixed::Format(format),
                }
            }
        })
    }

    fn value(&self, cx: &mut Cx) -> Result<&T, Value> {
        match self {
            Fixed::Known(known) => Ok(known),
            Fixed::Format(format) => Err(Value::Str(format.text(cx))),
            Fixed::Var(var) => Err(var.get(cx)),
            Fixed::Expr(expr) => Err(expr(cx)),
        }
    }
}

fn required<T>(value: Option<T>) -> Result<T, BindError> {
    value.ok_or_else(|| BindError::new("an argument is missing"))
}

fn required_value(value: Option<Value>) -> Result<Value, Fault> {
    value.ok_or_else(|| Fault::script("an argument is missing"))
}

fn int_of(value: &Value) -> Result<i64, Fault> {
    value
        .int()
        .ok_or_else(|| Fault::script(format!("a number is needed, not '{value}'")))
}

impl Arg for i64 {
    const KIND: ArgKind = ArgKind::Int;
    type Fixed = Fixed<i64>;

    fn fix(source: Option<&ArgSource>, bind: &dyn Bind) -> Result<Self::Fixed, BindError> {
        Fixed::of(required(source)?, bind, |value| Ok(int_of(&value)?))
    }

    fn get(fixed: &Self::Fixed, cx: &mut Cx) -> Result<i64, Fault> {
        match fixed.value(cx) {
            Ok(n) => Ok(*n),
            Err(value) => int_of(&value),
        }
    }

    fn from_value(value: Option<Value>, _: &mut Cx) -> Result<i64, Fault> {
        int_of(&required_value(value)?)
    }
}

impl Arg for Str {
    const KIND: ArgKind = ArgKind::Str;
    type Fixed = Fixed<Str>;

    fn fix(source: Option<&ArgSource>, bind: &dyn Bind) -> Result<Self::Fixed, BindError> {
        Fixed::of(required(source)?, bind, |value| Ok(value.str_or_empty()))
    }

    fn get(fixed: &Self::Fixed, cx: &mut Cx) -> Result<Str, Fault> {
        match fixed.value(cx) {
            Ok(text) => Ok(text.clone()),
            Err(value) => value
                .str()
                .ok_or_else(|| Fault::script("a value is needed, not $null")),
        }
    }

    fn from_value(value: Option<Value>, _: &mut Cx) -> Result<Str, Fault> {
        required_value(value)?
            .str()
            .ok_or_else(|| Fault::script("a string is needed, not null"))
    }
}

impl Arg for Value {
    const KIND: ArgKind = ArgKind::Value;
    type Fixed = Fixed<Value>;

    fn fix(source: Option<&ArgSource>, bind: &dyn Bind) -> Result<Self::Fixed, BindError> {
        Fixed::of(required(source)?, bind, Ok)
    }

    fn get(fixed: &Self::Fixed, cx: &mut Cx) -> Result<Value, Fault> {
        Ok(match fixed.value(cx) {
            Ok(value) => value.clone(),
            Err(value) => value,
        })
    }

    fn from_value(value: Option<Value>, _: &mut Cx) -> Result<Value, Fault> {
        required_value(value)
    }
}

/// A text with variables that the function itself evaluates, perhaps several times or not at all (`xlog`).
impl Arg for Format {
    const KIND: ArgKind = ArgKind::Str;
    type Fixed = Format;

    fn fix(source: Option<&ArgSource>, bind: &dyn Bind) -> Result<Format, BindError> {
        Ok(match required(source)? {
            ArgSource::Text(text) => bind.format(&text.text())?,
            ArgSource::Int(n) => Format::constant(crate::value::int_text(*n)),
            ArgSource::Var(var) => Format::new(vec![crate::Piece::Var(var.clone())]),
            ArgSource::Expr(expr) => {
                let expr = expr.clone();
                let var = Var::new(Str::from_static("(expression)"), move |cx| expr(cx), None);
                Format::new(vec![crate::Piece::Var(var)])
            }
        })
    }

    fn get(fixed: &Format, _: &mut Cx) -> Result<Format, Fault> {
        Ok(fixed.clone())
    }

    fn from_value(value: Option<Value>, _: &mut Cx) -> Result<Format, Fault> {
        Ok(Format::constant(required_value(value)?.str_or_empty()))
    }
}

/// A variable that the function reads or writes by itself: `"$var(x)"` or `$var(x)`.
pub type VarRef = Var;

impl Arg for Var {
    const KIND: ArgKind = ArgKind::Var;
    type Fixed = Var;

    fn fix(source: Option<&ArgSource>, bind: &dyn Bind) -> Result<Var, BindError> {
        match required(source)? {
            ArgSource::Var(var) => Ok(var.clone()),
            ArgSource::Text(text) => bind.var(&text.text()),
            ArgSource::Int(_) | ArgSource::Expr(_) => {
                Err(BindError::new("a variable is needed here")
                    .help("write \"$var(name)\" or another variable"))
            }
        }
    }

    fn get(fixed: &Var, _: &mut Cx) -> Result<Var, Fault> {
        Ok(fixed.clone())
    }

    fn from_value(value: Option<Value>, cx: &mut Cx) -> Result<Var, Fault> {
        let name = required_value(value)?.str_or_empty();
        cx.bind()
            .var(&name.text())
            .map_err(|error| Fault::script(error.message))
    }
}

impl Arg for Regex {
    const KIND: ArgKind = ArgKind::Regex;
    type Fixed = Fixed<Regex>;

    fn fix(source: Option<&ArgSource>, bind: &dyn Bind) -> Result<Self::Fixed, BindError> {
        Fixed::of(required(source)?, bind, |value| {
            Regex::new(&value.str_or_empty()).map_err(|error| BindError::new(error.to_string()))
        })
    }

    fn get(fixed: &Self::Fixed, cx: &mut Cx) -> Result<Regex, Fault> {
        match fixed.value(cx) {
            Ok(regex) => Ok(regex.clone()),
            Err(value) => cx.regex(&value.str_or_empty()),
        }
    }

    fn from_value(value: Option<Value>, cx: &mut Cx) -> Result<Regex, Fault> {
        let text = required_value(value)?.str_or_empty();
        cx.regex(&text)
    }
}

/// Something that is read from a text at load: a method list, a header name, a substitution expression.
pub trait Literal: Sized + Send + Sync + 'static {
    /// What it must be, for messages: "a list of methods such as INVITE|ACK".
    const WHAT: &'static str;

    /// Reads it. Variables inside are the type's own affair: compile them with `bind`.
    ///
    /// # Errors
    /// It is not what it must be.
    fn parse(text: &str, bind: &dyn Bind) -> Result<Self, BindError>;
}

impl Literal for Str {
    const WHAT: &'static str = "text";
    fn parse(text: &str, _: &dyn Bind) -> Result<Str, BindError> {
        Ok(Str::from(text))
    }
}

impl Literal for i64 {
    const WHAT: &'static str = "a number";
    fn parse(text: &str, _: &dyn Bind) -> Result<i64, BindError> {
        crate::value::parse_int(text.as_bytes())
            .ok_or_else(|| BindError::new(format!("'{text}' is not a number")))
    }
}

impl Literal for Regex {
    const WHAT: &'static str = "a POSIX extended regular expression";
    fn parse(text: &str, _: &dyn Bind) -> Result<Regex, BindError> {
        Regex::new(text.as_bytes()).map_err(|error| BindError::new(error.to_string()))
    }
}

/// An argument read at load: string literals are taken as they are, `$` and all.
///
/// Where the script gives an expression instead, it is read at each call.
#[derive(Debug)]
pub struct Lit<T>(Arc<T>);

impl<T> Clone for Lit<T> {
    fn clone(&self) -> Self {
        Lit(self.0.clone())
    }
}

impl<T> Deref for Lit<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Literal> Lit<T> {
    fn at_run_time(text: &Str, cx: &mut Cx) -> Result<Lit<T>, Fault> {
        let bind = cx.bind();
        T::parse(&text.text(), &*bind)
            .map(|value| Lit(Arc::new(value)))
            .map_err(|error| Fault::script(error.message))
    }
}

impl<T: Literal> Arg for Lit<T> {
    const KIND: ArgKind = ArgKind::Literal(T::WHAT);
    type Fixed = Fixed<Lit<T>>;

    fn fix(source: Option<&ArgSource>, bind: &dyn Bind) -> Result<Self::Fixed, BindError> {
        let parse = |text: &str| T::parse(text, bind).map(|value| Fixed::Known(Lit(Arc::new(value))));
        match required(source)? {
            ArgSource::Text(text) => parse(&text.text()),
            ArgSource::Int(n) => parse(&n.to_string()),
            ArgSource::Var(var) => Ok(Fixed::Var(var.clone())),
            ArgSource::Expr(expr) => Ok(Fixed::Expr(expr.clone())),
        }
    }

    fn get(fixed: &Self::Fixed, cx: &mut Cx) -> Result<Self, Fault> {
        match fixed.value(cx) {
            Ok(known) => Ok(known.clone()),
            Err(value) => Lit::at_run_time(&value.str_or_empty(), cx),
        }
    }

    fn from_value(value: Option<Value>, cx: &mut Cx) -> Result<Self, Fault> {
        let text = required_value(value)?.str_or_empty();
        Lit::at_run_time(&text, cx)
    }
}

impl<T: Arg> Arg for Option<T> {
    const KIND: ArgKind = T::KIND;
    const OPTIONAL: bool = true;
    type Fixed = Option<T::Fixed>;

    fn fix(source: Option<&ArgSource>, bind: &dyn Bind) -> Result<Self::Fixed, BindError> {
        source.map(|source| T::fix(Some(source), bind)).transpose()
    }

    fn get(fixed: &Self::Fixed, cx: &mut Cx) -> Result<Self, Fault> {
        fixed.as_ref().map(|fixed| T::get(fixed, cx)).transpose()
    }

    fn from_value(value: Option<Value>, cx: &mut Cx) -> Result<Self, Fault> {
        value.map(|value| T::from_value(Some(value), cx)).transpose()
    }
}

/// All arguments that follow.
#[derive(Clone, Debug)]
pub struct Rest<T>(pub Vec<T>);

impl<T: Arg> Arg for Rest<T> {
    const KIND: ArgKind = T::KIND;
    const OPTIONAL: bool = true;
    const VARIADIC: bool = true;
    type Fixed = Vec<T::Fixed>;

    fn fix(source: Option<&ArgSource>, bind: &dyn Bind) -> Result<Self::Fixed, BindError> {
        source
            .into_iter()
            .map(|source| T::fix(Some(source), bind))
            .collect()
    }

    fn get(fixed: &Self::Fixed, cx: &mut Cx) -> Result<Self, Fault> {
        fixed
            .iter()
            .map(|fixed| T::get(fixed, cx))
            .collect::<Result<_, _>>()
            .map(Rest)
    }

    fn from_value(value: Option<Value>, cx: &mut Cx) -> Result<Self, Fault> {
        value
            .into_iter()
            .map(|value| T::from_value(Some(value), cx))
            .collect::<Result<_, _>>()
            .map(Rest)
    }

    fn take(
        sources: &mut std::slice::Iter<'_, ArgSource>,
        bind: &dyn Bind,
    ) -> Result<Self::Fixed, BindError> {
        sources.map(|source| T::fix(Some(source), bind)).collect()
    }

    fn take_values(values: &mut std::vec::IntoIter<Value>, cx: &mut Cx) -> Result<Self, Fault> {
        values
            .map(|value| T::from_value(Some(value), cx))
            .collect::<Result<_, _>>()
            .map(Rest)
    }
}
