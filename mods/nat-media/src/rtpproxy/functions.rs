//! The script functions.

use std::sync::Arc;

use kahea_module::{Cx, Decl, Fault, Format, Index, Ret, Str, Value};
use kahea_sip::{Span, sdp::Media, view::Via};

use super::{
    RtpProxy,
    answer::Relayed,
    core::{Chosen, Core, Proxy, own_address},
    flags::{Extra, Flags},
    rewrite::{self, Candidates, Stream},
};
use crate::{
    body,
    relay::manage::{self, InPrack, Step},
};

/// The code for a description that another proxy marked.
const MARKED: i64 = -2;

/// The figures of the session, for `$rtpstat`.
#[derive(Clone, Debug, Default)]
pub(super) struct Figures(Option<Str>);

/// The call as commands name it.
#[derive(Clone, Debug)]
struct Session {
    /// Call-ID, and `;` with a branch where the flags ask for one.
    id: Str,
    from: Str,
    to: Option<Str>,
}

impl Session {
    fn of(core: &Core, cx: &mut Cx, flags: &Flags) -> Result<Session, Fault> {
        let call_id = cx
            .msg
            .call_id()
            .ok_or_else(|| Fault::peer("the message has no Call-ID"))?;
        let call_id = cx.msg.buffer().share(call_id);
        let id = match extra(core, cx, flags.extra)? {
            Some(extra) => Str::from([&call_id, b";".as_slice(), &extra].concat()),
            None => call_id,
        };
        let share = |tag: Option<&[u8]>| tag.map(|tag| cx.msg.buffer().share(tag));
        let from = share(cx.from()?.tag()).ok_or_else(|| Fault::peer("the From header has no tag"))?;
        let session = Session {
            id,
            from,
            to: share(cx.to()?.tag()),
        };
        let parts = [Some(&session.id), Some(&session.from), session.to.as_ref()];
        let broken = |part: &&Str| part.iter().any(|byte| byte.is_ascii_whitespace() || *byte == 0);
        if let Some(part) = parts.into_iter().flatten().find(broken) {
            let part = part.clone();
            return Err(Fault::peer(format!(
                "'{part}' cannot stand in a command to a proxy"
            )));
        }
        Ok(session)
    }

    /// The other side first.
    fn swapped(&self) -> Result<Session, Fault> {
        let to = self
            .to
            .clone()
            .ok_or_else(|| Fault::script("the message has no To tag"))?;
        Ok(Session {
            id: self.id.clone(),
            from: to,
            to: Some(self.from.clone()),
        })
    }

    /// `from;N` and, where there is one, ` to;N`.
    fn numbered(&self, number: usize) -> String {
        match &self.to {
            Some(to) => format!("{};{number} {to};{number}", self.from),
            None => format!("{};{number}", self.from),
        }
    }
}

fn extra(core: &Core, cx: &mut Cx, wanted: Option<Extra>) -> Result<Option<Str>, Fault> {
    let number = match wanted {
        None => return Ok(None),
        Some(Extra::Variable) => return Ok(core.options.extra_id.as_ref().map(|extra| extra.text(cx))),
        Some(Extra::FirstVia) => 0,
        Some(Extra::SecondVia) => 1,
        Some(Extra::Via) => usize::from(cx.msg.is_reply()),
    };
    let hop = cx.msg.vias().nth(number);
    let via = hop.and_then(|hop| Via::parse(cx.msg.bytes(hop.span)).ok());
    let branch = via.and_then(|via| via.branch().map(|branch| cx.msg.buffer().share(branch)));
    branch
        .map(Some)
        .ok_or_else(|| Fault::peer(format!("Via {} has no branch", number.saturating_add(1))))
}

fn text_of(argument: Option<Format>, cx: &mut Cx) -> Str {
    argument.map_or(Str::EMPTY, |format| format.value(cx).str_or_empty())
}

/// A stream as its command needs it.
#[derive(Debug)]
struct Asked {
    address: Str,
    port: Str,
    formats: Option<String>,
    is_v6: bool,
    held: bool,
}

/// An offer or an answer, ready to be asked stream by stream.
#[derive(Debug)]
struct Update {
    lookup: bool,
    flags: Flags,
    session: Session,
    place: Span,
    streams: Vec<Asked>,
    /// The address for the description in place of the proxy's.
    address: Option<std::net::IpAddr>,
    candidates: Candidates,
    notify: String,
}

