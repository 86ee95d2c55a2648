//! Who the server runs as, and where: user, group, root and working directory, limits, pid files.

use std::{
    ffi::CString,
    fs, io,
    path::{Path, PathBuf},
};

use kahea_module::{Str, globals::Globals};
use nix::{
    sys::{
        prctl,
        resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit},
        signal::kill,
    },
    unistd::{Gid, Group, Pid, Uid, User, chdir, chown, chroot, getpgrp, initgroups, setgid, setuid},
};

/// What the process becomes once its sockets are open. Names are looked up at the beginning: later the files that hold
/// them may be out of reach.
pub struct Identity {
    user: Option<(Uid, Option<CString>)>,
    group: Option<Gid>,
    root: Option<String>,
    work_dir: Option<String>,
    run_dir: PathBuf,
    pid_files: PidFiles,
}

impl Identity {
    /// From the configuration, which the command line has overruled already.
    ///
    /// # Errors
    /// There is no such user or group.
    pub fn of(globals: &Globals, pid_files: PidFiles, work_dir: Option<&str>) -> Result<Identity, String> {
        let named = |text: &Option<Str>| text.as_ref().map(|text| text.text().into_owned());
        let (user, primary) = match named(&globals.user) {
            Some(name) => {
                let (uid, gid, name) = user(&name)?;
                (Some((uid, name)), gid)
            }
            None => (None, None),
        };
        let group = match named(&globals.group) {
            Some(name) => Some(group(&name)?),
            None => primary,
        };
        Ok(Identity {
            user,
            group,
            root: named(&globals.chroot),
            work_dir: named(&globals.workdir).or_else(|| work_dir.map(str::to_owned)),
            run_dir: PathBuf::from(&*globals.rundir.text()),
            pid_files,
        })
    }

    /// Changes directories, writes pid files, and gives privileges up: in this order, because each needs the former.
    ///
    /// # Errors
    /// What failed and why, one sentence.
    pub fn assume(&mut self) -> Result<(), String> {
        if let Some(root) = &self.root {
            chroot(root.as_str())
                .map_err(|error| format!("cannot make {root} the root directory: {error}"))?;
            chdir("/").map_err(|error| format!("cannot go to the new root directory: {error}"))?;
        }
        if let Some(dir) = &self.work_dir {
            chdir(dir.as_str())
                .map_err(|error| format!("cannot go to the working directory {dir}: {error}"))?;
        }
        self.make_run_dir();
        self.pid_files.write()?;
        if let Some(gid) = self.group {
            setgid(gid).map_err(|error| {
                format!("cannot change to group {gid}: {error}; start as root, or leave -g out")
            })?;
        }
        if let Some((uid, name)) = &self.user {
            if let (Some(name), Some(gid)) = (name, self.group) {
                initgroups(name, gid).map_err(|error| {
                    format!("cannot take the groups of user {uid}: {error}; start as root, or leave -u out")
                })?;
            }
            setuid(*uid).map_err(|error| {
                format!("cannot change to user {uid}: {error}; start as root, or leave -u out")
            })?;
        }
        Ok(())
    }

    /// The directory of the control socket, made for the run user where it is missing.
    fn make_run_dir(&self) {
        if self.run_dir.exists() || fs::create_dir_all(&self.run_dir).is_err() {
            return;
        }
        // Where it fails the control socket cannot be opened there, which is reported then.
        let _ = chown(&self.run_dir, self.user.as_ref().map(|(uid, _)| *uid), self.group);
    }

    /// Removes the pid files.
    pub fn leave(&self) {
        self.pid_files.remove();
    }
}

fn user(name: &str) -> Result<(Uid, Option<Gid>, Option<CString>), String> {
    let found = match name.parse() {
        Ok(number) => User::from_uid(Uid::from_raw(number))
            .ok()
            .flatten()
            .ok_or_else(|| Uid::from_raw(number)),
        Err(_) => match User::from_name(name).ok().flatten() {
            Some(user) => Ok(user),
            None => {
                return Err(format!(
                    "there is no user {name}: name one of this machine with -u or user="
                ));
            }
        },
    };
    Ok(match found {
        Ok(user) => (user.uid, Some(user.gid), CString::new(user.name).ok()),
        Err(uid) => (uid, None, None),
    })
}

