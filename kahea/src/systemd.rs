//! systemd: sockets that it opened, and word of how the server is.

use std::{net::TcpListener, net::UdpSocket, os::fd::OwnedFd, time::Duration};

use kahea_net::Inherited;
use listenfd::ListenFd;
use sd_notify::NotifyState;

/// The sockets of socket activation: UDP and listening TCP ones. Others are left closed and named.
pub fn inherited() -> (Inherited, Vec<String>) {
    let mut passed = ListenFd::from_env();
    let (mut sockets, mut refused): (Vec<OwnedFd>, Vec<String>) = (Vec::new(), Vec::new());
    for index in 0..passed.len() {
        let udp = passed
            .take_udp_socket(index)
            .map(|socket| socket.map(<OwnedFd as From<UdpSocket>>::from));
        let taken = udp.or_else(|_| {
            let tcp = passed.take_tcp_listener(index);
            tcp.map(|socket| socket.map(<OwnedFd as From<TcpListener>>::from))
        });
        match taken {
            Ok(Some(socket)) => sockets.push(socket),
            Ok(None) => {}
            Err(error) => refused.push(format!(
                "socket {index} passed by systemd cannot be used: {error}; pass UDP sockets (ListenDatagram=) and TCP ones (ListenStream=)"
            )),
        }
    }
    (Inherited { sockets }, refused)
}

/// All is open, messages are handled.
pub fn ready(status: &str) {
    tell(&[
        NotifyState::Ready,
        NotifyState::Status(status),
        NotifyState::MainPid(std::process::id()),
    ]);
}

/// The configuration is being read again; [`ready`] ends that.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// The server ends.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// The server is alive.
pub fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// How often [`alive`] must be said: half of what the unit allows.
pub fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled()
        .map(|limit| limit / 2)
        .filter(|every| !every.is_zero())
}

fn tell(states: &[NotifyState<'_>]) {
    // Without systemd there is nobody to tell.
    let _ = sd_notify::notify(states);
}