impl Update {
    fn build(
        core: &Core,
        cx: &mut Cx,
        step: Step,
        flags: &Str,
        address: Option<Str>,
    ) -> Result<Update, Fault> {
        let flags = Flags::parse(flags)?;
        let session = Session::of(core, cx, &flags)?;
        let answers =
            cx.msg.is_reply() || matches!(cx.method(), kahea_sip::Method::Ack | kahea_sip::Method::Prack);
        let lookup = step == Step::Answer || flags.lookup;
        let swapped = match step {
            Step::Answer if !answers => {
                return Err(Fault::script("an answer comes in a reply, an ACK or a PRACK"));
            }
            Step::Answer => cx.msg.is_request(),
            _ => cx.msg.is_reply(),
        };
        let session = if swapped { session.swapped()? } else { session };
        if lookup && session.to.is_none() {
            return Err(Fault::script("a lookup needs a To tag, and the message has none"));
        }
        let place =
            body::find(&cx.msg).ok_or_else(|| Fault::script("the message has no session description"))?;
        refuse_marked(core, cx, place, flags.force)?;
        let address = match address.filter(|text| !text.is_empty()) {
            None => None,
            Some(text) => Some(
                text.text()
                    .parse()
                    .map_err(|_| Fault::script(format!("'{text}' is no IP address")))?,
            ),
        };
        Ok(Update {
            lookup,
            streams: streams(cx, place, flags.trust)?,
            candidates: candidates(core, cx)?,
            notify: notify(core, cx, &session),
            flags,
            session,
            place,
            address,
        })
    }

    /// `Uc0 callid 10.0.0.1 4000 ftag;1 ttag;1`
    fn question(&self, stream: &Asked, number: usize, proxy: &Proxy) -> Vec<u8> {
        let letters = self.flags.command(stream.is_v6, proxy.abilities.repacketize);
        let codecs = match &stream.formats {
            Some(formats) if proxy.abilities.codecs => format!("c{formats}"),
            _ => String::new(),
        };
        let kind = if self.lookup { 'L' } else { 'U' };
        format!(
            "{kind}{letters}{codecs} {} {} {} {}{}\n",
            self.session.id,
            stream.address,
            stream.port,
            self.session.numbered(number),
            self.notify
        )
        .into_bytes()
    }
}

/// Whom the proxy tells of a session without media; only sessions with both sides have one.
fn notify(core: &Core, cx: &mut Cx, session: &Session) -> String {
    if core.options.timeout_socket.is_empty() || session.to.is_none() {
        return String::new();
    }
    let tag = core.options.timeout_tag.as_ref().map(|tag| tag.text(cx));
    let tag = tag
        .filter(|tag| !tag.is_empty())
        .unwrap_or_else(|| session.id.clone());
    format!(" {} {tag}", core.options.timeout_socket)
}

fn refuse_marked(core: &Core, cx: &Cx, place: Span, force: bool) -> Result<(), Fault> {
    let mark = core.options.mark.trim_ascii();
    if force || mark.is_empty() {
        return Ok(());
    }
    let text = cx.msg.bytes(place);
    let marked = kahea_sip::sdp::Lines::new(text).any(|line| line.text == mark);
    match marked {
        true => Err(Fault::script("the session goes through another proxy already").code(MARKED)),
        false => Ok(()),
    }
}

/// Every stream must have an address, its own or the session's.
fn streams(cx: &Cx, place: Span, trust: bool) -> Result<Vec<Asked>, Fault> {
    let sdp =
        body::read(&cx.msg, place).ok_or_else(|| Fault::peer("the session description has no media"))?;
    let source = cx.received.source.ip();
    let asked = |media: Media<'_>| {
        let connection = media
            .connection()
            .ok_or_else(|| Fault::peer("a stream of the session description has no address"))?;
        let address = match trust {
            true => cx.msg.buffer().share(connection.address),
            false => Str::from(source.to_string()),
        };
        let port = media.line.value.split(u8::is_ascii_whitespace).nth(1);
        let formats: Vec<_> = media.formats().map(String::from_utf8_lossy).collect();
        Ok(Asked {
            address,
            port: cx.msg.buffer().share(port.unwrap_or_default()),
            formats: media.is_rtp().then(|| formats.join(",")),
            is_v6: connection.family() == Some(6),
            held: connection.is_unspecified(),
        })
    };
    sdp.media().map(asked).collect()
}

fn candidates(core: &Core, cx: &mut Cx) -> Result<Candidates, Fault> {
    let Some(var) = &core.options.ice else {
        return Ok(Candidates::None);
    };
    match var.get(cx) {
        Value::Null => Ok(Candidates::Low),
        value => match value.int() {
            Some(0) => Ok(Candidates::None),
            Some(1) => Ok(Candidates::High),
            Some(2) => Ok(Candidates::Low),
            _ => Err(Fault::script(format!(
                "{} has the value '{value}', which is none of 0, 1, 2",
                var.text()
            ))),
        },
    }
}

