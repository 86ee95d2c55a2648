//! Keepalives: what keeps the bindings of NATs open between registrations.
//!
//! Contacts are divided by their identifiers into as many parts as there are ticks in the interval, and each tick
//! pings one part, so that a million contacts make a steady trickle instead of a burst.

mod build;
mod contacts;
mod raw;
mod rounds;

use std::{
    net::SocketAddrV4,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use kahea_mods_location::usrloc::{Mode, Service};
use kahea_module::{
    Decl, Env, InitError, Str,
    rpc::{RpcCall, RpcResult, RpcValue},
};

use self::{build::Options, contacts::Located, rounds::Rounds};
use super::NatHelper;

/// Whether pings go out; survives reloads.
pub(super) struct Pings {
    enabled: Arc<Enabled>,
}

#[cfg(test)]
impl Pings {
    pub(super) fn for_tests() -> Pings {
        Pings {
            enabled: Arc::new(Enabled(AtomicBool::new(true))),
        }
    }
}

struct Enabled(AtomicBool);

/// Parameters.
pub(super) struct Params {
    interval: i64,
    processes: i64,
    nated_only: bool,
    force_socket: Option<Str>,
    sip_flag: i64,
    off_flag: i64,
    from: Option<Str>,
    method: Str,
    spoofed: Option<Str>,
    keepalive_timeout: i64,
    from_path: bool,
    ignore_path: bool,
    own_only: bool,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            interval: 0,
            processes: 1,
            nated_only: false,
            force_socket: None,
            sip_flag: -1,
            off_flag: -1,
            from: None,
            method: Str::from_static("OPTIONS"),
            spoofed: None,
            keepalive_timeout: 0,
            from_path: false,
            ignore_path: false,
            own_only: false,
        }
    }
}

pub(super) fn declare(d: &mut Decl<NatHelper>) {
    d.param(
        "natping_interval",
        |p| &mut p.ping.interval,
        "Every registered contact is pinged once in so many seconds; 0 for no pings.",
    );
    d.param(
        "natping_processes",
        |p| &mut p.ping.processes,
        "Kamailio's number of processes for pings; has no meaning here, as one timer spreads them over the interval without waiting for any.",
    );
    d.param(
        "ping_nated_only",
        |p| &mut p.ping.nated_only,
        "Pings only contacts with the flag of usrloc's nat_bflag.",
    );
    d.param(
        "force_socket",
        |p| &mut p.ping.force_socket,
        "The own UDP socket that pings leave from, ADDRESS:PORT; by default that of the registration.",
    );
    d.param(
        "sipping_bflag",
        |p| &mut p.ping.sip_flag,
        "The branch flag of contacts that are pinged with a SIP request; all are where ping_nated_only is 0.",
    );
    d.param(
        "natping_disable_bflag",
        |p| &mut p.ping.off_flag,
        "The branch flag of contacts that are not pinged.",
    );
    d.param(
        "sipping_from",
        |p| &mut p.ping.from,
        "The URI in From of SIP pings; needed for them.",
    );
    d.param(
        "sipping_method",
        |p| &mut p.ping.method,
        "The method of SIP pings.",
    );
    d.param(
        "natping_socket",
        |p| &mut p.ping.spoofed,
        "The IPv4 source ADDRESS:PORT that UDP pings claim to have, sent through a raw socket.",
    );
    d.param(
        "keepalive_timeout",
        |p| &mut p.ping.keepalive_timeout,
        "Removes contacts that have not answered a SIP ping for so many seconds; 0 keeps them.",
    );
    d.param(
        "udpping_from_path",
        |p| &mut p.ping.from_path,
        "Sends UDP pings to contacts behind a Path as if from the first Path address, through a raw socket.",
    );
    d.param(
        "ignore_path",
        |p| &mut p.ping.ignore_path,
        "Pings contacts behind a Path directly.",
    );
    d.param(
        "filter_server_id",
        |p| &mut p.ping.own_only,
        "Pings only contacts that registered with this server_id.",
    );
    d.stat("pings_sent", "Keepalives sent to contacts.");
    d.stat("pings_answered", "Answers to SIP keepalives.");
    d.stat(
        "pings_lost",
        "Contacts removed because they did not answer keepalives.",
    );
    d.rpc(
        "nathelper.enable_ping",
        enable_ping,
        "Turns keepalives on (1) or off (0).",
    );
}

