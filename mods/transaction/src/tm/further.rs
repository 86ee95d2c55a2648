//! Parameters of contacts, of local requests, of older versions, and such as have no meaning here.

use std::time::Duration;

use kahea_module::{BindError, Cx, Decl, Env, InitError, RouteId, Str, Value, Var};
use kahea_tx::Timing;

use super::{Tm, blocklist::Rules, contacts::Names, external::Append};

/// The parameters, with Kamailio's defaults.
pub struct Params {
    contacts_avp: Option<Str>,
    contact_flows_avp: Option<Str>,
    xavp_contact: Option<Str>,
    fr_timer_avp: Option<Str>,
    fr_inv_timer_avp: Option<Str>,
    reparse_invite: bool,
    local_ack_mode: i64,
    local_ack_branch_mode: i64,
    enable_uac_fr: bool,
    pass_provisional_replies: bool,
    evlreq_mode: i64,
    event_callback: Option<Str>,
    event_callback_lres_sent: Option<Str>,
    evcb_local_ack_sent: Option<Str>,
    blocklist: Blocklist,
    unix_tx_timeout: i64,
    appends: Vec<Append>,
    unused: Unused,
}

struct Blocklist {
    on_503: bool,
    default: i64,
    min: i64,
    max: i64,
    add: i64,
    lookup: i64,
}

/// Taken so that configurations load; their documentation says why they change nothing.
#[derive(Default)]
struct Unused {
    number: i64,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            contacts_avp: None,
            contact_flows_avp: None,
            xavp_contact: None,
            fr_timer_avp: None,
            fr_inv_timer_avp: None,
            reparse_invite: true,
            local_ack_mode: 0,
            local_ack_branch_mode: 0,
            enable_uac_fr: false,
            pass_provisional_replies: false,
            evlreq_mode: 0,
            event_callback: None,
            event_callback_lres_sent: None,
            evcb_local_ack_sent: None,
            blocklist: Blocklist {
                on_503: false,
                default: 0,
                min: 0,
                max: 3600,
                add: 1,
                lookup: 4_294_967_287,
            },
            unix_tx_timeout: 500,
            appends: Vec::new(),
            unused: Unused::default(),
        }
    }
}

/// Where the ACK to a 2xx goes that answers an INVITE of this server (`local_ack_mode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AckTo {
    /// By route set and Contact (RFC 3261 section 13.2.2.4).
    #[default]
    RouteSet,
    /// Where the INVITE went.
    Invite,
    /// Where the 2xx came from.
    Source,
}

impl AckTo {
    /// By the number of `local_ack_mode`.
    pub fn from_number(number: i64) -> Option<AckTo> {
        match number {
            0 => Some(AckTo::RouteSet),
            1 => Some(AckTo::Invite),
            2 => Some(AckTo::Source),
            _ => None,
        }
    }

    /// The number of `local_ack_mode`.
    pub fn number(self) -> i64 {
        match self {
            AckTo::RouteSet => 0,
            AckTo::Invite => 1,
            AckTo::Source => 2,
        }
    }
}

