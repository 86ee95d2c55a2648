//! What the script refers to, for findings about what it does not: routes never called, variables never set.

use std::collections::{HashMap, HashSet};

use kahea_diag::Span;
use kahea_module::Str;

use crate::pv::Pv;

/// References collected while route blocks are compiled.
#[derive(Debug, Default)]
pub(super) struct Usage {
    texts: HashSet<Str>,
    dynamic: bool,
    set: HashSet<String>,
    read: HashMap<String, Span>,
    /// Texts with variables can set and read any.
    opaque: bool,
}

impl Usage {
    /// A constant text that may name a route block.
    pub(super) fn text(&mut self, text: &[u8]) {
        self.texts.insert(Str::copy(text));
        if text.windows(5).any(|part| part == b"$var(") {
            self.mentions(text);
        }
    }

    /// Variables in a text count as set: the function may write them (`sql_result`, `regex_substring`).
    fn mentions(&mut self, text: &[u8]) {
        let text = String::from_utf8_lossy(text);
        for part in text.split("$var(").skip(1) {
            if let Some((name, _)) = part.split_once(')') {
                self.set.insert(name.to_owned());
            }
        }
        self.opaque |= text.contains("$var($");
    }

    /// A route is called by a name that only the run knows.
    pub(super) fn dynamic_route(&mut self) {
        self.dynamic = true;
    }

    /// A variable is assigned.
    pub(super) fn assigned(&mut self, pv: &Pv) {
        if let Some(name) = script_variable(pv) {
            self.opaque |= name.contains('$');
            self.set.insert(name);
        }
    }

    /// A variable is read.
    pub(super) fn read(&mut self, pv: &Pv) {
        if let Some(name) = script_variable(pv) {
            self.opaque |= name.contains('$');
            self.read.entry(name).or_insert(pv.span);
        }
    }

    /// Nothing refers to this route block.
    pub(super) fn is_unused(&self, name: &Str) -> bool {
        !self.dynamic && !self.texts.contains(name)
    }

    /// `$var(name)` that are read and never set, with their first use.
    pub(super) fn never_set(&self) -> Vec<(&str, Span)> {
        if self.opaque {
            return Vec::new();
        }
        let unset = self.read.iter().filter(|(name, _)| !self.set.contains(*name));
        unset.map(|(name, span)| (name.as_str(), *span)).collect()
    }
}

/// The name of a `$var()`, `$vz()` or `$vn()`.
fn script_variable(pv: &Pv) -> Option<String> {
    let is_script = matches!(&*pv.name.text, "var" | "vz" | "vn");
    is_script
        .then(|| pv.inner.as_ref().map(|inner| inner.raw.value.text().into_owned()))
        .flatten()
}
