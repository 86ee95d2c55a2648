//! TCP over loopback: framing in any pieces, peers that misbehave, reuse, aliases, many connections.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod common;

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use common::*;
use kahea_net::{CloseReason, NetConfig, NetEvent, SendError, SendOutcome, TcpConfig};
use kahea_sip::{SendFlags, Str, Transport};

fn tcp(change: impl FnOnce(&mut TcpConfig)) -> NetConfig {
    let mut config = config(vec![listen(Transport::Tcp, "127.0.0.1")]);
    change(&mut config.tcp);
    config
}

fn client(server: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

fn closed(event: &NetEvent, wanted: CloseReason) -> bool {
    matches!(event, NetEvent::Closed { reason, .. } if *reason == wanted)
}

#[test]
fn messages_byte_by_byte_and_all_at_once_come_whole_and_in_order() {
    with_worker(tcp(|_| ()), echo(), |net, recorder| async move {
        let server = address(&net, Transport::Tcp);
        let (one, two) = (message("body"), message(""));
        let sent = format!("{one}{two}");
        let expected = sent.clone();
        let stream = blocking(move || {
            let mut stream = client(server);
            let mut answer = vec![0; sent.len()];
            for byte in sent.bytes() {
                stream.write_all(&[byte]).unwrap();
            }
            stream.read_exact(&mut answer).unwrap();
            assert_eq!(answer, sent.as_bytes());
            stream.write_all(sent.repeat(20).as_bytes()).unwrap();
            let mut many = vec![0; sent.len() * 20];
            stream.read_exact(&mut many).unwrap();
            assert_eq!(many, sent.repeat(20).as_bytes());
            stream
        })
        .await;
        let joined: String = recorder
            .messages
            .borrow()
            .iter()
            .map(|(m, _)| m.text().into_owned())
            .collect();
        assert_eq!(joined, expected.repeat(21));
        let received = recorder.messages.borrow()[0].1;
        assert_eq!(received.source, stream.local_addr().unwrap());
        assert_eq!(
            net.connection(received.connection.unwrap()).unwrap().peer,
            received.source
        );
        drop(stream);
        recorder
            .until("the end is told", |r| {
                r.has_event(|e| closed(e, CloseReason::Peer))
            })
            .await;
        assert_eq!(
            (
                net.connection_count(),
                net.stats().current_opened_connections.value()
            ),
            (0, 0)
        );
    });
}

#[test]
fn keepalives_are_answered_and_garbage_gets_a_reply_before_the_end() {
    with_worker(tcp(|_| ()), echo(), |net, recorder| async move {
        let server = address(&net, Transport::Tcp);
        blocking(move || {
            let mut stream = client(server);
            stream.write_all(b"\r\n\r\n").unwrap();
            let mut pong = [0; 2];
            stream.read_exact(&mut pong).unwrap();
            assert_eq!(&pong, b"\r\n");
            stream
                .write_all(b"OPTIONS sip:a SIP/2.0\r\nContent-Length: -1\r\n\r\n")
                .unwrap();
            stream.write_all(&[b'x'; 5000]).unwrap();
            let mut rest = String::new();
            stream.read_to_string(&mut rest).unwrap();
            assert!(rest.starts_with("SIP/2.0 400"), "{rest}");
        })
        .await;
        recorder
            .until("closed", |r| r.has_event(|e| closed(e, CloseReason::BadFrame)))
            .await;
        assert_eq!(
            (net.stats().pings.value(), net.stats().framing_errors.value()),
            (1, 1)
        );
        assert!(recorder.messages.borrow().is_empty());
    });
}

#[test]
fn a_peer_that_never_reads_loses_its_connection_and_delays_nobody() {
    let config = tcp(|tcp| tcp.conn_wq_max = 100_000);
    with_worker(config, silent(), |net, recorder| async move {
        let server = address(&net, Transport::Tcp);
        let (deaf, peer) = (client(server), client(server));
        recorder
            .until("both are there", |_| net.connections().len() == 2)
            .await;
        let id = net
            .find_connection(Transport::Tcp, deaf.local_addr().unwrap())
            .unwrap();
        let mut destination = to(deaf.local_addr().unwrap(), Transport::Tcp);
        destination.connection = Some(id);
        destination.flags = SendFlags {
            no_connect: true,
            ..SendFlags::default()
        };
        let data = Str::from(vec![b'x'; 50_000]);
        let mut refused = None;
        for _ in 0..10_000 {
            if let Err(error) = recorder.worker.send(&destination, data.clone()) {
                refused = Some(error);
                break;
            }
            tokio::task::yield_now().await;
        }
        assert!(
            matches!(refused, Some(SendError::QueueFull | SendError::NoConnection(_))),
            "{refused:?}"
        );
        recorder
            .until("closed", |r| r.has_event(|e| closed(e, CloseReason::QueueFull)))
            .await;
        assert!(
            recorder.has_event(|e| matches!(e, NetEvent::SendFailed { .. })),
            "what was queued is reported"
        );
        assert_eq!(net.stats().current_write_queue_size.value(), 0);
        let other = to(peer.local_addr().unwrap(), Transport::Tcp);
        assert!(recorder.worker.send(&other, Str::from("hello")).is_ok());
        let answer = blocking(move || {
            let mut peer = peer;
            let mut answer = [0; 5];
            peer.read_exact(&mut answer).map(|()| answer)
        });
        assert_eq!(&answer.await.unwrap(), b"hello");
    });
}

#[test]
fn a_peer_that_stops_reading_is_closed_after_the_send_timeout() {
    let config = tcp(|tcp| {
        tcp.conn_wq_max = 1 << 30;
        tcp.wq_max = 1 << 30;
        tcp.send_timeout = 1;
    });
    with_worker(config, silent(), |net, recorder| async move {
        let deaf = client(address(&net, Transport::Tcp));
        recorder
            .until("it is there", |_| net.connections().len() == 1)
            .await;
        let destination = to(deaf.local_addr().unwrap(), Transport::Tcp);
        recorder
            .worker
            .send(&destination, Str::from(vec![b'x'; 64 << 20]))
            .unwrap();
        recorder
            .until("closed", |r| r.has_event(|e| closed(e, CloseReason::SendTimeout)))
            .await;
        assert_eq!(net.stats().send_timeout.value(), 1);
    });
}

#[test]
fn a_half_closed_peer_still_gets_its_reply() {
    let later: Reaction = Box::new(|worker, data, received| {
        let (worker, data, received) = (worker.clone(), data.clone(), *received);
        tokio::task::spawn_local(async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            worker.send(&back(&received), data).unwrap();
        });
    });
    with_worker(tcp(|_| ()), later, |net, recorder| async move {
        let server = address(&net, Transport::Tcp);
        let answer = blocking(move || {
            let mut stream = client(server);
            stream.write_all(message("late").as_bytes()).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        });
        assert_eq!(answer.await, message("late"));
        recorder
            .until("closed", |r| r.has_event(|e| closed(e, CloseReason::Peer)))
            .await;
    });
}

