//! The parameters.

use std::{net::IpAddr, time::Duration};

use kahea_module::{Bind, BindError, Decl, Env, Format, InitError, Piece, Str, Value, Var, warning};

use super::{
    RtpEngine,
    calls::HashAlgorithm,
    core::{AllowOp, LIVE, Options},
    database::Table,
    events,
    mos::{Mos, Named},
};

/// As the configuration gives them.
pub struct Params {
    pub sockets: Vec<Str>,
    pub live: [i64; 5],
    pub allow_op: i64,
    pub tos: i64,
    pub ping_mode: i64,
    pub ping_interval: i64,
    pub db_url: Option<Str>,
    pub table: Table,
    pub extra_id: Option<Var>,
    pub set_var: Option<Var>,
    pub from: Str,
    pub instance: Option<Var>,
    pub write_sdp: Option<Var>,
    pub write_mode: i64,
    pub read_sdp: Option<Var>,
    pub hash_tout: i64,
    pub hash_size: i64,
    pub default_set: i64,
    pub duration: Option<Var>,
    pub hash_algo: i64,
    pub events: Option<Str>,
    pub event_vars: events::Fields,
    pub event_callback: Str,
    pub enable_dmq: bool,
    pub dmq_peer: Str,
    pub mos: Named,
    pub wsapi: Str,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            sockets: Vec::new(),
            live: LIVE.map(|(_, default, _)| default),
            allow_op: 0,
            tos: -1,
            ping_mode: 1,
            ping_interval: 60,
            db_url: None,
            table: Table::default(),
            extra_id: None,
            set_var: None,
            from: Str::EMPTY,
            instance: None,
            write_sdp: None,
            write_mode: 0,
            read_sdp: None,
            hash_tout: 3_600,
            hash_size: 256,
            default_set: 0,
            duration: None,
            hash_algo: 0,
            events: None,
            event_vars: Vec::new(),
            event_callback: Str::EMPTY,
            enable_dmq: false,
            dmq_peer: Str::from_static("rtpengine"),
            mos: Named::default(),
            wsapi: Str::EMPTY,
        }
    }
}

fn readable(value: &Value, bind: &dyn Bind) -> Result<Option<Var>, BindError> {
    bind.var(&value.str_or_empty().text()).map(Some)
}

fn writable(value: &Value, bind: &dyn Bind) -> Result<Option<Var>, BindError> {
    let var = bind.var(&value.str_or_empty().text())?;
    match var.is_writable() {
        true => Ok(Some(var)),
        false => Err(BindError::new(format!("{} cannot be assigned", var.text()))
            .help("name an AVP or a script variable, such as \"$avp(x)\"")),
    }
}

/// One parameter for each variable of [`events::FIELDS`] or of the quality of calls.
macro_rules! variables {
    ($d:expr, $field:ident, $take:expr, $doc:literal, [$($name:literal),* $(,)?]) => {
        $($d.param_fn($name, "string", |p: &mut Params, value, bind| $take(&mut p.$field, $name, value, bind), $doc);)*
    };
}

pub(super) fn declare(d: &mut Decl<RtpEngine>) {
    declare_nodes(d);
    declare_live(d);
    declare_database(d);
    declare_variables(d);
    declare_events(d);
    declare_mos(d);
}

