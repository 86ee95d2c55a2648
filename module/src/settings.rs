//! Parameters that change while the server runs: Kamailio's `group.name` framework (`$sel(cfg_get.group.name)`, `cfg.*` RPC).

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::RwLock;

use crate::{Str, Value};

/// One parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// Its value.
    pub value: Value,
    /// What the config gave, for `cfg_reset`.
    pub initial: Value,
    /// One sentence.
    pub doc: Str,
    /// Cannot be changed.
    pub read_only: bool,
    /// The least and the most that a number may be; without both any.
    pub range: Option<(i64, i64)>,
    /// Its place among those of its group, in the order of declaration.
    order: usize,
}

impl Setting {
    /// The value in the type of this parameter: texts of digits become numbers, numbers texts. `None` where it is neither, out
    /// of range, or the parameter cannot be changed.
    pub fn fit(&self, value: Value) -> Option<Value> {
        if self.read_only {
            return None;
        }
        match self.initial {
            Value::Int(_) => {
                let n = value.int()?;
                let within = self.range.is_none_or(|(least, most)| (least..=most).contains(&n));
                within.then_some(Value::Int(n))
            }
            Value::Str(_) | Value::Null => value.str().map(Value::Str),
        }
    }
}

/// What to do when the parameter of that name in a group has a new value.
type Changed = Arc<dyn Fn(&Settings, &[u8]) + Send + Sync>;

/// All of them by group and name. Group instances (`group[2].name`) override their group.
#[derive(Default)]
pub struct Settings {
    groups: RwLock<BTreeMap<Str, BTreeMap<Str, Setting>>>,
    watchers: RwLock<Vec<(&'static str, Changed)>>,
}

impl Settings {
    /// Declares one with the config's value.
    pub fn declare(&self, group: &str, name: &str, value: Value, doc: &str, read_only: bool) {
        let mut groups = self.groups.write();
        let names = groups.entry(Str::from(group)).or_default();
        let setting = Setting {
            initial: value.clone(),
            value,
            doc: Str::from(doc),
            read_only,
            range: None,
            order: names.len(),
        };
        names.insert(Str::from(name), setting);
    }

    /// Bounds a declared number.
    pub fn bound(&self, group: &str, name: &str, least: i64, most: i64) {
        let mut groups = self.groups.write();
        let setting = groups
            .get_mut(group.as_bytes())
            .and_then(|names| names.get_mut(name.as_bytes()));
        if let Some(setting) = setting {
            setting.range = Some((least, most));
        }
    }

    /// Calls `changed` with the name of each parameter of a group after it has a new value, for modules that keep their
    /// parameters in a form of their own; not for those of its instances.
    pub fn on_change(&self, group: &'static str, changed: impl Fn(&Settings, &[u8]) + Send + Sync + 'static) {
        self.watchers.write().push((group, Arc::new(changed)));
    }

    /// Its value; `None` where there is no such parameter.
    pub fn get(&self, group: &[u8], name: &[u8]) -> Option<Value> {
        self.groups
            .read()
            .get(group)?
            .get(name)
            .map(|setting| setting.value.clone())
    }

    /// All that is known of it.
    pub fn find(&self, group: &[u8], name: &[u8]) -> Option<Setting> {
        self.groups.read().get(group)?.get(name).cloned()
    }

    /// Changes it; `false` where there is no such parameter, it cannot be changed, or the value is of another type.
    pub fn set(&self, group: &[u8], name: &[u8], value: Value) -> bool {
        {
            let mut groups = self.groups.write();
            let Some(setting) = groups.get_mut(group).and_then(|names| names.get_mut(name)) else {
                return false;
            };
            let fits = std::mem::discriminant(&setting.initial) == std::mem::discriminant(&value);
            let Some(value) = setting.fit(value).filter(|_| fits) else {
                return false;
            };
            setting.value = value;
        }
        self.tell(group, name);
        true
    }

    /// Back to the config's values; `false` where there is no such group.
    pub fn reset(&self, group: &[u8]) -> bool {
        let changed: Vec<Str> = match self.groups.write().get_mut(group) {
            Some(names) => names
                .iter_mut()
                .filter(|(_, setting)| setting.value != setting.initial)
                .map(|(name, setting)| {
                    setting.value = setting.initial.clone();
                    name.clone()
                })
                .collect(),
            None => return false,
        };
        changed.iter().for_each(|name| self.tell(group, name));
        true
    }

    /// Watchers run without a lock: they may read and set.
    fn tell(&self, group: &[u8], name: &[u8]) {
        let watchers = self.watchers.read();
        let of_group = watchers.iter().filter(|(of, _)| of.as_bytes() == group);
        let of_group: Vec<Changed> = of_group.map(|(_, changed)| changed.clone()).collect();
        drop(watchers);
        of_group.iter().for_each(|changed| changed(self, name));
    }

    /// Makes an instance of a group, without values of its own yet; `false` where there is no such group.
    pub fn add_instance(&self, group: &[u8], id: u32) -> bool {
        let mut groups = self.groups.write();
        if !groups.contains_key(group) {
            return false;
        }
        groups.entry(instance(group, id)).or_default();
        true
    }