#[test]
fn connections_are_opened_once_reused_and_closed_after_sending() {
    with_worker(tcp(|_| ()), silent(), |net, recorder| async move {
        let peer = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut destination = to(peer.local_addr().unwrap(), Transport::Tcp);
        let Ok(SendOutcome::Queued(first)) = recorder.worker.send(&destination, Str::from("one")) else {
            panic!()
        };
        assert_eq!(
            recorder.worker.send(&destination, Str::from("two")),
            Ok(SendOutcome::Queued(first))
        );
        assert_eq!(
            net.send(&destination, Str::from("three")),
            Ok(SendOutcome::Queued(first))
        );
        destination.flags.close = true;
        assert_eq!(
            recorder.worker.send(&destination, Str::from("four")),
            Ok(SendOutcome::Queued(first))
        );
        let text = blocking(move || {
            let (mut stream, _) = peer.accept().unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            text
        });
        assert_eq!(text.await, "onetwothreefour");
        recorder
            .until("closed", |r| r.has_event(|e| closed(e, CloseReason::Local)))
            .await;
        assert_eq!(net.stats().connect_success.value(), 1);
    });
}

#[test]
fn an_alias_brings_requests_back_over_the_same_connection() {
    with_worker(tcp(|_| ()), silent(), |net, recorder| async move {
        let mut stream = client(address(&net, Transport::Tcp));
        stream.write_all(message("").as_bytes()).unwrap();
        recorder
            .until("a message", |r| r.messages.borrow().len() == 1)
            .await;
        let id = recorder.messages.borrow()[0].1.connection.unwrap();
        assert!(net.add_alias(id, 5099));
        let mut destination = to("127.0.0.1:5099".parse().unwrap(), Transport::Tcp);
        destination.flags.no_connect = true;
        assert_eq!(
            recorder.worker.send(&destination, Str::from("hi")),
            Ok(SendOutcome::Queued(id))
        );
        let got = blocking(move || {
            let mut got = [0; 2];
            stream.read_exact(&mut got).map(|()| (got, stream))
        });
        let (got, stream) = got.await.unwrap();
        assert_eq!(&got, b"hi");
        drop(stream);
        recorder.until("closed", |_| net.connections().is_empty()).await;
        let gone = recorder.worker.send(&destination, Str::from("hi"));
        assert_eq!(gone, Err(SendError::NoConnection(destination.to)));
    });
}