/// What the parameters say.
#[derive(Clone)]
pub struct Options {
    /// `blst_503` and `blst_methods_*`.
    pub blocklist: Rules,
    /// The xavps of contacts.
    pub names: Names,
    /// `fr_timer_avp`.
    pub fr_timer_avp: Option<Var>,
    /// `fr_inv_timer_avp`.
    pub fr_inv_timer_avp: Option<Var>,
    /// ACK and CANCEL are made from the request as it was sent.
    pub reparse_invite: bool,
    /// Where own ACKs go.
    pub ack_to: AckTo,
    /// Own ACKs to a 2xx have a branch of their own.
    pub ack_branch: bool,
    /// Own requests have failure routes.
    pub enable_uac_fr: bool,
    /// Who asked for the answers of local requests hears of provisional ones too.
    pub pass_provisional: bool,
    /// `event_route[tm:local-request]` runs for own ACKs too.
    pub event_for_ack: bool,
    /// `event_route[tm:local-request]` or its callback.
    pub local_request: Option<RouteId>,
    /// `event_route[tm:local-response]` and `[tm:local-response-sent]`, or their callback.
    pub local_response: Vec<RouteId>,
    /// `event_route[tm:local-ack-sent]` or its callback.
    pub local_ack_sent: Option<RouteId>,
    /// How long a program may take to read what `t_write_unix()` sends.
    pub unix_tx_timeout: Duration,
    /// What actions of `t_write_unix()` can name.
    pub appends: Vec<Append>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            blocklist: Rules::default(),
            names: Names::default(),
            fr_timer_avp: None,
            fr_inv_timer_avp: None,
            reparse_invite: true,
            ack_to: AckTo::RouteSet,
            ack_branch: false,
            enable_uac_fr: false,
            pass_provisional: false,
            event_for_ack: false,
            local_request: None,
            local_response: Vec::new(),
            local_ack_sent: None,
            unix_tx_timeout: Duration::from_millis(500),
            appends: Vec::new(),
        }
    }
}

/// Declares them.
pub fn declare(d: &mut Decl<Tm>) {
    contacts(d);
    local_requests(d);
    blocklist(d);
    external(d);
    without_effect(d);
}

fn contacts(d: &mut Decl<Tm>) {
    d.param("contacts_avp", |p| &mut p.further.contacts_avp, "The name of the xavp in which t_load_contacts() puts contacts; without it neither that nor t_next_contacts() work.");
    d.param(
        "contact_flows_avp",
        |p| &mut p.further.contact_flows_avp,
        "The name of the xavp in which t_next_contacts() keeps further flows of an instance for t_next_contact_flow().",
    );
    d.param("xavp_contact", |p| &mut p.further.xavp_contact, "The name of the xavp with what usrloc knows of each contact; it follows the contacts through t_load_contacts() and t_next_contacts().");
    d.param(
        "fr_timer_avp",
        |p| &mut p.further.fr_timer_avp,
        "An AVP whose value, in seconds, is the fr_timer of a transaction; t_set_fr() does the same.",
    );
    d.param(
        "fr_inv_timer_avp",
        |p| &mut p.further.fr_inv_timer_avp,
        "An AVP whose value, in seconds, is the fr_inv_timer of a transaction; t_set_fr() does the same.",
    );
    d.param(
        "reparse_invite",
        |p| &mut p.further.reparse_invite,
        "ACK and CANCEL of a branch are made from its INVITE as it was sent, and not as it was received.",
    );
}

fn local_requests(d: &mut Decl<Tm>) {
    d.param("local_ack_mode", |p| &mut p.further.local_ack_mode, "The ACK to a 2xx for an INVITE of this server goes: 0 by route set and Contact, 1 where the INVITE went, 2 where the 2xx came from.");
    d.param(
        "local_ack_branch_mode",
        |p| &mut p.further.local_ack_branch_mode,
        "1: that ACK has a branch of its own in Via, as RFC 3261 has it; 0: that of its INVITE.",
    );
    d.param(
        "enable_uac_fr",
        |p| &mut p.further.enable_uac_fr,
        "A failure_route that event_route[tm:local-request] sets runs for requests of this server too.",
    );
    d.param("pass_provisional_replies", |p| &mut p.further.pass_provisional_replies, "Modules that send requests of their own are told of provisional replies too, unless they ask for that themselves.");
    d.param(
        "evlreq_mode",
        |p| &mut p.further.evlreq_mode,
        "1: event_route[tm:local-request] runs for the ACK to a 2xx for an INVITE of this server too.",
    );
    d.param(
        "event_callback",
        |p| &mut p.further.event_callback,
        "The function of an embedded language to run in place of event_route[tm:local-request].",
    );
    d.param(
        "event_callback_lres_sent",
        |p| &mut p.further.event_callback_lres_sent,
        "The function of an embedded language to run in place of event_route[tm:local-response].",
    );
    d.param(
        "evcb_local_ack_sent",
        |p| &mut p.further.evcb_local_ack_sent,
        "The function of an embedded language to run in place of event_route[tm:local-ack-sent].",
    );
    d.event(
        "tm:local-request",
        "This server is about to send a request of its own; drop keeps it back.",
    );
    d.event(
        "tm:local-response",
        "A reply made here was sent in a transaction.",
    );
    d.event(
        "tm:local-response-sent",
        "A reply made here was sent in a transaction.",
    );
    d.event(
        "tm:local-ack-sent",
        "The ACK to a 2xx for an INVITE of this server was sent.",
    );
}

