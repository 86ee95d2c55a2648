//! One command: what is asked about which call.

use std::net::IpAddr;

use kahea_module::{Cx, Fault, Str};
use kahea_sip::view::{MediaType, Via};

use super::{
    bencode::Value,
    calls::CallKey,
    core::{Core, Target},
    flags::{Flags, ViaBranch},
};
use crate::{
    body,
    relay::manage::{self, InPrack, Step},
};

/// What an engine is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A description goes to the other side.
    Offer,
    /// A description comes back.
    Answer,
    /// Candidates of trickle ICE; no description comes back.
    Info,
    /// The end.
    Delete,
    /// How is it?
    Query,
    StartRecording,
    StopRecording,
    BlockDtmf,
    UnblockDtmf,
    BlockMedia,
    UnblockMedia,
    SilenceMedia,
    UnsilenceMedia,
    StartForwarding,
    StopForwarding,
    PlayMedia,
    StopMedia,
    PlayDtmf,
    /// Two calls become one.
    Connect,
    SubscribeRequest,
    SubscribeAnswer,
    Unsubscribe,
}

/// Which tags go along, and in which order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tags {
    /// The sender of the message is "from".
    Sender,
    /// The one who offered is "from".
    Offerer,
    /// "from" is the From tag, "to" only where asked for.
    Dialog,
    /// None, but for `directional`.
    WholeCall,
}

impl Operation {
    /// In the protocol.
    pub const fn name(self) -> &'static str {
        match self {
            Operation::Offer | Operation::Info => "offer",
            Operation::Answer => "answer",
            Operation::Delete => "delete",
            Operation::Query => "query",
            Operation::StartRecording => "start recording",
            Operation::StopRecording => "stop recording",
            Operation::BlockDtmf => "block DTMF",
            Operation::UnblockDtmf => "unblock DTMF",
            Operation::BlockMedia => "block media",
            Operation::UnblockMedia => "unblock media",
            Operation::SilenceMedia => "silence media",
            Operation::UnsilenceMedia => "unsilence media",
            Operation::StartForwarding => "start forwarding",
            Operation::StopForwarding => "stop forwarding",
            Operation::PlayMedia => "play media",
            Operation::StopMedia => "stop media",
            Operation::PlayDtmf => "play DTMF",
            Operation::Connect => "connect",
            Operation::SubscribeRequest => "subscribe request",
            Operation::SubscribeAnswer => "subscribe answer",
            Operation::Unsubscribe => "unsubscribe",
        }
    }

    const fn tags(self) -> Tags {
        match self {
            Operation::Answer => Tags::Offerer,
            Operation::Delete => Tags::Dialog,
            Operation::BlockDtmf
            | Operation::UnblockDtmf
            | Operation::BlockMedia
            | Operation::UnblockMedia
            | Operation::SilenceMedia
            | Operation::UnsilenceMedia
            | Operation::StartForwarding
            | Operation::StopForwarding => Tags::WholeCall,
            _ => Tags::Sender,
        }
    }

    /// A description goes with it.
    const fn has_body(self) -> bool {
        matches!(
            self,
            Operation::Offer | Operation::Answer | Operation::Info | Operation::SubscribeAnswer
        )
    }

    /// A description comes back and takes the place of the message's.
    pub const fn returns_body(self) -> bool {
        matches!(self, Operation::Offer | Operation::Answer)
    }
}

/// A command ready to be sent.
#[derive(Debug)]
pub struct Command {
    pub operation: Operation,
    pub key: CallKey,
    pub members: Value,
}

impl Command {
    /// Puts a command together from the message and the flags.
    ///
    /// # Errors
    /// The message lacks what the command needs.
    pub fn build(
        core: &Core,
        cx: &mut Cx,
        operation: Operation,
        flags: &Str,
        branch: Option<Str>,
    ) -> Result<Command, Fault> {
        let flags = Flags::parse(flags)?;
        let operation = match operation {
            Operation::Offer if flags.answer => Operation::Answer,
            other => other,
        };
        check_place(cx, operation)?;
        let call_id = match &flags.call_id {
            Some(call_id) => call_id.clone(),
            None => own_call_id(cx)?,
        };
        let via_branch = via_branch(core, cx, &flags, branch)?;
        let mut members = Value::dict();
        members.set("supports", Value::List(vec![Value::from("load limit")]));
        if operation.has_body() {
            let (text, is_fragment) = description(core, cx, operation)?;
            members.set("sdp", text);
            if is_fragment {
                members.add("flags", "fragment");
            }
        }
        members.set("call-id", call_id.clone());
        set_tags(cx, operation, &flags, &mut members)?;
        if !via_branch.is_empty() {
            members.set("via-branch", via_branch.clone());
        }
        let source = cx.received.source.ip();
        let family = match source {
            IpAddr::V4(_) => "IP4",
            IpAddr::V6(_) => "IP6",
        };
        let source = Value::from(source.to_string().as_str());
        members.set("received-from", Value::List(vec![Value::from(family), source]));
        for (key, value) in flags.members.0.members() {
            merge(&mut members, key, value);
        }
        members.set("command", operation.name());
        Ok(Command {
            operation,
            key: CallKey { call_id, via_branch },
            members,
        })
    }

