//! Module `mangler`: contacts that carry the way back in their user part, and addresses and ports of SDP replaced.

mod contact;
mod sdp;

use kahea_module::{Decl, EVENT, Env, InitError, Module, REPLY, REQUEST, Str};

/// The module's instance.
pub struct Mangler {
    separator: u8,
}

/// Its parameters.
pub struct Params {
    contact_flds_separator: Str,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            contact_flds_separator: Str::from_static("*"),
        }
    }
}

impl Module for Mangler {
    const NAME: &'static str = "mangler";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        d.param(
            "contact_flds_separator",
            |p| &mut p.contact_flds_separator,
            "The character between the fields of an encoded contact.",
        );
        let both = REQUEST | REPLY | EVENT;
        d.func(
            "encode_contact",
            ["prefix", "address"],
            contact::encode_contact,
            "Replaces each contact by one at this address whose user tells the original and where the message came from.",
        )
        .routes(both)
        .example("encode_contact(\"enc\", \"203.0.113.7\");");
        d.func(
            "decode_contact",
            [],
            contact::decode_contact,
            "Makes of an encoded Request-URI the original one, and sends it where the contact came from.",
        )
        .routes(REQUEST | EVENT);
        d.func(
            "decode_contact_header",
            [],
            contact::decode_contact_header,
            "Makes of encoded contacts the original ones.",
        )
        .routes(both);
        d.func(
            "sdp_mangle_ip",
            ["network", "address"],
            sdp::sdp_mangle_ip,
            "Replaces connection addresses within a network; 1 and the number of those replaced.",
        )
        .routes(both);
        d.func(
            "sdp_mangle_port",
            ["offset"],
            sdp::sdp_mangle_port,
            "Adds to (+, -) or sets the ports of media; 1 and the number of those replaced.",
        )
        .routes(both);
    }

    fn init(params: Params, _: &mut Env<'_>) -> Result<Mangler, InitError> {
        let text = &params.contact_flds_separator;
        match **text {
            [separator] if b"*-_.!~'()&=+$,".contains(&separator) => Ok(Mangler { separator }),
            _ => Err(InitError::new(format!("contact_flds_separator is '{text}'"))
                .help("give one character that a SIP user may hold (RFC 3261 section 25.1): * - _ . ! ~ ' ( ) & = + $ ,")),
        }
    }
}
