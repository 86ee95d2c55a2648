//! Module `textops`: searching, replacing and adding text in headers and body.

pub mod arg;
pub mod body;
pub mod headers;
mod parts;
mod replace;
pub mod strings;
pub use kahea_module::subst;

use kahea_module::{
    BRANCH, Decl, EVENT, Env, FAILURE, InitError, Module, REPLY, REQUEST, RouteKinds, TransformKind,
};

/// The module's instance; it keeps nothing.
pub struct Textops;

impl Module for Textops {
    const NAME: &'static str = "textops";
    type Params = ();

    fn declare(d: &mut Decl<Self>) {
        declare_headers(d);
        declare_removal(d);
        declare_tests(d);
        declare_search(d);
        declare_replace(d);
        declare_subst(d);
        declare_body(d);
        declare_parts(d);
        declare_strings(d);
    }

    fn init((): (), _: &mut Env<'_>) -> Result<Textops, InitError> {
        Ok(Textops)
    }
}

/// Where functions may be called that change a request on its way out.
fn outgoing() -> RouteKinds {
    REQUEST | FAILURE | BRANCH | EVENT
}

fn declare_headers(d: &mut Decl<Textops>) {
    use headers::*;
    d.func(
        "append_hf",
        ["text", "after"],
        append_hf,
        "Adds a header behind all, or behind the last of this name.",
    )
    .example("append_hf(\"P-Hint: $rU\\r\\n\");");
    d.func(
        "insert_hf",
        ["text", "before"],
        insert_hf,
        "Adds a header before all, or before the first of this name.",
    );
    d.func(
        "append_urihf",
        ["prefix", "suffix"],
        append_urihf,
        "Adds a header with the received Request-URI in it.",
    )
    .routes(outgoing());
    d.func(
        "append_to_reply",
        ["text"],
        body::append_to_reply,
        "Adds a header to the replies made here.",
    )
    .routes(outgoing())
    .example("append_to_reply(\"Retry-After: 60\\r\\n\");");
    d.func(
        "append_time",
        [],
        body::append_time,
        "Adds a Date header to the replies made here.",
    )
    .routes(outgoing());
    d.func(
        "append_time_to_request",
        [],
        body::append_time_to_request,
        "Adds a Date header to the message.",
    );
    d.func(
        "via_param_rm",
        ["name", "index"],
        via_param_rm,
        "Takes a parameter off a Via: 1 is the topmost, -1 the last.",
    );
}

fn declare_removal(d: &mut Decl<Textops>) {
    use headers::*;
    d.func(
        "remove_hf",
        ["name"],
        remove_hf,
        "Takes out all headers of this name.",
    )
    .kemi(1, "remove_hf")
    .example("remove_hf(\"User-Agent\");");
    d.func(
        "remove_hf_pv",
        ["name"],
        remove_hf_pv,
        "Takes out all headers of this name, which may hold variables.",
    );
    d.func(
        "remove_hf_re",
        ["name"],
        remove_hf_re,
        "Takes out all headers whose name matches.",
    )
    .kemi(1, "remove_hf_re");
    d.func(
        "remove_hf_re_pv",
        ["name"],
        remove_hf_re_pv,
        "Takes out all headers whose name matches an expression that may hold variables.",
    );
    d.func(
        "remove_hf_exp",
        ["match", "skip"],
        remove_hf_exp,
        "Takes out headers whose name matches, but for some.",
    )
    .kemi(2, "remove_hf_exp");
    d.func(
        "remove_hf_exp_pv",
        ["match", "skip"],
        remove_hf_exp_pv,
        "Takes out headers whose name matches, but for some; both expressions may hold variables.",
    );
    d.func(
        "remove_hf_idx",
        ["name", "index"],
        remove_hf_idx,
        "Takes out one header of this name, 0 the first, -1 the last; 2 where there is none.",
    )
    .kemi(2, "remove_hf_idx");
    d.func(
        "remove_hf_match",
        ["name", "operator", "text"],
        remove_hf_match,
        "Takes out headers of this name whose value is (eq), is not (ne), contains (in) or matches (re) the text; -2 where none does.",
    )
    .kemi(3, "remove_hf_match");
}

