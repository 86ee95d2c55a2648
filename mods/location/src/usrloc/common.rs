//! The parameters that usrloc and p_usrloc have in common.

use kahea_module::{Decl, InitError, Module};

use super::{
    columns::Columns,
    order::{Matching, Order},
    params::out_of_range,
    service::{Mode, Settings},
};

/// Their values.
pub(crate) struct Common {
    pub columns: Columns,
    pub use_domain: bool,
    pub desc_time_order: bool,
    pub cseq_delay: i64,
    pub nat_bflag: i64,
}

/// Parameters of a module that has them.
pub(crate) trait HasCommon {
    /// Those in common.
    fn common(&mut self) -> &mut Common;
}

impl Default for Common {
    fn default() -> Common {
        Common {
            columns: Columns::default(),
            use_domain: false,
            desc_time_order: false,
            cseq_delay: 20,
            nat_bflag: -1,
        }
    }
}

impl Common {
    /// What other modules go by; without fields of an xavp.
    pub fn settings(&self, mode: Mode, matching: Matching, server_id: i64) -> Result<Settings, InitError> {
        let nat_flag = match self.nat_bflag {
            -1 => 0,
            bit => u32::try_from(bit)
                .ok()
                .and_then(|bit| 1u32.checked_shl(bit))
                .ok_or_else(|| {
                    out_of_range("nat_bflag", bit, "a branch flag from 0 to 31, or -1 for none")
                })?,
        };
        Ok(Settings {
            mode,
            use_domain: self.use_domain,
            nat_flag,
            matching,
            order: match self.desc_time_order {
                true => Order::Newest,
                false => Order::Preference,
            },
            cseq_delay: u32::try_from(self.cseq_delay)
                .map_err(|_| out_of_range("cseq_delay", self.cseq_delay, "seconds, or 0 for none"))?,
            attributes: None,
            server_id: i32::try_from(server_id).unwrap_or(i32::MAX),
        })
    }
}

/// Declares them.
pub(crate) fn declare<M: Module<Params: HasCommon>>(d: &mut Decl<M>) {
    columns(d);
    contacts(d);
}

fn columns<M: Module<Params: HasCommon>>(d: &mut Decl<M>) {
    d.param(
        "ruid_column",
        |p| &mut p.common().columns.ruid,
        "The column of the identifier of a contact.",
    );
    d.param(
        "user_column",
        |p| &mut p.common().columns.user,
        "The column of the user.",
    );
    d.param(
        "domain_column",
        |p| &mut p.common().columns.domain,
        "The column of the domain of the user.",
    );
    d.param(
        "contact_column",
        |p| &mut p.common().columns.contact,
        "The column of the URI of the Contact.",
    );
    d.param(
        "expires_column",
        |p| &mut p.common().columns.expires,
        "The column of the time when a contact ends.",
    );
    d.param(
        "q_column",
        |p| &mut p.common().columns.q,
        "The column of the preference.",
    );
    d.param(
        "callid_column",
        |p| &mut p.common().columns.callid,
        "The column of the Call-ID.",
    );
    d.param(
        "cseq_column",
        |p| &mut p.common().columns.cseq,
        "The column of the CSeq number.",
    );
    d.param(
        "flags_column",
        |p| &mut p.common().columns.flags,
        "The column of the flags of the location service.",
    );
    d.param(
        "cflags_column",
        |p| &mut p.common().columns.cflags,
        "The column of the branch flags.",
    );
    d.param(
        "user_agent_column",
        |p| &mut p.common().columns.user_agent,
        "The column of the User-Agent.",
    );
    d.param(
        "received_column",
        |p| &mut p.common().columns.received,
        "The column of the address that a REGISTER came from.",
    );
    d.param(
        "path_column",
        |p| &mut p.common().columns.path,
        "The column of the Path.",
    );
    d.param(
        "socket_column",
        |p| &mut p.common().columns.socket,
        "The column of the socket that a REGISTER came to.",
    );
    d.param(
        "methods_column",
        |p| &mut p.common().columns.methods,
        "The column of the methods that a contact takes.",
    );
    d.param(
        "instance_column",
        |p| &mut p.common().columns.instance,
        "The column of +sip.instance.",
    );
    d.param(
        "reg_id_column",
        |p| &mut p.common().columns.reg_id,
        "The column of reg-id.",
    );
}

fn contacts<M: Module<Params: HasCommon>>(d: &mut Decl<M>) {
    d.param(
        "use_domain",
        |p| &mut p.common().use_domain,
        "The domain is a part of an address of record.",
    );
    d.param(
        "desc_time_order",
        |p| &mut p.common().desc_time_order,
        "The contacts of an address are ordered by time, the newest first, not by q.",
    );
    d.param(
        "cseq_delay",
        |p| &mut p.common().cseq_delay,
        "Seconds in which a REGISTER with the same Call-ID and CSeq is a repetition; 0: never.",
    );
    d.param(
        "nat_bflag",
        |p| &mut p.common().nat_bflag,
        "The branch flag that marks contacts behind NAT; -1 for none.",
    );
}
