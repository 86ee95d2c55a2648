//! `siputils`: tests and small changes of URIs, contacts and messages, and the answer to OPTIONS.

mod base64url;
mod charging;
mod compare;
mod contact;
mod contact_param;
mod message;
mod options;
mod rpid;
mod ruri;
mod tel;
mod text;
mod uri;

use kahea_module::{
    BRANCH, Decl, FAILURE, InitError, Module, Named, Naming, REPLY, REQUEST, Str, Value, Var, registry::Env,
};

pub use self::message::AuthorizedUser;

/// The module, started.
pub struct SipUtils {
    options: options::Lines,
    separator: u8,
    rpid: rpid::Rpid,
    e164_max_len: usize,
}

/// The parameters of the module.
pub struct Params {
    options_accept: Str,
    options_accept_encoding: Str,
    options_accept_language: Str,
    options_support: Str,
    contact_flds_separator: Str,
    rpid_prefix: Str,
    rpid_suffix: Str,
    rpid_avp: Str,
    e164_max_len: i64,
}

impl Default for Params {
    fn default() -> Self {
        Params {
            options_accept: Str::from_static("*/*"),
            options_accept_encoding: Str::EMPTY,
            options_accept_language: Str::from_static("en"),
            options_support: Str::EMPTY,
            contact_flds_separator: Str::from_static("*"),
            rpid_prefix: Str::EMPTY,
            rpid_suffix: Str::from_static(";party=calling;id-type=subscriber;screen=yes"),
            rpid_avp: Str::from_static("$avp(s:rpid)"),
            e164_max_len: 16,
        }
    }
}

impl Module for SipUtils {
    const NAME: &'static str = "siputils";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        declare_params(d);
        declare_messages(d);
        declare_texts(d);
        declare_ruri(d);
        declare_uris(d);
        declare_contacts(d);
        declare_contact_params(d);
        declare_headers(d);
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Self, InitError> {
        let avp = params.rpid_avp.clone();
        let avp = match avp.is_empty() {
            true => None,
            false => Some(env.bind.var(&avp.text())?),
        };
        env.settings.declare(
            "siputils",
            "ring_timeout",
            Value::Int(0),
            "Kept for tools that read or set it: the functions that used it left Kamailio before version 6.",
            false,
        );
        SipUtils::new(params, avp)
    }
}

impl SipUtils {
    fn new(params: Params, avp: Option<Var>) -> Result<SipUtils, InitError> {
        let separator = *params.contact_flds_separator.first().ok_or_else(|| {
            InitError::new("contact_flds_separator of siputils is empty")
                .help("give it one character that no user name has, such as \"*\"")
        })?;
        let e164_max_len = usize::try_from(params.e164_max_len)
            .map_err(|_| InitError::new("e164_max_len of siputils is below 0"))?;
        Ok(SipUtils {
            options: options::Lines::new(&params),
            separator,
            rpid: rpid::Rpid {
                avp,
                prefix: params.rpid_prefix,
                suffix: params.rpid_suffix,
            },
            e164_max_len,
        })
    }
}

fn declare_params(d: &mut Decl<SipUtils>) {
    d.param(
        "options_accept",
        |p| &mut p.options_accept,
        "The Accept header of options_reply().",
    );
    d.param(
        "options_accept_encoding",
        |p| &mut p.options_accept_encoding,
        "The Accept-Encoding header of options_reply().",
    );
    d.param(
        "options_accept_language",
        |p| &mut p.options_accept_language,
        "The Accept-Language header of options_reply().",
    );
    d.param(
        "options_support",
        |p| &mut p.options_support,
        "The Supported header of options_reply().",
    );
    d.param(
        "contact_flds_separator",
        |p| &mut p.contact_flds_separator,
        "Its first character separates the fields of encode_contact(); no user name or password may have it.",
    );
    d.param(
        "rpid_prefix",
        |p| &mut p.rpid_prefix,
        "Stands before the URI that append_rpid_hf() writes.",
    );
    d.param(
        "rpid_suffix",
        |p| &mut p.rpid_suffix,
        "Stands behind the URI that append_rpid_hf() writes.",
    );
    d.param(
        "rpid_avp",
        |p| &mut p.rpid_avp,
        "The AVP with the caller's identity; empty: the functions on it fail.",
    );
    d.param(
        "e164_max_len",
        |p| &mut p.e164_max_len,
        "The most characters, the plus sign included, of a number that is_e164() and its siblings accept.",
    );
}