    /// The bytes behind the cookie.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(1_024);
        self.members.encode(&mut out);
        out
    }

    /// For an engine of that set.
    pub fn target(&self, set: i64) -> Target {
        Target {
            set,
            key: self.key.clone(),
            operation: self.operation,
        }
    }
}

/// Lists grow, anything else is replaced.
fn merge(members: &mut Value, key: &Str, value: &Value) {
    match value {
        Value::List(items) if members.get(&key.text()).is_some() => {
            items
                .iter()
                .for_each(|item| members.add(&key.text(), item.clone()));
        }
        _ => members.set(key.clone(), value.clone()),
    }
}

/// An answer comes in a reply, or in an ACK or PRACK.
fn check_place(cx: &Cx, operation: Operation) -> Result<(), Fault> {
    use kahea_sip::Method::{Ack, Prack};
    let answers = cx.msg.is_reply() || matches!(cx.method(), Ack | Prack);
    match operation {
        Operation::Answer if !answers => Err(Fault::script(
            "an answer comes in a reply, an ACK or a PRACK; this is another request",
        )),
        _ => Ok(()),
    }
}

fn own_call_id(cx: &Cx) -> Result<Str, Fault> {
    let call_id = cx
        .msg
        .call_id()
        .ok_or_else(|| Fault::peer("the message has no Call-ID"))?;
    Ok(cx.msg.buffer().share(call_id))
}

fn set_tags(cx: &Cx, operation: Operation, flags: &Flags, members: &mut Value) -> Result<(), Fault> {
    let tag = |address: Result<kahea_sip::view::NameAddr<'_>, Fault>| {
        address.map(|address| address.tag().map(|tag| cx.msg.buffer().share(tag)))
    };
    let (from, to) = (tag(cx.from())?, tag(cx.to())?);
    let swapped = match operation.tags() {
        Tags::Sender | Tags::WholeCall => cx.msg.is_reply(),
        Tags::Offerer => cx.msg.is_request(),
        Tags::Dialog => false,
    };
    let (from, to) = if swapped { (to, from) } else { (from, to) };
    let whole = operation.tags() == Tags::WholeCall;
    let from = match &flags.from_tag {
        Some(tag) => Some(tag.clone()),
        None if whole && !flags.directional => None,
        None => from,
    };
    let to = match (&flags.to_tag, operation.tags()) {
        (Some(tag), _) => Some(tag.clone()),
        (None, Tags::WholeCall) => None,
        (None, Tags::Dialog) if !flags.with_to_tag => None,
        (None, _) => to,
    };
    if operation == Operation::Answer && to.is_none() {
        return Err(Fault::script(
            "an answer needs a To tag, and the message has none",
        ));
    }
    if let Some(from) = from {
        members.set("from-tag", from);
    } else if !whole {
        return Err(Fault::peer(
            "the message has no tag that names the one who sent it",
        ));
    }
    if let Some(to) = to {
        members.set("to-tag", to);
    }
    Ok(())
}

/// The description of `read_sdp_pv` or of the message, and whether it is a fragment (RFC 8840).
fn description(core: &Core, cx: &mut Cx, operation: Operation) -> Result<(Str, bool), Fault> {
    let given = core.options.read_sdp.as_ref().map(|var| var.get(cx));
    if let Some(kahea_module::Value::Str(text)) = given
        && !text.is_empty()
    {
        return Ok((text, false));
    }
    let fragment = |kind: &MediaType<'_>| kind.is("application", "trickle-ice-sdpfrag");
    if operation == Operation::Info
        && let Some(place) = body::part_of(&cx.msg, fragment)
    {
        return Ok((cx.msg.text(place), true));
    }
    let place = body::find(&cx.msg).ok_or_else(|| Fault::script("the message has no session description"))?;
    Ok((cx.msg.text(place), false))
}

