//! Requests handed to a program outside: `t_write_req()` writes them to a FIFO, `t_write_unix()` sends them to a datagram
//! socket. The program answers by `tm.t_reply` and its kin; until then the transaction waits as if it had been relayed.
//!
//! The text is Kamailio's "0.3" form, one value a line, as Kamailio 5.6.3 was seen to write it; the first of several
//! Record-Route headers is not written twice, as it does.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::{
        fs::{FileTypeExt, OpenOptionsExt},
        net::UnixDatagram,
    },
    path::Path,
    sync::Arc,
    time::Duration,
};

use kahea_module::{
    Bind, BindError, Cx, Decl, Fault, Ret, Str, Var,
    route::{FAILURE, REQUEST},
};
use kahea_sip::{
    HeaderId, Method,
    view::{Addrs, NameAddr},
};

use super::{
    Tm,
    attached::{self, Attached, Role},
    cell::{Cell, Context},
    core::now,
    kept::Snapshot,
    suspend::blind_branch,
    timer,
    uac::pair,
};

/// Between two attempts where the other side is slow to read.
const PAUSE: Duration = Duration::from_millis(2);

/// What `tw_append` adds to the texts of actions that name it.
#[derive(Clone)]
pub struct Append {
    name: Str,
    pieces: Vec<(Str, Piece)>,
}

#[derive(Clone)]
enum Piece {
    /// `hdr[name]`.
    Header(Str),
    /// `avp[name]`.
    Avp(Var),
    /// `msg[body]`: the body is there in any case.
    Body,
}

impl Append {
    /// Reads `name:[title=]hdr[x];[title=]avp[x];msg[body]`.
    ///
    /// # Errors
    /// It has another form.
    pub fn parse(text: &str, bind: &dyn Bind) -> Result<Append, BindError> {
        let (name, pieces) = text.split_once(':').ok_or_else(|| wrong(text))?;
        let pieces = pieces.split(';').filter(|piece| !piece.trim().is_empty());
        let pieces: Result<Vec<_>, _> = pieces.map(|piece| Piece::parse(piece.trim(), bind)).collect();
        match name.trim() {
            "" => Err(wrong(text)),
            name => Ok(Append {
                name: Str::from(name),
                pieces: pieces?,
            }),
        }
    }

    /// What an action names it by.
    pub fn name(&self) -> &Str {
        &self.name
    }
}

fn wrong(text: &str) -> BindError {
    BindError::new(format!("'{text}' is no tw_append"))
        .help("write name:hdr[Subject];title=avp[x];msg[body], with ; between the parts")
}

impl Piece {
    fn parse(text: &str, bind: &dyn Bind) -> Result<(Str, Piece), BindError> {
        let (title, what) = match text.split_once('=') {
            Some((title, what)) => (Some(title.trim()), what.trim()),
            None => (None, text),
        };
        let inner = what.strip_suffix(']').and_then(|what| what.split_once('['));
        let (kind, name) = inner
            .filter(|(_, name)| !name.is_empty())
            .ok_or_else(|| wrong(text))?;
        let piece = match (kind, name) {
            ("hdr", name) => Piece::Header(Str::from(name)),
            ("avp", name) => Piece::Avp(bind.var(&format!("$avp({name})"))?),
            ("msg", "body") => Piece::Body,
            _ => return Err(wrong(text)),
        };
        let own = name.strip_prefix("s:").unwrap_or(name);
        Ok((Str::from(title.unwrap_or(own)), piece))
    }

    fn value(&self, cx: &mut Cx) -> Option<Str> {
        match self {
            Piece::Header(name) => {
                let header = cx.msg.named(name).next()?;
                Some(cx.msg.value_text(header))
            }
            Piece::Avp(var) => var.get(cx).str(),
            Piece::Body => None,
        }
    }
}

/// Declares the functions.
pub fn declare(d: &mut Decl<Tm>) {
    d.func(
        "t_write_req",
        ["file", "action"],
        |m: &Tm, cx: &mut Cx, file: Str, action: Str| hand_over(m, cx, &action, Outlet::fifo(&file.text())),
        "Writes the request to a FIFO that a program reads, which answers by tm.t_reply; false where nobody reads it. \
         The action may name a tw_append: vm/extra.",
    )
    .routes(REQUEST | FAILURE)
    .waits();
    d.func(
        "t_write_unix",
        ["socket", "action"],
        |m: &Tm, cx: &mut Cx, path: Str, action: Str| hand_over(m, cx, &action, Outlet::unix(&path.text())),
        "Sends the request to a datagram socket of a program, which answers by tm.t_reply; false where nobody listens. \
         The action may name a tw_append: vm/extra.",
    )
    .routes(REQUEST | FAILURE)
    .waits();
}

