//! The parameters of `siptrace`.

use std::net::IpAddr;

use kahea_module::{BindError, Decl, Env, InitError, Str, Var};

use super::{Siptrace, rows::Columns};
use crate::{courier, hep};

/// Parameters; see their declarations.
pub struct Params {
    pub(super) db_url: Str,
    pub(super) table: Str,
    pub(super) columns: Columns,
    trace_flag: i64,
    pub(super) trace_on: i64,
    traced_user_avp: Option<Str>,
    trace_table_avp: Option<Str>,
    pub(super) duplicate_uri: Option<Str>,
    pub(super) trace_to_database: i64,
    pub(super) trace_local_ip: Option<Str>,
    trace_ephemeral_socket: i64,
    trace_sl_acks: i64,
    pub(super) xheaders_write: i64,
    pub(super) xheaders_read: i64,
    pub(super) hep_mode_on: i64,
    force_send_sock: Option<Str>,
    send_sock_addr: Option<Str>,
    send_sock_name: Option<Str>,
    hep_version: i64,
    hep_capture_id: i64,
    trace_delayed: i64,
    trace_db_mode: i64,
    pub(super) trace_init_mode: i64,
    pub(super) trace_mode: i64,
    data_mode: i64,
    pub(super) auth_key: Option<Str>,
    pub(super) evcb_msg: Option<Str>,
    trace_dialog_ack: i64,
    trace_dialog_spiral: i64,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            db_url: Str::from_static("mysql://kamailio:kamailiorw@localhost/kamailio"),
            table: Str::from_static("sip_trace"),
            columns: Columns::default(),
            trace_flag: -1,
            trace_on: 0,
            traced_user_avp: None,
            trace_table_avp: None,
            duplicate_uri: None,
            trace_to_database: 1,
            trace_local_ip: None,
            trace_ephemeral_socket: 0,
            trace_sl_acks: 1,
            xheaders_write: 0,
            xheaders_read: 0,
            hep_mode_on: 0,
            force_send_sock: None,
            send_sock_addr: None,
            send_sock_name: None,
            hep_version: 1,
            hep_capture_id: 1,
            trace_delayed: 0,
            trace_db_mode: 0,
            trace_init_mode: 0,
            trace_mode: 0,
            data_mode: 0,
            auth_key: None,
            evcb_msg: None,
            trace_dialog_ack: 1,
            trace_dialog_spiral: 1,
        }
    }
}

macro_rules! columns {
    ($d:ident: $($name:literal = $at:literal),* $(,)?) => {
        $($d.param_fn($name, "string", |params, value, _| {
            let place = params.columns.0.get_mut($at);
            let text = value.str().filter(|text| !text.is_empty());
            match (place, text) {
                (Some(place), Some(text)) => *place = text,
                _ => return Err(BindError::new("the name of a column is needed")),
            }
            Ok(())
        }, "The name of a column of the table.");)*
    };
}

pub(super) fn declare(d: &mut Decl<Siptrace>) {
    storing(d);
    columns!(d: "date_column" = 0, "callid_column" = 2, "traced_user_column" = 3, "msg_column" = 4, "method_column" = 5,
        "status_column" = 6, "fromip_column" = 7, "toip_column" = 8, "fromtag_column" = 9, "totag_column" = 10,
        "direction_column" = 11);
    choosing(d);
    sending(d);
}

fn storing(d: &mut Decl<Siptrace>) {
    d.param("db_url", |p| &mut p.db_url, "The database of the table.");
    d.param(
        "table",
        |p| &mut p.table,
        "The table that messages are written to.",
    );
    let doc = "Messages are written to the table.";
    d.param("trace_to_database", |p| &mut p.trace_to_database, doc);
    let doc = "A variable with the name of another table.";
    d.param("trace_table_avp", |p| &mut p.trace_table_avp, doc);
    let doc = "A variable with whom a message is traced for; one more row for each of its values.";
    d.param("traced_user_avp", |p| &mut p.traced_user_avp, doc);
    let doc = "The own address, proto:address:port, that rows have.";
    d.param("trace_local_ip", |p| &mut p.trace_local_ip, doc);
    let doc = "How rows are inserted (0 to 2); has no meaning here, where nobody ever waits for a row.";
    d.param("trace_db_mode", |p| &mut p.trace_db_mode, doc);
    let doc = "The older name of trace_db_mode 1; has no meaning here either.";
    d.param("trace_delayed", |p| &mut p.trace_delayed, doc);
}

fn choosing(d: &mut Decl<Siptrace>) {
    let doc = "sip_trace() of a request with this flag traces its transaction; -1: none.";
    d.param("trace_flag", |p| &mut p.trace_flag, doc);
    d.param("trace_on", |p| &mut p.trace_on, "Tracing is on from the start.");
    let doc = "What may trace: 0 all, 1 trace_mode, 2 the functions.";
    d.param("trace_init_mode", |p| &mut p.trace_init_mode, doc);
    let doc = "What is done with all that passes on the wire: 1 sent as HEP, 2 written to the table, 4 sent as it is.";
    d.param("trace_mode", |p| &mut p.trace_mode, doc);
    let doc = "ACKs to stateless replies are traced by themselves; has no meaning here, where trace_mode or sip_trace() in event_route[sl:filtered-ack] traces them.";
    d.param("trace_sl_acks", |p| &mut p.trace_sl_acks, doc);
    let doc = "ACKs of a traced call are traced; 0 has no meaning here, where a call is traced as it passes on the wire.";
    d.param("trace_dialog_ack", |p| &mut p.trace_dialog_ack, doc);
    let doc = "Spirals of a traced call are traced; 0 has no meaning here, where a call is traced as it passes on the wire.";
    d.param("trace_dialog_spiral", |p| &mut p.trace_dialog_spiral, doc);
    let doc = "The event route, or function of an embedded language, in place of siptrace:msg.";
    d.param("evcb_msg", |p| &mut p.evcb_msg, doc);
    let doc = "Where the bytes of a message are taken from (0: as it was received or sent); other values have no meaning here.";
    d.param("data_mode", |p| &mut p.data_mode, doc);
}

