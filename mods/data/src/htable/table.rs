//! Tables of one configuration over their contents, and how scripts name tables and keys.

use std::sync::{Arc, OnceLock};

use kahea_module::{
    Arg, ArgKind, ArgSource, Bind, BindError, Cx, Fault, Format, Literal, Str, Value, arg::Fixed,
};

use super::{
    Htable,
    contents::{Contents, Key, Life, Moment},
    define::Definition,
    hash::core_case_hash,
    locks::Locks,
};

/// A table as this configuration defines it.
pub(super) struct Table {
    pub definition: Definition,
    pub contents: Arc<Contents>,
    pub locks: Arc<Locks>,
}

impl Table {
    pub fn name(&self) -> &Str {
        &self.definition.name
    }

    /// The slot that a key has in Kamailio: locks, iterators and dumps go by it.
    pub fn slot(&self, key: &[u8]) -> u64 {
        u64::from(core_case_hash(key)) & self.definition.slots().saturating_sub(1)
    }

    /// Items of this table never expire.
    pub fn is_lasting(&self) -> bool {
        self.definition.autoexpire == 0
    }

    /// When an item that is written now expires.
    pub fn default_moment(&self, now: Moment) -> Moment {
        match self.definition.autoexpire {
            0 => 0,
            seconds => after(now, seconds),
        }
    }

    /// The life of an item that is written now.
    pub fn life(&self, now: Moment) -> Life {
        let moment = self.default_moment(now);
        match self.definition.updateexpire {
            true => Life::Until(moment),
            false => Life::New(moment),
        }
    }

    /// The life of an item that is written with a time of its own, in seconds; not above 0: the table's.
    pub fn life_of(&self, seconds: i64, now: Moment) -> Life {
        match u64::try_from(seconds) {
            Ok(seconds) if seconds > 0 && !self.is_lasting() => Life::Until(after(now, seconds)),
            _ => Life::Until(self.default_moment(now)),
        }
    }

    /// What stands under the key, or the initial value.
    pub fn get(&self, key: Key<'_>, now: Moment) -> Value {
        self.contents
            .get(key, now)
            .unwrap_or_else(|| self.definition.initval.into())
    }

    /// Sets, or removes where the value is `$null`.
    pub fn set(&self, key: Key<'_>, value: Value, now: Moment) {
        match value {
            Value::Null => {
                self.contents.remove(key, now);
            }
            Value::Int(n) => self.contents.set(key, Value::Int(n), self.life(now), now),
            Value::Str(text) => {
                let value = Value::Str(text.detach());
                self.contents.set(key, value, self.life(now), now);
            }
        }
    }

    /// Adds to a number. A key that is not set counts from the initial value; `$null` where there is none, and where
    /// the value is a string.
    pub fn add(&self, key: Key<'_>, delta: i64, now: Moment) -> Value {
        let initial = self.definition.initval;
        let next = |old: Option<&Value>| {
            let old = match old {
                Some(Value::Int(n)) => Some(*n),
                Some(_) => None,
                None => initial,
            };
            old.map(|n| Value::Int(n.wrapping_add(delta)))
        };
        self.contents
            .change(key, self.life(now), now, next)
            .unwrap_or_default()
    }

    /// Seconds until a key expires; 0 where it does not, or is not there.
    pub fn remaining(&self, key: Key<'_>, now: Moment) -> i64 {
        let left = self
            .contents
            .item(key, now)
            .map_or(0, |item| item.expires.saturating_sub(now).div_ceil(1000));
        i64::try_from(left).unwrap_or(i64::MAX)
    }

    /// Sets the seconds until a key expires; 0 and less: never. Without effect in a table whose items never expire.
    pub fn expire(&self, key: Key<'_>, seconds: i64, now: Moment) -> bool {
        let moment = match u64::try_from(seconds) {
            Ok(seconds) if seconds > 0 && !self.is_lasting() => after(now, seconds),
            _ => 0,
        };
        self.contents.expire(key, moment, now)
    }
}

/// That many seconds later.
pub(super) fn after(now: Moment, seconds: u64) -> Moment {
    now.saturating_add(seconds.saturating_mul(1000)).max(1)
}

/// The moment of a message.
pub(super) fn now(cx: &Cx) -> Moment {
    moment_of(&cx.worker)
}

