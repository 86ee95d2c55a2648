//! The parts of a URI: `.host`, `.port`, `.params.x` and the like.

use std::sync::Arc;

use kahea_module::Str;
use kahea_sip::{
    Transport,
    view::{Scheme, Uri},
};

use super::{Read, Word, index, name};

enum Part {
    Whole,
    Host,
    HostPort,
    Port,
    Password,
    User,
    /// The user without the parameters of a telephone number.
    Number,
    Transport,
    Scheme,
    Params,
    Param(String),
}

/// The select of a part of the URI that `source` yields; an index right behind the URI has no meaning.
pub fn of(source: Read, words: &[Word]) -> Option<Read> {
    let (_, words) = index(words);
    let part = match words {
        [] => Part::Whole,
        [word] => match name(word)? {
            "host" => Part::Host,
            "hostport" => Part::HostPort,
            "port" => Part::Port,
            "pwd" => Part::Password,
            "user" => Part::User,
            "rn_user" => Part::Number,
            "transport" => Part::Transport,
            "type" => Part::Scheme,
            "params" => Part::Params,
            _ => return None,
        },
        [word, param] if name(word)? == "params" => Part::Param(name(param)?.to_owned()),
        _ => return None,
    };
    Some(Arc::new(move |cx| {
        let phone2tel = cx.config().globals.phone2tel;
        part.read(&source(cx)?, phone2tel)
    }))
}

impl Part {
    fn read(&self, text: &Str, phone2tel: bool) -> Option<Str> {
        if matches!(self, Part::Whole) {
            return Some(text.clone());
        }
        let uri = Uri::parse(text).ok()?;
        let filled = |piece: &[u8]| (!piece.is_empty()).then(|| text.share(piece));
        let is_phone = phone2tel && uri.has_user_param_phone();
        match self {
            Part::Whole => None,
            Part::Host => filled(uri.host),
            Part::HostPort => (!uri.host.is_empty()).then(|| host_port(text, &uri)),
            Part::Port => filled(uri.port_text),
            Part::Password => uri.password.map(|password| text.share(password)),
            Part::User => filled(uri.script_user(phone2tel)),
            Part::Number => filled(uri.user_without_params()),
            Part::Transport => Some(transport(text, &uri)),
            // As in Kamailio a SIP URI with user=phone counts as a telephone number.
            Part::Scheme if is_phone => Some(Str::from_static(if uri.scheme == Scheme::Sips {
                "tels"
            } else {
                "tel"
            })),
            Part::Scheme => filled(uri.scheme_text),
            // The parameters of such a number are those inside of the user.
            Part::Params if is_phone => filled(uri.user_params().raw),
            Part::Params => filled(uri.params.raw),
            Part::Param(name) => uri.param(name).map(|value| text.share(value)),
        }
    }
}

/// Host and port; the default where none is stated.
fn host_port(text: &Str, uri: &Uri<'_>) -> Str {
    if uri.port.is_some() {
        return text.share(uri.hostport());
    }
    let is_secure = uri.scheme == Scheme::Sips || uri.transport() == Transport::Tls;
    let port: &[u8] = if is_secure { b":5061" } else { b":5060" };
    Str::from([uri.host, port].concat())
}

/// The stated transport, or the default.
fn transport(text: &Str, uri: &Uri<'_>) -> Str {
    match uri.transport_text() {
        Some(transport) if !transport.is_empty() => text.share(transport),
        _ if uri.scheme == Scheme::Sips => Str::from_static("tls"),
        _ => Str::from_static("udp"),
    }
}
