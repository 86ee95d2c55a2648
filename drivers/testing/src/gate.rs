//! A gate between client and server: lets traffic through, late, or not at all.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

/// What a gate does with traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// It passes.
    Passes,
    /// What the server says comes so much later.
    Slow(Duration),
    /// It is swallowed: connections are accepted, and nothing comes back.
    BlackHole,
    /// Connections are closed at once, those that were open too.
    Closed,
}

/// A TCP port in front of another; closed when dropped.
pub struct Gate {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    to: u16,
    traffic: Mutex<Traffic>,
    ended: AtomicBool,
}

const TICK: Duration = Duration::from_millis(5);

impl Gate {
    /// A gate to a port of 127.0.0.1.
    ///
    /// # Panics
    /// There is no port left.
    pub fn to(port: u16) -> Gate {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let own = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            to: port,
            traffic: Mutex::new(Traffic::Passes),
            ended: AtomicBool::new(false),
        });
        let accepting = shared.clone();
        thread::spawn(move || accept(&listener, &accepting));
        Gate { port: own, shared }
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on.
    ///
    /// # Panics
    /// A thread of the gate panicked.
    pub fn set(&self, traffic: Traffic) {
        *self.shared.traffic.lock().unwrap() = traffic;
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.shared.ended.store(true, Relaxed);
        // Wakes the thread that accepts.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

impl Shared {
    fn now(&self) -> Traffic {
        match self.ended.load(Relaxed) {
            true => Traffic::Closed,
            false => *self.traffic.lock().unwrap(),
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming().flatten() {
        if shared.ended.load(Relaxed) {
            return;
        }
        if shared.now() == Traffic::Closed {
            continue;
        }
        let shared = shared.clone();
        thread::spawn(move || {
            // In a black hole the server never hears of the client.
            while shared.now() == Traffic::BlackHole {
                thread::sleep(TICK);
            }
            if let Ok(server) = TcpStream::connect(("127.0.0.1", shared.to)) {
                let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let forth = shared.clone();
                thread::spawn(move || pass(from, to, &forth, false));
                pass(server, client, &shared, true);
            }
        });
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, shared: &Shared, to_client: bool) {
    let mut buffer = vec![0u8; 65_536];
    from.set_read_timeout(Some(TICK)).unwrap();
    while shared.now() != Traffic::Closed {
        let n = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => n,
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                ) =>
            {
                continue;
            }
            Err(_) => break,
        };
        if let (Traffic::Slow(by), true) = (shared.now(), to_client) {
            thread::sleep(by);
        }
        while shared.now() == Traffic::BlackHole {
            thread::sleep(TICK);
        }
        if shared.now() == Traffic::Closed || to.write_all(&buffer[..n]).is_err() {
            break;
        }
    }
    // The other side may have closed it already.
    drop(from.shutdown(Shutdown::Both));
    drop(to.shutdown(Shutdown::Both));
}