fn declare_messages(d: &mut Decl<SipUtils>) {
    d.func("is_request", [], message::is_request, "The message is a request.")
        .kemi(0, "is_request");
    d.func("is_reply", [], message::is_reply, "The message is a reply.")
        .kemi(0, "is_reply");
    d.func("is_sip", [], message::is_sip, "The message is SIP.")
        .kemi(0, "is_sip");
    d.func("is_http", [], message::is_http, "The message is HTTP.")
        .kemi(0, "is_http");
    d.func(
        "has_totag",
        [],
        message::has_totag,
        "The To header has a tag: the request is within a dialog.",
    )
    .kemi(0, "has_totag")
    .example("if (has_totag()) { xlog(\"in a dialog\\n\"); }");
    d.func(
        "is_user",
        ["username"],
        message::is_user,
        "The sender has shown with credentials to be this user.",
    )
    .routes(REQUEST)
    .kemi(1, "is_user");
    d.func(
        "is_first_hop",
        ["mode"],
        message::is_first_hop,
        "This server is the first behind the sender: one Via in a request; in a reply the topmost Record-Route is \
         this server's and, unless the mode is 1, its address is not the source.",
    )
    .kemi(0, "is_first_hop")
    .kemi(1, "is_first_hop_mode");
    d.func(
        "is_supported",
        ["option"],
        message::is_supported,
        "A Supported header lists the option tag.",
    );
    d.func(
        "hdr_date_check",
        ["tdiff"],
        message::hdr_date_check,
        "The Date header is at most so many seconds old; -4 where it is older, -1 where there is none that can be read.",
    )
    .kemi(1, "hdr_date_check");
    d.func(
        "sip_parse_headers",
        [],
        message::parse_headers,
        "True: all headers are read when a message comes in.",
    )
    .kemi(0, "sip_parse_headers");
    d.func(
        "options_reply",
        [],
        options::reply,
        "Answers an OPTIONS request to this server itself, whose URI has no user, with 200 and what the parameters say.",
    )
    .routes(REQUEST)
    .kemi(0, "options_reply");
}

fn declare_texts(d: &mut Decl<SipUtils>) {
    d.func(
        "is_numeric",
        ["text"],
        text::is_numeric,
        "The text is digits only; -2 where not.",
    )
    .kemi(1, "is_numeric");
    d.func(
        "is_alphanum",
        ["text"],
        text::is_alphanum,
        "The text is ASCII letters and digits only; -2 empty, -3 other.",
    )
    .kemi(1, "is_alphanum");
    d.func(
        "is_alphanumex",
        ["text", "set"],
        text::is_alphanumex,
        "The text is ASCII letters, digits and characters of the set only; -2 empty, -3 other.",
    )
    .kemi(2, "is_alphanumex");
    d.func(
        "is_tel_number",
        ["text"],
        text::is_tel_number,
        "The text is digits with at most a plus before them.",
    )
    .kemi(1, "is_tel_number");
    d.func(
        "is_e164",
        ["value"],
        text::is_e164,
        "The text is a plus and two digits or more, up to e164_max_len.",
    )
    .routes(REQUEST | FAILURE);
    d.func(
        "is_uri_user_e164",
        ["uri"],
        text::is_uri_user_e164,
        "The user of the SIP URI is a number as is_e164() has it.",
    );
    d.func(
        "cmp_hdr_name",
        ["a", "b"],
        compare::header_names,
        "The two are names of one header, compact forms included.",
    )
    .kemi(2, "cmp_hdr_name");
    d.func(
        "cmp_uri",
        ["a", "b"],
        compare::uris,
        "The two URIs name the same resource; -2 where one is no URI.",
    )
    .kemi(2, "cmp_uri");
    d.func(
        "cmp_aor",
        ["a", "b"],
        compare::aors,
        "The two SIP URIs have the same user, host and port; -2 where one is no URI.",
    )
    .kemi(2, "cmp_aor");
}

