//! UDP over loopback: echo, both families, several workers, reload, events.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod common;

use std::{collections::HashSet, net::UdpSocket, sync::Arc, time::Duration};

use common::*;
use kahea_net::{Inherited, Net, SendError};
use kahea_sip::{Str, Transport};

fn client(at: &str) -> UdpSocket {
    let socket = UdpSocket::bind(at).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket
}

async fn exchange(socket: Arc<UdpSocket>, server: std::net::SocketAddr, texts: Vec<String>) -> Vec<String> {
    let work = move || {
        for text in &texts {
            socket.send_to(text.as_bytes(), server).unwrap();
        }
        let mut buffer = [0; 2048];
        let mut receive = || {
            let (length, from) = socket.recv_from(&mut buffer).unwrap();
            assert_eq!(from, server);
            String::from_utf8(buffer[..length].to_vec()).unwrap()
        };
        texts.iter().map(|_| receive()).collect()
    };
    tokio::task::spawn_blocking(work).await.unwrap()
}

#[test]
fn a_burst_comes_back_in_its_order() {
    with_worker(
        config(vec![listen(Transport::Udp, "127.0.0.1")]),
        echo(),
        |net, recorder| async move {
            let socket = Arc::new(client("127.0.0.1:0"));
            let texts: Vec<String> = (0..100).map(|i| format!("message {i}")).collect();
            let answers = exchange(socket.clone(), address(&net, Transport::Udp), texts.clone()).await;
            assert_eq!(answers, texts);
            let messages = recorder.messages.borrow();
            let (_, received) = &messages[0];
            assert_eq!(received.source, socket.local_addr().unwrap());
            assert_eq!(received.local, address(&net, Transport::Udp));
            assert_eq!(
                (net.stats().udp_received.value(), net.stats().udp_sent.value()),
                (100, 100)
            );
        },
    );
}

#[test]
fn ipv6_works_and_a_socket_on_all_addresses_knows_which_was_meant() {
    if UdpSocket::bind("[::1]:0").is_err() {
        eprintln!("SKIPPED: this host has no IPv6 loopback");
        return;
    }
    let listeners = vec![listen(Transport::Udp, "[::]"), listen(Transport::Udp, "0.0.0.0")];
    with_worker(config(listeners), echo(), |net, recorder| async move {
        for listener in net.listeners() {
            let host = if listener.address.is_ipv4() {
                "127.0.0.1"
            } else {
                "::1"
            };
            let server = std::net::SocketAddr::new(host.parse().unwrap(), listener.port);
            let own = if listener.address.is_ipv4() {
                "127.0.0.1:0"
            } else {
                "[::1]:0"
            };
            exchange(Arc::new(client(own)), server, vec!["x".into()]).await;
            let messages = recorder.messages.borrow();
            assert_eq!(messages.last().unwrap().1.local, server);
            assert_eq!(messages.last().unwrap().1.listener, listener.id);
        }
    });
}

#[test]
fn without_a_listener_of_the_family_sending_is_an_error_that_says_so() {
    with_worker(
        config(vec![listen(Transport::Udp, "127.0.0.1")]),
        silent(),
        |net, recorder| async move {
            let v6 = "[::1]:5060".parse().unwrap();
            let refused = recorder.worker.send(&to(v6, Transport::Udp), Str::from("x"));
            assert_eq!(refused, Err(SendError::NoListener(Transport::Udp, v6)));
            let long = Str::from(vec![0; 70_000]);
            let server = address(&net, Transport::Udp);
            assert_eq!(
                recorder.worker.send(&to(server, Transport::Udp), long),
                Err(SendError::TooLong(70_000))
            );
            let sctp = recorder.worker.send(&to(server, Transport::Sctp), Str::from("x"));
            assert_eq!(sctp, Err(SendError::Unsupported(Transport::Sctp)));
        },
    );
}

