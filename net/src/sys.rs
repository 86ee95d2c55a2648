//! The system calls that no safe crate in use covers: `recvmmsg`, `sendmmsg`, `getifaddrs` and a few socket options.
//!
//! Unsafe is allowed in this file only. Every pointer handed to the kernel points into memory that outlives the call (a
//! local array or a slice borrowed for the call), and every length is that of the memory. What the kernel writes is read
//! only as far as it says it wrote, and addresses are read through `read_unaligned` after their length was checked.
#![expect(
    unsafe_code,
    reason = "recvmmsg, sendmmsg and getifaddrs have no safe wrapper among the dependencies"
)]

use std::{
    ffi::CStr,
    io,
    mem::{self, MaybeUninit},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6},
    os::fd::{AsRawFd, BorrowedFd, RawFd},
    ptr,
    sync::Arc,
};

use kahea_sip::Str;
use socket2::{SockAddr, Socket};
use tokio::io::{Interest, unix::AsyncFd};

/// Datagrams moved by one system call.
pub const BATCH: usize = 32;

/// Room for one datagram: more than UDP can carry.
const SLOT: usize = 65_536;

/// Room for one packet-info control message.
const CONTROL: usize = 64;

/// The memory of a receive batch; one for each worker. Pages that no datagram reached cost nothing.
pub struct Batch {
    area: Vec<u8>,
}

/// One datagram of a batch.
pub struct Datagram<'a> {
    /// The bytes.
    pub data: &'a [u8],
    /// Who sent it.
    pub source: SocketAddr,
    /// The address it was sent to, where the socket reports it.
    pub local: Option<IpAddr>,
    /// It was longer than the buffer, and the rest is lost.
    pub truncated: bool,
}

impl Batch {
    /// Memory for [`BATCH`] datagrams.
    pub fn new() -> Batch {
        Batch {
            area: vec![0; BATCH * SLOT],
        }
    }

    /// Reads what waits at a non-blocking socket, at most [`BATCH`] datagrams, and hands each to `take`.
    pub fn receive(&mut self, fd: BorrowedFd<'_>, mut take: impl FnMut(Datagram<'_>)) -> io::Result<usize> {
        let mut names = [MaybeUninit::<libc::sockaddr_storage>::uninit(); BATCH];
        let mut controls = [[0u64; CONTROL / 8]; BATCH];
        let mut parts = [libc::iovec {
            iov_base: ptr::null_mut(),
            iov_len: 0,
        }; BATCH];
        // SAFETY: all-zero is a valid `mmsghdr`: null pointers with zero lengths.
        let mut headers: [libc::mmsghdr; BATCH] = unsafe { mem::zeroed() };
        let slots = self.area.chunks_exact_mut(SLOT);
        let rows = headers
            .iter_mut()
            .zip(&mut parts)
            .zip(&mut names)
            .zip(&mut controls)
            .zip(slots);
        for ((((header, part), name), control), slot) in rows {
            part.iov_base = slot.as_mut_ptr().cast();
            part.iov_len = SLOT;
            header.msg_hdr.msg_iov = part;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_name = name.as_mut_ptr().cast();
            header.msg_hdr.msg_namelen = mem::size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            header.msg_hdr.msg_control = control.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = CONTROL;
        }
        // SAFETY: each header points to its own slot, name and control memory above, with their true lengths.
        let count = unsafe {
            libc::recvmmsg(
                fd.as_raw_fd(),
                headers.as_mut_ptr(),
                BATCH as libc::c_uint,
                libc::MSG_DONTWAIT as _,
                ptr::null_mut(),
            )
        };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        let slots = self.area.chunks_exact(SLOT);
        for ((header, name), slot) in headers.iter().zip(&names).zip(slots).take(count) {
            let name_length = header.msg_hdr.msg_namelen as usize;
            // SAFETY: the kernel wrote `msg_namelen` bytes of the name, which `address` checks before it reads.
            let Some(source) = (unsafe { address(name.as_ptr().cast(), name_length) }) else {
                continue;
            };
            let data = slot.get(..header.msg_len as usize).unwrap_or_default();
            // SAFETY: the header and its control memory are as the kernel left them.
            let local = unsafe { local_address(&header.msg_hdr) };
            take(Datagram {
                data,
                source,
                local,
                truncated: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
            });
        }
        Ok(count)
    }
}

