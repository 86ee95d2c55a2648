//! A worker with a recording sink, for the integration tests.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::{cell::RefCell, net::SocketAddr, rc::Rc, sync::Arc, time::Duration};

use kahea_net::{Inherited, ListenAddress, ListenSpec, Net, NetConfig, NetEvent, Sink, Worker};
use kahea_sip::{Destination, Received, SendFlags, Str, Transport};
use tokio::{sync::Notify, task::LocalSet};

/// What a test does with a message.
pub type Reaction = Box<dyn Fn(&Worker, &Str, &Received)>;

pub struct Recorder {
    pub worker: Worker,
    pub messages: RefCell<Vec<(Str, Received)>>,
    pub events: RefCell<Vec<NetEvent>>,
    pub changed: Notify,
    pub reaction: Reaction,
}

impl Sink for Recorder {
    fn message(&self, data: Str, received: Received) {
        (self.reaction)(&self.worker, &data, &received);
        self.messages.borrow_mut().push((data, received));
        self.changed.notify_waiters();
    }

    fn event(&self, event: NetEvent) {
        if let NetEvent::BadFrame { received, .. } = &event {
            let _ = self
                .worker
                .send(&back(received), Str::from_static("SIP/2.0 400 Bad\r\n\r\n"));
        }
        self.events.borrow_mut().push(event);
        self.changed.notify_waiters();
    }
}

impl Recorder {
    /// Waits until `done` holds; fails the test after ten seconds.
    pub async fn until(&self, what: &str, done: impl Fn(&Recorder) -> bool) {
        let wait = async {
            loop {
                let changed = self.changed.notified();
                if done(self) {
                    return;
                }
                let _ = tokio::time::timeout(Duration::from_millis(20), changed).await;
            }
        };
        let timed_out = tokio::time::timeout(Duration::from_secs(10), wait).await.is_err();
        assert!(
            !timed_out,
            "{what}: {:?} {:?}",
            self.messages.borrow(),
            self.events.borrow()
        );
    }

    pub fn has_event(&self, wanted: impl Fn(&NetEvent) -> bool) -> bool {
        self.events.borrow().iter().any(wanted)
    }
}

pub fn listen(transport: Transport, address: &str) -> ListenSpec {
    ListenSpec::new(transport, ListenAddress::parse(address), Some(0))
}

pub fn config(listen: Vec<ListenSpec>) -> NetConfig {
    NetConfig {
        listen,
        ..NetConfig::default()
    }
}

pub fn address(net: &Net, transport: Transport) -> SocketAddr {
    net.listeners()
        .iter()
        .find(|l| l.transport == transport)
        .unwrap()
        .socket_addr()
}

pub fn to(address: SocketAddr, transport: Transport) -> Destination {
    Destination {
        to: address,
        transport,
        listener: None,
        connection: None,
        flags: SendFlags::default(),
    }
}

/// The way back to where a message came from.
pub fn back(received: &Received) -> Destination {
    Destination {
        to: received.source,
        transport: received.transport,
        listener: Some(received.listener),
        connection: received.connection,
        flags: SendFlags::default(),
    }
}

pub fn echo() -> Reaction {
    Box::new(|worker, data, received| {
        worker.send(&back(received), data.clone()).unwrap();
    })
}

pub fn silent() -> Reaction {
    Box::new(|_, _, _| ())
}

/// Runs one worker with `config` beside `test` in a runtime of its own.
pub fn with_worker<F: Future<Output = ()>>(
    config: NetConfig,
    reaction: Reaction,
    test: impl FnOnce(Arc<Net>, Rc<Recorder>) -> F,
) {
    let net = Net::bind(config, 1, Inherited::default()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, async {
        let worker = net.worker(0);
        let recorder = Rc::new(Recorder {
            worker: worker.clone(),
            messages: RefCell::default(),
            events: RefCell::default(),
            changed: Notify::new(),
            reaction,
        });
        let sink = recorder.clone();
        let running = tokio::task::spawn_local(async move { worker.run(sink).await });
        test(net.clone(), recorder).await;
        net.shutdown();
        running.await.unwrap().unwrap();
    });
}

pub fn message(body: &str) -> String {
    format!(
        "OPTIONS sip:a@example.com SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bK1\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}
