//! `log_prefix`: text with variables in front of every line that a message causes.

use std::sync::Arc;

use kahea_module::{Bind, BindError, Cx, Format, globals::Globals, log};

/// The compiled prefix.
pub struct Prefix {
    format: Format,
    /// `log_prefix_mode`: worked out anew before each step of the script, not only when the message comes.
    pub live: bool,
}

/// What a message is under way with, so that it has its prefix again after a wait.
#[derive(Default)]
struct InForce {
    prefix: Option<Arc<Prefix>>,
    text: Arc<[u8]>,
}

impl Prefix {
    /// What the configuration asks for; `None` without a `log_prefix`.
    ///
    /// # Errors
    /// The text holds a variable that does not exist.
    pub fn of(globals: &Globals, bind: &dyn Bind) -> Result<Option<Prefix>, BindError> {
        let Some(text) = &globals.log_prefix else {
            return Ok(None);
        };
        let format = bind.format(&text.text())?;
        Ok(Some(Prefix {
            format,
            live: globals.log_prefix_mode == 1,
        }))
    }

    /// Puts it in front of the lines of this thread until [`leave`].
    pub fn enter(self: &Arc<Self>, cx: &mut Cx) {
        // Lines that the variables themselves cause have none.
        log::set_prefix(b"");
        let mut text = Vec::new();
        self.format.push_to(cx, &mut text);
        log::set_prefix(&text);
        *cx.extra() = InForce {
            prefix: Some(self.clone()),
            text: text.into(),
        };
    }
}

/// The message goes on after a wait: its prefix is in force again, until [`leave`].
pub fn resume(cx: &mut Cx) {
    let Some(InForce {
        prefix: Some(prefix),
        text,
    }) = cx.extra_ref()
    else {
        return;
    };
    if prefix.live {
        let prefix = prefix.clone();
        prefix.enter(cx);
    } else {
        log::set_prefix(text);
    }
}

/// The prefix of the message as it was last worked out; empty where there is none.
pub fn text_of(cx: &Cx) -> Arc<[u8]> {
    cx.extra_ref::<InForce>()
        .map_or_else(Arc::default, |in_force| in_force.text.clone())
}

/// What was in front of this thread's lines, while a message within another's work has its own there.
pub struct Outer(Vec<u8>);

/// The prefix in force makes room, until [`Outer::restore`].
pub fn make_room() -> Outer {
    Outer(log::take_prefix())
}

impl Outer {
    /// It is in force again.
    pub fn restore(self) {
        log::put_prefix(self.0);
    }
}

/// A message that a route is run on: one that has no prefix so far, because it did not come from the network but was
/// taken up again or made here, gets its own.
pub fn begin(prefix: &Arc<Prefix>, cx: &mut Cx) {
    if cx.extra_ref::<InForce>().is_some() {
        resume(cx);
    } else {
        prefix.enter(cx);
    }
}

/// Lines of this thread begin with this text until [`leave`].
pub fn enter_text(text: &[u8]) {
    log::set_prefix(text);
}

/// Lines of this thread belong to no message from now on.
pub fn leave() {
    log::set_prefix(b"");
}
