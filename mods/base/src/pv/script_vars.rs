//! Script variables: `$var()`, `$vz()`, `$vn()` of one worker, `$shv()` and `$shvinc()` of all.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use kahea_module::{Bind, BindError, Cx, Decl, Fault, Named, Naming, Str, Value, Worker, value::parse_int};
use parking_lot::{Mutex, RwLock};

use super::Pv;

/// Declares the variables.
pub fn declare(d: &mut Decl<Pv>) {
    for name in ["var", "vz"] {
        d.var_named(
            name,
            Naming::Required,
            Named {
                parse: slot,
                get: |_, cx, slot, _| get(cx, *slot),
                set: Some(|_, cx, slot, _, v| {
                    set(cx, *slot, v);
                    Ok(())
                }),
                raw: false,
            },
            "A script variable of the worker, 0 until assigned; `$null` makes it 0.",
        );
    }
    d.var_named(
        "vn",
        Naming::Required,
        Named {
            parse: Nullable::parse,
            get: |_, cx, name, _| name.get(cx),
            set: Some(|_, cx, name, _, v| {
                name.set(cx, v);
                Ok(())
            }),
            raw: false,
        },
        "A script variable of the worker that can be `$null`, and is until assigned.",
    );
    d.var_named(
        "shv",
        Naming::Required,
        Named {
            parse: name,
            get: |m, _, name, _| m.shared.get(name),
            set: Some(|m, _, name, _, v| {
                m.shared.set(name, v);
                Ok(())
            }),
            raw: false,
        },
        "A variable that all workers share and that survives a reload; 0 until assigned.",
    );
    d.var_named(
        "shvinc",
        Naming::Required,
        Named {
            parse: name,
            get: |m, _, name, _| m.shared.increment(name),
            set: None,
            raw: false,
        },
        "Adds 1 to `$shv(name)` and yields the sum.",
    );
}

fn name(text: &str, _: &dyn Bind) -> Result<Str, BindError> {
    match text.trim() {
        "" => Err(BindError::new("a name is missing")),
        name => Ok(Str::from(name)),
    }
}

/// Every name of `$var()` that any script has used, for `pv_var_to_xavp("*", …)`.
static NAMES: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
/// More names than any script has; bounds what computed names can pile up.
const NAMES_KEPT: usize = 10_000;

/// The slot of `$var(name)`.
pub fn slot(text: &str, bind: &dyn Bind) -> Result<usize, BindError> {
    let name = text.trim().trim_matches('"');
    if name.is_empty() {
        return Err(BindError::new("a variable name is missing"));
    }
    let mut names = NAMES.lock();
    if names.len() < NAMES_KEPT && !names.contains(name) {
        names.insert(name.to_owned());
    }
    Ok(bind.var_slot(name))
}

/// The names of `$var()` known so far.
pub fn names() -> Vec<String> {
    NAMES.lock().iter().cloned().collect()
}

/// The value of a script variable.
pub fn get(cx: &Cx, slot: usize) -> Value {
    match cx.vars.get(slot) {
        Some(Value::Null) | None => Value::Int(0),
        Some(value) => value.clone(),
    }
}

/// Assigns a script variable.
pub fn set(cx: &mut Cx, slot: usize, value: Value) {
    let value = if value.is_null() { Value::Int(0) } else { value };
    store(&mut cx.vars, slot, value);
}

fn store(vars: &mut Vec<Value>, slot: usize, value: Value) {
    if vars.len() <= slot {
        vars.resize(slot.saturating_add(1), Value::Int(0));
    }
    if let Some(place) = vars.get_mut(slot) {
        *place = value;
    }
}

/// `$vn(name)`: since an unused slot reads 0, a second slot says whether the variable is set.
#[derive(Clone, Copy, Debug)]
struct Nullable {
    value: usize,
    is_set: usize,
}

impl Nullable {
    fn parse(text: &str, bind: &dyn Bind) -> Result<Nullable, BindError> {
        let name = text.trim();
        if name.is_empty() {
            return Err(BindError::new("a variable name is missing"));
        }
        Ok(Nullable {
            value: bind.var_slot(&format!("$vn({name})")),
            is_set: bind.var_slot(&format!("$vn({name}) is set")),
        })
    }

    fn get(self, cx: &Cx) -> Value {
        match cx.vars.get(self.is_set) {
            Some(Value::Int(1)) => cx.vars.get(self.value).cloned().unwrap_or_default(),
            _ => Value::Null,
        }
    }

    fn set(self, cx: &mut Cx, value: Value) {
        store(&mut cx.vars, self.is_set, Value::Int((!value.is_null()).into()));
        store(&mut cx.vars, self.value, value);
    }
}

/// The values of `$shv()`.
#[derive(Default)]
pub struct Shared {
    values: RwLock<HashMap<Str, Value>>,
}

impl Shared {
    /// The value; 0 where there is none.
    pub fn get(&self, name: &[u8]) -> Value {
        self.find(name).unwrap_or(Value::Int(0))
    }

    /// The value of a variable that exists.
    pub fn find(&self, name: &[u8]) -> Option<Value> {
        self.values.read().get(name).cloned()
    }