fn declare_tests(d: &mut Decl<Textops>) {
    use headers::*;
    d.func(
        "is_method",
        ["methods"],
        is_method,
        "The method, for a reply that of its CSeq, is in the list.",
    )
    .example("if (is_method(\"INVITE|SUBSCRIBE\")) { exit; }");
    d.func(
        "is_present_hf",
        ["name"],
        is_present_hf,
        "There is a header of this name.",
    )
    .kemi(1, "is_present_hf");
    d.func(
        "is_present_hf_pv",
        ["name"],
        is_present_hf_pv,
        "There is a header of this name, which may hold variables.",
    );
    d.func(
        "is_present_hf_re",
        ["name"],
        is_present_hf_re,
        "There is a header whose name matches.",
    )
    .kemi(1, "is_present_hf_re");
    d.func(
        "is_present_hf_re_pv",
        ["name"],
        is_present_hf_re_pv,
        "There is a header whose name matches an expression that may hold variables.",
    );
    d.func(
        "is_privacy",
        ["type"],
        is_privacy,
        "The Privacy header asks for this type.",
    )
    .kemi(1, "is_privacy");
    d.func(
        "search_hf",
        ["name", "re", "flags"],
        search_hf,
        "The value of all (a), the first (f) or the last (l) such header matches.",
    )
    .kemi(3, "search_hf");
    d.func(
        "is_audio_on_hold",
        [],
        body::is_audio_on_hold,
        "An audio stream is on hold: 1 by an address of zeros, 2 by its direction.",
    )
    .kemi(0, "is_audio_on_hold");
}

fn is_method(_: &Textops, cx: &mut kahea_module::Cx, methods: kahea_module::Lit<arg::Methods>) -> bool {
    methods.matches(cx)
}

fn declare_search(d: &mut Decl<Textops>) {
    use replace::*;
    d.func("search", ["re"], search, "The message matches.")
        .kemi(1, "search");
    d.func("search_body", ["re"], search_body, "The body matches.")
        .kemi(1, "search_body");
    d.func(
        "search_append",
        ["re", "text"],
        search_append,
        "Adds text behind the first match after the first line.",
    )
    .kemi(2, "search_append");
    d.func(
        "search_append_body",
        ["re", "text"],
        search_append_body,
        "Adds text behind the first match in the body.",
    )
    .kemi(2, "search_append_body");
    d.func("search_str", ["text", "re"], search_str, "The text matches.")
        .kemi(2, "search_str");
    d.func(
        "regex_substring",
        ["text", "re", "index", "count", "to"],
        regex_substring,
        "Stores a group of the match in a variable; -2 where nothing matches, -1 where there is no such group.",
    )
    .routes(REQUEST | FAILURE | REPLY | BRANCH | EVENT)
    .kemi(5, "regex_substring");
}

fn declare_replace(d: &mut Decl<Textops>) {
    use replace::*;
    d.func(
        "replace",
        ["re", "text"],
        replace,
        "Replaces the first match after the first line.",
    )
    .kemi(2, "replace");
    d.func(
        "replace_all",
        ["re", "text"],
        replace_all,
        "Replaces all matches after the first line.",
    )
    .kemi(2, "replace_all");
    d.func(
        "replace_hdrs",
        ["re", "text"],
        replace_hdrs,
        "Replaces the first match in the headers.",
    )
    .kemi(2, "replace_hdrs");
    d.func(
        "replace_body",
        ["re", "text"],
        replace_body,
        "Replaces the first match in the body.",
    )
    .kemi(2, "replace_body");
    d.func(
        "replace_body_all",
        ["re", "text"],
        replace_body_all,
        "Replaces all matches in the body, line by line.",
    )
    .kemi(2, "replace_body_all");
    d.func(
        "replace_body_atonce",
        ["re", "text"],
        replace_body_atonce,
        "Replaces all matches in the body, which is taken as one line.",
    )
    .kemi(2, "replace_body_atonce");
    const TEXT: &str = "Replaces a text, the first time (f) or always (a), in headers and body.";
    d.func("replace_str", ["old", "new", "mode"], replace_str, TEXT)
        .kemi(3, "replace_str");
    const HEADERS: &str = "Replaces a text, the first time (f) or always (a), in the headers.";
    d.func(
        "replace_hdrs_str",
        ["old", "new", "mode"],
        replace_hdrs_str,
        HEADERS,
    )
    .kemi(3, "replace_hdrs_str");
    const BODY: &str = "Replaces a text, the first time (f) or always (a), in the body.";
    d.func("replace_body_str", ["old", "new", "mode"], replace_body_str, BODY)
        .kemi(3, "replace_body_str");
}

