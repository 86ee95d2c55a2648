//! Small things that functions of several modules keep with a message, by [`Cx::extra`].

use crate::{Cx, Str, Value};

/// Script flags 0–31 (`setsflag()`, `$sf`): they last as long as the message is in work here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScriptFlags(pub u32);

/// `KSR.set_drop()`: once the script has ended the message goes no further.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DropRequested(pub bool);

/// The request was answered finally or sent on, so that a script which fails after that owes it no 500.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settled(pub bool);

impl Settled {
    /// Notes it.
    pub fn note(cx: &mut Cx) {
        cx.extra::<Settled>().0 = true;
    }

    /// It was.
    pub fn is(cx: &Cx) -> bool {
        cx.extra_ref::<Settled>().is_some_and(|settled| settled.0)
    }
}

/// The group instances that `cfg_select()` chose for this message.
#[derive(Clone, Debug, Default)]
pub struct Selected {
    groups: Vec<(Str, Str)>,
}

impl Selected {
    /// From now on `group[id]` stands before `group`.
    pub fn select(&mut self, group: &[u8], id: i64) {
        self.reset(group);
        let instance = Str::from(format!("{}[{id}]", String::from_utf8_lossy(group)));
        self.groups.push((Str::copy(group), instance));
    }

    /// `group` stands for itself again.
    pub fn reset(&mut self, group: &[u8]) {
        self.groups.retain(|(known, _)| **known != *group);
    }
}

/// A run-time parameter as this message sees it: of the chosen instance where it has one, else of the group.
pub fn setting(cx: &Cx, group: &[u8], name: &[u8]) -> Option<Value> {
    let settings = &cx.worker.config.settings;
    let chosen = cx
        .extra_ref::<Selected>()
        .and_then(|selected| selected.groups.iter().find(|(known, _)| **known == *group));
    chosen
        .and_then(|(_, instance)| settings.get(instance, name))
        .or_else(|| settings.get(group, name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Server;

    #[test]
    fn a_chosen_instance_stands_before_its_group() {
        let server = Server::new(|config| {
            let settings = &config.settings;
            settings.declare("pstn", "gw", Value::Int(1), "", false);
            settings.declare("pstn", "port", Value::Int(5060), "", false);
            settings.declare("pstn[7]", "gw", Value::Int(2), "", false);
        });
        let mut cx = server.invite();
        cx.extra::<Selected>().select(b"pstn", 7);
        assert_eq!(setting(&cx, b"pstn", b"gw"), Some(Value::Int(2)));
        assert_eq!(setting(&cx, b"pstn", b"port"), Some(Value::Int(5060)));
        cx.extra::<Selected>().reset(b"pstn");
        assert_eq!(setting(&cx, b"pstn", b"gw"), Some(Value::Int(1)));
        assert_eq!(setting(&cx, b"pstn", b"nope"), None);
    }
}
