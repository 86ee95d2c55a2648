//! The name of a location table as it stands in the script.

use std::sync::{Arc, OnceLock};

use kahea_module::{Bind, BindError, Fault, Literal, Str};

use crate::usrloc::{Domain, Service, TABLES};

/// A location table that the script names: looked up at its first use.
pub(crate) struct Table {
    name: Str,
    domain: OnceLock<Arc<Domain>>,
}

impl Literal for Table {
    const WHAT: &'static str = "the name of a location table";

    fn parse(text: &str, bind: &dyn Bind) -> Result<Table, BindError> {
        let name = text.trim();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        if name.is_empty() || !name.bytes().all(plain) {
            return Err(
                BindError::new(format!("'{text}' cannot be the name of a location table"))
                    .help("write it as it is, without variables: \"location\""),
            );
        }
        bind.note(TABLES, name);
        Ok(Table {
            name: Str::from(name),
            domain: OnceLock::new(),
        })
    }
}

impl Table {
    /// The table itself.
    ///
    /// # Errors
    /// Nobody named it before the server started.
    pub fn domain(&self, service: &Service) -> Result<&Arc<Domain>, Fault> {
        if let Some(known) = self.domain.get() {
            return Ok(known);
        }
        let found = service.domain(&self.name).ok_or_else(|| {
            Fault::script(format!(
                "the location table {} is not known: modparam(\"usrloc\", \"preload\", \"{}\") makes it",
                self.name, self.name
            ))
            .code(-3)
        })?;
        Ok(self.domain.get_or_init(|| found))
    }
}
