//! The parameters of registrar.

use kahea_module::{Bind, Decl, InitError, Str, Var};

use super::Registrar;

/// The parameters of registrar.
pub struct Params {
    pub(super) default_expires: i64,
    pub(super) default_expires_range: i64,
    pub(super) expires_range: i64,
    pub(super) default_q: i64,
    pub(super) append_branches: i64,
    pub(super) case_sensitive: i64,
    pub(super) realm_prefix: Str,
    pub(super) min_expires: i64,
    pub(super) max_expires: i64,
    pub(super) received_param: Str,
    pub(super) received_avp: Option<Str>,
    pub(super) max_contacts: i64,
    pub(super) retry_after: i64,
    pub(super) sock_mode: bool,
    pub(super) sock_flag: i64,
    pub(super) sock_hdr_name: Option<Str>,
    pub(super) method_filtering: bool,
    pub(super) use_path: bool,
    pub(super) path_mode: i64,
    pub(super) path_use_received: bool,
    pub(super) path_check_local: bool,
    pub(super) xavp_cfg: Option<Str>,
    pub(super) xavp_rcd: Option<Str>,
    pub(super) xavp_rcd_mask: i64,
    pub(super) gruu_enabled: bool,
    pub(super) outbound_mode: i64,
    pub(super) regid_mode: bool,
    pub(super) flow_timer: i64,
    pub(super) contact_max_size: i64,
    pub(super) event_callback: Option<Str>,
    pub(super) lookup_filter_mode: i64,
    pub(super) min_expires_mode: bool,
    pub(super) use_expired_contacts: i64,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            default_expires: 3600,
            default_expires_range: 0,
            expires_range: 0,
            default_q: -1,
            append_branches: 1,
            case_sensitive: 0,
            realm_prefix: Str::EMPTY,
            min_expires: 60,
            max_expires: 0,
            received_param: Str::from_static("received"),
            received_avp: None,
            max_contacts: 0,
            retry_after: 0,
            sock_mode: false,
            sock_flag: -1,
            sock_hdr_name: None,
            method_filtering: false,
            use_path: false,
            path_mode: 2,
            path_use_received: false,
            path_check_local: false,
            xavp_cfg: None,
            xavp_rcd: None,
            xavp_rcd_mask: 0,
            gruu_enabled: true,
            outbound_mode: 0,
            regid_mode: false,
            flow_timer: 0,
            contact_max_size: 512,
            event_callback: None,
            lookup_filter_mode: 0,
            min_expires_mode: false,
            use_expired_contacts: 0,
        }
    }
}

/// What the parameters say that do not change.
pub(crate) struct Fixed {
    /// `received_avp`.
    pub received: Option<Var>,
    pub received_param: Str,
    pub sock_mode: bool,
    /// `sock_flag` as a mask, and the header's name.
    pub sock_header: Option<(u32, Str)>,
    pub method_filtering: bool,
    pub path: PathMode,
    pub path_use_received: bool,
    pub path_check_local: bool,
    pub xavp_cfg: Option<Str>,
    pub xavp_rcd: Option<Str>,
    pub xavp_rcd_mask: i64,
    pub gruu: bool,
    pub outbound: Outbound,
    pub regid_always: bool,
    pub flow_timer: u32,
    pub contact_max_size: usize,
    pub filter_flags: bool,
    pub filter_connections: bool,
    pub refuse_brief: bool,
}

/// `use_path` and `path_mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PathMode {
    /// Path headers do not count.
    Unused,
    /// They are kept, and not told of.
    Silent,
    /// They are kept, and told of where the user agent knows of them.
    Lazy,
    /// As `Lazy`; a user agent that does not know of them is refused.
    Strict,
}

/// `outbound_mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outbound {
    /// Not in use.
    No,
    /// For user agents that have it.
    Supported,
    /// For all.
    Required,
}

fn wrong(name: &str, value: i64, wanted: &str) -> InitError {
    InitError::new(format!("{name} is {value}")).help(format!("give {wanted}"))
}