#[test]
fn a_refused_connection_reports_every_message() {
    with_worker(tcp(|_| ()), silent(), |net, recorder| async move {
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        for text in ["one", "two"] {
            recorder
                .worker
                .send(&to(nobody, Transport::Tcp), Str::from(text))
                .unwrap();
        }
        recorder
            .until("both failed", |r| r.events.borrow().len() == 2)
            .await;
        let refused = |e: &NetEvent| {
            matches!(
                e,
                NetEvent::SendFailed {
                    error: SendError::Connect(..),
                    ..
                }
            )
        };
        assert!(recorder.events.borrow().iter().all(refused));
        assert_eq!(
            (net.connection_count(), net.stats().connect_failed.value()),
            (0, 1)
        );
    });
}

#[test]
fn limits_refuse_and_idle_half_sent_and_silent_peers_are_closed() {
    let config = tcp(|tcp| {
        tcp.accept_iplimit = 2;
        tcp.msg_read_timeout = 1;
        tcp.msg_data_timeout = 1;
        tcp.connection_lifetime = 2;
    });
    with_worker(config, silent(), |net, recorder| async move {
        let server = address(&net, Transport::Tcp);
        let (mut half, _silent) = (client(server), client(server));
        half.write_all(b"OPTIONS sip:a SIP/2.0\r\n").unwrap();
        recorder
            .until("two are in", |_| net.connection_count() == 2)
            .await;
        let mut third = client(server);
        assert_eq!(
            blocking(move || third.read(&mut [0; 1]).unwrap_or(0)).await,
            0,
            "the third is refused"
        );
        assert_eq!(net.stats().local_reject.value(), 1);
        let ended =
            |reason| move |r: &Recorder| r.events.borrow().iter().filter(|e| closed(e, reason)).count();
        recorder
            .until("closed", |r| ended(CloseReason::ReadTimeout)(r) == 2)
            .await;
        let mut idle = client(server);
        idle.write_all(message("").as_bytes()).unwrap();
        recorder.until("idle", |r| ended(CloseReason::Idle)(r) == 1).await;
    });
}

#[test]
fn a_proxy_header_gives_the_real_addresses_and_its_lack_is_refused() {
    with_worker(
        tcp(|tcp| tcp.accept_haproxy = true),
        silent(),
        |net, recorder| async move {
            let server = address(&net, Transport::Tcp);
            let mut stream = client(server);
            let text = format!("PROXY TCP4 192.0.2.1 198.51.100.2 1234 5060\r\n{}", message(""));
            stream.write_all(text.as_bytes()).unwrap();
            recorder
                .until("a message", |r| r.messages.borrow().len() == 1)
                .await;
            let received = recorder.messages.borrow()[0].1;
            assert_eq!(received.source.to_string(), "192.0.2.1:1234");
            assert_eq!(received.local.to_string(), "198.51.100.2:5060");
            client(server).write_all(message("").as_bytes()).unwrap();
            recorder
                .until("refused", |r| r.has_event(|e| closed(e, CloseReason::BadFrame)))
                .await;
            assert_eq!(recorder.messages.borrow().len(), 1);
        },
    );
}

#[test]
fn a_thousand_connections_at_once_are_served() {
    with_worker(
        tcp(|tcp| tcp.accept_iplimit = 0),
        echo(),
        |net, _recorder| async move {
            let server = address(&net, Transport::Tcp);
            let work = blocking(move || {
                let mut streams: Vec<TcpStream> = (0..1000).map(|_| client(server)).collect();
                for (at, stream) in streams.iter_mut().enumerate() {
                    stream.write_all(message(&at.to_string()).as_bytes()).unwrap();
                }
                for (at, stream) in streams.iter_mut().enumerate() {
                    let wanted = message(&at.to_string());
                    let mut answer = vec![0; wanted.len()];
                    stream.read_exact(&mut answer).unwrap();
                    assert_eq!(answer, wanted.as_bytes());
                }
                streams
            });
            let streams = work.await;
            assert_eq!(net.connection_count(), 1000);
            drop(streams);
        },
    );
}

#[test]
fn ipv6_connects_both_ways() {
    if TcpListener::bind("[::1]:0").is_err() {
        eprintln!("SKIPPED: this host has no IPv6 loopback");
        return;
    }
    with_worker(
        config(vec![listen(Transport::Tcp, "[::1]")]),
        silent(),
        |net, recorder| async move {
            let server = address(&net, Transport::Tcp);
            recorder
                .worker
                .send(&to(server, Transport::Tcp), Str::from(message("self")))
                .unwrap();
            recorder
                .until("our own message", |r| r.messages.borrow().len() == 1)
                .await;
            assert!(recorder.messages.borrow()[0].1.source.is_ipv6());
        },
    );
}