fn declare_nodes(d: &mut Decl<RtpEngine>) {
    d.param(
        "rtpengine_sock",
        |p| &mut p.sockets,
        "Engines: \"SET == URL=WEIGHT URL …\" with URLs udp:, udp6:, tcp:, tcp6: HOST:PORT and ws://HOST:PORT/PATH; \";disabled\" behind one switches it off.",
    );
    d.param("rtpengine_allow_op", |p| &mut p.allow_op, "Commands of running calls go to engines that are not in use: 0 no, 1 yes, 2 only where a command switched them off.");
    d.param(
        "control_cmd_tos",
        |p| &mut p.tos,
        "The type of service of commands over UDP, 0 to 255.",
    );
    d.param(
        "ping_mode",
        |p| &mut p.ping_mode,
        "Engines are pinged at start and at intervals (1) or only when a call needs one that was silent (0).",
    );
    d.param(
        "ping_interval",
        |p| &mut p.ping_interval,
        "Seconds between two pings of every engine; 0 for none.",
    );
    d.param(
        "force_send_interface",
        |p| &mut p.from,
        "The own IP address that commands are sent from.",
    );
    d.param(
        "hash_table_tout",
        |p| &mut p.hash_tout,
        "Seconds that the engine of a call is remembered.",
    );
    d.param(
        "hash_table_size",
        |p| &mut p.hash_size,
        "Into how many parts the table of calls is divided.",
    );
    d.param(
        "setid_default",
        |p| &mut p.default_set,
        "The set of engines for messages that no other was chosen for.",
    );
    d.param(
        "hash_algo",
        |p| &mut p.hash_algo,
        "How a Call-ID chooses its engine: 0 sum of bytes, 1 SHA-1, 2 CRC-32.",
    );
    d.param(
        "wsapi",
        |p| &mut p.wsapi,
        "Kamailio's module for WebSocket (lwsc); has no meaning here, as ws:// needs no other module.",
    );
    d.param(
        "enable_dmq",
        |p| &mut p.enable_dmq,
        "Shares the table of calls with other servers; needs the module dmq.",
    );
    d.param(
        "dmq_peer_id",
        |p| &mut p.dmq_peer,
        "The name of the module among those servers.",
    );
}

fn declare_live(d: &mut Decl<RtpEngine>) {
    d.param(
        "rtpengine_disable_tout",
        |p| live(p, 0),
        "Seconds that an engine which does not answer is left alone.",
    )
    .live();
    d.param(
        "aggressive_redetection",
        |p| live(p, 1),
        "Pings all engines of a set where none is in use.",
    )
    .live();
    d.param(
        "rtpengine_tout_ms",
        |p| live(p, 2),
        "Milliseconds that an answer may take.",
    )
    .live();
    d.param(
        "queried_nodes_limit",
        |p| live(p, 3),
        "The most engines that are tried for a command, 1 to 30.",
    )
    .live();
    d.param(
        "rtpengine_retr",
        |p| live(p, 4),
        "How often a command is sent before its engine counts as silent.",
    )
    .live();
}

fn live(p: &mut Params, at: usize) -> &mut i64 {
    let [pause, aggressive, timeout, most, attempts] = &mut p.live;
    match at {
        0 => pause,
        1 => aggressive,
        2 => timeout,
        3 => most,
        _ => attempts,
    }
}

fn declare_database(d: &mut Decl<RtpEngine>) {
    d.param(
        "db_url",
        |p| &mut p.db_url,
        "The database with the table of engines, in place of rtpengine_sock.",
    );
    d.param("table_name", |p| &mut p.table.table, "The table of engines.");
    d.param(
        "setid_col",
        |p| &mut p.table.set,
        "Its column with the number of the set.",
    );
    d.param("url_col", |p| &mut p.table.url, "Its column with the URL.");
    d.param(
        "weight_col",
        |p| &mut p.table.weight,
        "Its column with the weight.",
    );
    d.param(
        "disabled_col",
        |p| &mut p.table.disabled,
        "Its column that switches engines off.",
    );
}

fn declare_variables(d: &mut Decl<RtpEngine>) {
    let read = "string";
    d.param_fn(
        "extra_id_pv",
        read,
        |p, value, bind| {
            p.extra_id = readable(value, bind)?;
            Ok(())
        },
        "The variable whose value via-branch=extra sends.",
    );
    d.param_fn(
        "setid_avp",
        read,
        |p, value, bind| {
            p.set_var = readable(value, bind)?;
            Ok(())
        },
        "The variable that chooses the set of engines where it has a value.",
    );
    d.param_fn(
        "rtp_inst_pvar",
        read,
        |p, value, bind| {
            p.instance = writable(value, bind)?;
            Ok(())
        },
        "The variable that gets the URL of the engine.",
    );
    d.param_fn(
        "write_sdp_pv",
        read,
        |p, value, bind| {
            p.write_sdp = writable(value, bind)?;
            Ok(())
        },
        "The variable that gets the engine's description in place of the message.",
    );
    d.param(
        "write_sdp_pv_mode",
        |p| &mut p.write_mode,
        "The engine's description goes into write_sdp_pv alone (0) or into the message as well (1).",
    );
    d.param_fn(
        "read_sdp_pv",
        read,
        |p, value, bind| {
            p.read_sdp = readable(value, bind)?;
            Ok(())
        },
        "The variable whose text is sent as description where it has one.",
    );
    d.param_fn(
        "media_duration",
        read,
        |p, value, bind| {
            p.duration = writable(value, bind)?;
            Ok(())
        },
        "The variable that gets the milliseconds of what play_media() plays; -1 where that is not known.",
    );
}

