//! `sdpops`: questions about the session description of a message, and edits of it.
//!
//! Edits are recorded line by line and format by format against the message as it was received, as in Kamailio: a
//! second call neither sees nor undoes what the first one took out, and removing something twice is no error.

mod body;
mod codecs;
mod iterator;
mod media;
mod vars;

use kahea_module::{Decl, InitError, Module, Named, Naming, registry::Env};

/// The module; it has no state of its own.
pub struct SdpOps;

impl Module for SdpOps {
    const NAME: &'static str = "sdpops";
    type Params = ();

    fn declare(d: &mut Decl<Self>) {
        declare_codecs(d);
        declare_media(d);
        declare_body(d);
        declare_iterator(d);
        declare_vars(d);
    }

    fn init((): (), _: &mut Env<'_>) -> Result<Self, InitError> {
        Ok(SdpOps)
    }
}

fn declare_codecs(d: &mut Decl<SdpOps>) {
    d.func(
        "sdp_remove_codecs_by_id",
        ["list", "mtype"],
        codecs::remove_by_id,
        "Takes the payload types of a comma separated list out of every media stream, or of those of one media type.",
    )
    .kemi(2, "remove_codecs_by_id")
    .example("sdp_remove_codecs_by_id(\"0,8\", \"audio\");");
    d.func(
        "sdp_remove_codecs_by_name",
        ["list", "mtype"],
        codecs::remove_by_name,
        "Takes the codecs of a comma separated list of names out of every media stream, or of those of one media \
         type; false where no stream has a codec of these names.",
    )
    .kemi(2, "remove_codecs_by_name")
    .example("sdp_remove_codecs_by_name(\"PCMU,telephone-event\");");
    d.func(
        "sdp_keep_codecs_by_id",
        ["list", "mtype"],
        codecs::keep_by_id,
        "Takes all payload types but those of a comma separated list out of every media stream, or of those of one \
         media type.",
    )
    .kemi(2, "keep_codecs_by_id")
    .example("sdp_keep_codecs_by_id(\"0,8,3\", \"audio\");");
    d.func(
        "sdp_keep_codecs_by_name",
        ["list", "mtype"],
        codecs::keep_by_name,
        "Takes all codecs but those of a comma separated list of names out of every media stream, or of those of \
         one media type; false, and nothing is taken out, where no stream has a codec of these names.",
    )
    .kemi(2, "keep_codecs_by_name")
    .example("sdp_keep_codecs_by_name(\"PCMA,telephone-event\");");
    d.func(
        "sdp_with_codecs_by_id",
        ["list"],
        codecs::with_by_id,
        "Payload types of a comma separated list are offered: 1 all of them by every media stream, 2 some by some.",
    )
    .kemi(1, "sdp_with_codecs_by_id");
    d.func(
        "sdp_with_codecs_by_name",
        ["list"],
        codecs::with_by_name,
        "Codecs of a comma separated list of names are offered: 1 all of them by every media stream, 2 some by some.",
    )
    .kemi(1, "sdp_with_codecs_by_name");
}

fn declare_media(d: &mut Decl<SdpOps>) {
    d.func(
        "sdp_with_media",
        ["type"],
        media::with_media,
        "There is a media stream of this type, such as `audio`.",
    )
    .kemi(1, "sdp_with_media")
    .example("if (sdp_with_media(\"video\")) { xlog(\"it has video\\n\"); }");
    d.func(
        "sdp_with_active_media",
        ["type"],
        media::with_active_media,
        "There is a media stream of this type with a port above 0 that is not `inactive`.",
    )
    .kemi(1, "sdp_with_active_media");
    d.func(
        "sdp_remove_media",
        ["type"],
        media::remove_media,
        "Takes out the media streams of this type; false where there is none.",
    )
    .kemi(1, "remove_media");
    d.func(
        "sdp_with_transport",
        ["type"],
        media::with_transport,
        "There is a media stream over this transport, such as `RTP/SAVPF`.",
    )
    .kemi(1, "sdp_with_transport");
    d.func(
        "sdp_with_transport_like",
        ["type"],
        media::with_transport_like,
        "There is a media stream over a transport whose name contains this text.",
    )
    .kemi(1, "sdp_with_transport_like");
    d.func(
        "sdp_transport",
        ["var"],
        media::transport,
        "Stores the transport that all media streams share; -2 where they differ.",
    )
    .kemi(1, "sdp_transport");
    d.func(
        "sdp_remove_transport",
        ["type"],
        media::remove_transport,
        "Takes out the media streams over this transport; false where there is none.",
    );
    d.func(
        "sdp_remove_line_by_prefix",
        ["prefix", "mtype"],
        media::remove_line_by_prefix,
        "Takes out every line that begins with the text, letters by case, or those within media streams of one type.",
    )
    .kemi(2, "remove_line_by_prefix")
    .example("sdp_remove_line_by_prefix(\"a=X-\");");
}