fn sending(d: &mut Decl<Siptrace>) {
    let doc = "The SIP URI of whom copies go to.";
    d.param("duplicate_uri", |p| &mut p.duplicate_uri, doc);
    d.param(
        "hep_mode_on",
        |p| &mut p.hep_mode_on,
        "Copies are packets of HEP.",
    );
    d.param(
        "hep_version",
        |p| &mut p.hep_version,
        "The version of HEP: 1, 2 or 3.",
    );
    let doc = "The number of this agent in HEP 2 (16 bits) and 3.";
    d.param("hep_capture_id", |p| &mut p.hep_capture_id, doc);
    d.param("auth_key", |p| &mut p.auth_key, "The key of this agent in HEP 3.");
    let doc = "Copies say in headers where they came from and went to.";
    d.param("xheaders_write", |p| &mut p.xheaders_write, doc);
    let doc = "Only messages with such headers are traced, as what the headers say.";
    d.param("xheaders_read", |p| &mut p.xheaders_read, doc);
    let doc = "The listener whose address copies leave from, by name; the port is another.";
    d.param("send_sock_name", |p| &mut p.send_sock_name, doc);
    let doc = "The address that copies leave from, as a SIP URI; the port is another.";
    d.param("send_sock_addr", |p| &mut p.send_sock_addr, doc);
    d.param(
        "force_send_sock",
        |p| &mut p.force_send_sock,
        "The older name of send_sock_addr.",
    );
    let doc = "Copies leave from a socket of their own; 0 has no meaning here, where they always do.";
    d.param("trace_ephemeral_socket", |p| &mut p.trace_ephemeral_socket, doc);
}

fn within(name: &str, value: i64, least: i64, most: i64) -> Result<i64, InitError> {
    match (least..=most).contains(&value) {
        true => Ok(value),
        false => Err(InitError::new(format!(
            "{name} is {value}; it may be {least} to {most}"
        ))),
    }
}

impl Params {
    pub(super) fn version(&self) -> Result<hep::Version, InitError> {
        hep::Version::from_number(self.hep_version).ok_or_else(|| {
            InitError::new(format!(
                "hep_version is {}; it may be 1, 2 or 3",
                self.hep_version
            ))
        })
    }

    pub(super) fn capture_id(&self) -> Result<u32, InitError> {
        let most = if self.hep_version == 2 {
            i64::from(u16::MAX)
        } else {
            i64::from(u32::MAX)
        };
        let id = within("hep_capture_id", self.hep_capture_id, 0, most)?;
        u32::try_from(id).map_err(|error| InitError::new(error.to_string()))
    }

    /// As a mask; 0 where there is none.
    pub(super) fn flag(&self) -> Result<u32, InitError> {
        let flag = within("trace_flag", self.trace_flag, -1, 31)?;
        Ok(u32::try_from(flag)
            .ok()
            .and_then(|flag| 1_u32.checked_shl(flag))
            .unwrap_or(0))
    }

    /// The IP address that copies leave from.
    pub(super) fn own_address(&self, env: &Env<'_>) -> Result<Option<IpAddr>, InitError> {
        let given = |text: &Option<Str>| text.clone().filter(|text| !text.is_empty());
        if let Some(name) = given(&self.send_sock_name) {
            let listener = env.identity.listener_named(&name).ok_or_else(|| {
                InitError::new(format!("send_sock_name: there is no listener '{name}'"))
                    .help("give a listen line the name \"…\"")
            })?;
            return Ok(Some(listener.address.ip()));
        }
        let Some(uri) = given(&self.send_sock_addr).or_else(|| given(&self.force_send_sock)) else {
            return Ok(None);
        };
        courier::own_address(&uri).map(Some).ok_or_else(|| {
            InitError::new(format!(
                "send_sock_addr: '{uri}' is no SIP URI with an IP address"
            ))
        })
    }

    /// Variables for the values of `traced_user_avp`: an AVP has several.
    pub(super) fn users(&self, env: &Env<'_>) -> Result<Vec<Var>, InitError> {
        const MOST: usize = 16;
        let Some(name) = self.traced_user_avp.as_ref().filter(|name| !name.is_empty()) else {
            return Ok(Vec::new());
        };
        let name = name.text();
        let Some(inner) = name.strip_prefix("$avp(").and_then(|rest| rest.strip_suffix(')')) else {
            return Ok(vec![env.bind.var(&name)?]);
        };
        let each = |n: usize| Ok(env.bind.var(&format!("$(avp({inner})[{n}])"))?);
        (0..MOST).map(each).collect()
    }

    pub(super) fn table_variable(&self, env: &Env<'_>) -> Result<Option<Var>, InitError> {
        let name = self.trace_table_avp.as_ref().filter(|name| !name.is_empty());
        Ok(name.map(|name| env.bind.var(&name.text())).transpose()?)
    }
}
