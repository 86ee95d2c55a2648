//! `log_prefix`: text with variables in front of every line that a message causes.

use kahea_module::{Bind, BindError, Cx, Format, globals::Globals, log};

/// The compiled prefix.
#[derive(Clone)]
pub struct Prefix {
    format: Format,
    /// `log_prefix_mode`: worked out anew whenever the message goes on, not only when it comes.
    pub live: bool,
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
    pub fn enter(&self, cx: &mut Cx) {
        // Lines that the variables themselves cause have none.
        log::set_prefix(b"");
        let mut text = Vec::new();
        self.format.push_to(cx, &mut text);
        log::set_prefix(&text);
    }
}

/// Lines of this thread belong to no message from now on.
pub fn leave() {
    log::set_prefix(b"");
}
