//! The pipes that answers go to.

use std::{
    io,
    os::unix::fs::{FileTypeExt, OpenOptionsExt},
    path::Path,
};

use tokio::net::unix::pipe::Sender;

/// Opens the named pipe of a client for its answer. `name` is a name in `folder`, never a path out of it, and what it names
/// must be a pipe that somebody reads: no file can be written to this way. Needs a runtime.
///
/// # Errors
/// There is no such pipe, or nobody reads it.
pub fn open_for_reply(folder: &Path, name: &str) -> io::Result<Sender> {
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
        for name in ["file", "link", "missing", "../pipe", "/etc/passwd", ".", "", "pipe"] {
            assert!(open_for_reply(folder.path(), name).is_err(), "{name}, which nobody reads");
        }
        let mut reader = super::super::open_for_reading(&folder.path().join("pipe")).unwrap();
        let mut writer = open_for_reply(folder.path(), "pipe").unwrap();
        writer.write_all(b"answer").await.unwrap();
        let mut text = [0; 6];
        reader.read_exact(&mut text).await.unwrap();
        assert_eq!(&text, b"answer");
        assert_eq!(std::fs::read(&file).unwrap(), b"kept");
    }
}