    /// Removes an instance; `false` where there is none.
    pub fn remove_instance(&self, group: &[u8], id: u32) -> bool {
        self.groups.write().remove(&instance(group, id)).is_some()
    }

    /// There is such an instance.
    pub fn has_instance(&self, group: &[u8], id: u32) -> bool {
        self.groups.read().contains_key(&instance(group, id))
    }

    /// Gives an instance a value of its own, or takes it away; `false` where there is no such instance or parameter, or the
    /// value does not fit.
    pub fn set_in_instance(&self, group: &[u8], id: u32, name: &[u8], value: Option<Value>) -> bool {
        let mut groups = self.groups.write();
        let Some(base) = groups.get(group).and_then(|names| names.get(name)).cloned() else {
            return false;
        };
        let Some(own) = groups.get_mut(&instance(group, id)) else {
            return false;
        };
        let Some(value) = value else {
            own.remove(name);
            return true;
        };
        let Some(value) = base.fit(value) else {
            return false;
        };
        own.insert(Str::copy(name), Setting { value, ..base });
        true
    }

    /// The names of the groups, instances not among them.
    pub fn groups(&self) -> Vec<Str> {
        let groups = self.groups.read();
        let names = groups.keys().filter(|name| !name.ends_with(b"]"));
        names.cloned().collect()
    }

    /// The parameters of a group, in the order of declaration.
    pub fn group(&self, group: &[u8]) -> Vec<(Str, Setting)> {
        let mut all: Vec<(Str, Setting)> = self.groups.read().get(group).map_or_else(Vec::new, |names| {
            names
                .iter()
                .map(|(name, setting)| (name.clone(), setting.clone()))
                .collect()
        });
        all.sort_by_key(|(_, setting)| setting.order);
        all
    }
}

fn instance(group: &[u8], id: u32) -> Str {
    Str::from(format!("{}[{id}]", String::from_utf8_lossy(group)))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    fn settings() -> Settings {
        let settings = Settings::default();
        settings.declare("g", "z", Value::Int(5), "a number", false);
        settings.declare("g", "a", Value::Str(Str::from_static("x")), "a text", false);
        settings.declare("g", "fixed", Value::Int(1), "", true);
        settings
    }

    #[test]
    fn groups_keep_the_order_of_declaration() {
        let names: Vec<Str> = settings().group(b"g").into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["z", "a", "fixed"].map(Str::from_static));
    }

    #[test]
    fn values_have_to_fit() {
        let settings = settings();
        settings.bound("g", "z", 0, 10);
        assert!(settings.set(b"g", b"z", Value::Int(10)));
        assert!(!settings.set(b"g", b"z", Value::Int(11)));
        assert!(!settings.set(b"g", b"z", Value::Str(Str::from_static("5"))));
        assert!(!settings.set(b"g", b"fixed", Value::Int(2)));
        let z = settings.find(b"g", b"z").unwrap();
        assert_eq!(z.fit(Value::Str(Str::from_static("7"))), Some(Value::Int(7)));
        assert_eq!(z.fit(Value::Str(Str::from_static("x"))), None);
        let a = settings.find(b"g", b"a").unwrap();
        assert_eq!(a.fit(Value::Int(7)), Some(Value::Str(Str::from_static("7"))));
    }

    #[test]
    fn watchers_hear_of_changes() {
        let settings = settings();
        let seen = Arc::new(AtomicI64::new(0));
        let own = seen.clone();
        settings.on_change("g", move |settings, name| {
            let value = settings.get(b"g", name).filter(|_| name == b"z");
            own.store(
                value.and_then(|value| value.int()).unwrap_or(-1),
                Ordering::Relaxed,
            );
        });
        settings.set(b"g", b"z", Value::Int(9));
        assert_eq!(seen.load(Ordering::Relaxed), 9);
        settings.reset(b"g");
        assert_eq!(seen.load(Ordering::Relaxed), 5);
        settings.add_instance(b"g", 1);
        settings.set_in_instance(b"g", 1, b"z", Some(Value::Int(3)));
        assert_eq!(seen.load(Ordering::Relaxed), 5);
    }

    #[test]
    fn instances_have_values_of_their_own_until_they_are_taken_away() {
        let settings = settings();
        assert!(!settings.set_in_instance(b"g", 1, b"z", Some(Value::Int(3))));
        assert!(settings.add_instance(b"g", 1) && !settings.add_instance(b"none", 1));
        assert!(settings.set_in_instance(b"g", 1, b"z", Some(Value::Int(3))));
        assert!(!settings.set_in_instance(b"g", 1, b"none", Some(Value::Int(3))));
        assert_eq!(settings.get(b"g[1]", b"z"), Some(Value::Int(3)));
        assert_eq!(settings.groups(), [Str::from("g")]);
        assert!(settings.set_in_instance(b"g", 1, b"z", None));
        assert_eq!(settings.get(b"g[1]", b"z"), None);
        assert!(settings.remove_instance(b"g", 1) && !settings.has_instance(b"g", 1));
    }
}