fn event_var(
    fields: &mut events::Fields,
    name: &'static str,
    value: &Value,
    bind: &dyn Bind,
) -> Result<(), BindError> {
    let all = events::FIELDS.iter().chain([&events::VOLUME]);
    let member = all
        .filter(|(_, param)| *param == name)
        .map(|(member, _)| *member)
        .next();
    if let (Some(member), Some(var)) = (member, writable(value, bind)?) {
        fields.push((member, var));
    }
    Ok(())
}

fn declare_events(d: &mut Decl<RtpEngine>) {
    d.param(
        "dtmf_events_sock",
        |p| &mut p.events,
        "The own ADDRESS:PORT to which engines report DTMF events (--dtmf-log-dest).",
    );
    variables!(
        d,
        event_vars,
        event_var,
        "The variable that gets this member of a DTMF event.",
        [
            "dtmf_event_callid",
            "dtmf_event_source_tag",
            "dtmf_event_timestamp",
            "dtmf_event",
            "dtmf_event_source_label",
            "dtmf_event_tags",
            "dtmf_event_type",
            "dtmf_event_source_ip",
            "dtmf_event_duration",
            "dtmf_event_volume",
        ]
    );
    d.param(
        "event_callback",
        |p| &mut p.event_callback,
        "The function of an embedded language for events; the native event route is what runs here.",
    );
    d.event("rtpengine:dtmf-event", "An engine reported a DTMF event.");
}

fn mos_var(named: &mut Named, name: &'static str, value: &Value, bind: &dyn Bind) -> Result<(), BindError> {
    named.set(name, value, bind)
}

fn declare_mos(d: &mut Decl<RtpEngine>) {
    variables!(
        d,
        mos,
        mos_var,
        "The variable that gets this figure of the whole call after a query or deletion.",
        [
            "mos_min_pv",
            "mos_min_at_pv",
            "mos_min_packetloss_pv",
            "mos_min_jitter_pv",
            "mos_min_roundtrip_pv",
            "mos_min_roundtrip_leg_pv",
            "mos_max_pv",
            "mos_max_at_pv",
            "mos_max_packetloss_pv",
            "mos_max_jitter_pv",
            "mos_max_roundtrip_pv",
            "mos_max_roundtrip_leg_pv",
            "mos_average_pv",
            "mos_average_packetloss_pv",
            "mos_average_jitter_pv",
            "mos_average_roundtrip_pv",
            "mos_average_roundtrip_leg_pv",
            "mos_average_samples_pv",
        ]
    );
    variables!(
        d,
        mos,
        mos_var,
        "The variable with the label of the side whose figures the other variables of its letter get.",
        ["mos_A_label_pv", "mos_B_label_pv"]
    );
    variables!(
        d,
        mos,
        mos_var,
        "The variable that gets this figure of the side with the label of mos_A_label_pv.",
        [
            "mos_min_A_pv",
            "mos_min_at_A_pv",
            "mos_min_packetloss_A_pv",
            "mos_min_jitter_A_pv",
            "mos_min_roundtrip_A_pv",
            "mos_min_roundtrip_leg_A_pv",
            "mos_max_A_pv",
            "mos_max_at_A_pv",
            "mos_max_packetloss_A_pv",
            "mos_max_jitter_A_pv",
            "mos_max_roundtrip_A_pv",
            "mos_max_roundtrip_leg_A_pv",
            "mos_average_A_pv",
            "mos_average_packetloss_A_pv",
            "mos_average_jitter_A_pv",
            "mos_average_roundtrip_A_pv",
            "mos_average_roundtrip_leg_A_pv",
            "mos_average_samples_A_pv",
        ]
    );
    variables!(
        d,
        mos,
        mos_var,
        "The variable that gets this figure of the side with the label of mos_B_label_pv.",
        [
            "mos_min_B_pv",
            "mos_min_at_B_pv",
            "mos_min_packetloss_B_pv",
            "mos_min_jitter_B_pv",
            "mos_min_roundtrip_B_pv",
            "mos_min_roundtrip_leg_B_pv",
            "mos_max_B_pv",
            "mos_max_at_B_pv",
            "mos_max_packetloss_B_pv",
            "mos_max_jitter_B_pv",
            "mos_max_roundtrip_B_pv",
            "mos_max_roundtrip_leg_B_pv",
            "mos_average_B_pv",
            "mos_average_packetloss_B_pv",
            "mos_average_jitter_B_pv",
            "mos_average_roundtrip_B_pv",
            "mos_average_roundtrip_leg_B_pv",
            "mos_average_samples_B_pv",
        ]
    );
}