fn group(name: &str) -> Result<Gid, String> {
    if let Ok(number) = name.parse() {
        return Ok(Gid::from_raw(number));
    }
    match Group::from_name(name).ok().flatten() {
        Some(group) => Ok(group.gid),
        None => Err(format!(
            "there is no group {name}: name one of this machine with -g or group="
        )),
    }
}

/// `-P` and `-G`.
#[derive(Clone, Debug, Default)]
pub struct PidFiles {
    /// Gets the process number.
    pub process: Option<String>,
    /// Gets the number of the process group.
    pub group: Option<String>,
}

impl PidFiles {
    fn write(&self) -> Result<(), String> {
        if let Some(path) = &self.process {
            write_number(path, Pid::this())?;
        }
        match &self.group {
            Some(path) => write_number(path, getpgrp()),
            None => Ok(()),
        }
    }

    fn remove(&self) {
        for path in [&self.process, &self.group].into_iter().flatten() {
            // Out of reach for the run user, or gone.
            let _ = fs::remove_file(path);
        }
    }
}

fn write_number(path: &str, number: Pid) -> Result<(), String> {
    if let Some(other) = running(Path::new(path)) {
        return Err(format!(
            "process {other} of the pid file {path} is running: stop it, or name another file"
        ));
    }
    let write = || -> io::Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = fs::OpenOptions::new().write(true).create_new(true).open(path)?;
        io::Write::write_all(&mut file, format!("{number}\n").as_bytes())
    };
    write().map_err(|error| format!("cannot write the pid file {path}: {error}"))
}

/// The process that an earlier pid file names, where it still runs.
fn running(path: &Path) -> Option<Pid> {
    let text = fs::read_to_string(path).ok()?;
    let pid = Pid::from_raw(text.trim().parse().ok().filter(|pid| *pid > 1)?);
    (pid != Pid::this() && kill(pid, None) != Err(nix::errno::Errno::ESRCH)).then_some(pid)
}

/// `open_files_limit` and `disable_core_dump`.
///
/// # Errors
/// The system refuses, one sentence.
pub fn set_limits(globals: &Globals) -> Result<(), String> {
    if let Ok(wanted) = u64::try_from(globals.open_files_limit) {
        let (now, most) = getrlimit(Resource::RLIMIT_NOFILE).map_err(|error| error.to_string())?;
        if now == RLIM_INFINITY || now < wanted {
            setrlimit(Resource::RLIMIT_NOFILE, wanted, most.max(wanted)).map_err(|error| {
                format!("cannot raise the limit of open files to {wanted} (open_files_limit): {error}; the most here is {most}")
            })?;
        }
    }
    if globals.disable_core_dump {
        setrlimit(Resource::RLIMIT_CORE, 0, 0)
            .map_err(|error| format!("cannot switch core dumps off: {error}"))?;
        prctl::set_dumpable(false).map_err(|error| format!("cannot switch core dumps off: {error}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_file_of_a_running_process_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pid");
        let files = PidFiles {
            process: path.to_str().map(str::to_owned),
            group: None,
        };
        let parent = Pid::parent();
        fs::write(&path, format!("{parent}\n")).unwrap();
        let error = files.write().unwrap_err();
        assert!(error.contains(&format!("process {parent}")), "{error}");
        fs::write(&path, "no number").unwrap();
        files.write().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap().trim(), Pid::this().to_string());
        files.remove();
        assert!(!path.exists());
    }

    #[test]
    fn unknown_users_and_groups_are_named() {
        let pid_files = PidFiles::default();
        let globals = Globals {
            user: Some("nobody-of-that-name".into()),
            ..Globals::default()
        };
        let error = Identity::of(&globals, pid_files.clone(), None).err().unwrap();
        assert!(error.contains("nobody-of-that-name"), "{error}");
        let globals = Globals {
            group: Some("no-such-group".into()),
            ..Globals::default()
        };
        assert!(Identity::of(&globals, pid_files, None).is_err());
        assert_eq!(user("0").unwrap().0, Uid::from_raw(0));
        assert_eq!(group("4711").unwrap(), Gid::from_raw(4711));
    }
}