/// The way to the program. Nothing about it blocks.
enum Outlet {
    Fifo(File),
    Unix(UnixDatagram),
}

impl Outlet {
    fn fifo(path: &str) -> io::Result<Outlet> {
        if !std::fs::metadata(Path::new(path))?.file_type().is_fifo() {
            return Err(io::Error::other("it is no FIFO"));
        }
        let file = OpenOptions::new()
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(path);
        file.map(Outlet::Fifo)
    }

    fn unix(path: &str) -> io::Result<Outlet> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        socket.connect(path)?;
        Ok(Outlet::Unix(socket))
    }

    /// Writes on from `done`; true once all is written.
    fn write(&mut self, data: &[u8], done: &mut usize) -> io::Result<bool> {
        let rest = data.get(*done..).unwrap_or_default();
        let written = match self {
            Outlet::Fifo(file) => file.write(rest),
            Outlet::Unix(socket) => socket.send(rest),
        };
        match written {
            Ok(written) => *done = done.saturating_add(written),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        Ok(*done >= data.len())
    }
}

fn hand_over(m: &Tm, cx: &mut Cx, action: &Str, outlet: io::Result<Outlet>) -> Result<Ret, Fault> {
    let cell = attached::cell(cx)
        .ok_or_else(|| Fault::script("the request has no transaction: call t_newtran() before"))?;
    let data = text(m, &cell, cx, action)?;
    let failed = |error: io::Error| Fault::backend(format!("nobody takes the request: {error}"));
    let mut outlet = outlet.map_err(failed)?;
    let mut done = 0;
    if outlet.write(&data, &mut done).map_err(failed)? {
        return wait_for_answer(&cell, cx).map(|()| Ret::TRUE);
    }
    let timeout = m.core.options().further.unix_tx_timeout;
    Ok(Ret::wait(move |cx| {
        Box::pin(async move {
            let engine = cx.worker.engine.clone();
            let start = engine.now();
            while engine.now().saturating_duration_since(start) < timeout {
                engine.sleep(PAUSE).await;
                match outlet.write(&data, &mut done) {
                    Ok(true) => return wait_for_answer(&cell, cx).map(|()| true).into(),
                    Ok(false) => {}
                    Err(error) => return Ret::Fault(failed(error)),
                }
            }
            Ret::Fault(Fault::backend(
                "the program does not read fast enough (unix_tx_timeout)",
            ))
        })
    }))
}

/// The transaction waits as a branch that nobody was asked for.
fn wait_for_answer(cell: &Arc<Cell>, cx: &mut Cx) -> Result<(), Fault> {
    let worker = cx.worker.clone();
    let mut state = cell.state.lock();
    let branch = blind_branch(cell, &mut state, cx)?;
    state.tx.sent(now(&worker), branch, true);
    if attached::role(cx) == Role::Request {
        *state.context = Context::copy(cx);
    }
    state.snapshot.get_or_insert_with(|| Box::new(Snapshot::of(cx)));
    timer::arm(cell, &mut state, &worker);
    drop(state);
    cx.extra::<Attached>().settled = true;
    Ok(())
}

/// The request as the program gets it.
fn text(m: &Tm, cell: &Cell, cx: &mut Cx, action: &Str) -> Result<Str, Fault> {
    let action = action.text().into_owned();
    let (name, append) = match action.split_once('/') {
        Some((name, append)) => (name, Some(append)),
        None => (&*action, None),
    };
    if name.is_empty() {
        return Err(Fault::script("the action has no name"));
    }
    let known = &m.core.options().further.appends;
    let append = match append {
        Some(append) => Some(
            known
                .iter()
                .find(|one| *one.name == *append.as_bytes())
                .ok_or_else(|| Fault::script(format!("there is no tw_append '{append}'")))?,
        ),
        None => None,
    };
    let mut out = Vec::with_capacity(1_024);
    line(&mut out, b"0.3");
    line(&mut out, format!("sip_request.{name}").as_bytes());
    about_request(cx, &mut out);
    about_dialog(cell, cx, &mut out)?;
    line(&mut out, format!("P-MsgFlags: {:x}", cx.iflags.0).as_bytes());
    for (title, piece) in append.iter().flat_map(|append| &append.pieces) {
        if let Some(value) = piece.value(cx) {
            line(&mut out, &[&**title, b": ", &*value].concat());
        }
    }
    line(&mut out, b".");
    let body = if cell.method == Method::Invite {
        cx.msg.body()
    } else {
        b"."
    };
    line(&mut out, body);
    Ok(Str::from(out))
}