fn declare_subst(d: &mut Decl<Textops>) {
    let routes = REQUEST | FAILURE | REPLY | BRANCH | EVENT;
    d.func(
        "subst",
        ["expression"],
        replace::subst,
        "Substitutes after the first line: /re/replacement/flags.",
    )
    .kemi(1, "subst")
    .example("subst('/^To:(.*)$/To:\\1;x=$rU/i');");
    d.func(
        "subst_uri",
        ["expression"],
        replace::subst_uri,
        "Substitutes in the Request-URI.",
    )
    .routes(routes)
    .kemi(1, "subst_uri");
    d.func(
        "subst_user",
        ["expression"],
        replace::subst_user,
        "Substitutes in the user of the Request-URI.",
    )
    .routes(routes)
    .kemi(1, "subst_user");
    d.func(
        "subst_body",
        ["expression"],
        replace::subst_body,
        "Substitutes in the body.",
    )
    .kemi(1, "subst_body");
    d.func(
        "subst_hf",
        ["name", "expression", "flags"],
        headers::subst_hf,
        "Substitutes in the value of all (a), the first (f) or the last (l) header of this name.",
    )
    .kemi(3, "subst_hf");
    d.func(
        "subst_v",
        ["text", "expression", "to"],
        replace::subst_v,
        "Substitutes in a text and stores the result.",
    )
    .kemi(3, "subst_v");
    d.transform(
        "re",
        "subst",
        &["expression"],
        TransformKind::Raw(subst::transformation),
        "The text with a substitution applied: {re.subst,/re/replacement/flags}.",
    );
}

fn declare_body(d: &mut Decl<Textops>) {
    use body::*;
    d.func(
        "has_body",
        ["mime"],
        has_body,
        "There is a body, of this type where one is given.",
    )
    .kemi(0, "has_body")
    .kemi(1, "has_body_type")
    .example("if (has_body(\"application/sdp\")) { exit; }");
    d.func("set_body", ["text", "type"], set_body, "Puts a new body in.")
        .routes(REQUEST | FAILURE | REPLY | BRANCH | EVENT)
        .kemi(2, "set_body");
    d.func(
        "set_body_hex",
        ["hex", "type"],
        set_body_hex,
        "Puts a new body in, given in hexadecimal digits.",
    )
    .kemi(2, "set_body_hex");
    d.func(
        "set_reply_body",
        ["text", "type"],
        set_reply_body,
        "Gives a body to the replies made here.",
    )
    .routes(outgoing())
    .kemi(2, "set_reply_body");
    d.func(
        "set_reply_body_hex",
        ["hex", "type"],
        set_reply_body_hex,
        "Gives a body to the replies made here, in hexadecimal digits.",
    )
    .routes(outgoing())
    .kemi(2, "set_reply_body_hex");
    d.func(
        "filter_body",
        ["type"],
        parts::filter_body,
        "Leaves only the first part of this type of a multipart body.",
    )
    .kemi(1, "filter_body");
}

fn declare_parts(d: &mut Decl<Textops>) {
    use parts::*;
    const WRAP: &str = "Makes the present body the first part of a multipart one.";
    d.func("set_body_multipart", [], set_multipart_mode, WRAP)
        .routes(outgoing())
        .kemi(0, "set_body_multipart_mode");
    d.func("set_body_multipart", ["boundary"], set_multipart_boundary, WRAP)
        .routes(outgoing())
        .kemi(1, "set_body_multipart_boundary");
    d.func(
        "set_body_multipart",
        ["text", "type", "boundary"],
        set_multipart,
        "Puts in a multipart body of one part.",
    )
    .routes(outgoing())
    .kemi(2, "set_body_multipart_content")
    .kemi(3, "set_body_multipart");
    d.func(
        "append_body_part",
        ["text", "type", "disposition"],
        append_body_part,
        "Adds a part to a multipart body.",
    )
    .routes(outgoing())
    .kemi(2, "append_body_part")
    .kemi(3, "append_body_part_cd");
    d.func(
        "append_body_part_hex",
        ["hex", "type", "disposition"],
        append_body_part_hex,
        "Adds a part to a multipart body, given in hexadecimal digits.",
    )
    .routes(outgoing())
    .kemi(2, "append_body_part_hex")
    .kemi(3, "append_body_part_hex_cd");
    d.func(
        "remove_body_part",
        ["type"],
        remove_body_part,
        "Takes out the first part of this type.",
    )
    .routes(outgoing())
    .kemi(1, "remove_body_part");
    let routes = REQUEST | FAILURE | REPLY | BRANCH | EVENT;
    d.func(
        "get_body_part",
        ["type", "to"],
        get_body_part,
        "Stores the content of the first part of this type.",
    )
    .routes(routes)
    .kemi(2, "get_body_part");
    d.func(
        "get_body_part_raw",
        ["type", "to"],
        get_body_part_raw,
        "Stores the first part of this type with its headers and the delimiter behind it.",
    )
    .routes(routes)
    .kemi(2, "get_body_part_raw");
}