fn enable_ping(m: &NatHelper, call: &mut RpcCall) -> RpcResult {
    let on = call.int()? != 0;
    m.pings.enabled.0.store(on, Relaxed);
    Ok(Vec::<RpcValue>::new())
}

/// Reads the parameters, and begins to ping where there is an interval.
///
/// # Errors
/// The parameters do not fit together, or usrloc is missing.
pub(super) fn start(params: Params, env: &mut Env<'_>) -> Result<Arc<Pings>, InitError> {
    let enabled = env.shared.keep(|| Enabled(AtomicBool::new(true)));
    let pings = Arc::new(Pings { enabled });
    if params.interval < 0 || params.keepalive_timeout < 0 {
        return Err(InitError::new(
            "natping_interval and keepalive_timeout cannot be negative",
        ));
    }
    if params.interval == 0 {
        return Ok(pings);
    }
    let options = options(&params, env)?;
    let source = contacts(&params, env)?;
    Rounds::start(options, &params, pings.enabled.clone(), source, env)?;
    Ok(pings)
}

/// The contacts of usrloc.
fn contacts(params: &Params, env: &Env<'_>) -> Result<Arc<dyn rounds::Contacts>, InitError> {
    let service = env.service::<Service>().ok_or_else(|| {
        InitError::new("natping_interval needs the module usrloc").help("load usrloc before nathelper")
    })?;
    if service.settings().mode == Mode::DatabaseOnly && params.keepalive_timeout > 0 {
        return Err(
            InitError::new("keepalive_timeout needs contacts in memory, and usrloc has db_mode 3")
                .help("take keepalive_timeout out, or set another db_mode"),
        );
    }
    Ok(Arc::new(Located::new(service, params.own_only)))
}

fn options(params: &Params, env: &Env<'_>) -> Result<Options, InitError> {
    let sip = flag("sipping_bflag", params.sip_flag)?;
    if sip.is_some() && params.from.is_none() {
        return Err(InitError::new("sipping_bflag needs sipping_from")
            .help("modparam(\"nathelper\", \"sipping_from\", \"sip:pinger@example.com\")"));
    }
    let listener = match &params.force_socket {
        Some(text) => Some(build::own_listener(&env.identity.listeners, text).ok_or_else(|| {
            InitError::new(format!("force_socket '{text}' is no UDP socket of this server"))
                .help("name one of the listen lines as ADDRESS:PORT")
        })?),
        None => None,
    };
    let from = params.from.clone().unwrap_or_default();
    if [&from, &params.method]
        .iter()
        .any(|text| text.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)))
        || params.method.is_empty()
    {
        return Err(InitError::new(
            "sipping_from and sipping_method must be one line of text",
        ));
    }
    Ok(Options {
        nated_only: params.nated_only,
        sip,
        off: flag("natping_disable_bflag", params.off_flag)?,
        from,
        method: params.method.clone(),
        listener,
        spoofed: params.spoofed.as_ref().map(spoofed).transpose()?,
        from_path: params.from_path,
        ignore_path: params.ignore_path,
    })
}

fn spoofed(text: &Str) -> Result<SocketAddrV4, InitError> {
    text.text()
        .parse()
        .map_err(|_| InitError::new(format!("natping_socket '{text}' is no IPv4 ADDRESS:PORT")))
}

/// The bit of a branch flag; `None` where it is -1.
fn flag(name: &str, number: i64) -> Result<Option<u32>, InitError> {
    match u32::try_from(number) {
        Ok(number @ 0..=31) => Ok(1_u32.checked_shl(number)),
        Err(_) if number == -1 => Ok(None),
        _ => Err(InitError::new(format!("{name} {number} is no flag from 0 to 31"))),
    }
}
