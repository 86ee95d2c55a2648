//! Going into the background. The one place of this crate that needs unsafe code: fork(2).
#![expect(
    unsafe_code,
    reason = "std cannot fork; nix can, and leaves it to the caller that no thread runs yet"
)]

use std::{
    fs::OpenOptions,
    io::{self, PipeWriter, Read, Write},
};

use nix::unistd::{ForkResult, dup2_stderr, dup2_stdin, dup2_stdout, fork, setsid};

/// Which of the two processes goes on here.
pub enum Side {
    /// The one that was started: it ends with this success or failure.
    Parent(bool),
    /// The server.
    Child(Child),
}

/// The server's end of the pipe to the process that waits for it.
pub struct Child(PipeWriter);

const READY: u8 = b'R';

/// Splits the process in two. The parent waits until the child is ready or has ended.
///
/// # Errors
/// The system refuses the pipe or the fork.
pub fn split() -> io::Result<Side> {
    let (mut reader, writer) = io::pipe()?;
    // SAFETY: no other thread runs yet (threads start with the server, after this), so the child has every lock free.
    match unsafe { fork() }? {
        ForkResult::Parent { .. } => {
            drop(writer);
            let mut answer = [0];
            Ok(Side::Parent(
                matches!(reader.read(&mut answer), Ok(1)) && answer == [READY],
            ))
        }
        ForkResult::Child => {
            drop(reader);
            // A new session has no terminal that could end it. The child of a fork leads no group, so it may.
            setsid()?;
            Ok(Side::Child(Child(writer)))
        }
    }
}

impl Child {
    /// Tells the parent that all is well, and lets go of the terminal; of standard error only where no log goes there.
    pub fn ready(mut self, keep_stderr: bool) -> io::Result<()> {
        let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
        dup2_stdin(&null)?;
        dup2_stdout(&null)?;
        if !keep_stderr {
            dup2_stderr(&null)?;
        }
        self.0.write_all(&[READY])
    }
}