fn update(m: &RtpProxy, cx: &mut Cx, step: Step, flags: Option<Format>, address: Option<Format>) -> Ret {
    let flags = text_of(flags, cx);
    let address = address.map(|address| text_of(Some(address), cx));
    let update = match Update::build(&m.core, cx, step, &flags, address) {
        Ok(update) => update,
        Err(fault) => return Ret::Fault(fault),
    };
    let core = m.core.clone();
    Ret::wait(move |cx| {
        Box::pin(async move {
            match relay(&core, cx, &update).await {
                Ok(()) => Ret::TRUE,
                Err(fault) => Ret::Fault(fault),
            }
        })
    })
}

async fn relay(core: &Core, cx: &mut Cx, update: &Update) -> Result<(), Fault> {
    let mut streams = Vec::with_capacity(update.streams.len());
    for (at, stream) in update.streams.iter().enumerate() {
        let number = at.saturating_add(1);
        let (answer, proxy) = core
            .command(cx, &update.session.id, |proxy| {
                update.question(stream, number, proxy)
            })
            .await?;
        let own = own_address(cx, &proxy.node).await;
        let relayed = own.and_then(|own| Relayed::parse(&answer, own)).ok_or_else(|| {
            Fault::backend(format!(
                "{} answers '{}', which is no port",
                proxy.node.url,
                answer.text().trim_end()
            ))
        })?;
        streams.push(Stream {
            relayed: Relayed {
                address: update.address.unwrap_or(relayed.address),
                port: relayed.port,
            },
            held: stream.held,
        });
    }
    let marked = refuse_marked(core, cx, update.place, false).is_err();
    let mark = if marked {
        Str::EMPTY
    } else {
        core.options.mark.clone()
    };
    rewrite::apply(cx, update.place, &streams, update.candidates, &mark);
    Ok(())
}

/// A command whose answer matters only in that there is one.
fn simple(core: &Arc<Core>, session: Session, questions: Vec<String>) -> Ret {
    let core = core.clone();
    Ret::wait(move |cx| {
        Box::pin(async move {
            for question in &questions {
                let asked = core
                    .command(cx, &session.id, |_| question.as_bytes().to_vec())
                    .await;
                let answer = match asked {
                    Ok((answer, _)) => answer,
                    Err(fault) => return Ret::Fault(fault),
                };
                if question.starts_with('Q') {
                    let text = answer.share(answer.trim_ascii());
                    cx.extra::<Figures>().0 = Some(text);
                }
            }
            Ret::TRUE
        })
    })
}

fn destroy(m: &RtpProxy, cx: &mut Cx, flags: Option<Format>) -> Ret {
    let flags = text_of(flags, cx);
    let prepared = Flags::parse(&flags).and_then(|flags| {
        let session = Session::of(&m.core, cx, &flags)?;
        Ok((flags, session))
    });
    let (flags, session) = match prepared {
        Ok(prepared) => prepared,
        Err(fault) => return Ret::Fault(fault),
    };
    let to = match &session.to {
        Some(to) if !flags.without_to_tag => format!(" {to}"),
        _ => String::new(),
    };
    let rest = format!("{} {}{to}\n", session.id, session.from);
    let mut questions = vec![format!("D {rest}")];
    if m.core.options.wants_figures {
        questions.insert(0, format!("Q {rest}"));
    }
    simple(&m.core, session, questions)
}

fn record(m: &RtpProxy, cx: &mut Cx) -> Ret {
    let session = Session::of(&m.core, cx, &Flags::default()).and_then(|session| match cx.msg.is_reply() {
        true => session.swapped(),
        false => Ok(session),
    });
    match session {
        Ok(session) => {
            let to = session.to.as_ref().map_or(String::new(), |to| format!(" {to}"));
            let question = format!("R {} {}{to}\n", session.id, session.from);
            simple(&m.core, session, vec![question])
        }
        Err(fault) => Ret::Fault(fault),
    }
}

/// Who hears a prompt.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hearer {
    Caller,
    Callee,
}

fn stream(m: &RtpProxy, cx: &mut Cx, hearer: Hearer, prompt: Option<(Str, i64)>) -> Ret {
    let session = Session::of(&m.core, cx, &Flags::default()).and_then(|session| match hearer {
        Hearer::Caller => Ok(session),
        Hearer::Callee => session.swapped(),
    });
    let session = match session {
        Ok(session) => session,
        Err(fault) => return Ret::Fault(fault),
    };
    let to = session.to.as_ref().map_or(String::new(), |to| format!("{to};1"));
    let question = match prompt {
        Some((name, count)) => {
            if name.is_empty() || name.iter().any(u8::is_ascii_whitespace) {
                return Ret::Fault(Fault::script(format!("'{name}' is no name of a prompt")));
            }
            format!("P{count} {} {name} session {};1 {to}\n", session.id, session.from)
        }
        None => format!("S {} {};1 {to}\n", session.id, session.from),
    };
    simple(&m.core, session, vec![question])
}