fn declare_strings(d: &mut Decl<Textops>) {
    use strings::*;
    d.func(
        "in_list",
        ["text", "list", "separator"],
        in_list,
        "The text is an item of the list.",
    )
    .kemi(3, "in_list");
    d.func(
        "in_list_prefix",
        ["text", "list", "separator"],
        in_list_prefix,
        "An item of the list begins the text.",
    )
    .kemi(3, "in_list_prefix");
    d.func("cmp_str", ["a", "b"], cmp_str, "The texts are the same.")
        .kemi(2, "cmp_str");
    d.func(
        "cmp_istr",
        ["a", "b"],
        cmp_istr,
        "The texts are the same but for case.",
    )
    .kemi(2, "cmp_istr");
    d.func(
        "starts_with",
        ["text", "prefix"],
        starts_with,
        "The text begins so; -1 where it is shorter, -2 where it begins otherwise.",
    )
    .kemi(2, "starts_with");
    d.func(
        "ends_with",
        ["text", "suffix"],
        ends_with,
        "The text ends so; -1 where it is shorter, -2 where it ends otherwise.",
    )
    .kemi(2, "ends_with");
    d.func(
        "str_find",
        ["text", "piece"],
        str_find,
        "Where the piece begins in the text, from 1.",
    )
    .kemi(2, "str_find");
    d.func(
        "str_ifind",
        ["text", "piece"],
        str_ifind,
        "Where the piece begins in the text, from 1, in any case.",
    )
    .kemi(2, "str_ifind");
    d.func(
        "str_any_in",
        ["text", "set"],
        str_any_in,
        "A character of the text is in the set.",
    )
    .kemi(2, "str_any_in");
    d.func(
        "str_all_in",
        ["text", "set"],
        str_all_in,
        "All characters of the text are in the set.",
    )
    .kemi(2, "str_all_in");
}

#[cfg(test)]
pub(crate) mod tests {
    use kahea_module::{Arg, Cx, Lit, Literal, Str, registry::ModuleDecl, testing::Server};

    use super::*;

    /// A literal argument.
    pub fn lit<T: Literal>(text: &str) -> Lit<T> {
        Lit::from_value(Some(Str::from(text).into()), &mut Server::default().invite()).unwrap()
    }

    /// A request with these headers.
    pub fn request(headers: &str) -> Cx {
        with_body(headers, "")
    }

    /// A request with these headers and a body.
    pub fn with_body(headers: &str, body: &str) -> Cx {
        Server::default().message(&format!("INVITE sip:bob@b.org SIP/2.0\n{headers}\n{body}"))
    }

    /// The message with its edits.
    pub fn built(cx: &Cx) -> String {
        let mut out = Vec::new();
        kahea_sip::build::edited(&cx.msg, &cx.edits, &mut |_, _| {}, &mut out);
        String::from_utf8(out).unwrap()
    }

    /// The body with its edits.
    pub fn body_of(cx: &Cx) -> String {
        built(cx).split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    #[test]
    fn everything_of_the_inventory_is_declared() {
        let decl = ModuleDecl::of::<Textops>();
        let names: std::collections::BTreeSet<_> = decl.funcs.iter().map(|func| func.name).collect();
        assert_eq!(names.len(), 66);
        assert_eq!(decl.funcs.iter().map(|func| func.kemi.len()).sum::<usize>(), 59);
        assert!((0..4).all(|count| decl.func("set_body_multipart", count).is_some()));
    }
}
