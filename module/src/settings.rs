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
}

/// Told that a group's parameters changed.
type Changed = Arc<dyn Fn(&Settings) + Send + Sync>;

/// All of them by group and name. Group instances (`group[2].name`) override their group.
#[derive(Default)]
pub struct Settings {
    groups: RwLock<BTreeMap<Str, BTreeMap<Str, Setting>>>,
    told: RwLock<Vec<(&'static str, Changed)>>,
}

impl Settings {
    /// Declares one with the config's value.
    pub fn declare(&self, group: &str, name: &str, value: Value, doc: &str, read_only: bool) {
        let setting = Setting {
            initial: value.clone(),
            value,
            doc: Str::from(doc),
            read_only,
        };
        self.groups
            .write()
            .entry(Str::from(group))
            .or_default()
            .insert(Str::from(name), setting);
    }

    /// Calls `told` after each change in a group, for modules that keep their parameters in a form of their own.
    pub fn on_change(&self, group: &'static str, told: impl Fn(&Settings) + Send + Sync + 'static) {
        self.told.write().push((group, Arc::new(told)));
    }

    fn tell(&self, group: &[u8]) {
        let told = self.told.read();
        let wanted = told.iter().filter(|(of, _)| of.as_bytes() == group);
        let wanted: Vec<Changed> = wanted.map(|(_, told)| told.clone()).collect();
        drop(told);
        wanted.iter().for_each(|told| told(self));
    }

    /// Its value; `None` where there is no such parameter.
    pub fn get(&self, group: &[u8], name: &[u8]) -> Option<Value> {
        self.groups
            .read()
            .get(group)?
            .get(name)
            .map(|setting| setting.value.clone())
    }

    /// Changes it; `false` where there is no such parameter, it cannot be changed, or the value is of another type.
    pub fn set(&self, group: &[u8], name: &[u8], value: Value) -> bool {
        let mut groups = self.groups.write();
        let Some(setting) = groups.get_mut(group).and_then(|names| names.get_mut(name)) else {
            return false;
        };
        let fits = std::mem::discriminant(&setting.initial) == std::mem::discriminant(&value);
        if setting.read_only || !fits {
            return false;
        }
        setting.value = value;
        drop(groups);
        self.tell(group);
        true
    }

    /// Back to the config's values; `false` where there is no such group.
    pub fn reset(&self, group: &[u8]) -> bool {
        {
            let mut groups = self.groups.write();
            let Some(names) = groups.get_mut(group) else {
                return false;
            };
            names
                .values_mut()
                .for_each(|setting| setting.value = setting.initial.clone());
        }
        self.tell(group);
        true
    }

    /// The names of the groups.
    pub fn groups(&self) -> Vec<Str> {
        self.groups.read().keys().cloned().collect()
    }

    /// The parameters of a group.
    pub fn group(&self, group: &[u8]) -> Vec<(Str, Setting)> {
        self.groups.read().get(group).map_or_else(Vec::new, |names| {
            names
                .iter()
                .map(|(name, setting)| (name.clone(), setting.clone()))
                .collect()
        })
    }
}
