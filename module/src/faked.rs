//! Messages that the server makes for itself, so that timers and commands can run routes.

use std::{
    net::{Ipv4Addr, SocketAddr},
    rc::Rc,
};

use kahea_sip::{Limits, ListenerId, Message, Received, Transport};

use crate::{Cx, Fault, Str, Worker, ret::Blame};

/// The OPTIONS that Kamailio gives to routes which no message started; scripts may test for its URI.
const OPTIONS: &str = "OPTIONS sip:you@kamailio.org SIP/2.0\r\n\
    Via: SIP/2.0/UDP 127.0.0.1\r\n\
    From: <sip:you@kamailio.org>;tag=123\r\n\
    To: <sip:you@kamailio.org>\r\n\
    Call-ID: 123\r\n\
    CSeq: 1 OPTIONS\r\n\
    Content-Length: 0\r\n\r\n";

/// The name of the timer that made a message, kept with it (`@timer.executed`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TimerName(pub Str);

impl Cx {
    /// A message in work that nobody sent: an OPTIONS from 127.0.0.1:5060 over UDP.
    ///
    /// # Errors
    /// Only where this server is wrong.
    pub fn faked(worker: Rc<Worker>) -> Result<Cx, Fault> {
        let msg = Message::parse(Str::from_static(OPTIONS), &Limits::default()).map_err(|error| {
            Fault::new(
                Blame::Ours,
                format!("the server's own message cannot be read: {error}"),
            )
        })?;
        let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 5060));
        let listener = worker.config.identity.listeners.first();
        let received = Received {
            source: local,
            local: listener.map_or(local, |listener| listener.address),
            transport: Transport::Udp,
            listener: listener.map_or(ListenerId(0), |listener| listener.id),
            connection: None,
            at: worker.engine.time(),
        };
        let mut cx = Cx::new(msg, received, worker);
        cx.faked = true;
        Ok(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Server;

    #[test]
    fn it_is_a_readable_options() {
        let server = Server::default();
        let cx = Cx::faked(server.worker.clone()).expect("a message");
        assert!(cx.faked);
        assert_eq!(cx.ruri(), "sip:you@kamailio.org");
        assert_eq!(cx.from().expect("From").tag(), Some(&b"123"[..]));
    }
}