/// What `via-branch` or the second argument asks for; empty for none.
fn via_branch(core: &Core, cx: &mut Cx, flags: &Flags, argument: Option<Str>) -> Result<Str, Fault> {
    let wanted = match argument.filter(|text| !text.is_empty()) {
        Some(text) => match ViaBranch::parse(&text) {
            Some(wanted) => wanted,
            None => return Ok(text),
        },
        None => match flags.via_branch {
            Some(wanted) => wanted,
            None => return Ok(Str::EMPTY),
        },
    };
    let reply = cx.msg.is_reply();
    match wanted {
        ViaBranch::First => of_via(cx, 0),
        ViaBranch::Second => of_via(cx, 1),
        ViaBranch::Auto => of_via(cx, usize::from(reply)),
        ViaBranch::AutoExtra | ViaBranch::AutoNext if reply => of_via(cx, 0),
        ViaBranch::Extra | ViaBranch::AutoExtra => match &core.options.extra_id {
            Some(extra) => Ok(extra.text(cx)),
            None => Err(Fault::script(
                "via-branch=extra needs extra_id_pv: modparam(\"rtpengine\", \"extra_id_pv\", \"$avp(id)\")",
            )),
        },
        ViaBranch::Next | ViaBranch::AutoNext => {
            core.tm.as_ref().and_then(|tm| tm.next_branch(cx)).ok_or_else(|| {
                Fault::script("via-branch=next needs a branch_route of tm: no branch is chosen yet")
            })
        }
    }
}

fn of_via(cx: &Cx, number: usize) -> Result<Str, Fault> {
    let hop = cx.msg.vias().nth(number);
    let via = hop.and_then(|hop| Via::parse(cx.msg.bytes(hop.span)).ok());
    let branch = via.and_then(|via| via.branch().map(|branch| cx.msg.buffer().share(branch)));
    branch.ok_or_else(|| Fault::peer(format!("Via {} has no branch", number.saturating_add(1))))
}

/// What `rtpengine_manage()` does with a message; `None` for nothing.
pub fn managed(core: &Core, cx: &mut Cx) -> Option<Operation> {
    let given = core.options.read_sdp.as_ref().map(|var| var.get(cx));
    let given = matches!(given, Some(kahea_module::Value::Str(text)) if !text.is_empty());
    let has_sdp = given || body::find(&cx.msg).is_some();
    Some(
        match manage::step(core.tm.as_deref(), cx, has_sdp, InPrack::Answer)? {
            Step::Offer => Operation::Offer,
            Step::Answer => Operation::Answer,
            Step::Delete => Operation::Delete,
        },
    )
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::{super::tests::core, *};

    fn text(command: &Command) -> String {
        String::from_utf8(command.encode()).unwrap()
    }

    #[test]
    fn tags_follow_the_direction() {
        let server = Server::default();
        let core = core();
        let reply = |status: u16| {
            server.message(&format!(
                "SIP/2.0 {status} X\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\nFrom: <sip:a@h>;tag=f\nTo: <sip:b@h>;tag=t\nCall-ID: c\nCSeq: 1 INVITE\nContent-Type: application/sdp\nContent-Length: 5\n\nv=0\r\n"
            ))
        };
        let tags = |cx: &mut Cx, operation, flags: &str| {
            let command = Command::build(&core, cx, operation, &Str::from(flags), None).unwrap();
            let of = |key: &str| command.members.text_of(key).map(|tag| tag.to_string());
            (of("from-tag"), of("to-tag"))
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            tags(&mut reply(200), Operation::Answer, ""),
            (some("f"), some("t"))
        );
        assert_eq!(
            tags(&mut reply(200), Operation::Offer, ""),
            (some("t"), some("f"))
        );
        assert_eq!(tags(&mut reply(200), Operation::Delete, ""), (some("f"), None));
        assert_eq!(
            tags(&mut reply(200), Operation::Delete, "to-tag"),
            (some("f"), some("t"))
        );
        assert_eq!(tags(&mut reply(200), Operation::BlockMedia, ""), (None, None));
        assert_eq!(
            tags(&mut reply(200), Operation::BlockMedia, "directional"),
            (some("t"), None)
        );
        assert_eq!(
            tags(&mut reply(200), Operation::Query, "from-tag=x"),
            (some("x"), some("f"))
        );
    }

    #[test]
    fn a_command_is_refused_where_something_is_missing() {
        let server = Server::default();
        let core = core();
        let build = |operation, flags: &str| {
            Command::build(&core, &mut server.invite(), operation, &Str::from(flags), None)
        };
        assert!(
            build(Operation::Answer, "").is_err(),
            "an INVITE brings no answer"
        );
        assert!(build(Operation::Offer, "force-answer").is_err());
        assert!(build(Operation::Offer, "via-branch=2").is_err());
        assert!(build(Operation::Offer, "via-branch=next").is_err());
        assert!(build(Operation::Offer, "via-branch=extra").is_err());
        let offer = build(Operation::Offer, "via-branch=1 loop-protect").unwrap();
        assert_eq!(offer.key.via_branch, "z9hG4bK776asdhds");
        assert!(text(&offer).contains("5:flagsl12:loop-protecte"));
        assert!(text(&offer).contains("13:received-froml3:IP49:127.0.0.1e"));
    }
}
