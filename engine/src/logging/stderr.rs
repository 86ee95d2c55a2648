//! Standard error, written to only where that cannot block.

use std::{io, os::fd::AsFd};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    unistd::write,
};

/// What a pipe that polls as writable takes without blocking (`PIPE_BUF`).
const PIECE: usize = 4096;

/// Standard error with the count of lines that its reader missed.
#[derive(Default)]
pub struct Terminal {
    missed: u64,
    /// The last line was cut, so the next one needs a new line.
    cut: bool,
}

impl Terminal {
    /// Writes a line, or drops it where the reader stalls; false for a dropped one.
    pub fn write(&mut self, line: &[u8]) -> bool {
        self.write_to(&io::stderr(), line)
    }

    fn write_to(&mut self, to: &impl AsFd, line: &[u8]) -> bool {
        if self.missed > 0 || self.cut {
            let note = format!(
                "{}-- {} log lines lost: the reader was too slow\n",
                if self.cut { "\n" } else { "" },
                self.missed
            );
            if !ready(to) || !matches!(write(to, note.as_bytes()), Ok(n) if n == note.len()) {
                self.missed = self.missed.saturating_add(1);
                return false;
            }
            (self.missed, self.cut) = (0, false);
        }
        let whole = pieces(to, line);
        if whole < line.len() {
            self.missed = self.missed.saturating_add(1);
            self.cut = whole > 0;
        }
        whole == line.len()
    }
}

/// Writes as long as nothing blocks; how many bytes went out.
fn pieces(to: &impl AsFd, line: &[u8]) -> usize {
    let mut done = 0_usize;
    while let Some(rest) = line.get(done..).filter(|rest| !rest.is_empty()) {
        if !ready(to) {
            break;
        }
        let piece = rest.get(..PIECE).unwrap_or(rest);
        match write(to, piece) {
            Ok(count) => done = done.saturating_add(count),
            Err(Errno::EINTR) => {}
            Err(_) => break,
        }
    }
    done
}

fn ready(to: &impl AsFd) -> bool {
    let mut fds = [PollFd::new(to.as_fd(), PollFlags::POLLOUT)];
    poll(&mut fds, PollTimeout::ZERO).is_ok()
        && fds.iter().all(|fd| {
            fd.revents()
                .is_some_and(|events| events.contains(PollFlags::POLLOUT))
        })
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_stalled_reader_costs_lines_and_no_time() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut terminal = Terminal::default();
        let line = [b'x'; 1000];
        let mut taken = 0;
        while terminal.write_to(&writer, &line) {
            taken += 1;
            assert!(taken < 10_000, "a pipe has an end");
        }
        assert!(!terminal.write_to(&writer, &line));
        let mut drained = vec![0; taken * 1000];
        reader.read_exact(&mut drained).unwrap();
        assert!(terminal.write_to(&writer, b"back\n"));
        drop(writer);
        let mut rest = String::new();
        reader.read_to_string(&mut rest).unwrap();
        assert!(rest.contains("-- 2 log lines lost"), "{rest}");
        assert!(rest.ends_with("back\n"), "{rest}");
    }

    #[test]
    fn long_lines_go_out_in_pieces() {
        let (mut reader, writer) = io::pipe().unwrap();
        let line = vec![b'y'; 3 * PIECE + 1];
        assert!(Terminal::default().write_to(&writer, &line));
        drop(writer);
        let mut all = Vec::new();
        reader.read_to_end(&mut all).unwrap();
        assert_eq!(all, line);
    }
}
