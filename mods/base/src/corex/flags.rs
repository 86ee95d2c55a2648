//! Flags of the message: extended ones for the script, internal ones, those of the Via.

use kahea_module::{Cx, Decl, Fault, Ret, Str, value::parse_int};

use super::Corex;

/// Internal flags by name, as Kamailio numbers them.
const INTERNAL: [(&str, u32); 22] = [
    ("FORCE_RPORT", 0),
    ("FORCE_ACTIVE", 1),
    ("SDP_IP_AFS", 2),
    ("SDP_PORT_AFS", 3),
    ("SHM_CLONE", 4),
    ("TIMEOUT", 5),
    ("REPLIED", 6),
    ("HASH_INDEX", 7),
    ("MTU_TCP_FB", 8),
    ("MTU_TLS_FB", 9),
    ("MTU_SCTP_FB", 10),
    ("ADD_LOCAL_RPORT", 11),
    ("SDP_BODY", 12),
    ("USE_UAC_FROM", 13),
    ("USE_UAC_TO", 14),
    ("TM_RPL_MATCHED", 15),
    ("RPL_SUPPRESSED", 16),
    ("BODY_MULTIPART", 17),
    ("RR_ADDED", 18),
    ("UAC_AUTH", 19),
    ("ADD_SRVID", 20),
    ("ADD_XAVP_VIA_PARAMS", 21),
];

/// Declares the functions.
pub fn declare(d: &mut Decl<Corex>) {
    d.func(
        "setxflag",
        ["flag"],
        setxflag,
        "Sets an extended flag of the message, 0 to 63.",
    )
    .kemi(1, "setxflag")
    .example("setxflag(\"40\");");
    d.func(
        "resetxflag",
        ["flag"],
        resetxflag,
        "Clears an extended flag of the message, 0 to 63.",
    )
    .kemi(1, "resetxflag");
    d.func(
        "isxflagset",
        ["flag"],
        isxflagset,
        "True where the extended flag of the message, 0 to 63, is set.",
    )
    .kemi(1, "isxflagset");
    d.func(
        "msg_iflag_set",
        ["flag"],
        msg_iflag_set,
        "Sets an internal flag of the message, by name (USE_UAC_FROM, USE_UAC_TO, UAC_AUTH, …) or number, 0 to 63.",
    )
    .example("msg_iflag_set(\"UAC_AUTH\");");
    d.func(
        "msg_iflag_reset",
        ["flag"],
        msg_iflag_reset,
        "Clears an internal flag of the message.",
    );
    d.func(
        "msg_iflag_is_set",
        ["flag"],
        msg_iflag_is_set,
        "True where the internal flag of the message is set; -2 where not.",
    );
    d.func(
        "msg_vbflag_set",
        ["flag"],
        msg_vbflag_set,
        "Sets a flag, 0 to 63, that belongs to the topmost Via of the message.",
    );
    d.func(
        "msg_vbflag_reset",
        ["flag"],
        msg_vbflag_reset,
        "Clears a flag of the topmost Via of the message.",
    );
    d.func(
        "msg_vbflag_is_set",
        ["flag"],
        msg_vbflag_is_set,
        "True where the flag of the topmost Via of the message is set.",
    );
    d.func(
        "msg_vbflag_parse",
        ["all"],
        msg_vbflag_parse,
        "Reads the topmost Via, or every Via where the argument is not 0; false where one cannot be read.",
    );
}

/// The bit of a flag number.
fn bit(flag: i64) -> Result<u64, Fault> {
    u32::try_from(flag)
        .ok()
        .and_then(|flag| 1u64.checked_shl(flag))
        .ok_or_else(|| Fault::script(format!("{flag} is no flag: it must lie between 0 and 63")))
}

fn setxflag(_: &Corex, cx: &mut Cx, flag: i64) -> Result<bool, Fault> {
    cx.xflags |= bit(flag)?;
    Ok(true)
}

fn resetxflag(_: &Corex, cx: &mut Cx, flag: i64) -> Result<bool, Fault> {
    cx.xflags &= !bit(flag)?;
    Ok(true)
}

fn isxflagset(_: &Corex, cx: &mut Cx, flag: i64) -> Result<bool, Fault> {
    Ok(cx.xflags & bit(flag)? != 0)
}

