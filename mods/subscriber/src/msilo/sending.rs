//! Messages on their way out of the store.

use std::{rc::Rc, sync::Arc};

use kahea_db::{Row, Statement, Value};
use kahea_mods_base::pv::clock::Calendar;
use kahea_mods_transaction::tm::uac::{Answer, LocalRequest};
use kahea_module::{Cx, Ret, Str, Worker, error};
use kahea_sip::{
    HeaderId, Method,
    view::{Contacts, Uri},
};

use super::{Msilo, Silo, notice::bracketed};
use crate::{queries, who::Account};

/// A stored message.
#[derive(Clone, Debug)]
struct Stored {
    id: i64,
    from: Str,
    user: Str,
    host: Str,
    received: i64,
    send: i64,
    content_type: Str,
    body: Str,
    headers: Str,
    call_id: Str,
}

impl Stored {
    /// Of a row; `None` where it has no number.
    fn of(row: &Row) -> Option<Stored> {
        let text = |at: usize| row.get(at).and_then(Value::text).unwrap_or_default();
        let number = |at: usize| row.get(at).and_then(Value::int);
        Some(Stored {
            id: number(0)?,
            from: text(1),
            user: text(2),
            host: text(3),
            received: number(4).unwrap_or(0),
            send: number(5).unwrap_or(0),
            content_type: text(6),
            body: text(7),
            headers: text(8),
            call_id: text(9),
        })
    }

    /// The address of the user.
    fn owner(&self) -> Str {
        Str::from([b"sip:".as_slice(), &self.user, b"@", &self.host].concat())
    }

    fn is_plain(&self) -> bool {
        self.content_type.eq_ignore_ascii_case(b"text/plain")
    }

    /// The text, with a remark in brackets before it where it is plain text.
    fn body(&self, remark: Option<(&str, i64)>) -> Str {
        match remark.filter(|_| self.is_plain()) {
            Some((what, time)) => {
                let time = Calendar::local(time).format("%a %b %e %H:%M:%S %Y");
                Str::from([format!("[{what} message - {time}] ").as_bytes(), &self.body].concat())
            }
            None => self.body.clone(),
        }
    }
}

/// Header lines, each with one line end; nothing where they would end the headers.
fn lines(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for line in text.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if !line.is_empty() {
            out.extend_from_slice(line);
            out.extend_from_slice(b"\r\n");
        }
    }
    out
}

/// What a message is sent as.
#[derive(Clone, Copy)]
enum As<'a> {
    /// As its sender sent it, with header lines of the configuration.
    Stored(&'a Str),
    /// In time, from this address.
    Reminder(&'a Str),
}

impl Silo {
    fn request(&self, message: &Stored, kind: As<'_>) -> LocalRequest {
        let mut headers = Vec::new();
        let (from, body) = match kind {
            As::Stored(extra) => {
                let date = Calendar::utc(message.received).format("%a, %d %b %Y %H:%M:%S GMT");
                headers.extend_from_slice(format!("Date: {date}\r\n").as_bytes());
                if self.add_contact {
                    headers
                        .extend_from_slice(&lines(&[b"Contact: <", &*message.from, b">;msilo=yes"].concat()));
                }
                headers.extend_from_slice(&lines(extra));
                headers.extend_from_slice(&lines(&message.headers));
                let remark = self.add_date.then_some(("Offline", message.received));
                (&message.from, message.body(remark))
            }
            As::Reminder(from) => (from, message.body(Some(("Reminder", message.send)))),
        };
        headers.extend_from_slice(&lines(&[b"Content-Type: ", &*message.content_type].concat()));
        let owner = message.owner();
        let call_id = Some(message.call_id.clone()).filter(|id| self.keep_call_id && !id.is_empty());
        LocalRequest {
            method: Str::from_static("MESSAGE"),
            next_hop: self.proxy.clone(),
            from: bracketed(from),
            to: bracketed(&owner),
            ruri: owner,
            call_id,
            headers: Str::from(headers),
            body,
            ..LocalRequest::default()
        }
    }

    /// Sends a message, unless it is under way; it is taken out of the table once it is accepted.
    fn send(self: &Arc<Self>, worker: &Rc<Worker>, message: Stored, kind: As<'_>) {
        if !self.under_way.0.lock().insert(message.id) {
            return;
        }
        let mut request = self.request(&message, kind);
        let reminder = matches!(kind, As::Reminder(_));
        let (here, id) = (self.clone(), message.id);
        request.answered = Some(Arc::new(move |_: &Rc<Worker>, answer: &Answer<'_>| {
            here.answered(id, (200..300).contains(&answer.status), reminder);
        }));
        let (here, own) = (self.clone(), worker.clone());
        worker.engine.spawn(Box::pin(async move {
            if let Err(fault) = here.requests.send(&own, request).await {
                error!("msilo", "Message {id} was not sent: {fault}.");
                here.answered(id, false, reminder);
            }
        }));
    }

    fn answered(self: &Arc<Self>, id: i64, accepted: bool, reminder: bool) {
        let counters = &self.counters;
        match (accepted, reminder) {
            (true, false) => counters.dumped.inc(),
            (false, false) => counters.failed.inc(),
            (true, true) => counters.reminders.inc(),
            (false, true) => counters.failed_reminders.inc(),
        }
        if !accepted {
            self.under_way.0.lock().remove(&id);
            return;
        }
        let here = self.clone();
        let statement = Statement::Query(self.queries.delete.clone(), vec![Value::Int(id)]);
        self.database.run_later(statement, move |answer| {
            if let Err(error) = answer {
                // It stays under way, so that nobody gets it twice from this server.
                return error!(
                    "msilo",
                    "Message {id} was sent, but is still in the table: {error}."
                );
            }
            here.under_way.0.lock().remove(&id);
        });
    }
}