fn blocklist(d: &mut Decl<Tm>) {
    d.param(
        "blst_503",
        |p| &mut p.further.blocklist.on_503,
        "A destination that answers 503 is put on the blocklist for its Retry-After (use_dst_blocklist).",
    );
    d.param(
        "blst_503_def_timeout",
        |p| &mut p.further.blocklist.default,
        "Seconds for a 503 without Retry-After; 0: it is not put on the list.",
    );
    d.param(
        "blst_503_min_timeout",
        |p| &mut p.further.blocklist.min,
        "The fewest seconds that a 503 puts a destination on the list for.",
    );
    d.param(
        "blst_503_max_timeout",
        |p| &mut p.further.blocklist.max,
        "The most seconds that a 503 puts a destination on the list for.",
    );
    d.param(
        "blst_methods_add",
        |p| &mut p.further.blocklist.add,
        "Methods whose timeout puts the destination on the list: the sum of INVITE 1, CANCEL 2, BYE 8, INFO 16, REGISTER 32, SUBSCRIBE 64, NOTIFY 128 and others 256.",
    );
    d.param(
        "blst_methods_lookup",
        |p| &mut p.further.blocklist.lookup,
        "Methods that are not sent to a destination on the list, as a sum like that of blst_methods_add.",
    );
}

fn without_effect(d: &mut Decl<Tm>) {
    let numbers = [
        (
            "reply_matching",
            "No effect: replies are matched by their Via branch, which names the transaction.",
        ),
        (
            "noisy_ctimer",
            "No effect: an INVITE whose time is over is always cancelled and answered with 408, as with 1.",
        ),
        (
            "reparse_on_dns_failover",
            "No effect: a request to the next address of a hop is always made from the one that was sent.",
        ),
        (
            "dns_reuse_rcv_socket",
            "No effect: the next address of a hop gets the socket that force_send_socket() or $fs named, else one of its own kind.",
        ),
        (
            "headers_mode",
            "No effect: parsed headers are never carried from one process to another.",
        ),
        (
            "e2e_cancel_hop_by_hop",
            "No effect: a CANCEL is always answered here and sent hop by hop (RFC 3261 section 16.10).",
        ),
        (
            "exec_time_check",
            "No effect: a transaction cannot end while its failure route runs.",
        ),
        (
            "reply_relay_mode",
            "No effect: a suspended 2xx is passed on with its own To-tag beside whatever was sent before.",
        ),
    ];
    for (name, doc) in numbers {
        d.param(name, |p| &mut p.further.unused.number, doc);
    }
}

fn external(d: &mut Decl<Tm>) {
    d.param(
        "unix_tx_timeout",
        |p| &mut p.further.unix_tx_timeout,
        "Milliseconds that a program may take to read what t_write_unix() and t_write_req() send it.",
    );
    d.param_fn(
        "tw_append",
        "string",
        |p, value, bind| {
            let text = value.str().unwrap_or_default();
            let append = Append::parse(&text.text(), bind)?;
            if p.further.appends.iter().any(|known| known.name() == append.name()) {
                return Err(BindError::new(format!("there are two tw_append '{}'", append.name())));
            }
            p.further.appends.push(append);
            Ok(())
        },
        "What actions of t_write_unix() and t_write_req() add that end in /name: name:hdr[Subject];title=avp[x];msg[body].",
    );
}