impl Params {
    /// Those that do not change at run time.
    ///
    /// # Errors
    /// One is out of range, or needs what is not there.
    pub fn options(&self, env: &Env<'_>) -> Result<Options, InitError> {
        if self.enable_dmq {
            return Err(
                InitError::new("enable_dmq needs the module dmq, which is not available")
                    .help("take enable_dmq out; calls then stay with the server that began them"),
            );
        }
        if self.write_mode != 0 && self.write_sdp.is_none() {
            warning!(
                "rtpengine",
                "write_sdp_pv_mode has no effect without write_sdp_pv."
            );
        }
        if !self.event_callback.is_empty() && env.event_route("rtpengine:dtmf-event").is_none() {
            warning!(
                "rtpengine",
                "event_callback has no effect: write an event_route[rtpengine:dtmf-event]."
            );
        }
        let seconds = |number: i64| u64::try_from(number).ok().map(Duration::from_secs);
        Ok(Options {
            hash: self.hash_algorithm(),
            call_life: seconds(self.hash_tout)
                .filter(|time| !time.is_zero())
                .ok_or_else(|| InitError::new("hash_table_tout must be a number of seconds above 0"))?,
            allow_op: match self.allow_op {
                1 => AllowOp::All,
                2 => AllowOp::SwitchedOff,
                _ => AllowOp::None,
            },
            default_set: self.default_set,
            set_var: self.set_var.clone(),
            extra_id: self
                .extra_id
                .clone()
                .map(|var| Format::new(vec![Piece::Var(var)])),
            instance_var: self.instance.clone(),
            read_sdp: self.read_sdp.clone(),
            write_sdp: self.write_sdp.clone(),
            write_both: self.write_mode != 0,
            duration_var: self.duration.clone(),
            mos: Mos::of(&self.mos),
            tos: u8::try_from(self.tos).ok(),
            from: self.own_address()?,
            ping_at_start: self.ping_mode != 0,
            ping_every: seconds(self.ping_interval).filter(|time| self.ping_mode != 0 && !time.is_zero()),
        })
    }

    fn hash_algorithm(&self) -> HashAlgorithm {
        HashAlgorithm::of_number(self.hash_algo).unwrap_or_else(|| {
            warning!(
                "rtpengine",
                "hash_algo {} is none of 0, 1, 2; 0 is taken.",
                self.hash_algo
            );
            HashAlgorithm::Legacy
        })
    }

    fn own_address(&self) -> Result<Option<IpAddr>, InitError> {
        if self.from.is_empty() {
            return Ok(None);
        }
        let parsed = self.from.text().parse();
        parsed
            .map(Some)
            .map_err(|_| InitError::new(format!("force_send_interface '{}' is no IP address", self.from)))
    }
}