/// `m_dump()`.
pub fn dump(m: &Msilo, cx: &mut Cx, owner: Option<kahea_module::Value>) -> Ret {
    if cx.method() == Method::Register && !brings_contacts(cx) {
        return Ret::FALSE;
    }
    let owner = match owner {
        Some(value) => value.str().and_then(|uri| Account::of_uri(&uri)),
        None => Account::of_to(cx),
    };
    let Some(owner) = owner.filter(|owner| !owner.user.is_empty()) else {
        return Ret::FALSE;
    };
    let extra = m.extra.text(cx);
    let silo = m.silo.clone();
    let values = vec![
        Value::Text(owner.user.detach()),
        Value::Text(owner.host.detach()),
        Value::Int(0),
    ];
    Ret::wait(move |cx| {
        Box::pin(async move {
            match silo.database.run(&silo.queries.of_user, values).await {
                Ok(rows) => {
                    for message in rows.rows.iter().filter_map(Stored::of) {
                        silo.send(&cx.worker, message, As::Stored(&extra));
                    }
                    Ret::TRUE
                }
                Err(error) => queries::failed(&silo.database, &error).into(),
            }
        })
    })
}

/// The REGISTER adds contacts: it has one, and none of them ends with it.
fn brings_contacts(cx: &Cx) -> bool {
    let zero = |text: &[u8]| text.trim_ascii() == b"0";
    let expires = cx.msg.first(HeaderId::Expires).map(|header| cx.msg.value(header));
    let mut any = false;
    for header in cx.msg.all(HeaderId::Contact) {
        let Contacts::List(contacts) = Contacts::parse(cx.msg.value(header)) else {
            return false;
        };
        for contact in contacts.flatten() {
            let own = contact.params.value("expires").or(expires);
            any |= Uri::parse(contact.uri).is_ok() && !own.is_some_and(zero);
        }
    }
    any
}

/// Sends what is due.
pub fn remind(silo: &Arc<Silo>, worker: &Rc<Worker>, from: &Str) {
    let (silo, own, from) = (silo.clone(), worker.clone(), from.clone());
    worker.engine.spawn(Box::pin(async move {
        let values = vec![Value::Int(0), Value::Int(own.unix_time())];
        match silo.database.run(&silo.queries.due, values).await {
            Ok(rows) => {
                for message in rows.rows.iter().filter_map(Stored::of) {
                    silo.send(&own, message, As::Reminder(&from));
                }
            }
            Err(error) => error!("msilo", "Messages whose time has come were not read: {error}."),
        }
    }));
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::{INVITE, Server};

    use super::*;

    fn stored(content_type: &'static str) -> Stored {
        let row = vec![
            Value::Int(7),
            "sip:a@h".into(),
            "bob".into(),
            "i".into(),
            Value::Int(1_500_000_000),
            Value::Int(0),
            content_type.into(),
            "words".into(),
            Value::Null,
            "".into(),
        ];
        Stored::of(&row).unwrap()
    }

    #[test]
    fn plain_texts_begin_with_their_date() {
        let plain = stored("text/plain").body(Some(("Offline", 1_500_000_000)));
        assert!(plain.text().starts_with("[Offline message - Fri Jul 14 "));
        assert!(plain.text().ends_with(" 2017] words"));
        assert_eq!(stored("message/cpim").body(Some(("Offline", 0))), "words");
        assert_eq!(stored("text/plain").owner(), "sip:bob@i");
        assert!(Stored::of(&vec![Value::Null]).is_none());
    }

    #[test]
    fn stored_lines_cannot_end_the_headers() {
        assert_eq!(lines(b"A: 1\r\n\r\nB: 2\n\n"), b"A: 1\r\nB: 2\r\n");
        assert_eq!(lines(b""), b"");
    }

    #[test]
    fn a_register_must_add_contacts() {
        let server = Server::default();
        let with = |contact: &str, expires: &str| {
            let text = INVITE
                .replace("Contact: <sip:alice@127.0.0.1:5061>\n", contact)
                .replace("User-Agent: phone", expires);
            brings_contacts(&server.message(&text))
        };
        assert!(with("Contact: <sip:a@h>\n", "Expires: 60"));
        assert!(with("Contact: <sip:a@h>;expires=5\n", "Expires: 0"));
        assert!(!with("Contact: <sip:a@h>\n", "Expires: 0"));
        assert!(!with("Contact: <sip:a@h>;expires=0\n", "X: y"));
        assert!(!with("Contact: *\n", "Expires: 0"));
        assert!(!with("", "Expires: 60"));
    }
}