impl Params {
    pub(super) fn fixed(&self, bind: &dyn Bind) -> Result<Fixed, InitError> {
        let path = match (self.use_path, self.path_mode) {
            (false, _) => PathMode::Unused,
            (true, 0) => PathMode::Silent,
            (true, 1) => PathMode::Lazy,
            (true, 2) => PathMode::Strict,
            (true, mode) => return Err(wrong("path_mode", mode, "0, 1 or 2")),
        };
        let outbound = match self.outbound_mode {
            0 => Outbound::No,
            1 => Outbound::Supported,
            2 => Outbound::Required,
            mode => return Err(wrong("outbound_mode", mode, "0, 1 or 2")),
        };
        let flow_timer = u32::try_from(self.flow_timer)
            .map_err(|_| wrong("flow_timer", self.flow_timer, "seconds, or 0 for none"))?;
        if flow_timer > 0 && outbound == Outbound::No {
            return Err(InitError::new("flow_timer needs outbound")
                .help("set outbound_mode to 1 or 2, or flow_timer to 0"));
        }
        let received = match &self.received_avp {
            Some(text) if !text.is_empty() => Some(bind.var(&text.text())?),
            _ => None,
        };
        Ok(Fixed {
            received,
            received_param: self.received_param.clone(),
            sock_mode: self.sock_mode,
            sock_header: self.sock_header()?,
            method_filtering: self.method_filtering,
            path,
            path_use_received: self.path_use_received,
            path_check_local: self.path_check_local,
            xavp_cfg: self.xavp_cfg.clone().filter(|name| !name.is_empty()),
            xavp_rcd: self.xavp_rcd.clone().filter(|name| !name.is_empty()),
            xavp_rcd_mask: self.xavp_rcd_mask,
            gruu: self.gruu_enabled,
            outbound,
            regid_always: self.regid_mode,
            flow_timer,
            contact_max_size: usize::try_from(self.contact_max_size)
                .map_err(|_| wrong("contact_max_size", self.contact_max_size, "a number of bytes"))?,
            filter_flags: self.lookup_filter_mode & 1 != 0,
            filter_connections: self.lookup_filter_mode & 2 != 0,
            refuse_brief: self.min_expires_mode,
        })
    }

    fn sock_header(&self) -> Result<Option<(u32, Str)>, InitError> {
        let Some(name) = self.sock_hdr_name.clone().filter(|name| !name.is_empty()) else {
            return match self.sock_flag {
                -1 => Ok(None),
                _ => Err(InitError::new(
                    "sock_flag says when a header counts, but sock_hdr_name does not name it",
                )),
            };
        };
        let bit = u32::try_from(self.sock_flag)
            .ok()
            .and_then(|bit| 1u32.checked_shl(bit));
        match bit {
            Some(mask) => Ok(Some((mask, name))),
            None if self.sock_flag == -1 => Ok(None),
            None => Err(wrong(
                "sock_flag",
                self.sock_flag,
                "a message flag from 0 to 31, or -1 for none",
            )),
        }
    }
}

/// Declares them.
pub(super) fn declare(d: &mut Decl<Registrar>) {
    limits(d);
    addresses(d);
    extensions(d);
    xavps(d);
}

fn limits(d: &mut Decl<Registrar>) {
    d.param(
        "default_expires",
        |p| &mut p.default_expires,
        "Seconds for contacts that do not say how long they last.",
    )
    .live();
    d.param(
        "default_expires_range",
        |p| &mut p.default_expires_range,
        "Up to this percentage is taken off default_expires, by chance.",
    )
    .live();
    d.param(
        "expires_range",
        |p| &mut p.expires_range,
        "Up to this percentage is taken off what a contact asks for, by chance.",
    )
    .live();
    d.param(
        "min_expires",
        |p| &mut p.min_expires,
        "The least seconds for a contact; 0 for any.",
    )
    .live();
    d.param(
        "min_expires_mode",
        |p| &mut p.min_expires_mode,
        "A contact that asks for less than min_expires is refused with 423, not given min_expires.",
    );
    d.param(
        "max_expires",
        |p| &mut p.max_expires,
        "The most seconds for a contact; 0 for any.",
    )
    .live();
    d.param(
        "default_q",
        |p| &mut p.default_q,
        "The q of contacts that say nothing, in thousandths; -1 for none.",
    )
    .live();
    d.param(
        "max_contacts",
        |p| &mut p.max_contacts,
        "The most contacts of an address of record; 0 for any.",
    )
    .live();
    d.param(
        "retry_after",
        |p| &mut p.retry_after,
        "Seconds in the Retry-After of 5xx replies; 0 for no such header.",
    )
    .live();
    d.param(
        "contact_max_size",
        |p| &mut p.contact_max_size,
        "The longest URI of a Contact, in bytes.",
    );
    d.param(
        "append_branches",
        |p| &mut p.append_branches,
        "lookup() makes branches of the contacts behind the first.",
    )
    .live();
    d.param(
        "use_expired_contacts",
        |p| &mut p.use_expired_contacts,
        "lookup() and its kin give ended contacts too.",
    )
    .live();
}