fn manage(m: &RtpProxy, cx: &mut Cx, flags: Option<Format>, address: Option<Format>) -> Ret {
    let has_sdp = body::find(&cx.msg).is_some();
    match manage::step(m.core.tm.as_deref(), cx, has_sdp, InPrack::Offer) {
        Some(Step::Delete) => destroy(m, cx, flags),
        Some(step) => update(m, cx, step, flags, address),
        None => Ret::FALSE,
    }
}

fn set_set(m: &RtpProxy, cx: &mut Cx, set: i64) -> Result<bool, Fault> {
    if !m.core.nodes.has_set(set) {
        return Err(Fault::script(format!("there is no set {set} of proxies")));
    }
    *cx.extra::<Chosen>() = Chosen(Some(set));
    Ok(true)
}

/// `$rtpstat`, `$rtppstat`.
pub(super) fn stat(_: &RtpProxy, cx: &mut Cx, (): &(), _: Index) -> Value {
    cx.extra_ref::<Figures>()
        .and_then(|figures| figures.0.clone())
        .map_or(Value::Null, Value::Str)
}

pub(super) fn declare(d: &mut Decl<RtpProxy>) {
    let args = ["flags", "address"];
    d.func(
        "rtpproxy_offer",
        args,
        |m: &RtpProxy, cx: &mut Cx, flags: Option<Format>, address: Option<Format>| {
            update(m, cx, Step::Offer, flags, address)
        },
        "Opens a session at a proxy for every stream of the description, and puts the proxy's addresses into it.",
    )
    .waits()
    .kemi(0, "rtpproxy_offer0")
    .kemi(1, "rtpproxy_offer")
    .kemi(2, "rtpproxy_offer_ip")
    .example("rtpproxy_offer(\"r\");");
    d.func(
        "rtpproxy_answer",
        args,
        |m: &RtpProxy, cx: &mut Cx, flags: Option<Format>, address: Option<Format>| {
            update(m, cx, Step::Answer, flags, address)
        },
        "Completes the session at its proxy, and puts the proxy's addresses into the description.",
    )
    .waits()
    .kemi(0, "rtpproxy_answer0")
    .kemi(1, "rtpproxy_answer")
    .kemi(2, "rtpproxy_answer_ip")
    .example("rtpproxy_answer();");
    d.func(
        "rtpproxy_manage",
        args,
        manage,
        "Offers, answers or destroys, whichever the message calls for; false where it calls for none.",
    )
    .waits()
    .kemi(0, "rtpproxy_manage0")
    .kemi(1, "rtpproxy_manage")
    .kemi(2, "rtpproxy_manage_ip")
    .example("rtpproxy_manage(\"co\");");
    d.func(
        "rtpproxy_destroy",
        ["flags"],
        destroy,
        "Ends the session at its proxy.",
    )
    .waits()
    .kemi(0, "rtpproxy_destroy0")
    .kemi(1, "rtpproxy_destroy")
    .example("rtpproxy_destroy();");
    d.func("unforce_rtp_proxy", ["flags"], destroy, "As rtpproxy_destroy().")
        .waits();
    d.func("start_recording", [], record, "Begins to record the session.")
        .waits()
        .kemi(0, "start_recording");
    d.func(
        "set_rtp_proxy_set",
        ["set"],
        set_set,
        "Chooses the set of proxies for this message.",
    )
    .kemi(1, "set_rtpproxy_set");
    declare_streams(d);
}

fn declare_streams(d: &mut Decl<RtpProxy>) {
    d.func(
        "rtpproxy_stream2uac",
        ["prompt", "count"],
        |m: &RtpProxy, cx: &mut Cx, prompt: Str, count: i64| {
            stream(m, cx, Hearer::Caller, Some((prompt, count)))
        },
        "Plays a prompt to the caller so many times, -1 without end.",
    )
    .waits()
    .kemi(2, "rtpproxy_stream2uac");
    d.func(
        "rtpproxy_stream2uas",
        ["prompt", "count"],
        |m: &RtpProxy, cx: &mut Cx, prompt: Str, count: i64| {
            stream(m, cx, Hearer::Callee, Some((prompt, count)))
        },
        "Plays a prompt to the callee so many times, -1 without end.",
    )
    .waits()
    .kemi(2, "rtpproxy_stream2uas");
    d.func(
        "rtpproxy_stop_stream2uac",
        [],
        |m: &RtpProxy, cx: &mut Cx| stream(m, cx, Hearer::Caller, None),
        "Ends the prompt that the caller hears.",
    )
    .waits()
    .kemi(0, "rtpproxy_stop_stream2uac");
    d.func(
        "rtpproxy_stop_stream2uas",
        [],
        |m: &RtpProxy, cx: &mut Cx| stream(m, cx, Hearer::Callee, None),
        "Ends the prompt that the callee hears.",
    )
    .waits()
    .kemi(0, "rtpproxy_stop_stream2uas");
}
