//! Module `sst`: session timers (RFC 4028) that are too short for this server.

use kahea_module::{
    Cx, Decl, EVENT, Env, Fault, InitError, Module, REPLY, REQUEST, ReplyExtra, Str, proxy, stats::Counter,
};
use kahea_sip::{
    HeaderId, Method,
    view::{Expires, SessionExpires},
};

/// The module's instance.
pub struct Sst {
    min_se: u32,
}

/// Its parameters.
pub struct Params {
    enable_stats: bool,
    min_se: i64,
    timeout_avp: Option<Str>,
    reject_to_small: bool,
    sst_flag: i64,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            enable_stats: true,
            min_se: 90,
            timeout_avp: None,
            reject_to_small: true,
            sst_flag: -1,
        }
    }
}

/// What the dialog module needs to keep a dialog's life to its session timer.
pub struct Service {
    /// `min_se`, in seconds.
    pub min_se: u32,
    /// `timeout_avp`: the variable that holds the life of the dialog in seconds.
    pub timeout_avp: Option<Str>,
    /// `reject_to_small`: an initial INVITE with a shorter timer is answered with 422.
    pub reject_to_small: bool,
    /// `sst_flag`: the message flag of calls to watch, as a bit.
    pub flag: u32,
    /// `expired_sst`, counted where statistics are on.
    pub expired: Option<Counter>,
}

impl Module for Sst {
    const NAME: &'static str = "sst";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        d.param(
            "enable_stats",
            |p| &mut p.enable_stats,
            "Counts dialogs whose session timer ran out.",
        );
        d.param(
            "min_se",
            |p| &mut p.min_se,
            "The shortest session interval in seconds that this server accepts; from 90.",
        );
        d.param(
            "timeout_avp",
            |p| &mut p.timeout_avp,
            "The AVP that dialog takes the life of a dialog from.",
        );
        d.param(
            "reject_to_small",
            |p| &mut p.reject_to_small,
            "Answers an INVITE whose session timer is too short with 422, where dialog watches the call.",
        );
        d.param(
            "sst_flag",
            |p| &mut p.sst_flag,
            "The message flag that marks the INVITE of a call to watch; must be set.",
        );
        d.func(
            "sstCheckMin",
            ["send_reply"],
            sst_check_min,
            "True where the request's Session-Expires or Min-SE is below min_se; with 1 it is answered with 422 too.",
        )
        .routes(REQUEST | REPLY | EVENT)
        .kemi(1, "sst_check_min")
        .example("sstCheckMin(\"1\");");
        d.stat("expired_sst", "Dialogs whose session timer ran out.");
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Sst, InitError> {
        let min_se = u32::try_from(params.min_se)
            .ok()
            .filter(|min| *min >= 90)
            .ok_or_else(|| {
                InitError::new(format!(
                    "min_se is {}, below the 90 seconds of RFC 4028",
                    params.min_se
                ))
                .help("give 90 or more")
            })?;
        let flag = u32::try_from(params.sst_flag)
            .ok()
            .and_then(|flag| 1u32.checked_shl(flag))
            .ok_or_else(|| {
                InitError::new("sst_flag is not set to a message flag").help("give a number from 0 to 31")
            })?;
        if let Some(avp) = &params.timeout_avp {
            env.bind.var(&avp.text())?;
        }
        let expired = params.enable_stats.then(|| env.counter("expired_sst"));
        env.provide(std::sync::Arc::new(Service {
            min_se,
            timeout_avp: params.timeout_avp,
            reject_to_small: params.reject_to_small,
            flag,
            expired,
        }));
        Ok(Sst { min_se })
    }
}

