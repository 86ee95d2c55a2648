//! The script functions.

use std::sync::Arc;

use kahea_module::{Blame, Cx, Decl, Fault, Format, Index, Ret, Str, Value as Script, Var, VarRef};
use kahea_sip::EditTag;

use super::{
    RtpEngine,
    bencode::Value,
    command::{Command, Operation, managed},
    core::{Chosen, Core, LastTotals},
    json, mos,
};
use crate::{body, relay::health::Use};

/// What a flags argument is: text with variables; one variable without a value is no flags.
fn text_of(argument: Option<Format>, cx: &mut Cx) -> Str {
    match argument {
        Some(format) => format.value(cx).str_or_empty(),
        None => Str::EMPTY,
    }
}

/// Prepares a command now, and asks the engine while other messages go on.
fn run(
    m: &RtpEngine,
    cx: &mut Cx,
    operation: Operation,
    flags: Option<Format>,
    branch: Option<Format>,
) -> Ret {
    let flags = text_of(flags, cx);
    let branch = branch.map(|branch| text_of(Some(branch), cx));
    run_with(&m.core, cx, operation, flags, branch)
}

fn run_with(core: &Arc<Core>, cx: &mut Cx, operation: Operation, flags: Str, branch: Option<Str>) -> Ret {
    let command = match Command::build(core, cx, operation, &flags, branch) {
        Ok(command) => command,
        Err(fault) => return Ret::Fault(fault),
    };
    let core = core.clone();
    Ret::wait(move |cx| {
        Box::pin(async move {
            let operation = command.operation;
            let answer = match exchange(&core, cx, command).await {
                Ok(answer) => answer,
                Err(fault) => return Ret::Fault(fault),
            };
            finish(&core, cx, operation, &answer).map(|()| true).into()
        })
    })
}

/// Asks an engine of each chosen set. A second set gets the description that the first one returned.
async fn exchange(core: &Core, cx: &mut Cx, mut command: Command) -> Result<Value, Fault> {
    let first = core.set_of(cx);
    let second = cx
        .extra_ref::<Chosen>()
        .and_then(|chosen| chosen.second)
        .filter(|second| *second != first);
    let mut answer = core
        .command(cx, &command.target(first), &command.encode())
        .await?;
    if let Some(second) = second {
        if command.operation.returns_body() {
            let text = returned(&answer)?.clone();
            command.members.set("sdp", text);
        }
        answer = core
            .command(cx, &command.target(second), &command.encode())
            .await?;
    }
    Ok(answer)
}

fn returned(answer: &Value) -> Result<&Str, Fault> {
    answer
        .text_of("sdp")
        .ok_or_else(|| Fault::backend("the engine returned no session description"))
}