/// Sends the first datagrams of `items` (at most [`BATCH`]) with one call; how many the kernel took.
pub fn send_many<'a>(
    fd: BorrowedFd<'_>,
    items: impl Iterator<Item = (SocketAddr, &'a Str)>,
) -> io::Result<usize> {
    // SAFETY: all-zero is a valid `mmsghdr`.
    let mut headers: [libc::mmsghdr; BATCH] = unsafe { mem::zeroed() };
    let mut parts = [libc::iovec {
        iov_base: ptr::null_mut(),
        iov_len: 0,
    }; BATCH];
    let mut names: [MaybeUninit<SockAddr>; BATCH] = [const { MaybeUninit::uninit() }; BATCH];
    let mut count = 0;
    let rows = headers.iter_mut().zip(&mut parts).zip(&mut names);
    for ((to, data), ((header, part), name)) in items.zip(rows) {
        let name = name.write(SockAddr::from(to));
        part.iov_base = data.as_ptr().cast_mut().cast();
        part.iov_len = data.len();
        header.msg_hdr.msg_iov = part;
        header.msg_hdr.msg_iovlen = 1;
        header.msg_hdr.msg_name = name.as_ptr().cast_mut().cast();
        header.msg_hdr.msg_namelen = name.len();
        count += 1;
    }
    // SAFETY: the first `count` headers point to live names and data; the kernel only reads them.
    let sent = unsafe {
        libc::sendmmsg(
            fd.as_raw_fd(),
            headers.as_mut_ptr(),
            count,
            (libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as _,
        )
    };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// Reads an address that the kernel wrote.
///
/// # Safety
/// `name` points to `length` initialised bytes.
unsafe fn address(name: *const libc::sockaddr, length: usize) -> Option<SocketAddr> {
    if length < mem::size_of::<libc::sa_family_t>() {
        return None;
    }
    // SAFETY: the length covers the family, which comes first in every address.
    let family = unsafe { name.cast::<libc::sa_family_t>().read_unaligned() };
    match i32::from(family) {
        libc::AF_INET if length >= mem::size_of::<libc::sockaddr_in>() => {
            // SAFETY: checked family and length.
            let v4 = unsafe { name.cast::<libc::sockaddr_in>().read_unaligned() };
            let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            Some(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into())
        }
        libc::AF_INET6 if length >= mem::size_of::<libc::sockaddr_in6>() => {
            // SAFETY: checked family and length.
            let v6 = unsafe { name.cast::<libc::sockaddr_in6>().read_unaligned() };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            Some(SocketAddrV6::new(ip, u16::from_be(v6.sin6_port), 0, v6.sin6_scope_id).into())
        }
        _ => None,
    }
}

/// The destination address from the packet-info control message.
///
/// # Safety
/// `header` is as `recvmmsg` left it and its control memory is live.
#[allow(
    clippy::unnecessary_cast,
    reason = "the type of `cmsg_len` differs between C libraries"
)]
unsafe fn local_address(header: &libc::msghdr) -> Option<IpAddr> {
    // SAFETY: the CMSG functions stay inside `msg_control` and `msg_controllen`; the payload length is checked.
    unsafe {
        let mut control = libc::CMSG_FIRSTHDR(header);
        while let Some(message) = control.as_ref() {
            let payload = (message.cmsg_len as usize).saturating_sub(libc::CMSG_LEN(0) as usize);
            let data = libc::CMSG_DATA(control);
            match (message.cmsg_level, message.cmsg_type) {
                (libc::IPPROTO_IP, libc::IP_PKTINFO) if payload >= mem::size_of::<libc::in_pktinfo>() => {
                    let info = data.cast::<libc::in_pktinfo>().read_unaligned();
                    return Some(Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr)).into());
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO)
                    if payload >= mem::size_of::<libc::in6_pktinfo>() =>
                {
                    let info = data.cast::<libc::in6_pktinfo>().read_unaligned();
                    return Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).into());
                }
                _ => control = libc::CMSG_NXTHDR(header, control),
            }
        }
        None
    }
}

