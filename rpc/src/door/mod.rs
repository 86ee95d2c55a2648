//! Sockets and pipes that commands come by: opened when a configuration starts, kept over a reload where they stay the same,
//! and gone with the configuration that has them no more.

mod access;
mod address;
mod pipe;

use std::{
    collections::HashMap,
    io,
    os::{
        fd::AsFd,
        unix::{
            fs::{FileTypeExt, MetadataExt},
            net::{UnixDatagram, UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
    sync::{Arc, Weak},
};

use kahea_module::InitError;
use nix::sys::stat::{Mode, fchmod};
use parking_lot::Mutex;
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::{net::unix::pipe as tokio_pipe, task::AbortHandle};

pub use self::{
    access::{Access, Account},
    address::{Address, Bare},
    pipe::open_for_reply,
};

/// An open socket or pipe, before the runtime has it.
pub enum Opened {
    /// Unix stream.
    UnixStream(UnixListener),
    /// Unix datagram.
    UnixDatagram(UnixDatagram),
    /// A named pipe of that path.
    Fifo(PathBuf),
    /// UDP.
    Udp(std::net::UdpSocket),
    /// TCP.
    Tcp(std::net::TcpListener),
}

/// A place where commands come in.
pub struct Door {
    /// Where it is.
    pub address: Address,
    opened: Mutex<Option<Opened>>,
    task: Mutex<Option<AbortHandle>>,
    /// Device and number of the file, which may have been replaced by a successor's.
    file: Option<(PathBuf, u64, u64)>,
}

impl Door {
    /// What there is to serve; `None` where it is served already.
    pub fn take(&self) -> Option<Opened> {
        self.opened.lock().take()
    }

    /// Names the task that serves it, to be ended with it.
    pub fn served_by(&self, task: AbortHandle) {
        *self.task.lock() = Some(task);
    }

    /// Ends the service and removes the file.
    pub fn close(&self) {
        *self.opened.lock() = None;
        if let Some(task) = self.task.lock().take() {
            task.abort();
        }
        if let Some((path, device, number)) = &self.file
            && identity(path).is_ok_and(|found| found == (*device, *number))
        {
            // Out of reach after a change of user or root directory: the next server removes it.
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.close();
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let found = std::fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}

/// The doors of the process, by who serves them and where they are. What outlives reloads.
#[derive(Default)]
pub struct Doors(Mutex<HashMap<(&'static str, Address), Weak<Door>>>);

impl Doors {
    /// Opens a door, or takes the one that is open there.
    ///
    /// # Errors
    /// It cannot be opened: the directory is not there, another server answers, the port is taken.
    pub fn open(
        &self,
        service: &'static str,
        address: &Address,
        access: &Access,
    ) -> Result<Arc<Door>, InitError> {
        let mut doors = self.0.lock();
        doors.retain(|_, door| door.strong_count() > 0);
        let refused = |error: io::Error| {
            InitError::new(format!("cannot listen at {address}: {error}"))
                .help("name another place, or a directory with rundir= or -Y")
        };
        let key = (service, address.clone());
        if let Some(door) = doors.get(&key).and_then(Weak::upgrade) {
            if let Some(path) = address.path() {
                access.apply(path).map_err(refused)?;
            }
            return Ok(door);
        }
        let own = |path: &Path| {
            doors
                .iter()
                .any(|((_, known), door)| known.path() == Some(path) && door.strong_count() > 0)
        };
        let door = Arc::new(open(address, access, &own).map_err(refused)?);
        doors.insert(key, Arc::downgrade(&door));
        Ok(door)
    }

    /// Closes the doors of a service that are not among these.
    pub fn keep_only(&self, service: &str, kept: &[Arc<Door>]) {
        let mut closed = Vec::new();
        self.0.lock().retain(|(of, _), door| {
            let Some(door) = door.upgrade() else {
                return false;
            };
            let stays = *of != service || kept.iter().any(|one| Arc::ptr_eq(one, &door));
            if !stays {
                closed.push(door);
            }
            stays
        });
        closed.iter().for_each(|door| door.close());
    }
}

fn open(address: &Address, access: &Access, own: &dyn Fn(&Path) -> bool) -> io::Result<Door> {
    if let Some(path) = address.path() {
        make_room(path, own)?;
    }
    let opened = match address {
        Address::UnixStream(path) => {
            let socket = bound(Type::STREAM, path, access)?;
            socket.listen(BACKLOG)?;
            Opened::UnixStream(std::os::fd::OwnedFd::from(socket).into())
        }
        Address::UnixDatagram(path) => {
            let socket = bound(Type::DGRAM, path, access)?;
            Opened::UnixDatagram(std::os::fd::OwnedFd::from(socket).into())
        }
        Address::Fifo(path) => {
            nix::unistd::mkfifo(path, Mode::from_bits_truncate(0o600))?;
            Opened::Fifo(path.clone())
        }
        Address::Udp(at) => {
            let socket = std::net::UdpSocket::bind(at)?;
            socket.set_nonblocking(true)?;
            Opened::Udp(socket)
        }
        Address::Tcp(at) => {
            let socket = Socket::new(Domain::for_address(*at), Type::STREAM, None)?;
            socket.set_reuse_address(true)?;
            socket.bind(&(*at).into())?;
            socket.listen(BACKLOG)?;
            socket.set_nonblocking(true)?;
            Opened::Tcp(socket.into())
        }
    };
    let file = match address.path() {
        Some(path) => {
            access.apply(path)?;
            let (device, number) = identity(path)?;
            Some((path.to_owned(), device, number))
        }
        None => None,
    };
    Ok(Door {
        address: address.clone(),
        opened: Mutex::new(Some(opened)),
        task: Mutex::default(),
        file,
    })
}

const BACKLOG: i32 = 128;

/// A bound unix socket. Its file has no more rights than it is to have at any moment: they are set before there is one.
fn bound(kind: Type, path: &Path, access: &Access) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, kind, None)?;
    fchmod(socket.as_fd(), Mode::from_bits_truncate(access.mode & 0o700))?;
    socket.bind(&SockAddr::unix(path)?)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Removes what a server that was killed has left. A file of another kind stays, and so does one that is answered at.
fn make_room(path: &Path, own: &dyn Fn(&Path) -> bool) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let Ok(found) = std::fs::symlink_metadata(path) else {
        return Ok(());
    };
    let kind = found.file_type();
    let answered = || io::Error::new(io::ErrorKind::AddrInUse, "another server answers there");
    if kind.is_socket() && !own(path) {
        let stream = UnixStream::connect(path).is_ok();
        let datagram = UnixDatagram::unbound().is_ok_and(|socket| socket.connect(path).is_ok());
        if stream || datagram {
            return Err(answered());
        }
    } else if kind.is_fifo() && !own(path) {
        // Opens where somebody reads, and only there.
        if is_read(path) {
            return Err(answered());
        }
    } else if !kind.is_socket() && !kind.is_fifo() {
        let text = "there is a file of another kind";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
    }
    std::fs::remove_file(path)
}

fn is_read(path: &Path) -> bool {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new()
        .write(true)
        .custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits())
        .open(path)
        .is_ok()
}

/// The reading end of a pipe that never ends: writers come and go. Needs a runtime.
///
/// # Errors
/// It cannot be opened.
pub fn open_for_reading(path: &Path) -> io::Result<tokio_pipe::Receiver> {
    tokio_pipe::OpenOptions::new()
        .read_write(true)
        .open_receiver(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use kahea_module::globals::Globals;

    use super::*;

    fn access(mode: i64) -> Access {
        let nobody = Account::default();
        Access::new(mode, &nobody, &nobody, &Globals::default()).unwrap()
    }

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn files_have_the_mode_and_go_with_the_door() {
        let folder = tempfile::tempdir().unwrap();
        let doors = Doors::default();
        for address in [
            Address::UnixStream(folder.path().join("new/s")),
            Address::UnixDatagram(folder.path().join("d")),
            Address::Fifo(folder.path().join("f")),
        ] {
            let path = address.path().unwrap().to_owned();
            let door = doors.open("test", &address, &access(0o640)).unwrap();
            assert_eq!(mode(&path), 0o640, "{address}");
            let again = doors.open("test", &address, &access(0o600)).unwrap();
            assert!(Arc::ptr_eq(&door, &again), "{address} stays open");
            assert_eq!(mode(&path), 0o600, "{address}");
            drop((door, again));
            assert!(!path.exists(), "{address}");
        }
    }

    #[test]
    fn what_a_reload_leaves_out_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let doors = Doors::default();
        let at = |name| Address::UnixStream(folder.path().join(name));
        let (first, second) = (at("a"), at("b"));
        let first = doors.open("test", &first, &access(0o600)).unwrap();
        let second = doors.open("test", &second, &access(0o600)).unwrap();
        doors.keep_only("other", &[]);
        assert!(first.take().is_some());
        doors.keep_only("test", std::slice::from_ref(&second));
        assert!(!folder.path().join("a").exists());
        assert!(folder.path().join("b").exists());
    }

    #[test]
    fn leftovers_are_replaced_and_living_servers_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        drop(UnixListener::bind(&path).unwrap());
        let address = Address::UnixStream(path.clone());
        let door = Doors::default().open("test", &address, &access(0o600)).unwrap();
        let other = Doors::default().open("test", &address, &access(0o600));
        assert!(other.is_err_and(|error| error.message.contains("another server")));
        drop(door);
        std::fs::write(&path, "data").unwrap();
        assert!(Doors::default().open("test", &address, &access(0o600)).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"data");
    }

    #[test]
    fn taken_ports_are_told() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Address::Tcp(taken.local_addr().unwrap());
        let refused = Doors::default().open("test", &address, &access(0o600));
        assert!(refused.is_err_and(|error| error.message.contains("cannot listen at tcp:127.0.0.1:")));
    }
}
