//! Pseudo-variables: their declaration, and the compiled accessors that the message path uses.

use std::{any::Any, fmt, sync::Arc};

use crate::{Bind, BindError, Cx, Fault, Format, Str, Value, registry::Handle};

/// The index behind a variable: `$(hdr(Via)[1])`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Index {
    /// None given.
    #[default]
    None,
    /// `[n]`; negative counts from the end.
    At(i64),
    /// `[*]`.
    All,
}

impl Index {
    /// The wanted element of `len` where one is meant: 0 without an index, from the end when negative.
    pub fn pick(self, len: usize) -> Option<usize> {
        let at = match self {
            Index::None => 0,
            Index::At(n) if n < 0 => i64::try_from(len).ok()?.checked_add(n)?,
            Index::At(n) => n,
            Index::All => return None,
        };
        usize::try_from(at).ok().filter(|at| *at < len)
    }
}

/// An index as the script wrote it.
#[derive(Clone)]
pub enum IndexSource {
    /// Fixed.
    Fixed(Index),
    /// `[$var(i)]`.
    Var(Var),
}

impl IndexSource {
    fn value(&self, cx: &mut Cx) -> Index {
        match self {
            IndexSource::Fixed(index) => *index,
            IndexSource::Var(var) => var.get(cx).int().map_or(Index::None, Index::At),
        }
    }
}

/// Whether a variable takes an inner name, `$hdr(NAME)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// `$ru`.
    None,
    /// `$hdr(X)`.
    Required,
    /// `$T_branch` and `$T_branch(x)`.
    Optional,
}

type Getter = Arc<dyn Fn(&mut Cx) -> Value + Send + Sync>;
type Setter = Arc<dyn Fn(&mut Cx, Value) -> Result<(), Fault> + Send + Sync>;

/// A variable ready for use: name, index and transformations resolved.
#[derive(Clone)]
pub struct Var {
    text: Str,
    null_text: &'static [u8],
    get: Getter,
    set: Option<Setter>,
}

impl Var {
    /// From its parts; `text` is its spelling, for messages.
    pub fn new(
        text: Str,
        get: impl Fn(&mut Cx) -> Value + Send + Sync + 'static,
        set: Option<Setter>,
    ) -> Var {
        Var {
            text,
            null_text: b"<null>",
            get: Arc::new(get),
            set,
        }
    }

    /// Its value now.
    pub fn get(&self, cx: &mut Cx) -> Value {
        (self.get)(cx)
    }

    /// Can be assigned.
    pub fn is_writable(&self) -> bool {
        self.set.is_some()
    }

    /// Assigns; `$null` unsets where the variable allows.
    ///
    /// # Errors
    /// Where it is read-only or refuses the value.
    pub fn set(&self, cx: &mut Cx, value: Value) -> Result<(), Fault> {
        match &self.set {
            Some(set) => set(cx, value),
            None => Err(Fault::script(format!("{} cannot be assigned", self.text))),
        }
    }

    /// As the script spells it.
    pub fn text(&self) -> &Str {
        &self.text
    }

    /// What a [`Format`] prints where the variable is `$null`: `<null>`, and nothing behind a transformation.
    pub fn null_text(&self) -> &'static [u8] {
        self.null_text
    }

    /// The same variable with its value changed by `step` when read (a transformation); read-only.
    pub fn map(self, text: Str, step: impl Fn(&mut Cx, Value) -> Value + Send + Sync + 'static) -> Var {
        let get = self.get;
        Var {
            text,
            null_text: b"",
            get: Arc::new(move |cx| {
                let value = get(cx);
                step(cx, value)
            }),
            set: None,
        }
    }
}

impl fmt::Debug for Var {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Var({})", self.text)
    }
}

/// What the compiler knows of one use of a variable.
pub struct VarUse<'a> {
    /// The whole spelling, for messages.
    pub text: &'a str,
    /// The text between the parentheses, raw.
    pub inner: Option<&'a str>,
    /// The index.
    pub index: IndexSource,
    /// To compile what stands inside.
    pub bind: &'a dyn Bind,
}