/// The bit of an internal flag by name, in any case, or number.
fn internal(name: &Str) -> Result<u64, Fault> {
    if let Some(number) = parse_int(name) {
        return bit(number);
    }
    INTERNAL
        .iter()
        .find(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes()))
        .and_then(|(_, number)| 1u64.checked_shl(*number))
        .ok_or_else(|| {
            Fault::script(format!(
                "'{name}' is no internal flag: give USE_UAC_FROM, USE_UAC_TO, UAC_AUTH or a number from 0 to 63"
            ))
        })
}

/// True for an unknown name too, as Kamailio has it; the log tells.
fn msg_iflag_set(_: &Corex, cx: &mut Cx, flag: Str) -> bool {
    match internal(&flag) {
        Ok(bit) => cx.iflags.0 |= bit,
        Err(fault) => kahea_module::error!("corex", "msg_iflag_set(): {fault}."),
    }
    true
}

fn msg_iflag_reset(_: &Corex, cx: &mut Cx, flag: Str) -> Result<bool, Fault> {
    cx.iflags.0 &= !internal(&flag)?;
    Ok(true)
}

fn msg_iflag_is_set(_: &Corex, cx: &mut Cx, flag: Str) -> Result<Ret, Fault> {
    Ok(if cx.iflags.0 & internal(&flag)? != 0 {
        Ret::TRUE
    } else {
        Ret::Code(-2)
    })
}

fn msg_vbflag_set(_: &Corex, cx: &mut Cx, flag: i64) -> Result<bool, Fault> {
    cx.vbflags |= bit(flag)?;
    Ok(true)
}

fn msg_vbflag_reset(_: &Corex, cx: &mut Cx, flag: i64) -> Result<bool, Fault> {
    cx.vbflags &= !bit(flag)?;
    Ok(true)
}

fn msg_vbflag_is_set(_: &Corex, cx: &mut Cx, flag: i64) -> Result<bool, Fault> {
    Ok(cx.vbflags & bit(flag)? != 0)
}

fn msg_vbflag_parse(_: &Corex, cx: &mut Cx, all: i64) -> bool {
    let count = if all == 0 { 1 } else { usize::MAX };
    let mut hops = cx.msg.vias().take(count).peekable();
    hops.peek().is_some() && hops.all(|hop| kahea_sip::view::Via::parse(cx.msg.bytes(hop.span)).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kahea_module::testing::Server;

    #[test]
    fn there_are_sixty_four_extended_flags() {
        let mut cx = Server::default().invite();
        for flag in [0, 63] {
            assert_eq!(isxflagset(&Corex, &mut cx, flag), Ok(false));
            assert_eq!(setxflag(&Corex, &mut cx, flag), Ok(true));
            assert_eq!(isxflagset(&Corex, &mut cx, flag), Ok(true));
        }
        assert!(setxflag(&Corex, &mut cx, 64).is_err() && setxflag(&Corex, &mut cx, -1).is_err());
        assert_eq!(resetxflag(&Corex, &mut cx, 0), Ok(true));
        assert_eq!(cx.xflags, 1 << 63);
    }

    #[test]
    fn internal_flags_have_names_and_numbers() {
        let mut cx = Server::default().invite();
        let is_set = |cx: &mut Cx, name: &str| match msg_iflag_is_set(&Corex, cx, Str::from(name)) {
            Ok(Ret::Code(code)) => code,
            other => panic!("{other:?}"),
        };
        assert!(msg_iflag_set(&Corex, &mut cx, Str::from("uac_auth")));
        assert_eq!(is_set(&mut cx, "UAC_AUTH"), 1);
        assert_eq!(is_set(&mut cx, "19"), 1);
        assert_eq!(is_set(&mut cx, "USE_UAC_TO"), -2);
        let before = cx.iflags.0;
        assert!(msg_iflag_set(&Corex, &mut cx, Str::from("NOTHING")) && cx.iflags.0 == before);
        assert_eq!(msg_iflag_reset(&Corex, &mut cx, Str::from("19")), Ok(true));
        assert_eq!(cx.iflags.0, 0);
    }

    #[test]
    fn vias_that_cannot_be_read_are_found() {
        let server = Server::default();
        let mut cx = server.invite();
        assert!(msg_vbflag_parse(&Corex, &mut cx, 1));
        assert_eq!(msg_vbflag_set(&Corex, &mut cx, 5), Ok(true));
        assert_eq!(msg_vbflag_is_set(&Corex, &mut cx, 5), Ok(true));
        assert_eq!(msg_vbflag_reset(&Corex, &mut cx, 5), Ok(true));
        assert_eq!(msg_vbflag_is_set(&Corex, &mut cx, 5), Ok(false));
    }
}
