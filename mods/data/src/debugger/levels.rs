//! Log levels and facilities of modules: `mod_level`, `mod_facility`, and the commands that change them.

use std::sync::Arc;

use kahea_module::{BindError, Env, Value, log};
use parking_lot::Mutex;

/// The names of syslog(3) with their numbers.
const FACILITIES: [(&str, i32); 20] = [
    ("KERN", 0),
    ("USER", 1),
    ("MAIL", 2),
    ("DAEMON", 3),
    ("AUTH", 4),
    ("SYSLOG", 5),
    ("LPR", 6),
    ("NEWS", 7),
    ("UUCP", 8),
    ("CRON", 9),
    ("AUTHPRIV", 10),
    ("FTP", 11),
    ("LOCAL0", 16),
    ("LOCAL1", 17),
    ("LOCAL2", 18),
    ("LOCAL3", 19),
    ("LOCAL4", 20),
    ("LOCAL5", 21),
    ("LOCAL6", 22),
    ("LOCAL7", 23),
];

/// A facility by its name, with or without `LOG_`.
pub(super) fn facility(name: &str) -> Option<i32> {
    let upper = name.trim().to_ascii_uppercase();
    let bare = upper.strip_prefix("LOG_").unwrap_or(&upper);
    FACILITIES
        .iter()
        .find(|(known, _)| *known == bare)
        .map(|(_, number)| number << 3)
}

/// A facility's name.
pub(super) fn facility_name(number: i32) -> String {
    FACILITIES
        .iter()
        .find(|(_, known)| known << 3 == number)
        .map_or_else(|| number.to_string(), |(name, _)| format!("LOG_{name}"))
}

/// `module=value`.
pub(super) fn pair(text: &str) -> Result<(String, String), BindError> {
    match text.split_once('=') {
        Some((module, value)) if !module.trim().is_empty() && !value.trim().is_empty() => {
            Ok((module.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err(BindError::new(format!("'{text}' is no setting of a module")).help("write MODULE=VALUE")),
    }
}

/// A level by its number or name.
pub(super) fn level(text: &str) -> Result<i64, BindError> {
    if let Ok(number) = text.parse::<i64>() {
        return Ok(number);
    }
    log::Level::parse(text).map(log::Level::number).ok_or_else(|| {
        BindError::new(format!("'{text}' is no log level")).help("write a number from -5 to 3")
    })
}

/// What was set, whether it is in force or not.
#[derive(Default)]
pub(super) struct Levels(Mutex<log::Modules>);

impl Levels {
    /// Changes what is set, and puts it in force as the settings `dbg.mod_level_mode` and `dbg.mod_facility_mode` say.
    pub fn change(&self, config: &kahea_module::settings::Settings, change: impl FnOnce(&mut log::Modules)) {
        let mut all = self.0.lock();
        change(&mut all);
        let is_on = |name: &[u8]| config.get(b"dbg", name).and_then(|value| value.int()) == Some(1);
        let mut in_force = all.clone();
        if !is_on(b"mod_level_mode") {
            in_force.levels.clear();
        }
        if !is_on(b"mod_facility_mode") {
            in_force.facilities.clear();
        }
        log::set_modules(in_force);
    }

    /// What is set.
    pub fn get(&self) -> log::Modules {
        self.0.lock().clone()
    }
}

/// Declares the settings and puts the parameters in force.
pub(super) fn start(
    env: &mut Env<'_>,
    level_mode: bool,
    levels: Vec<(String, i64)>,
    facility_mode: bool,
    facilities: Vec<(String, i32)>,
) {
    let doc = "Whether levels of modules are in force.";
    env.settings
        .declare("dbg", "mod_level_mode", Value::from(level_mode), doc, false);
    let doc = "Whether facilities of modules are in force.";
    env.settings
        .declare("dbg", "mod_facility_mode", Value::from(facility_mode), doc, false);
    let kept: Arc<Levels> = env.shared.keep(Levels::default);
    kept.change(env.settings, |all| {
        all.levels.extend(levels);
        all.facilities.extend(facilities);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_read() {
        assert_eq!(facility("LOG_LOCAL0"), Some(128));
        assert_eq!(facility("daemon"), Some(24));
        assert_eq!(facility("LOG_NOPE"), None);
        assert_eq!(facility_name(128), "LOG_LOCAL0");
        assert_eq!(pair("tm = 3").expect("a pair"), ("tm".to_owned(), "3".to_owned()));
        assert!(pair("tm").is_err() && pair("=3").is_err());
        assert_eq!(level("L_DBG").expect("a level"), 3);
        assert!(level("loud").is_err());
    }
}
