//! The pipes that answers go to.

use std::{
    io,
    os::unix::fs::{FileTypeExt, OpenOptionsExt},
    path::Path,
    time::Duration,
};

use tokio::net::unix::pipe::Sender;

/// How often a pipe is looked at that nobody reads yet, and how long between.
const LOOKS: u32 = 40;
const BETWEEN: Duration = Duration::from_millis(50);

/// Opens the named pipe of a client for its answer. `name` is a name in `folder`, never a path out of it, and what it names
/// must be a pipe that somebody reads, at the latest two seconds from now: no file can be written to this way. Needs a
/// runtime.
///
/// # Errors
/// There is no such pipe, or nobody reads it.
pub async fn open_for_reply(folder: &Path, name: &str) -> io::Result<Sender> {
    let mut looks = 0;
    loop {
        looks += 1;
        match open(folder, name) {
            // Clients send the request while their reader is about to start.
            Err(error) if error.raw_os_error() == Some(nix::errno::Errno::ENXIO as i32) && looks < LOOKS => {
                tokio::time::sleep(BETWEEN).await;
            }
            done => return done,
        }
    }
}

fn open(folder: &Path, name: &str) -> io::Result<Sender> {
    if name.is_empty() || name.starts_with('.') || name.contains(['/', '\0']) {
        let text = "the name of the reply pipe is a file name without a path";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let flags = nix::fcntl::OFlag::O_NONBLOCK | nix::fcntl::OFlag::O_NOFOLLOW;
    let file = std::fs::OpenOptions::new()
        .write(true)
        .custom_flags(flags.bits())
        .open(folder.join(name))?;
    if !file.metadata()?.file_type().is_fifo() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no named pipe"));
    }
    Sender::from_file(file)
}

#[cfg(test)]
mod tests {
    use nix::sys::stat::Mode;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn answers_go_to_pipes_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "kept").unwrap();
        std::os::unix::fs::symlink(&file, folder.path().join("link")).unwrap();
        nix::unistd::mkfifo(&folder.path().join("pipe"), Mode::S_IRWXU).unwrap();
        for name in [
            "file",
            "link",
            "missing",
            "../pipe",
            "/etc/passwd",
            ".",
            "",
            "pipe",
        ] {
            assert!(open(folder.path(), name).is_err(), "{name}, which nobody reads");
        }
        let opening = open_for_reply(folder.path(), "pipe");
        let reading = async {
            tokio::time::sleep(BETWEEN).await;
            super::super::open_for_reading(&folder.path().join("pipe")).unwrap()
        };
        let (writer, mut reader) = tokio::join!(opening, reading);
        let mut writer = writer.unwrap();
        writer.write_all(b"answer").await.unwrap();
        let mut text = [0; 6];
        reader.read_exact(&mut text).await.unwrap();
        assert_eq!(&text, b"answer");
        assert_eq!(std::fs::read(&file).unwrap(), b"kept");
    }
}
