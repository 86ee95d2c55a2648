//! The parameters that change while the server runs (group `registrar`).

use std::sync::Arc;

use kahea_module::{
    Cx, Env, Str, Value,
    settings::Settings,
    state,
    stats::{Counter, Stats},
};
use parking_lot::RwLock;

use super::{aor::Rules, params::Params};

/// The values now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Live {
    pub realm_prefix: Str,
    pub default_expires: u32,
    pub default_expires_range: u32,
    pub expires_range: u32,
    pub min_expires: u32,
    pub max_expires: u32,
    pub max_contacts: u32,
    pub retry_after: u32,
    pub case_sensitive: bool,
    pub default_q: Option<u16>,
    pub append_branches: bool,
    pub use_expired_contacts: bool,
}

/// Statistics that show parameters.
pub(crate) const GAUGES: [(&str, &str); 5] = [
    ("max_expires", "The parameter max_expires."),
    ("max_contacts", "The parameter max_contacts."),
    ("default_expire", "The parameter default_expires."),
    ("default_expires_range", "The parameter default_expires_range."),
    ("expires_range", "The parameter expires_range."),
];

/// The values as the last change left them.
pub(crate) struct LiveCache {
    read: RwLock<Live>,
    gauges: [Counter; 5],
}

const GROUP: &str = "registrar";

/// Declares them with the values of the configuration.
pub(crate) fn declare(params: &Params, env: &Env<'_>) {
    let text = Value::Str(params.realm_prefix.clone());
    let int = Value::Int;
    let doc = "Taken off the front of domains.";
    env.settings.declare(GROUP, "realm_pref", text, doc, false);
    let rows = [
        (
            "default_expires",
            params.default_expires,
            "Seconds for contacts that say nothing.",
        ),
        (
            "default_expires_range",
            params.default_expires_range,
            "Percent that may be taken off default_expires.",
        ),
        (
            "expires_range",
            params.expires_range,
            "Percent that may be taken off what a contact asks for.",
        ),
        (
            "min_expires",
            params.min_expires,
            "The least seconds for a contact; 0 for any.",
        ),
        (
            "max_expires",
            params.max_expires,
            "The most seconds for a contact; 0 for any.",
        ),
        (
            "max_contacts",
            params.max_contacts,
            "The most contacts of an address of record; 0 for any.",
        ),
        (
            "retry_after",
            params.retry_after,
            "Seconds in the Retry-After of 5xx replies; 0 for none.",
        ),
        (
            "case_sensitive",
            params.case_sensitive,
            "Case counts in the user of an address of record.",
        ),
        (
            "default_q",
            params.default_q,
            "The q of contacts that say nothing, in thousandths; below 0 for none.",
        ),
        (
            "append_branches",
            params.append_branches,
            "lookup() makes branches of further contacts.",
        ),
        (
            "use_expired_contacts",
            params.use_expired_contacts,
            "lookup() gives ended contacts too.",
        ),
    ];
    for (name, value, doc) in rows {
        env.settings.declare(GROUP, name, int(value), doc, false);
    }
}

impl LiveCache {
    /// Of the settings as they are declared, and as they change.
    pub fn new(stats: &Stats, settings: &Settings) -> Arc<LiveCache> {
        let cache = Arc::new(LiveCache {
            read: RwLock::default(),
            gauges: GAUGES.map(|(name, doc)| stats.counter(GROUP, name, doc)),
        });
        cache.refresh(settings);
        let weak = Arc::downgrade(&cache);
        settings.on_change(GROUP, move |settings, _| {
            if let Some(cache) = weak.upgrade() {
                cache.refresh(settings);
            }
        });
        cache
    }

    /// The values as this message sees them.
    pub fn get(&self, cx: &Cx) -> Live {
        // cfg_select() chose other values for this message.
        if cx.extra_ref::<state::Selected>().is_some() {
            return Live::read(|name| state::setting(cx, GROUP.as_bytes(), name));
        }
        self.read.read().clone()
    }

    fn refresh(&self, settings: &Settings) {
        // Read under the lock, so that of two changes at once the later reading is the one that stays.
        let mut read = self.read.write();
        let live = Live::read(|name| settings.get(GROUP.as_bytes(), name));
        let figures = [
            live.max_expires,
            live.max_contacts,
            live.default_expires,
            live.default_expires_range,
            live.expires_range,
        ];
        for (gauge, figure) in self.gauges.iter().zip(figures) {
            gauge.set(figure.into());
        }
        *read = live;
    }
}

impl Live {
    fn read(get: impl Fn(&[u8]) -> Option<Value>) -> Live {
        let number = |name: &str| get(name.as_bytes()).and_then(|value| value.int()).unwrap_or(0);
        let count = |name: &str| u32::try_from(number(name).max(0)).unwrap_or(u32::MAX);
        Live {
            realm_prefix: get(b"realm_pref")
                .and_then(|value| value.str())
                .unwrap_or_default(),
            default_expires: count("default_expires"),
            default_expires_range: count("default_expires_range").min(100),
            expires_range: count("expires_range").min(100),
            min_expires: count("min_expires"),
            max_expires: count("max_expires"),
            max_contacts: count("max_contacts"),
            retry_after: count("retry_after"),
            case_sensitive: number("case_sensitive") != 0,
            default_q: u16::try_from(number("default_q")).ok().filter(|q| *q <= 1000),
            append_branches: number("append_branches") != 0,
            use_expired_contacts: number("use_expired_contacts") != 0,
        }
    }

    /// How addresses of record are made.
    pub fn rules(&self, use_domain: bool) -> Rules {
        Rules {
            use_domain,
            case_sensitive: self.case_sensitive,
            realm_prefix: self.realm_prefix.clone(),
        }
    }
}