fn line(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(text);
    out.push(b'\n');
}

/// Method, user and domain of the Request-URI, the address that it came to, the Request-URI.
fn about_request(cx: &Cx, out: &mut Vec<u8>) {
    line(out, cx.msg.method_text());
    cx.with_ruri(|uri| {
        let (user, host) = uri
            .as_ref()
            .map_or((&b""[..], &b""[..]), |uri| (uri.user, uri.host));
        line(out, user);
        line(out, host);
    });
    line(out, cx.received.local.ip().to_string().as_bytes());
    line(out, cx.received.local.port().to_string().as_bytes());
    line(out, &cx.ruri());
}

/// Where requests of the dialog go, From, To, Call-ID, tags, CSeq number, the transaction's name, route set, next hop.
fn about_dialog(cell: &Cell, cx: &Cx, out: &mut Vec<u8>) -> Result<(), Fault> {
    let (from, to) = (cx.from()?, cx.to()?);
    let contact = first_contact(cx).unwrap_or_else(|| Str::copy(from.uri));
    let mut routes: Vec<Str> = Vec::new();
    for header in cx.msg.all(HeaderId::RecordRoute) {
        let value = cx.msg.value_text(header);
        routes.extend(Addrs::new(&value).flatten().map(|addr| value.share(addr.raw)));
    }
    let first = routes.first().and_then(|first| {
        let addr = NameAddr::parse(first).ok()?;
        Some((first.share(addr.uri), addr.parse_uri().ok()?.lr()))
    });
    let (target, next) = match first {
        Some((next, true)) => (contact, next),
        // A strict router finds itself in the Request-URI, and the target at the end.
        Some((strict, false)) => {
            routes.remove(0);
            routes.push(Str::from([b"<", &*contact, b">"].concat()));
            (strict, Str::from_static("."))
        }
        None => (contact, Str::from_static(".")),
    };
    line(out, &target);
    line(out, bare(cx, HeaderId::From));
    line(
        out,
        cx.msg.first(HeaderId::To).map_or(&b""[..], |to| cx.msg.value(to)),
    );
    line(out, cx.msg.call_id().unwrap_or_default());
    line(out, from.tag().unwrap_or_default());
    line(out, to.tag().unwrap_or_default());
    let number = cx.msg.cseq().map_or(0, |(number, _)| number);
    line(out, number.to_string().as_bytes());
    let (index, label) = pair(cell.id);
    line(out, format!("{index}:{label}").as_bytes());
    match routes.is_empty() {
        true => line(out, b"."),
        false => line(out, &routes.join(&b","[..])),
    }
    line(out, &next);
    Ok(())
}

/// The URI of the first Contact.
pub(crate) fn first_contact(cx: &Cx) -> Option<Str> {
    let value = cx.msg.value_text(cx.msg.first(HeaderId::Contact)?);
    let first = Addrs::new(&value).next()?.ok()?;
    Some(value.share(first.uri))
}