/// The moment of a worker.
pub(super) fn moment_of(worker: &kahea_module::Worker) -> Moment {
    let started = worker.config.shared.started_at;
    let since = worker.engine.now().saturating_duration_since(started);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX).max(1)
}

/// A table's name, looked up once.
pub(super) struct TableName {
    name: Str,
    found: OnceLock<Arc<Table>>,
}

impl TableName {
    fn new(name: Str) -> TableName {
        TableName {
            name,
            found: OnceLock::new(),
        }
    }

    pub fn resolve(&self, m: &Htable) -> Result<&Arc<Table>, Fault> {
        if let Some(table) = self.found.get() {
            return Ok(table);
        }
        let table = m.table(&self.name)?.clone();
        Ok(self.found.get_or_init(|| table))
    }
}

/// A table as the argument of a function; one that the script names directly is looked up once.
pub(super) struct TableArg(Arc<TableName>);

impl TableArg {
    pub fn resolve(&self, m: &Htable) -> Result<&Arc<Table>, Fault> {
        self.0.resolve(m)
    }

    fn of(name: Str) -> TableArg {
        TableArg(Arc::new(TableName::new(name)))
    }
}

impl Arg for TableArg {
    const KIND: ArgKind = ArgKind::Str;
    type Fixed = Fixed<TableArg>;

    fn fix(source: Option<&ArgSource>, bind: &dyn Bind) -> Result<Self::Fixed, BindError> {
        let format = <Format as Arg>::fix(source, bind)?;
        Ok(match format.as_constant() {
            Some(name) => Fixed::Known(TableArg::of(name)),
            None => Fixed::Format(format),
        })
    }

    fn get(fixed: &Self::Fixed, cx: &mut Cx) -> Result<Self, Fault> {
        Ok(match fixed {
            Fixed::Known(known) => TableArg(known.0.clone()),
            Fixed::Format(format) => TableArg::of(format.text(cx)),
            Fixed::Var(var) => TableArg::of(var.get(cx).str_or_empty()),
            Fixed::Expr(expr) => TableArg::of(expr(cx).str_or_empty()),
        })
    }

    fn from_value(value: Option<Value>, cx: &mut Cx) -> Result<Self, Fault> {
        <Str as Arg>::from_value(value, cx).map(TableArg::of)
    }
}

enum KeyText {
    /// Known at load, with its hash once the table is.
    Fixed(Str, OnceLock<u64>),
    Dynamic(Format),
}

/// `table=>key`, as in `$sht(table=>key)`.
pub(super) struct ItemName {
    table: TableName,
    key: KeyText,
}

impl ItemName {
    /// Reads it; the table's name may not hold variables, the key may.
    pub fn parse(text: &str, bind: &dyn Bind) -> Result<ItemName, BindError> {
        let Some((table, key)) = text.split_once("=>") else {
            return Err(BindError::new(format!("'{text}' names no key of a table"))
                .help("write table=>key, such as $sht(a=>$fU)"));
        };
        let format = bind.format(key)?;
        Ok(ItemName {
            table: TableName::new(Str::from(table.trim())),
            key: match format.as_constant() {
                Some(text) => KeyText::Fixed(text, OnceLock::new()),
                None => KeyText::Dynamic(format),
            },
        })
    }

    pub fn table(&self, m: &Htable) -> Result<&Arc<Table>, Fault> {
        self.table.resolve(m)
    }

    /// The text behind the arrow.
    pub fn key_text(&self, cx: &mut Cx) -> Str {
        match &self.key {
            KeyText::Fixed(text, _) => text.clone(),
            KeyText::Dynamic(format) => format.text(cx),
        }
    }

    /// Works on the item of this name.
    pub fn with<R>(
        &self,
        m: &Htable,
        cx: &mut Cx,
        work: impl FnOnce(&Table, Key<'_>, &mut Cx) -> R,
    ) -> Result<R, Fault> {
        let table = self.table.resolve(m)?;
        Ok(match &self.key {
            KeyText::Fixed(text, hash) => {
                let hash = *hash.get_or_init(|| table.contents.hash(text));
                work(table, Key { text, hash }, cx)
            }
            KeyText::Dynamic(format) => {
                let text = format.text(cx);
                work(table, table.contents.key(&text), cx)
            }
        })
    }
}

impl Literal for ItemName {
    const WHAT: &'static str = "table=>key";

    fn parse(text: &str, bind: &dyn Bind) -> Result<Self, BindError> {
        ItemName::parse(text, bind)
    }
}