fn addresses(d: &mut Decl<Registrar>) {
    d.param(
        "realm_prefix",
        |p| &mut p.realm_prefix,
        "Taken off the front of domains in addresses of record.",
    )
    .live();
    d.param(
        "case_sensitive",
        |p| &mut p.case_sensitive,
        "Case counts in the user of an address of record.",
    )
    .live();
    d.param(
        "received_avp",
        |p| &mut p.received_avp,
        "The variable that holds, as a URI, where the REGISTER came from.",
    );
    d.param(
        "received_param",
        |p| &mut p.received_param,
        "The parameter that shows this URI in replies; empty for none.",
    );
    d.param(
        "sock_flag",
        |p| &mut p.sock_flag,
        "The message flag that makes the header sock_hdr_name count; -1 for none.",
    );
    d.param(
        "sock_hdr_name",
        |p| &mut p.sock_hdr_name,
        "The header that names the socket to keep with a contact, as add_sock_hdr() writes it.",
    );
    d.param(
        "sock_mode",
        |p| &mut p.sock_mode,
        "The advertised address of the socket is kept.",
    );
}

fn extensions(d: &mut Decl<Registrar>) {
    d.param(
        "method_filtering",
        |p| &mut p.method_filtering,
        "lookup() gives contacts only that allow the method of a request outside of dialogs.",
    );
    d.param(
        "use_path",
        |p| &mut p.use_path,
        "Path headers are kept with contacts (RFC 3327).",
    );
    d.param(
        "path_mode",
        |p| &mut p.path_mode,
        "0: replies do not show the Path; 1: where the user agent supports path; 2: and others are refused.",
    );
    d.param(
        "path_use_received",
        |p| &mut p.path_use_received,
        "The parameter received of the first Path URI says where the REGISTER came from.",
    );
    d.param(
        "path_check_local",
        |p| &mut p.path_check_local,
        "lookup() passes over a first hop of a Path that is this server.",
    );
    d.param(
        "gruu_enabled",
        |p| &mut p.gruu_enabled,
        "Contacts with +sip.instance get GRUUs (RFC 5627).",
    );
    d.param(
        "outbound_mode",
        |p| &mut p.outbound_mode,
        "Outbound (RFC 5626): 0 not in use, 1 for who has it, 2 required.",
    );
    d.param(
        "regid_mode",
        |p| &mut p.regid_mode,
        "reg-id counts for user agents without outbound too.",
    );
    d.param(
        "flow_timer",
        |p| &mut p.flow_timer,
        "Seconds in the Flow-Timer of replies to user agents with outbound; 0 for none.",
    );
}

fn xavps(d: &mut Decl<Registrar>) {
    d.param("xavp_cfg", |p| &mut p.xavp_cfg, "The xavp with values for one message: match_callid, match_contact, match_received, rlf_bflags, q, expires, max_contacts, socket.");
    d.param(
        "xavp_rcd",
        |p| &mut p.xavp_rcd,
        "The xavp that is given the details of a contact: ruid, contact, expires, received, path.",
    );
    d.param(
        "xavp_rcd_mask",
        |p| &mut p.xavp_rcd_mask,
        "What xavp_rcd is not given: the sum of 1 ruid, 2 contact, 4 expires, 8 received, 16 path.",
    );
    d.param("lookup_filter_mode", |p| &mut p.lookup_filter_mode, "lookup() leaves out contacts: 1 without the branch flags of rlf_bflags, 2 whose connection is lost; or the sum.");
    d.param("event_callback", |p| &mut p.event_callback, "The function of an embedded language to run in place of event_route[usrloc:contact-expired]; it is named to usrloc, which runs it.");
    d.event(
        "usrloc:contact-expired",
        "A contact has ended; $ulc(exp=>...) shows it. usrloc runs it.",
    );
}