fn finish(core: &Core, cx: &mut Cx, operation: Operation, answer: &Value) -> Result<(), Fault> {
    match operation {
        Operation::Offer | Operation::Answer => put_body(core, cx, returned(answer)?),
        Operation::Delete | Operation::Query => {
            core.options.mos.fill(cx, answer);
            if let Some(text) = mos::totals_text(answer) {
                cx.extra::<LastTotals>().0 = Some(Str::from(text));
            }
            Ok(())
        }
        Operation::PlayMedia => match &core.options.duration_var {
            Some(var) => {
                let duration = answer.int_of("duration").unwrap_or(-1);
                var.set(cx, Script::Int(duration))
            }
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

/// The new description goes into `write_sdp_pv`, else takes the place of the message's.
fn put_body(core: &Core, cx: &mut Cx, text: &Str) -> Result<(), Fault> {
    if let Some(var) = &core.options.write_sdp {
        var.set(cx, Script::Str(text.clone()))?;
        if !core.options.write_both {
            return Ok(());
        }
    }
    if text.is_empty() {
        return Ok(());
    }
    let place = body::find(&cx.msg).ok_or_else(|| {
        Fault::script(
            "the message has no session description to replace; set write_sdp_pv to get the new one",
        )
    })?;
    let earlier: Vec<_> = cx
        .edits
        .iter()
        .filter(|(_, edit)| edit.tag == EditTag::Body && edit.removed == place)
        .map(|(id, _)| id)
        .collect();
    for id in earlier {
        cx.edits.undo(id);
    }
    cx.spend_bytes(text.len())?;
    cx.edits.replace(place, text.clone(), EditTag::Body);
    Ok(())
}

fn manage(m: &RtpEngine, cx: &mut Cx, flags: Option<Format>, branch: Option<Format>) -> Ret {
    match managed(&m.core, cx) {
        Some(operation) => run(m, cx, operation, flags, branch),
        None => Ret::FALSE,
    }
}

fn query_v(m: &RtpEngine, cx: &mut Cx, format: Str, target: VarRef) -> Ret {
    let pretty = match format.as_bytes() {
        b"j" => false,
        b"jp" => true,
        _ => return Ret::Fault(Fault::script(format!("'{format}' is no format: j or jp"))),
    };
    let command = match Command::build(&m.core, cx, Operation::Query, &Str::EMPTY, None) {
        Ok(command) => command,
        Err(fault) => return Ret::Fault(fault),
    };
    let core = m.core.clone();
    Ret::wait(move |cx| {
        Box::pin(async move {
            let answer = match exchange(&core, cx, command).await {
                Ok(answer) => answer,
                Err(fault) => return Ret::Fault(fault),
            };
            let text = json::write(&answer, pretty);
            target.set(cx, Script::from(text)).map(|()| true).into()
        })
    })
}

/// Chooses sets; -2 where no engine of the first one is in use at present.
fn set_set(m: &RtpEngine, cx: &mut Cx, first: i64, second: Option<i64>) -> Result<i64, Fault> {
    for set in [Some(first), second].into_iter().flatten() {
        if !m.core.nodes.has_set(set) {
            return Err(Fault::script(format!("there is no set {set} of engines")));
        }
    }
    *cx.extra::<Chosen>() = Chosen {
        first: Some(first),
        second: second.filter(|second| *second != first),
    };
    let now = cx.worker.engine.now();
    let nodes = m.core.nodes.of_set(first);
    let is_idle = nodes.iter().all(|node| node.usage(now) == Use::Skip);
    Ok(if is_idle { -2 } else { 1 })
}

/// Where the parts of a subscription's answer go.
struct Subscription {
    sdp: Var,
    to_tag: Option<Var>,
    streams: Option<Str>,
}

fn subscribe_request(
    m: &RtpEngine,
    cx: &mut Cx,
    flags: Format,
    sdp: VarRef,
    to_tag: VarRef,
    streams: Format,
    branch: Option<Format>,
) -> Ret {
    let flags = text_of(Some(flags), cx);
    let branch = branch.map(|branch| text_of(Some(branch), cx));
    let streams = Some(text_of(Some(streams), cx)).filter(|name| !name.is_empty());
    let command = match Command::build(&m.core, cx, Operation::SubscribeRequest, &flags, branch) {
        Ok(command) => command,
        Err(fault) => return Ret::Fault(fault),
    };
    let places = Subscription {
        sdp,
        to_tag: Some(to_tag),
        streams,
    };
    let core = m.core.clone();
    Ret::wait(move |cx| {
        Box::pin(async move {
            match exchange(&core, cx, command).await {
                Ok(answer) => places.fill(cx, &answer).map(|()| true).into(),
                Err(fault) => Ret::Fault(fault),
            }
        })
    })
}

impl Subscription {
    fn fill(&self, cx: &mut Cx, answer: &Value) -> Result<(), Fault> {
        self.sdp.set(cx, Script::Str(returned(answer)?.clone()))?;
        if let (Some(var), Some(tag)) = (&self.to_tag, answer.text_of("to-tag")) {
            var.set(cx, Script::Str(tag.clone()))?;
        }
        let Some(name) = &self.streams else { return Ok(()) };
        for leg in answer.get("tag-medias").map(Value::items).unwrap_or_default() {
            for media in leg.get("medias").map(Value::items).unwrap_or_default() {
                stream_to_xavp(cx, name, leg, media)?;
            }
        }
        Ok(())
    }
}

/// One stream as `$xavp(NAME[n]=>type)`, `label`, `index`, `tag`, `mode`.
fn stream_to_xavp(cx: &mut Cx, name: &Str, leg: &Value, media: &Value) -> Result<(), Fault> {
    let bind = cx.bind();
    for (field, value) in [
        ("tag", leg.text_of("tag").cloned().map(Script::Str)),
        ("type", media.text_of("type").cloned().map(Script::Str)),
        ("label", media.text_of("label").cloned().map(Script::Str)),
        ("mode", media.text_of("mode").cloned().map(Script::Str)),
        ("index", media.int_of("index").map(Script::Int)),
    ] {
        let Some(value) = value else { continue };
        let text = format!("$xavp({name}[0]=>{field})");
        let text = if field == "tag" {
            format!("$xavp({name}=>{field})")
        } else {
            text
        };
        let var = bind
            .var(&text)
            .map_err(|error| Fault::new(Blame::Script, error.message))?;
        var.set(cx, value)?;
    }
    Ok(())
}

/// `$rtpstat`, `$rtpestat`.
pub(super) fn stat(_: &RtpEngine, cx: &mut Cx, _: Index) -> Script {
    cx.extra_ref::<LastTotals>()
        .and_then(|totals| totals.0.clone())
        .map_or(Script::Null, Script::Str)
}

/// A handler for one operation.
macro_rules! handler {
    ($operation:ident) => {
        |m: &RtpEngine, cx: &mut Cx, flags: Option<Format>, branch: Option<Format>| {
            run(m, cx, Operation::$operation, flags, branch)
        }
    };
}

pub(super) fn declare(d: &mut Decl<RtpEngine>) {
    declare_calls(d);
    declare_control(d);
    declare_media(d);
    declare_subscriptions(d);
    d.func(
        "set_rtpengine_set",
        ["set", "second"],
        set_set,
        "Chooses the set of engines for this message; with a second one the description goes through both.",
    )
    .kemi(1, "set_rtpengine_set")
    .kemi(2, "set_rtpengine_set2");
}

const ARGS: [&str; 2] = ["flags", "via_branch"];

fn declare_calls(d: &mut Decl<RtpEngine>) {
    d.func(
        "rtpengine_offer",
        ARGS,
        handler!(Offer),
        "Sends the session description to an engine as an offer and takes over what it returns.",
    )
    .waits()
    .kemi(0, "rtpengine_offer0")
    .kemi(1, "rtpengine_offer")
    .kemi(2, "rtpengine_offer2")
    .example("rtpengine_offer(\"replace-origin ICE=remove\");");
    d.func(
        "rtpengine_answer",
        ARGS,
        handler!(Answer),
        "Sends the session description to an engine as an answer and takes over what it returns.",
    )
    .waits()
    .kemi(0, "rtpengine_answer0")
    .kemi(1, "rtpengine_answer")
    .kemi(2, "rtpengine_answer2")
    .example("rtpengine_answer();");
    d.func(
        "rtpengine_manage",
        ARGS,
        manage,
        "Offers, answers or deletes, whichever the message calls for; false where it calls for none.",
    )
    .waits()
    .kemi(0, "rtpengine_manage0")
    .kemi(1, "rtpengine_manage")
    .kemi(2, "rtpengine_manage2")
    .example("rtpengine_manage(\"replace-origin\");");
    d.func(
        "rtpengine_delete",
        ARGS,
        handler!(Delete),
        "Ends the call at its engine and fills the variables of its quality.",
    )
    .waits()
    .kemi(0, "rtpengine_delete0")
    .kemi(1, "rtpengine_delete")
    .kemi(2, "rtpengine_delete2")
    .example("rtpengine_delete();");
    d.func(
        "rtpengine_destroy",
        ARGS,
        handler!(Delete),
        "As rtpengine_delete().",
    )
    .waits();
    d.func(
        "rtpengine_query",
        ARGS,
        handler!(Query),
        "Asks about the call and fills the variables of its quality, and $rtpstat.",
    )
    .waits()
    .kemi(0, "rtpengine_query0")
    .kemi(1, "rtpengine_query")
    .kemi(2, "rtpengine_query2");
    d.func(
        "rtpengine_query_v",
        ["format", "target"],
        query_v,
        "Asks about the call and puts the answer into a variable as JSON, compact (j) or pretty (jp).",
    )
    .waits()
    .kemi(2, "rtpengine_query_v");
    d.func(
        "rtpengine_info",
        ARGS,
        handler!(Info),
        "Hands the candidates of a trickle ICE fragment to the engine; the message stays as it is.",
    )
    .waits();
    d.func(
        "rtpengine_connect",
        ARGS,
        handler!(Connect),
        "Connects two parties of the engine's calls.",
    )
    .waits()
    .kemi(0, "rtpengine_connect0")
    .kemi(1, "rtpengine_connect")
    .kemi(2, "rtpengine_connect2");
}

fn declare_control(d: &mut Decl<RtpEngine>) {
    d.func(
        "start_recording",
        ARGS,
        handler!(StartRecording),
        "Begins to record the call.",
    )
    .waits()
    .kemi(0, "start_recording");
    d.func(
        "stop_recording",
        ARGS,
        handler!(StopRecording),
        "Ends the recording of the call.",
    )
    .waits()
    .kemi(0, "stop_recording");
    d.func(
        "block_dtmf",
        ARGS,
        handler!(BlockDtmf),
        "DTMF events are not passed on, of the whole call or of one side (directional).",
    )
    .waits()
    .kemi(0, "block_dtmf0")
    .kemi(1, "block_dtmf")
    .kemi(2, "block_dtmf2");
    d.func(
        "unblock_dtmf",
        ARGS,
        handler!(UnblockDtmf),
        "DTMF events are passed on again.",
    )
    .waits()
    .kemi(0, "unblock_dtmf0")
    .kemi(1, "unblock_dtmf")
    .kemi(2, "unblock_dtmf2");
    d.func(
        "block_media",
        ARGS,
        handler!(BlockMedia),
        "Media are not passed on.",
    )
    .waits()
    .kemi(0, "block_media0")
    .kemi(1, "block_media")
    .kemi(2, "block_media2");
    d.func(
        "unblock_media",
        ARGS,
        handler!(UnblockMedia),
        "Media are passed on again.",
    )
    .waits()
    .kemi(0, "unblock_media0")
    .kemi(1, "unblock_media")
    .kemi(2, "unblock_media2");
    d.func(
        "silence_media",
        ARGS,
        handler!(SilenceMedia),
        "Media are replaced by silence.",
    )
    .waits()
    .kemi(0, "silence_media0")
    .kemi(1, "silence_media")
    .kemi(2, "silence_media2");
    d.func(
        "unsilence_media",
        ARGS,
        handler!(UnsilenceMedia),
        "Media are heard again.",
    )
    .waits()
    .kemi(0, "unsilence_media0")
    .kemi(1, "unsilence_media")
    .kemi(2, "unsilence_media2");
    d.func(
        "start_forwarding",
        ARGS,
        handler!(StartForwarding),
        "The recording daemon forwards the sound.",
    )
    .waits()
    .kemi(0, "start_forwarding0")
    .kemi(1, "start_forwarding")
    .kemi(2, "start_forwarding2");
    d.func(
        "stop_forwarding",
        ARGS,
        handler!(StopForwarding),
        "The recording daemon no longer forwards the sound.",
    )
    .waits()
    .kemi(0, "stop_forwarding0")
    .kemi(1, "stop_forwarding")
    .kemi(2, "stop_forwarding2");
}

fn declare_media(d: &mut Decl<RtpEngine>) {
    d.func(
        "play_media",
        ARGS,
        handler!(PlayMedia),
        "Plays a file (file=, db-id=, blob=) to a party, and fills media_duration.",
    )
    .waits()
    .kemi(1, "play_media")
    .kemi(2, "play_media2")
    .example("play_media(\"file=/usr/share/media/hello.wav\");");
    d.func(
        "stop_media",
        ARGS,
        handler!(StopMedia),
        "Ends what play_media() began.",
    )
    .waits()
    .kemi(0, "stop_media0")
    .kemi(1, "stop_media")
    .kemi(2, "stop_media2");
    d.func(
        "play_dtmf",
        ARGS,
        handler!(PlayDtmf),
        "Puts a DTMF event (code=, duration=, volume=, pause=) into the media.",
    )
    .waits()
    .kemi(1, "play_dtmf")
    .example("play_dtmf(\"code=1 duration=300\");");
}

fn declare_subscriptions(d: &mut Decl<RtpEngine>) {
    d.func(
        "rtpengine_subscribe_request",
        ["flags", "sdp", "to_tag", "streams", "via_branch"],
        subscribe_request,
        "Asks for the media of a call (SIPREC): the description and the tag of the subscription go into variables, its streams into an xavp.",
    )
    .waits()
    .kemi(4, "rtpengine_subscribe_request");
    d.func(
        "rtpengine_subscribe_answer",
        ARGS,
        handler!(SubscribeAnswer),
        "Answers the description of rtpengine_subscribe_request(); to-tag= names the subscription.",
    )
    .waits()
    .kemi(1, "rtpengine_subscribe_answer");
    d.func(
        "rtpengine_unsubscribe",
        ARGS,
        handler!(Unsubscribe),
        "Ends a subscription; to-tag= names it.",
    )
    .waits()
    .kemi(1, "rtpengine_unsubscribe");
}