fn declare_ruri(d: &mut Decl<SipUtils>) {
    let routes = REQUEST | FAILURE | BRANCH;
    d.func(
        "uri_param",
        ["name"],
        ruri::has_flag,
        "The Request-URI has the parameter, without a value.",
    )
    .routes(routes)
    .kemi(1, "uri_param");
    d.func(
        "uri_param",
        ["name", "value"],
        ruri::has_value,
        "The Request-URI has the parameter with this value.",
    )
    .routes(routes)
    .kemi(2, "uri_param_value");
    d.func(
        "uri_param_any",
        ["name"],
        ruri::has_any,
        "The Request-URI has the parameter.",
    )
    .routes(routes)
    .kemi(1, "uri_param_any");
    d.func(
        "uri_param_rm",
        ["name"],
        ruri::remove,
        "Takes the parameter out of the Request-URI.",
    )
    .routes(routes)
    .kemi(1, "uri_param_rm");
    d.func(
        "add_uri_param",
        ["param"],
        ruri::add,
        "Adds a parameter, `name` or `name=value`, to the Request-URI.",
    )
    .routes(REQUEST)
    .kemi(1, "add_uri_param")
    .example("add_uri_param(\"nat=yes\");");
    d.func(
        "get_uri_param",
        ["name", "var"],
        ruri::get,
        "Stores the value of a parameter of the Request-URI.",
    )
    .routes(REQUEST);
}

fn declare_uris(d: &mut Decl<SipUtils>) {
    d.func(
        "is_uri",
        ["text"],
        uri::is_uri,
        "The text is a SIP, tel or URN URI.",
    )
    .kemi(1, "is_uri");
    d.func(
        "is_gruu",
        ["uri"],
        uri::is_gruu,
        "The URI, else the Request-URI, is a GRUU: 1 a public one, 2 a temporary one.",
    )
    .kemi(0, "is_gruu");
    d.func(
        "set_uri_user",
        ["uri", "user"],
        uri::set_user,
        "Replaces the user of the URI in a variable; empty takes it out.",
    );
    d.func(
        "set_uri_host",
        ["uri", "host"],
        uri::set_host,
        "Replaces the host of the URI in a variable.",
    );
    let routes = REQUEST | FAILURE | REPLY | BRANCH;
    d.func(
        "tel2sip",
        ["uri", "host", "result"],
        tel::tel2sip,
        "Stores a tel URI as a SIP URI at the host: 1, or 2 where the URI is no tel URI.",
    )
    .routes(routes);
    d.func(
        "tel2sip2",
        ["uri", "host", "result"],
        tel::tel2sip2,
        "As tel2sip(), with the parameters in the order of RFC 3261 section 19.1.6, without a phone-context that is a \
         domain, and without visual separators in one that is a number.",
    )
    .routes(routes);
}

fn declare_contacts(d: &mut Decl<SipUtils>) {
    d.func(
        "encode_contact",
        ["prefix", "host"],
        contact::encode,
        "Hides the URIs in Contact in the user part of URIs at the host: `sip:prefix*user*password*ip*port*proto@host`.",
    )
    .routes(REQUEST | REPLY)
    .kemi(2, "encode_contact");
    d.func(
        "decode_contact",
        [],
        contact::decode_ruri,
        "Restores a Request-URI that encode_contact() made.",
    )
    .routes(REQUEST)
    .kemi(0, "decode_contact");
    d.func(
        "decode_contact_header",
        [],
        contact::decode_header,
        "Restores the URIs in Contact that encode_contact() made.",
    )
    .routes(REQUEST | FAILURE | REPLY)
    .kemi(0, "decode_contact_header");
}