/// A socket that others hold too, as tokio's reactor wants it.
#[derive(Debug)]
pub struct SharedSocket(Arc<Socket>);

impl AsRawFd for SharedSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Watches a socket for reading and writing on the current runtime.
pub fn watch(socket: Arc<Socket>) -> io::Result<AsyncFd<SharedSocket>> {
    // SAFETY: the `Arc` keeps the socket open as long as the `AsyncFd` lives, and its descriptor never changes.
    let fd = unsafe {
        AsyncFd::register_with_interest(SharedSocket(socket), Interest::READABLE | Interest::WRITABLE)
    };
    fd.map_err(io::Error::from)
}

/// Sets an integer socket option.
pub fn set_option(fd: BorrowedFd<'_>, level: i32, name: i32, value: i32) -> io::Result<()> {
    let length = mem::size_of::<i32>() as libc::socklen_t;
    // SAFETY: the option value is a live `i32` of the given length.
    let result = unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, (&raw const value).cast(), length) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// One address of one network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The interface.
    pub name: String,
    /// The address, with its scope for IPv6 link-local ones.
    pub address: SocketAddr,
    /// It is up.
    pub up: bool,
    /// It is the loopback.
    pub loopback: bool,
}

/// Every address of every interface, in the kernel's order.
pub fn interfaces() -> io::Result<Vec<Interface>> {
    let mut first: *mut libc::ifaddrs = ptr::null_mut();
    // SAFETY: `first` is a live pointer variable.
    if unsafe { libc::getifaddrs(&mut first) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let mut found = Vec::new();
    let mut next = first;
    // SAFETY: the list is valid until `freeifaddrs`, names are C strings, addresses have the length of their family.
    unsafe {
        while let Some(entry) = next.as_ref() {
            next = entry.ifa_next;
            let Some(family) = entry.ifa_addr.as_ref().map(|a| i32::from(a.sa_family)) else {
                continue;
            };
            let length = match family {
                libc::AF_INET => mem::size_of::<libc::sockaddr_in>(),
                libc::AF_INET6 => mem::size_of::<libc::sockaddr_in6>(),
                _ => continue,
            };
            let Some(address) = address(entry.ifa_addr, length) else {
                continue;
            };
            found.push(Interface {
                name: CStr::from_ptr(entry.ifa_name).to_string_lossy().into_owned(),
                address,
                up: entry.ifa_flags & libc::IFF_UP as u32 != 0,
                loopback: entry.ifa_flags & libc::IFF_LOOPBACK as u32 != 0,
            });
        }
        libc::freeifaddrs(first);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn the_loopback_is_among_the_interfaces() {
        let list = interfaces().unwrap();
        assert!(
            list.iter()
                .any(|i| i.loopback && i.address.ip() == IpAddr::from([127, 0, 0, 1])),
            "{list:?}"
        );
    }

    #[test]
    fn a_batch_goes_out_and_comes_in_with_addresses() {
        let receiver = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        set_option(receiver.as_fd(), libc::IPPROTO_IP, libc::IP_PKTINFO, 1).unwrap();
        let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = receiver.local_addr().unwrap();
        let items: Vec<Str> = (0..40).map(|i| Str::from(format!("datagram {i}"))).collect();
        assert_eq!(
            send_many(sender.as_fd(), items.iter().map(|i| (to, i))).unwrap(),
            BATCH
        );
        let mut got = Vec::new();
        let mut batch = Batch::new();
        let count = batch
            .receive(receiver.as_fd(), |d| {
                assert_eq!(d.source, sender.local_addr().unwrap());
                assert_eq!(d.local, Some(to.ip()));
                assert!(!d.truncated);
                got.push(Str::copy(d.data));
            })
            .unwrap();
        assert_eq!(count, BATCH);
        assert_eq!(got, items[..BATCH]);
        let empty = batch.receive(receiver.as_fd(), |_| ()).unwrap_err();
        assert_eq!(empty.kind(), io::ErrorKind::WouldBlock);
    }
}