type BindVar = Box<dyn Fn(&Arc<dyn Any + Send + Sync>, &VarUse<'_>) -> Result<Var, BindError> + Send + Sync>;

/// The declaration of a pseudo-variable.
pub struct VarDecl {
    /// Without the `$`.
    pub name: &'static str,
    /// Whether it takes an inner name.
    pub naming: Naming,
    /// Has a setter.
    pub writable: bool,
    /// One sentence.
    pub doc: &'static str,
    pub(crate) bind: BindVar,
}

impl VarDecl {
    /// Makes the accessor for one use; `module` is the declaring module's slot.
    ///
    /// # Errors
    /// A name that the variable does not know, a missing or superfluous name.
    pub fn bind(&self, module: &Arc<dyn Any + Send + Sync>, usage: &VarUse<'_>) -> Result<Var, BindError> {
        match (self.naming, usage.inner) {
            (Naming::None, Some(_)) => Err(BindError::new(format!(
                "${} takes no name in parentheses",
                self.name
            ))
            .help(format!("write ${}", self.name))),
            (Naming::Required, None) => Err(BindError::new(format!(
                "${} needs a name in parentheses",
                self.name
            ))
            .help(format!("write ${}(name)", self.name))),
            _ => (self.bind)(module, usage),
        }
    }
}

type PlainGet<M> = fn(&M, &mut Cx, Index) -> Value;
type PlainSet<M> = fn(&M, &mut Cx, Index, Value) -> Result<(), Fault>;

pub(crate) fn bind_plain<M: Send + Sync + 'static>(get: PlainGet<M>, set: Option<PlainSet<M>>) -> BindVar {
    Box::new(move |module, usage| {
        let handle = Handle::<M>::of(module)?;
        let setter = set.map(|set| -> Setter {
            let (handle, index) = (handle.clone(), usage.index.clone());
            Arc::new(move |cx: &mut Cx, value| {
                let index = index.value(cx);
                set(handle.get()?, cx, index, value)
            })
        });
        let text = Str::from(usage.text);
        Ok(match &usage.index {
            IndexSource::Fixed(index) => {
                let index = *index;
                Var::new(
                    text,
                    move |cx| handle.get().map_or(Value::Null, |m| get(m, cx, index)),
                    setter,
                )
            }
            IndexSource::Var(_) => {
                let index = usage.index.clone();
                let read = move |cx: &mut Cx| {
                    let index = index.value(cx);
                    handle.get().map_or(Value::Null, |m| get(m, cx, index))
                };
                Var::new(text, read, setter)
            }
        })
    })
}

/// Assigns a named variable.
pub type SetNamed<M, N> = fn(&M, &mut Cx, &N, Index, Value) -> Result<(), Fault>;

/// How a named variable reads its inner name.
pub struct Named<M, N> {
    /// Parses the inner name; the error says what is allowed.
    pub parse: fn(&str, &dyn Bind) -> Result<N, BindError>,
    /// Reads.
    pub get: fn(&M, &mut Cx, &N, Index) -> Value,
    /// Assigns.
    pub set: Option<SetNamed<M, N>>,
    /// The parser wants the raw text even where it holds variables (`$sht(a=>$var(k))`); otherwise a name with
    /// variables in it is evaluated for each use and parsed then.
    pub raw: bool,
}

enum Name<N> {
    Fixed(N),
    Dynamic(Format, fn(&str, &dyn Bind) -> Result<N, BindError>),
}

impl<N> Name<N> {
    fn with<R>(&self, cx: &mut Cx, then: impl FnOnce(&mut Cx, &N) -> R) -> Result<R, Fault> {
        match self {
            Name::Fixed(name) => Ok(then(cx, name)),
            Name::Dynamic(format, parse) => {
                let text = format.text(cx);
                let bind = cx.bind();
                let name = parse(&text.text(), &*bind).map_err(|error| Fault::script(error.message))?;
                Ok(then(cx, &name))
            }
        }
    }
}

pub(crate) fn bind_named<M: Send + Sync + 'static, N: Send + Sync + 'static>(
    named: Named<M, N>,
    naming: Naming,
) -> BindVar {
    Box::new(move |module, usage| {
        let Named { parse, get, set, raw } = named;
        let handle = Handle::<M>::of(module)?;
        let inner = match (usage.inner, naming) {
            (Some(inner), _) => inner,
            (None, Naming::Optional) => "",
            (None, _) => return Err(BindError::new("a name is missing")),
        };
        let name = Arc::new(if !raw && inner.contains('$') {
            Name::Dynamic(usage.bind.format(inner)?, parse)
        } else {
            Name::Fixed(parse(inner, usage.bind)?)
        });
        let setter = set.map(|set| -> Setter {
            let (handle, index, name) = (handle.clone(), usage.index.clone(), name.clone());
            Arc::new(move |cx: &mut Cx, value| {
                let index = index.value(cx);
                let module = handle.get()?;
                name.with(cx, |cx, name| set(module, cx, name, index, value))?
            })
        });
        let index = usage.index.clone();
        let read = move |cx: &mut Cx| {
            let index = index.value(cx);
            let Ok(module) = handle.get() else {
                return Value::Null;
            };
            name.with(cx, |cx, name| get(module, cx, name, index))
                .unwrap_or_default()
        };
        Ok(Var::new(Str::from(usage.text), read, setter))
    })
}
