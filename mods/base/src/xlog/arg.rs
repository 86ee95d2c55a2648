//! What the logging functions take: a level, a syslog facility, and a text that is evaluated only where it is shown.

use kahea_module::{
    Arg, ArgKind, ArgSource, Bind, BindError, Cx, Fault, Format, Str, Value, Var, log::Level,
};

/// A log level: `L_INFO`, `2`, or a variable that holds one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Severity(pub Level);

/// A level as the script wrote it.
pub enum SeveritySource {
    /// Known at load.
    Fixed(Level),
    /// Read at each call.
    Var(Var),
    /// Read at each call.
    Format(Format),
}

impl Severity {
    fn of_value(value: &Value) -> Result<Severity, Fault> {
        let level = match value {
            Value::Int(n) => Some(Level::from_number(*n)),
            Value::Str(text) => super::level_named(&text.text()),
            Value::Null => None,
        };
        level.map(Severity).ok_or_else(|| {
            Fault::script(format!(
                "'{value}' is no log level: write L_ERR, L_INFO, … or -5 to 3"
            ))
        })
    }
}

impl Arg for Severity {
    const KIND: ArgKind = ArgKind::Str;
    type Fixed = SeveritySource;

    fn fix(source: Option<&ArgSource>, bind: &dyn Bind) -> Result<SeveritySource, BindError> {
        Ok(
            match source.ok_or_else(|| BindError::new("a log level is missing"))? {
                ArgSource::Int(n) => SeveritySource::Fixed(Level::from_number(*n)),
                ArgSource::Var(var) => SeveritySource::Var(var.clone()),
                ArgSource::Text(text) if text.contains(&b'$') => {
                    let format = bind.format(&text.text())?;
                    match format.as_var() {
                        Some(var) => SeveritySource::Var(var.clone()),
                        None => SeveritySource::Format(format),
                    }
                }
                ArgSource::Text(text) => {
                    let text = text.text();
                    SeveritySource::Fixed(super::level_named(&text).ok_or_else(|| super::level_error(&text))?)
                }
                ArgSource::Expr(_) => SeveritySource::Format(Format::fix(source, bind)?),
            },
        )
    }

    fn get(fixed: &SeveritySource, cx: &mut Cx) -> Result<Severity, Fault> {
        match fixed {
            SeveritySource::Fixed(level) => Ok(Severity(*level)),
            SeveritySource::Var(var) => Severity::of_value(&var.get(cx)),
            SeveritySource::Format(format) => Severity::of_value(&format.value(cx)),
        }
    }

    fn from_value(value: Option<Value>, _: &mut Cx) -> Result<Severity, Fault> {
        Severity::of_value(&value.unwrap_or_default())
    }
}

/// A syslog facility, by its number in `syslog(3)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facility(pub i32);

/// In the order of their numbers.
const FACILITIES: [&str; 24] = [
    "KERN", "USER", "MAIL", "DAEMON", "AUTH", "SYSLOG", "LPR", "NEWS", "UUCP", "CRON", "AUTHPRIV", "FTP", "",
    "", "", "", "LOCAL0", "LOCAL1", "LOCAL2", "LOCAL3", "LOCAL4", "LOCAL5", "LOCAL6", "LOCAL7",
];

impl Facility {
    /// From `LOG_LOCAL3`.
    pub fn parse(text: &str) -> Option<Facility> {
        let name = text.trim().strip_prefix("LOG_")?;
        let at = FACILITIES
            .iter()
            .position(|known| !known.is_empty() && *known == name)?;
        i32::try_from(at).ok()?.checked_mul(8).map(Facility)
    }
}

impl Arg for Facility {
    const KIND: ArgKind = ArgKind::Literal("a syslog facility such as LOG_LOCAL3");
    type Fixed = Facility;

    fn fix(source: Option<&ArgSource>, _: &dyn Bind) -> Result<Facility, BindError> {
        let text = match source {
            Some(ArgSource::Text(text)) => text.clone(),
            _ => Str::EMPTY,
        };
        Facility::parse(&text.text()).ok_or_else(|| {
            BindError::new(format!("'{text}' is no syslog facility"))
                .help("write LOG_DAEMON, LOG_LOCAL0 or another name of syslog(3)")
        })
    }

    fn get(fixed: &Facility, _: &mut Cx) -> Result<Facility, Fault> {
        Ok(*fixed)
    }

    fn from_value(value: Option<Value>, _: &mut Cx) -> Result<Facility, Fault> {
        let text = value.unwrap_or_default().str_or_empty();
        Facility::parse(&text.text()).ok_or_else(|| Fault::script(format!("'{text}' is no syslog facility")))
    }
}

/// The text of a line.
#[derive(Clone, Debug)]
pub struct Text(pub Format);

impl Arg for Text {
    const KIND: ArgKind = ArgKind::Str;
    type Fixed = Text;

    fn fix(source: Option<&ArgSource>, bind: &dyn Bind) -> Result<Text, BindError> {
        Format::fix(source, bind).map(Text)
    }

    fn get(fixed: &Text, _: &mut Cx) -> Result<Text, Fault> {
        Ok(fixed.clone())
    }

    /// In embedded languages too, variables in the text are evaluated.
    fn from_value(value: Option<Value>, cx: &mut Cx) -> Result<Text, Fault> {
        let text = value.unwrap_or_default().str_or_empty();
        let format = match text.contains(&b'$') {
            true => cx
                .bind()
                .format(&text.text())
                .map_err(|error| Fault::script(error.message))?,
            false => Format::constant(text),
        };
        Ok(Text(format))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facilities_have_the_numbers_of_syslog() {
        assert_eq!(Facility::parse("LOG_DAEMON"), Some(Facility(3 << 3)));
        assert_eq!(Facility::parse("LOG_LOCAL7"), Some(Facility(23 << 3)));
        assert_eq!(Facility::parse("LOG_"), None);
        assert_eq!(Facility::parse("LOCAL7"), None);
    }

    #[test]
    fn levels_by_name_and_number() {
        let level = |value: Value| Severity::of_value(&value).map(|severity| severity.0);
        assert_eq!(level(Value::Int(-1)), Ok(Level::Error));
        assert_eq!(level("L_DBG".into()), Ok(Level::Debug));
        assert_eq!(level("L_WHATEVER".into()), Ok(Level::Warning));
        assert_eq!(level("-2".into()), Ok(Level::Critical));
        assert!(level("abc".into()).is_err());
        assert!(level(Value::Null).is_err());
    }
}
