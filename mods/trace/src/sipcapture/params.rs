//! The parameters of `sipcapture`.

use std::time::Duration;

use kahea_module::{BindError, Decl, InitError, Str};

use super::{
    Sipcapture, default_columns,
    row::{COLUMNS, Extras},
    tables::Retries,
};

/// Parameters; see their declarations.
pub struct Params {
    pub(super) db_url: Str,
    pub(super) table_name: Str,
    pub(super) hash_source: Str,
    pub(super) mt_mode: Str,
    columns: Vec<Str>,
    pub(super) capture_on: i64,
    capture_node: Str,
    pub(super) hep_capture_on: i64,
    raw_sock_children: i64,
    raw_socket_listen: Str,
    raw_ipip_capture_on: i64,
    raw_moni_capture_on: i64,
    raw_interface: Str,
    promiscuous_on: i64,
    raw_moni_bpf_on: i64,
    db_insert_mode: i64,
    callid_aleg_header: Str,
    custom: [Str; 3],
    pub(super) capture_mode: Vec<Str>,
    pub(super) capture_bad_msgs: i64,
    insert_retries: i64,
    insert_retry_timeout: i64,
    topoh_unmask: i64,
    pub(super) nonsip_hook: i64,
    pub(super) event_callback: Option<Str>,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            db_url: Str::EMPTY,
            table_name: Str::from_static("sip_capture"),
            hash_source: Str::from_static("call_id"),
            mt_mode: Str::from_static("rand"),
            columns: default_columns(),
            capture_on: 0,
            capture_node: Str::from_static("homer01"),
            hep_capture_on: 0,
            raw_sock_children: 1,
            raw_socket_listen: Str::EMPTY,
            raw_ipip_capture_on: 0,
            raw_moni_capture_on: 0,
            raw_interface: Str::EMPTY,
            promiscuous_on: 0,
            raw_moni_bpf_on: 0,
            db_insert_mode: 0,
            callid_aleg_header: Str::from_static("X-CID"),
            custom: ["Mac", "IP", "Port"].map(Str::from_static),
            capture_mode: Vec::new(),
            capture_bad_msgs: 0,
            insert_retries: 0,
            insert_retry_timeout: 60,
            topoh_unmask: 0,
            nonsip_hook: 0,
            event_callback: None,
        }
    }
}

macro_rules! columns {
    ($d:ident: $($at:literal)*) => {
        $($d.param_fn(COLUMNS[$at].0, "string", |params, value, _| {
            let text = value.str().filter(|text| !text.is_empty());
            match (params.columns.get_mut($at), text) {
                (Some(place), Some(text)) => *place = text,
                _ => return Err(BindError::new("the name of a column is needed")),
            }
            Ok(())
        }, "The name of a column of the tables.");)*
    };
}

pub(super) fn declare(d: &mut Decl<Sipcapture>) {
    columns!(d: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37
        38 39 40 41 42 43);
    tables(d);
    capturing(d);
    raw(d);
}

fn tables(d: &mut Decl<Sipcapture>) {
    d.param(
        "db_url",
        |p| &mut p.db_url,
        "The database of the tables; without it only capture_mode writes.",
    );
    let doc = "The table, or several with bars between them.";
    d.param("table_name", |p| &mut p.table_name, doc);
    let doc = "How one of several tables is chosen: rand, round_robin or hash.";
    d.param("mt_mode", |p| &mut p.mt_mode, doc);
    d.param(
        "hash_source",
        |p| &mut p.hash_source,
        "What hash goes by: call_id, from_user or to_user.",
    );
    let doc = "A further set of tables: name=>db_url=…;table_name=…;mt_mode=…;hash_source=….";
    d.param("capture_mode", |p| &mut p.capture_mode, doc);
    let doc = "How rows are inserted (0 to 2); has no meaning here, where nobody ever waits for a row.";
    d.param("db_insert_mode", |p| &mut p.db_insert_mode, doc);
    let doc = "How often a row is tried again that the database did not take, 0 to 500.";
    d.param("insert_retries", |p| &mut p.insert_retries, doc);
    let doc = "For how many seconds a row is tried again, 0 to 300.";
    d.param("insert_retry_timeout", |p| &mut p.insert_retry_timeout, doc);
    let doc = "Headers with the Call-ID of the other leg, with semicolons between them; the first that is there counts.";
    d.param("callid_aleg_header", |p| &mut p.callid_aleg_header, doc);
    let doc = "The header of a field of one's own.";
    d.param("custom_field1_header", |p| &mut p.custom[0], doc);
    d.param("custom_field2_header", |p| &mut p.custom[1], doc);
    d.param("custom_field3_header", |p| &mut p.custom[2], doc);
}

fn capturing(d: &mut Decl<Sipcapture>) {
    d.param(
        "capture_on",
        |p| &mut p.capture_on,
        "Capturing is on from the start.",
    );
    d.param("capture_node", |p| &mut p.capture_node, "The name of this node.");
    d.param(
        "hep_capture_on",
        |p| &mut p.hep_capture_on,
        "Packets of HEP are taken at all listeners.",
    );
    let doc =
        "Messages that break the rules of SIP are given to the script too, where they can be read at all.";
    d.param("capture_bad_msgs", |p| &mut p.capture_bad_msgs, doc);
    let doc = "event_route[sipcapture:request] runs for each packet of HEP.";
    d.param("nonsip_hook", |p| &mut p.nonsip_hook, doc);
    let doc = "The event route, or function of an embedded language, in place of sipcapture:request.";
    d.param("event_callback", |p| &mut p.event_callback, doc);
    let doc = "The Call-ID is unmasked by topoh; has no meaning here, where topoh has unmasked what it masked before the script sees it.";
    d.param("topoh_unmask", |p| &mut p.topoh_unmask, doc);
}