fn declare_body(d: &mut Decl<SdpOps>) {
    d.func(
        "sdp_content",
        ["sloppy"],
        body::content,
        "The message has a session description, also as one part of several; with any argument the content type \
         alone decides.",
    )
    .kemi(0, "sdp_content");
    d.kemi_func(
        "sdpops",
        "sdp_content_flags",
        ["flags"],
        body::content_flags,
        "The message has a session description; with flags other than 0 the content type alone decides.",
    );
    d.func(
        "sdp_get",
        ["var"],
        body::get,
        "Stores the session description in a variable; -2 where the message has none, -1 where it cannot be read.",
    )
    .kemi(1, "sdp_get")
    .example("sdp_get(\"$var(sdp)\");");
    d.func(
        "sdp_get_line_startswith",
        ["var", "prefix"],
        body::get_line,
        "Stores the first line that begins with the text, without its line end; -2 without a session description.",
    )
    .kemi(2, "sdp_get_line_startswith");
    d.func(
        "sdp_get_address_family",
        [],
        body::address_family,
        "4 or 6 by the first `c=` line, -1 where there is none.",
    )
    .kemi(0, "sdp_get_address_family");
    d.func(
        "sdp_with_ice",
        [],
        body::with_ice,
        "The session description has candidates of ICE.",
    )
    .kemi(0, "sdp_with_ice");
    d.func(
        "sdp_print",
        ["level"],
        body::print,
        "Logs how the session description was understood, at the level of this number.",
    )
    .kemi(1, "sdp_print");
}

fn declare_iterator(d: &mut Decl<SdpOps>) {
    d.func(
        "sdp_iterator_start",
        ["iname"],
        iterator::start,
        "Begins to walk the lines of the session description, before the first one; up to four walks have a name.",
    )
    .kemi(1, "sdp_iterator_start")
    .example("sdp_iterator_start(\"s1\"); while (sdp_iterator_next(\"s1\")) { xlog(\"a line\\n\"); }");
    d.func(
        "sdp_iterator_next",
        ["iname"],
        iterator::next,
        "Goes to the next line; false behind the last one.",
    )
    .kemi(1, "sdp_iterator_next");
    d.func(
        "sdp_iterator_end",
        ["iname"],
        iterator::end,
        "Ends the walk and frees its name.",
    )
    .kemi(1, "sdp_iterator_end");
    d.func(
        "sdp_iterator_rm",
        ["iname"],
        iterator::remove,
        "Takes out the line that the walk is at.",
    )
    .kemi(1, "sdp_iterator_rm");
    d.func(
        "sdp_iterator_append",
        ["iname", "text"],
        iterator::append,
        "Adds the text, which should end its line itself, behind the line that the walk is at.",
    )
    .kemi(2, "sdp_iterator_append");
    d.func(
        "sdp_iterator_insert",
        ["iname", "text"],
        iterator::insert,
        "Adds the text, which should end its line itself, in front of the line that the walk is at.",
    )
    .kemi(2, "sdp_iterator_insert");
    d.kemi_func(
        "sdpops",
        "sdp_iterator_value",
        ["iname"],
        iterator::give_value,
        "Gives the line that the walk is at with its line end; null before the first and after the last.",
    );
}

fn declare_vars(d: &mut Decl<SdpOps>) {
    d.var_named(
        "sdp",
        Naming::Required,
        Named {
            parse: vars::parse,
            get: vars::get,
            set: Some(vars::set),
            raw: false,
        },
        "Parts of the session description: `body`, `sess_version` (can be set; -1 adds one), `c:ip`, `c:af`, `o:ip`, \
         `m0:raw`, `m0:rtp:port`, `m0:rtcp:port`, `m0:b:AS`.",
    );
    d.var_named(
        "sdpitval",
        Naming::Required,
        Named {
            parse: |name, _| Ok(kahea_module::Str::from(name)),
            get: iterator::value,
            set: None,
            raw: false,
        },
        "The line, with its line end, that the walk of this name is at.",
    );
}
