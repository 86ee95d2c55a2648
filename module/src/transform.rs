//! Transformations: `{class.name,args}` behind a variable.

use std::sync::Arc;

use crate::{Bind, BindError, Cx, Format, Str, Value, Var};

/// One argument of a transformation, fixed or a variable.
#[derive(Clone, Debug)]
pub enum TransformArg {
    /// Text as written.
    Text(Str),
    /// A variable.
    Var(Var),
}

impl TransformArg {
    /// Its value now.
    pub fn value(&self, cx: &mut Cx) -> Value {
        match self {
            TransformArg::Text(text) => Value::Str(text.clone()),
            TransformArg::Var(var) => var.get(cx),
        }
    }
}

/// A prepared transformation.
pub type BoundTransform = Arc<dyn Fn(&mut Cx, Value) -> Value + Send + Sync>;

/// How a transformation reads what stands after its name and comma.
pub enum TransformKind {
    /// Arguments divided by commas, each a text, a number or a variable.
    /// The numbers are the fewest and the most.
    Args(usize, usize, fn(&mut Cx, Value, &[Value]) -> Value),
    /// The raw text after the first comma, read once at load: for own delimiters (`{re.subst,/a/b/}`) and separator
    /// characters (`{s.select,1,,}`).
    Raw(fn(&str, &dyn Bind) -> Result<BoundTransform, BindError>),
}

/// The declaration of a transformation.
pub struct TransformDecl {
    /// `s` in `{s.len}`.
    pub class: &'static str,
    /// `len` in `{s.len}`; may contain dots (`encode.base64`).
    pub name: &'static str,
    /// Names of its arguments.
    pub args: &'static [&'static str],
    /// One sentence.
    pub doc: &'static str,
    pub(crate) kind: TransformKind,
}

impl TransformDecl {
    /// Prepares one use. `args` is the raw text after the first comma, `None` where there is no comma.
    ///
    /// # Errors
    /// Arguments missing, superfluous or of the wrong form.
    pub fn bind(&self, args: Option<&str>, bind: &dyn Bind) -> Result<BoundTransform, BindError> {
        match &self.kind {
            TransformKind::Raw(parse) => parse(args.unwrap_or_default(), bind),
            TransformKind::Args(min, max, run) => {
                let run = *run;
                let args = split(args, bind)?;
                self.check_count(args.len(), *min, *max)?;
                Ok(match args.iter().map(constant).collect::<Option<Vec<Value>>>() {
                    Some(values) => Arc::new(move |cx, value| run(cx, value, &values)),
                    None => Arc::new(move |cx: &mut Cx, value| {
                        let values: Vec<Value> = args.iter().map(|arg| arg.value(cx)).collect();
                        run(cx, value, &values)
                    }),
                })
            }
        }
    }

    fn check_count(&self, count: usize, min: usize, max: usize) -> Result<(), BindError> {
        if (min..=max).contains(&count) {
            return Ok(());
        }
        let args = self.args.iter().map(|arg| format!(",{arg}")).collect::<String>();
        Err(BindError::new(format!(
            "{{{}.{}}} does not take {count} argument(s)",
            self.class, self.name
        ))
        .help(format!("write {{{}.{}{args}}}", self.class, self.name)))
    }
}

fn constant(arg: &TransformArg) -> Option<Value> {
    match arg {
        TransformArg::Text(text) => Some(Value::Str(text.clone())),
        TransformArg::Var(_) => None,
    }
}

/// Splits at commas that are not inside parentheses or braces of a variable; `$…` arguments become variables.
fn split(args: Option<&str>, bind: &dyn Bind) -> Result<Vec<TransformArg>, BindError> {
    let Some(text) = args else { return Ok(Vec::new()) };
    let mut out = Vec::new();
    let mut depth = 0i32;
    let mut start = 0;
    for (at, c) in text.char_indices() {
        match c {
            '(' | '{' => depth = depth.saturating_add(1),
            ')' | '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                out.push(one(text.get(start..at).unwrap_or_default(), bind)?);
                start = at.saturating_add(1);
            }
            _ => {}
        }
    }
    out.push(one(text.get(start..).unwrap_or_default(), bind)?);
    Ok(out)
}

fn one(text: &str, bind: &dyn Bind) -> Result<TransformArg, BindError> {
    let trimmed = text.trim();
    if trimmed.starts_with('$') {
        return bind.var(trimmed).map(TransformArg::Var);
    }
    Ok(TransformArg::Text(Str::from(text)))
}

/// A text argument of a [`TransformKind::Raw`] that may be a variable.
///
/// # Errors
/// An unknown variable.
pub fn raw_arg(text: &str, bind: &dyn Bind) -> Result<TransformArg, BindError> {
    one(text, bind)
}

/// A [`Format`] as an argument.
pub fn format_arg(text: &str, bind: &dyn Bind) -> Result<Format, BindError> {
    bind.format(text)
}