    /// Assigns; `$null` empties a text and makes a number 0, as Kamailio does.
    pub fn set(&self, name: &Str, value: Value) {
        let mut values = self.values.write();
        let value = match (value, values.get(name)) {
            (Value::Null, Some(Value::Str(_))) => Value::EMPTY,
            (Value::Null, _) => Value::Int(0),
            // It outlives the message whose buffer it may share.
            (Value::Str(text), _) => Value::Str(text.detach()),
            (value, _) => value,
        };
        match values.get_mut(name) {
            Some(place) => *place = value,
            None => {
                values.insert(name.detach(), value);
            }
        }
    }

    /// Adds 1; a text that is no number counts as 0.
    pub fn increment(&self, name: &Str) -> Value {
        let mut values = self.values.write();
        let old = values.get(name).and_then(Value::int).unwrap_or(0);
        let new = Value::Int(old.wrapping_add(1));
        values.insert(name.detach(), new.clone());
        new
    }

    /// All variables by name.
    pub fn all(&self) -> Vec<(Str, Value)> {
        let values = self.values.read();
        let mut all: Vec<_> = values
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }
}

/// One `shvset` or `varset` line: `name=i:1`, `name=s:text`.
///
/// # Errors
/// It has another form.
pub fn parse_setting(value: &Value) -> Result<(Str, Value), BindError> {
    let text = value.str_or_empty();
    let text = text.text();
    let wrong = || {
        BindError::new(format!("'{text}' does not set a variable")).help("write name=i:NUMBER or name=s:TEXT")
    };
    let (name, rest) = text.split_once('=').ok_or_else(wrong)?;
    let (kind, value) = rest.split_once(':').ok_or_else(wrong)?;
    let name = name.trim();
    let value = match kind.trim() {
        "i" | "I" => Value::Int(parse_int(value.trim().as_bytes()).ok_or_else(wrong)?),
        "s" | "S" => Value::from(value.to_owned()),
        _ => return Err(wrong()),
    };
    if name.is_empty() {
        return Err(wrong());
    }
    Ok((Str::from(name), value))
}

/// Gives the variables of `varset` their first values in a worker.
pub fn fill(worker: &Worker, settings: &[(usize, Value)]) {
    let mut vars = worker.vars.borrow_mut();
    for (slot, value) in settings {
        store(&mut vars, *slot, value.clone());
    }
}

/// Slots for the names of `varset`.
pub fn slots(settings: Vec<(Str, Value)>, bind: &Arc<dyn Bind>) -> Result<Vec<(usize, Value)>, BindError> {
    settings
        .into_iter()
        .map(|(name, value)| Ok((slot(&name.text(), &**bind)?, value)))
        .collect()
}

/// Assigns `$var(name)` by a name known only now.
///
/// # Errors
/// The name is empty.
pub fn set_by_name(cx: &mut Cx, name: &str, value: Value) -> Result<(), Fault> {
    let bind = cx.bind();
    let slot = slot(name, &*bind).map_err(|error| Fault::script(error.message))?;
    set(cx, slot, value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kahea_module::testing::{FakeBind, Server};

    #[test]
    fn a_variable_is_zero_or_null_until_set() {
        let mut cx = Server::default().invite();
        let bind = FakeBind::default();
        let x = slot("x", &bind).expect("a name");
        let n = Nullable::parse("x", &bind).expect("a name");
        assert_eq!((get(&cx, x), n.get(&cx)), (Value::Int(0), Value::Null));
        set(&mut cx, x, Value::from("text"));
        n.set(&mut cx, Value::Int(0));
        assert_eq!((get(&cx, x), n.get(&cx)), (Value::from("text"), Value::Int(0)));
        set(&mut cx, x, Value::Null);
        n.set(&mut cx, Value::Null);
        assert_eq!((get(&cx, x), n.get(&cx)), (Value::Int(0), Value::Null));
        assert!(names().contains(&"x".to_owned()));
    }

    #[test]
    fn shared_variables_keep_their_kind_when_emptied() {
        let shared = Shared::default();
        let name = Str::from("a");
        assert_eq!(shared.get(&name), Value::Int(0));
        shared.set(&name, Value::from("str"));
        shared.set(&name, Value::Null);
        assert_eq!(shared.get(&name), Value::EMPTY);
        shared.set(&name, Value::Int(41));
        assert_eq!(shared.increment(&name), Value::Int(42));
        shared.set(&name, Value::Null);
        assert_eq!(shared.get(&name), Value::Int(0));
    }

    #[test]
    fn settings_have_a_name_a_kind_and_a_value() {
        let parse = |text: &'static str| parse_setting(&Value::from(text));
        assert_eq!(parse("init=i:-7"), Ok((Str::from("init"), Value::Int(-7))));
        assert_eq!(
            parse("gw=s:sip:h;x=y"),
            Ok((Str::from("gw"), Value::from("sip:h;x=y")))
        );
        for bad in ["", "x", "x=1", "x=i:a", "=i:1", "x=f:1"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