#[test]
fn reload_opens_new_listeners_keeps_old_sockets_and_closes_the_rest() {
    let keep = listen(Transport::Udp, "127.0.0.1");
    let mut go = listen(Transport::Udp, "127.0.0.2");
    go.name = Some("second".into());
    with_worker(config(vec![keep.clone(), go]), echo(), |net, _| async move {
        let socket = Arc::new(client("127.0.0.1:0"));
        let kept = address(&net, Transport::Udp);
        let gone = net.find_listener_by_name("second").unwrap();
        let mut renamed = keep.clone();
        renamed.name = Some("first".into());
        let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut broken = keep.clone();
        broken.port = Some(taken.local_addr().unwrap().port());
        let errors = net.replace(config(vec![renamed.clone(), broken])).unwrap_err();
        assert_eq!(errors.len(), 1);
        assert_eq!(net.listeners().len(), 2, "a broken configuration changes nothing");
        net.replace(config(vec![listen(Transport::Udp, "127.0.0.3"), renamed]))
            .unwrap();
        assert_eq!(net.find_listener_by_name("first").unwrap().socket_addr(), kept);
        assert!(net.find_listener_by_name("second").is_none());
        assert_eq!(
            net.listener(gone.id).unwrap().name.as_deref(),
            Some("second"),
            "its number stays known"
        );
        for server in [kept, address(&net, Transport::Udp)] {
            assert_eq!(
                exchange(socket.clone(), server, vec!["hello".into()]).await,
                ["hello"]
            );
        }
        let freed = || UdpSocket::bind(gone.socket_addr()).is_ok();
        for _ in 0..200 {
            if freed() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(freed(), "the port of the removed listener is free");
    });
}

#[test]
fn two_workers_share_a_port_and_one_peer_stays_with_one_of_them() {
    let net = Net::bind(
        config(vec![listen(Transport::Udp, "127.0.0.1")]),
        2,
        Inherited::default(),
    )
    .unwrap();
    let server = address(&net, Transport::Udp);
    let threads: Vec<_> = (0..2)
        .map(|index| {
            std::thread::spawn({
                let net = net.clone();
                move || run_worker(&net, index)
            })
        })
        .collect();
    let mut used = HashSet::new();
    for _ in 0..64 {
        let socket = client("127.0.0.1:0");
        let mut answers = HashSet::new();
        for _ in 0..4 {
            socket.send_to(b"who", server).unwrap();
            let mut buffer = [0; 16];
            let (length, _) = socket.recv_from(&mut buffer).unwrap();
            answers.insert(buffer[..length].to_vec());
        }
        assert_eq!(answers.len(), 1, "the kernel's hash keeps a peer at one socket");
        used.extend(answers);
    }
    assert_eq!(used.len(), 2, "64 peers reach both workers");
    net.shutdown();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

fn run_worker(net: &Arc<Net>, index: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let worker = net.worker(index);
        let reaction: Reaction = Box::new(move |worker, _, received| {
            worker
                .send(&back(received), Str::from(format!("{index}")))
                .unwrap();
        });
        let recorder = Recorder {
            worker: worker.clone(),
            messages: Default::default(),
            events: Default::default(),
            changed: tokio::sync::Notify::new(),
            reaction,
        };
        worker.run(std::rc::Rc::new(recorder)).await.unwrap();
    });
}

#[test]
fn a_second_server_on_the_same_port_is_refused_with_its_owner() {
    let first = Net::bind(
        config(vec![listen(Transport::Udp, "127.0.0.1")]),
        2,
        Inherited::default(),
    )
    .unwrap();
    let mut spec = listen(Transport::Udp, "127.0.0.1");
    spec.port = Some(address(&first, Transport::Udp).port());
    let errors = Net::bind(config(vec![spec]), 2, Inherited::default()).unwrap_err();
    assert!(errors[0].to_string().contains("in use by"), "{}", errors[0]);
}

#[test]
fn an_inherited_socket_serves_its_listener() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut spec = listen(Transport::Udp, "127.0.0.1");
    spec.port = Some(socket.local_addr().unwrap().port());
    let net = Net::bind(
        config(vec![spec]),
        2,
        Inherited {
            sockets: vec![socket.into()],
        },
    )
    .unwrap();
    assert_eq!(net.listeners().len(), 1);
}