/// A name as `x`, `$avp(x)` or `$xavp(x)`.
fn bare(name: Option<Str>) -> Option<Str> {
    let name = name?;
    let inner = [&b"$avp("[..], b"$xavp("]
        .iter()
        .find_map(|open| name.strip_prefix(*open)?.strip_suffix(b")"));
    Some(inner.map_or_else(|| name.clone(), |inner| name.share(inner)))
}

fn avp(env: &Env<'_>, name: Option<Str>) -> Result<Option<Var>, InitError> {
    let Some(name) = name else { return Ok(None) };
    let text = name.text();
    let whole = if text.starts_with('$') {
        text.into_owned()
    } else {
        format!("$avp({text})")
    };
    Ok(Some(env.bind.var(&whole)?))
}

fn event(env: &Env<'_>, name: &str, callback: Option<&Str>) -> Option<RouteId> {
    callback
        .and_then(|function| env.event_route(&function.text()))
        .or_else(|| env.event_route(name))
}

impl Params {
    /// What they mean together.
    ///
    /// # Errors
    /// A value is out of range.
    pub fn options(self, env: &Env<'_>) -> Result<Options, InitError> {
        let list = &self.blocklist;
        let number = |value: i64| u64::try_from(value).unwrap_or(0);
        let blocklist = Rules {
            on_503: list.on_503,
            default: number(list.default),
            min: number(list.min),
            max: number(list.max),
            add: number(list.add),
            lookup: number(list.lookup),
        };
        let sent = self.event_callback_lres_sent.as_ref();
        let responses = [
            event(env, "tm:local-response", sent),
            env.event_route("tm:local-response-sent"),
        ];
        Ok(Options {
            blocklist,
            names: Names {
                contacts: bare(self.contacts_avp),
                flows: bare(self.contact_flows_avp),
                attributes: bare(self.xavp_contact),
            },
            unix_tx_timeout: Duration::from_millis(number(self.unix_tx_timeout)),
            appends: self.appends,
            fr_timer_avp: avp(env, self.fr_timer_avp)?,
            fr_inv_timer_avp: avp(env, self.fr_inv_timer_avp)?,
            reparse_invite: self.reparse_invite,
            ack_to: AckTo::from_number(self.local_ack_mode).ok_or_else(|| {
                InitError::new(format!("local_ack_mode is {}", self.local_ack_mode)).help("give 0, 1 or 2")
            })?,
            ack_branch: self.local_ack_branch_mode != 0,
            enable_uac_fr: self.enable_uac_fr,
            pass_provisional: self.pass_provisional_replies,
            event_for_ack: self.evlreq_mode & 1 != 0,
            local_request: event(env, "tm:local-request", self.event_callback.as_ref()),
            local_response: responses.into_iter().flatten().collect(),
            local_ack_sent: event(env, "tm:local-ack-sent", self.evcb_local_ack_sent.as_ref()),
        })
    }
}

impl Options {
    /// The timers of a transaction, as the AVPs have them.
    pub fn timing(&self, cx: &mut Cx, timing: Timing) -> Timing {
        let mut timing = timing;
        let mut seconds = |var: &Option<Var>| {
            let value = var.as_ref().map_or(Value::Null, |var| var.get(cx));
            let seconds = u32::try_from(value.int()?).ok().filter(|seconds| *seconds > 0)?;
            Some(seconds.saturating_mul(1_000))
        };
        timing.fr_timer = seconds(&self.fr_timer_avp).unwrap_or(timing.fr_timer);
        timing.fr_inv_timer = seconds(&self.fr_inv_timer_avp).unwrap_or(timing.fr_inv_timer);
        timing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_in_old_and_new_form() {
        let of = |text: &'static str| bare(Some(Str::from_static(text))).unwrap();
        assert_eq!(of("contacts"), "contacts");
        assert_eq!(of("$avp(i:25)"), "i:25");
        assert_eq!(of("$xavp(c)"), "c");
        assert!(bare(None).is_none() && AckTo::from_number(3).is_none());
    }
}