/// The older way, by raw sockets.
fn raw(d: &mut Decl<Sipcapture>) {
    let doc = "Capturing of IP in IP by a raw socket; refused here: send HEP instead.";
    d.param("raw_ipip_capture_on", |p| &mut p.raw_ipip_capture_on, doc);
    let doc = "Capturing of a mirrored port by a raw socket; refused here: send HEP instead.";
    d.param("raw_moni_capture_on", |p| &mut p.raw_moni_capture_on, doc);
    let doc = "The address and ports of the raw socket; has no meaning here without one.";
    d.param("raw_socket_listen", |p| &mut p.raw_socket_listen, doc);
    let doc = "The interface of the raw socket; has no meaning here without one.";
    d.param("raw_interface", |p| &mut p.raw_interface, doc);
    let doc = "How many processes read the raw socket; has no meaning here without one.";
    d.param("raw_sock_children", |p| &mut p.raw_sock_children, doc);
    let doc = "The raw socket takes what is for others; has no meaning here without one.";
    d.param("promiscuous_on", |p| &mut p.promiscuous_on, doc);
    let doc = "The raw socket has a filter; has no meaning here without one.";
    d.param("raw_moni_bpf_on", |p| &mut p.raw_moni_bpf_on, doc);
}

impl Params {
    pub(super) fn columns(&self) -> Vec<Str> {
        self.columns.clone()
    }

    pub(super) fn extras(&self) -> Extras {
        let text = self.callid_aleg_header.text();
        let names = text.split(';').map(str::trim).filter(|name| !name.is_empty());
        Extras {
            call_id_aleg: names.map(Str::from).collect(),
            custom: self.custom.clone(),
            node: self.capture_node.clone(),
        }
    }

    pub(super) fn retries(&self) -> Result<Retries, InitError> {
        let within = |name: &str, n: i64, most: i64| match (0..=most).contains(&n) {
            true => Ok(()),
            false => Err(InitError::new(format!("{name} is {n}; it may be 0 to {most}"))),
        };
        within("insert_retries", self.insert_retries, 500)?;
        within("insert_retry_timeout", self.insert_retry_timeout, 300)?;
        Ok(Retries {
            times: self.insert_retries,
            within: Duration::from_secs(u64::try_from(self.insert_retry_timeout).unwrap_or(0)),
        })
    }

    /// Raw sockets are not read here.
    pub(super) fn refuse_raw(&self) -> Result<(), InitError> {
        if self.raw_ipip_capture_on == 0 && self.raw_moni_capture_on == 0 {
            return Ok(());
        }
        Err(InitError::new("capturing by a raw socket is not available")
            .help("have the agents send HEP (as siptrace does), and set hep_capture_on to 1"))
    }
}

/// A set of tables as `capture_mode` writes it.
#[derive(Debug, Default, PartialEq)]
pub struct CaptureMode {
    /// Its name.
    pub name: Str,
    /// The database.
    pub db_url: Str,
    /// Tables, with bars between them.
    pub table_name: Str,
    /// How one is chosen.
    pub mt_mode: Str,
    /// What a hash goes by.
    pub hash_source: Str,
}

impl CaptureMode {
    /// Reads `name=>db_url=…;table_name=…;mt_mode=…;hash_source=…;`.
    ///
    /// # Errors
    /// A part is missing or unknown.
    pub fn parse(text: &Str) -> Result<CaptureMode, InitError> {
        let wrong = |what: String| {
            InitError::new(format!("capture_mode '{text}': {what}"))
                .help("write name=>db_url=…;table_name=…;mt_mode=rand;hash_source=call_id")
        };
        let whole = text.text();
        let (name, rest) = whole
            .split_once("=>")
            .ok_or_else(|| wrong("it has no name".to_owned()))?;
        let mut mode = CaptureMode {
            name: Str::from(name.trim()),
            mt_mode: Str::from_static("rand"),
            ..CaptureMode::default()
        };
        for part in rest.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            let (key, value) = part
                .split_once('=')
                .ok_or_else(|| wrong(format!("'{part}' has no value")))?;
            let place = match key.trim() {
                "db_url" => &mut mode.db_url,
                "table_name" => &mut mode.table_name,
                "mt_mode" => &mut mode.mt_mode,
                "hash_source" => &mut mode.hash_source,
                other => return Err(wrong(format!("there is no part '{other}'"))),
            };
            *place = Str::from(value.trim());
        }
        match mode.name.is_empty() || mode.db_url.is_empty() || mode.table_name.is_empty() {
            true => Err(wrong("name, db_url and table_name are needed".to_owned())),
            false => Ok(mode),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capture_modes_are_read() {
        let text = "m1=>db_url=mysql://u:p@h/db;table_name=a|b;mt_mode=hash;hash_source=to_user;";
        let mode = CaptureMode::parse(&Str::from(text)).unwrap();
        assert_eq!(
            (mode.name, mode.db_url),
            (Str::from("m1"), Str::from("mysql://u:p@h/db"))
        );
        assert_eq!(
            (mode.table_name, mode.mt_mode),
            (Str::from("a|b"), Str::from("hash"))
        );
        for text in [
            "",
            "m",
            "m=>",
            "m=>db_url=x",
            "m=>db_url=x;table_name=y;z=1",
            "=>db_url=x;table_name=y",
        ] {
            assert!(CaptureMode::parse(&Str::from(text)).is_err(), "{text}");
        }
    }
}
