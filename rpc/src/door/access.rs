//! Who may use a socket or pipe: owner, group and mode of its file.

use std::path::Path;

use kahea_module::{InitError, Str, Value, globals::Globals, param::ParamValue};
use nix::unistd::{Gid, Group, Uid, User};

/// Owner, group and mode of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Permission bits; never for others to write.
    pub mode: u32,
    user: Option<Uid>,
    group: Option<Gid>,
}

/// A user or a group, as a parameter names it: by name or number.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Account(Option<Str>);

impl ParamValue for Account {
    const TYPE: &'static str = "string";

    fn assign(&mut self, value: &Value) -> Result<(), kahea_module::BindError> {
        self.0 = value.str().filter(|text| !text.is_empty());
        Ok(())
    }
}

impl Account {
    fn uid(&self) -> Result<Option<Uid>, InitError> {
        let Some(name) = self.0.as_ref().map(|name| name.text().into_owned()) else {
            return Ok(None);
        };
        if let Ok(number) = name.parse() {
            return Ok(Some(Uid::from_raw(number)));
        }
        let known = User::from_name(&name).ok().flatten();
        known
            .map(|user| Some(user.uid))
            .ok_or_else(|| unknown("user", &name))
    }

    fn gid(&self) -> Result<Option<Gid>, InitError> {
        let Some(name) = self.0.as_ref().map(|name| name.text().into_owned()) else {
            return Ok(None);
        };
        if let Ok(number) = name.parse() {
            return Ok(Some(Gid::from_raw(number)));
        }
        let known = Group::from_name(&name).ok().flatten();
        known
            .map(|group| Some(group.gid))
            .ok_or_else(|| unknown("group", &name))
    }
}

fn unknown(what: &str, name: &str) -> InitError {
    InitError::new(format!("there is no {what} {name}")).help("name one of this machine, or its number")
}

/// Others may never write: whoever writes there commands the server.
const OTHERS_WRITE: u32 = 0o002;

impl Access {
    /// Of parameters. What they leave open is the user and the group that the server runs as.
    ///
    /// # Errors
    /// There is no such user or group, or the mode is none.
    pub fn new(mode: i64, user: &Account, group: &Account, globals: &Globals) -> Result<Access, InitError> {
        let bits = u32::try_from(mode)
            .ok()
            .filter(|bits| *bits <= 0o777)
            .ok_or_else(|| InitError::new(format!("{mode:#o} is no mode")).help("write it as 0660"))?;
        if bits & OTHERS_WRITE != 0 {
            let rest = bits & !OTHERS_WRITE;
            kahea_module::warning!(
                "rpc",
                "Mode {bits:#o} would let every user of this machine command the server; {rest:#o} is used."
            );
        }
        let (runs_as, runs_in) = (Account(globals.user.clone()), Account(globals.group.clone()));
        Ok(Access {
            mode: bits & !OTHERS_WRITE,
            user: user.uid()?.or(runs_as.uid()?),
            group: group.gid()?.or(runs_in.gid()?),
        })
    }

    /// Gives a file this owner and mode.
    ///
    /// # Errors
    /// The server may not do that.
    pub fn apply(&self, path: &Path) -> std::io::Result<()> {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(self.mode))?;
        if self.user.is_some() || self.group.is_some() {
            nix::unistd::chown(path, self.user, self.group)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(text: &'static str) -> Account {
        Account(Some(Str::from_static(text)))
    }

    #[test]
    fn others_never_write() {
        let nobody = Account::default();
        let mode = |mode| Access::new(mode, &nobody, &nobody, &Globals::default()).map(|access| access.mode);
        assert_eq!(mode(0o600).ok(), Some(0o600));
        assert_eq!(mode(0o666).ok(), Some(0o664));
        assert_eq!(mode(0o777).ok(), Some(0o775));
        assert!(mode(-1).is_err());
        assert!(mode(0o1777).is_err());
    }

    #[test]
    fn accounts_are_names_or_numbers() {
        assert_eq!(account("0").uid().unwrap(), Some(Uid::from_raw(0)));
        assert_eq!(account("root").uid().unwrap(), Some(Uid::from_raw(0)));
        assert_eq!(account("4711").gid().unwrap(), Some(Gid::from_raw(4711)));
        assert!(account("no such user").uid().is_err());
        assert!(account("no such group").gid().is_err());
    }
}