/// The interval of Session-Expires, or of Min-SE (RFC 4028 sections 4 and 5); `None` without the header.
fn interval(cx: &Cx, id: HeaderId, name: &str) -> Result<Option<u32>, Fault> {
    let Some(header) = cx.msg.first(id) else {
        return Ok(None);
    };
    let value = cx.msg.value(header);
    let read = match id {
        HeaderId::SessionExpires => SessionExpires::parse(value).map(|read| read.seconds),
        _ => {
            let seconds = value.split(|byte| *byte == b';').next().unwrap_or_default();
            Expires::parse(seconds.trim_ascii()).map(|read| read.0)
        }
    };
    read.map(Some)
        .map_err(|error| Fault::peer(format!("the {name} header cannot be read: {error}")))
}

fn sst_check_min(m: &Sst, cx: &mut Cx, send_reply: i64) -> Result<bool, Fault> {
    if cx.msg.is_reply() {
        return check_422(m, cx);
    }
    if !matches!(cx.method(), Method::Invite | Method::Update) {
        return Ok(false);
    }
    let Some(expires) = interval(cx, HeaderId::SessionExpires, "Session-Expires")? else {
        return Ok(false);
    };
    let least = interval(cx, HeaderId::MinSe, "Min-SE")?;
    if expires >= m.min_se && least.is_none_or(|least| least >= m.min_se) {
        return Ok(false);
    }
    if send_reply != 0 {
        let line = Str::from(format!("Min-SE: {}\r\n", m.min_se));
        cx.reply_extra.push(ReplyExtra::Header(line));
        let sent = proxy::reply_to(cx, 422, b"Session Timer Too Small");
        cx.reply_extra.pop();
        sent?;
    }
    Ok(true)
}

/// Of a 422: the Min-SE that it asks for is below this server's.
fn check_422(m: &Sst, cx: &Cx) -> Result<bool, Fault> {
    if cx.msg.status() != Some(422) {
        return Ok(false);
    }
    let least = interval(cx, HeaderId::MinSe, "Min-SE")?;
    Ok(least.is_some_and(|least| least < m.min_se))
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::{INVITE, Server};

    use super::*;

    const SST: Sst = Sst { min_se: 200 };

    fn check(lines: &str, send: i64) -> (Result<bool, Fault>, Vec<String>) {
        let server = Server::default();
        let mut cx = server.message(&INVITE.replacen("Contact:", &format!("{lines}Contact:"), 1));
        let result = sst_check_min(&SST, &mut cx, send);
        let sent = server.net.sent.borrow();
        (
            result,
            sent.iter().map(|(_, data)| data.text().into_owned()).collect(),
        )
    }

    #[test]
    fn a_timer_below_the_minimum_is_too_small() {
        for (lines, small) in [
            ("", false),
            ("Session-Expires: 1800\n", false),
            ("Session-Expires: 200;refresher=uac\n", false),
            ("Session-Expires: 199\n", true),
            ("x: 100\n", true),
            ("Session-Expires: 1800\nMin-SE: 100\n", true),
            ("Min-SE: 100\n", false),
        ] {
            assert_eq!(check(lines, 0), (Ok(small), Vec::new()), "{lines}");
        }
        assert!(check("Session-Expires: abc\n", 1).0.is_err());
        assert!(check("Session-Expires: 300\nMin-SE: abc\n", 1).0.is_err());
    }

    #[test]
    fn the_reply_names_the_minimum() {
        let (result, sent) = check("Session-Expires: 100\n", 1);
        assert_eq!(result, Ok(true));
        assert!(sent[0].starts_with("SIP/2.0 422 Session Timer Too Small\r\n"));
        assert!(sent[0].contains("\r\nMin-SE: 200\r\n"));
        assert!(check("Session-Expires: 500\n", 1).1.is_empty());
    }

    #[test]
    fn a_422_that_asks_for_less_is_too_small() {
        let server = Server::default();
        for (min, small) in [("100", true), ("300", false)] {
            let mut cx = server.message(&format!(
                "SIP/2.0 422 Session Timer Too Small\nVia: SIP/2.0/UDP a\nCSeq: 1 INVITE\nMin-SE: {min}\n"
            ));
            assert_eq!(sst_check_min(&SST, &mut cx, 0), Ok(small));
        }
    }
}