fn declare_contact_params(d: &mut Decl<SipUtils>) {
    let routes = REQUEST | REPLY;
    d.func(
        "contact_param_encode",
        ["pname", "saddr"],
        contact_param::encode,
        "Replaces the URIs in Contact by the given one with the old one, base64url, in a parameter.",
    )
    .routes(routes)
    .kemi(2, "contact_param_encode");
    d.func(
        "contact_param_encode_alias",
        ["pname", "saddr"],
        contact_param::encode_alias,
        "As contact_param_encode(), with the source of the message as `alias` parameter of the old URI.",
    )
    .routes(routes)
    .kemi(2, "contact_param_encode_alias");
    d.func(
        "contact_param_decode",
        ["pname"],
        contact_param::decode,
        "Restores the URIs in Contact that contact_param_encode() made.",
    )
    .routes(routes)
    .kemi(1, "contact_param_decode");
    for name in ["contact_param_decode_ruri", "contact_param_decode_uri"] {
        let row = d.func(
            name,
            ["pname"],
            contact_param::decode_ruri,
            "Restores a Request-URI that contact_param_encode() made.",
        );
        let row = row.routes(REQUEST);
        if name == "contact_param_decode_ruri" {
            row.kemi(1, "contact_param_decode_ruri");
        }
    }
    d.func(
        "contact_param_rm",
        ["pname"],
        contact_param::remove,
        "Takes the parameter out of the URIs in Contact.",
    )
    .routes(routes)
    .kemi(1, "contact_param_rm");
    d.func(
        "contact_param_check",
        ["pname"],
        contact_param::check,
        "A URI in Contact has the parameter.",
    )
    .kemi(1, "contact_param_check");
}

fn declare_headers(d: &mut Decl<SipUtils>) {
    d.func(
        "append_rpid_hf",
        [],
        rpid::append,
        "Adds a Remote-Party-ID header with the identity in rpid_avp between rpid_prefix and rpid_suffix.",
    )
    .routes(REQUEST | FAILURE | BRANCH);
    d.func(
        "append_rpid_hf",
        ["prefix", "suffix"],
        rpid::append_with,
        "Adds a Remote-Party-ID header with the identity in rpid_avp between the two texts.",
    )
    .routes(REQUEST | FAILURE | BRANCH);
    d.func(
        "is_rpid_user_e164",
        [],
        rpid::is_e164,
        "The user of the identity in rpid_avp is a number as is_e164() has it.",
    )
    .routes(REQUEST);
    d.func(
        "sip_p_charging_vector",
        ["flags"],
        charging::change,
        "The P-Charging-Vector header: `r` removes it, `g` makes one where there is none, `f` makes one in any case.",
    );
    d.var_named(
        "pcv",
        Naming::Required,
        Named {
            parse: charging::parse,
            get: charging::get,
            set: None,
            raw: false,
        },
        "The P-Charging-Vector header: `all`, `value`, `genaddr`, `orig`, `term`, `status` (0 none, 1 received, 2 removed, 4 made here).",
    );
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The module with its defaults and an AVP that is `$var(rpid)`.
    pub(crate) fn started() -> SipUtils {
        use kahea_module::{Bind, testing::FakeBind};
        let var = FakeBind::default().var("$var(rpid)").unwrap();
        SipUtils::new(Params::default(), Some(var)).unwrap()
    }

    #[test]
    fn senseless_parameters_are_refused() {
        let with = |change: fn(&mut Params)| {
            let mut params = Params::default();
            change(&mut params);
            SipUtils::new(params, None)
        };
        assert!(with(|p| p.contact_flds_separator = Str::EMPTY).is_err());
        assert!(with(|p| p.e164_max_len = -1).is_err());
        assert!(with(|_| {}).is_ok());
    }
}