/// The value without its parameters.
fn bare(cx: &Cx, id: HeaderId) -> &[u8] {
    let value = cx.msg.first(id).map_or(&b""[..], |header| cx.msg.value(header));
    let end = match value.iter().rposition(|byte| *byte == b'>') {
        Some(end) => end.saturating_add(1),
        None => value.iter().position(|byte| *byte == b';').unwrap_or(value.len()),
    };
    value.get(..end).unwrap_or(value).trim_ascii()
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Read, path::PathBuf};

    use kahea_module::testing::FakeBind;

    use super::*;
    use crate::tm::{cell::Work, create, relay, testing::Bench, turn};

    /// A place for one test, gone at its end.
    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Place {
            let path = std::env::temp_dir().join(format!("kahea-tm-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Place(path)
        }

        fn path(&self, name: &str) -> String {
            self.0.join(name).to_string_lossy().into_owned()
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn tm(bench: &Bench) -> Tm {
        Tm {
            core: bench.core.clone(),
        }
    }

    fn begun(bench: &Bench) -> Cx {
        let mut cx = bench.server.invite();
        assert!(matches!(
            create::begin(&bench.core, &mut cx),
            Ok(create::Began::New(_))
        ));
        cx
    }

    #[test]
    fn a_program_gets_the_request_and_its_silence_is_a_408() {
        let place = Place::new("unix");
        let path = place.path("program");
        let program = UnixDatagram::bind(&path).unwrap();
        let bench = Bench::default();
        let mut cx = begun(&bench);
        let cell = attached::cell(&cx).unwrap();
        let done = hand_over(&tm(&bench), &mut cx, &"vm".into(), Outlet::unix(&path));
        assert!(matches!(done, Ok(Ret::Code(1))));
        relay::request_ended(&mut cx);
        cx.finish();
        let mut buffer = [0; 4096];
        let length = program.recv(&mut buffer).unwrap();
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        let (index, label) = pair(cell.id);
        let head = format!(
            "0.3\nsip_request.vm\nINVITE\nbob\nexample.com\n127.0.0.1\n5060\nsip:bob@example.com:5070;transport=udp\n\
             sip:alice@127.0.0.1:5061\n\"Alice A\" <sip:alice@example.org>\n<sip:bob@example.com>\n\
             a84b4c76e66710@127.0.0.1\n1928301774\n\n314159\n{index}:{label}\n.\n.\nP-MsgFlags: 0\n.\nv=0\r\n"
        );
        assert!(text.starts_with(&head), "{text}");
        assert!(bench.sent().is_empty(), "no 100: the program may take its time");
        bench.server.engine.advance(Duration::from_secs(31));
        turn::take(&cell, &bench.server.worker, Work::Tick);
        assert_eq!(bench.sent(), ["SIP/2.0 408 Request Timeout"]);
    }

    #[test]
    fn a_fifo_gets_it_where_somebody_reads() {
        let place = Place::new("fifo");
        let path = place.path("fifo");
        let c_path = std::ffi::CString::new(path.clone()).unwrap();
        nix_mkfifo(&c_path);
        let bench = Bench::default();
        let mut cx = begun(&bench);
        let nobody = hand_over(&tm(&bench), &mut cx, &"vm".into(), Outlet::fifo(&path));
        assert!(nobody.is_err_and(|fault| fault.text.text().contains("nobody takes")));
        let mut reader = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(&path)
            .unwrap();
        let done = hand_over(&tm(&bench), &mut cx, &"vm".into(), Outlet::fifo(&path));
        assert!(matches!(done, Ok(Ret::Code(1))));
        let mut buffer = [0; 64];
        reader.read_exact(&mut buffer[..19]).unwrap();
        assert_eq!(&buffer[..19], b"0.3\nsip_request.vm\n");
        cx.finish();
    }

    fn nix_mkfifo(path: &std::ffi::CStr) {
        let made = std::process::Command::new("mkfifo")
            .arg(path.to_str().unwrap())
            .status();
        assert!(made.unwrap().success());
    }

    #[test]
    fn what_is_no_fifo_is_refused() {
        let place = Place::new("plain");
        let path = place.path("plain");
        fs::write(&path, "").unwrap();
        assert!(Outlet::fifo(&path).is_err());
        assert!(Outlet::unix(&place.path("none")).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"", "nothing was written");
    }

    #[test]
    fn appended_values_are_read() {
        let bind = FakeBind::default();
        let append = Append::parse("demo:hdr[X-One];extra=hdr[X-Two];msg[body]", &bind).unwrap();
        let titles: Vec<_> = append.pieces.iter().map(|(title, _)| title.text()).collect();
        assert_eq!(
            (append.name.text().as_ref(), titles),
            ("demo", vec!["X-One".into(), "extra".into(), "body".into()])
        );
        for wrong in [
            "demo",
            ":hdr[x]",
            "d:hdr",
            "d:msg[flags]",
            "d:hdr[]",
            "d:other[x]",
        ] {
            assert!(Append::parse(wrong, &bind).is_err(), "{wrong}");
        }
    }

    #[test]
    fn strict_routers_and_header_values_are_written_as_kamailio_does() {
        let bench = Bench::default();
        let text_of = |lines: &str| {
            let invite =
                kahea_module::testing::INVITE.replace("Max-Forwards", &format!("{lines}Max-Forwards"));
            let mut cx = bench.server.message(&invite);
            create::begin(&bench.core, &mut cx).unwrap();
            let cell = attached::cell(&cx).unwrap();
            let text = text(&tm(&bench), &cell, &mut cx, &"a".into()).unwrap();
            bench.core.table.remove(&cell);
            text.text().into_owned()
        };
        let loose = text_of("Record-Route: <sip:r1;lr>\nRecord-Route: <sip:r2>, <sip:r3;lr>\n");
        assert!(
            loose.contains("\n<sip:r1;lr>,<sip:r2>,<sip:r3;lr>\nsip:r1;lr\n"),
            "{loose}"
        );
        let strict = text_of("Record-Route: <sip:s1>, <sip:s2;lr>\n");
        assert!(strict.contains("\nsip:s1\n\"Alice A\""), "{strict}");
        assert!(
            strict.contains("\n<sip:s2;lr>,<sip:alice@127.0.0.1:5061>\n.\n"),
            "{strict}"
        );
    }
}
