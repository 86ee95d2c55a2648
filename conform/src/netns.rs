//! A network of the case's own, so that all cases can use port 5060 at once.
//!
//! The two system calls for it have no safe wrapper among our dependencies; this file and the signals in `server.rs`
//! are the only unsafe code of the crate.

#![expect(
    unsafe_code,
    reason = "unshare(2) and the interface flags have no safe form in std or libc"
)]

use std::io;
use std::os::fd::AsRawFd;

/// Moves the calling thread into a new network with nothing but a loopback interface, which is up.
///
/// Sockets made by this thread afterwards, and processes started by it, live there. It ends with the last of them.
///
/// # Errors
/// The process lacks CAP_SYS_ADMIN, or the kernel has no network namespaces.
pub fn enter_own_network() -> io::Result<()> {
    // SAFETY: unshare takes a flag and no memory of ours; it changes only the calling thread.
    if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
        return Err(io::Error::last_os_error());
    }
    raise_loopback()
}

/// Whether a network of its own can be had; tried on a thread that ends with the attempt.
pub fn available() -> bool {
    std::thread::spawn(|| enter_own_network().is_ok())
        .join()
        .unwrap_or(false)
}

fn raise_loopback() -> io::Result<()> {
    let socket =
        std::net::UdpSocket::bind("127.0.0.1:0").or_else(|_| std::net::UdpSocket::bind("0.0.0.0:0"))?;
    // SAFETY: an all-zero ifreq is a valid value of that plain C struct.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = from.cast_signed() as libc::c_char;
    }
    let up = libc::c_short::try_from(libc::IFF_UP | libc::IFF_RUNNING).unwrap_or(libc::c_short::MAX);
    request.ifr_ifru.ifru_flags = up;
    // SAFETY: the descriptor is open, and the request outlives the call that reads it.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    #[test]
    fn two_networks_share_no_port() {
        if !super::available() {
            return;
        }
        let bind = || {
            super::enter_own_network().unwrap();
            UdpSocket::bind("127.0.0.1:5060").unwrap()
        };
        let first = std::thread::spawn(bind).join().unwrap();
        let second = std::thread::spawn(bind).join().unwrap();
        assert_eq!(first.local_addr().unwrap(), second.local_addr().unwrap());
    }
}
