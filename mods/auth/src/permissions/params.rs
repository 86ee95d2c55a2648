//! The parameters of `permissions`.

use kahea_module::{Decl, Str};

use super::Permissions;

/// The parameters.
pub struct Params {
    pub(super) default_allow_file: Str,
    pub(super) default_deny_file: Str,
    pub(super) check_all_branches: bool,
    pub(super) allow_suffix: Str,
    pub(super) deny_suffix: Str,
    pub(super) db_url: Option<Str>,
    pub(super) db_mode: i64,
    pub(super) trusted_table: Str,
    pub(super) source_col: Str,
    pub(super) proto_col: Str,
    pub(super) from_col: Str,
    pub(super) ruri_col: Str,
    pub(super) tag_col: Str,
    pub(super) priority_col: Str,
    pub(super) peer_tag_avp: Option<Str>,
    pub(super) peer_tag_mode: i64,
    pub(super) address_table: Str,
    pub(super) address_file: Option<Str>,
    pub(super) grp_col: Str,
    pub(super) ip_addr_col: Str,
    pub(super) mask_col: Str,
    pub(super) port_col: Str,
    pub(super) max_subnets: i64,
    pub(super) subnet_match_mode: i64,
    pub(super) load_backends: i64,
    pub(super) reload_delta: i64,
    trusted_cleanup_interval: i64,
}

impl Params {
    pub(super) const ADDRESSES: i64 = 1;
    pub(super) const TRUSTED: i64 = 2;
    pub(super) const ALLOW_FILE: i64 = 4;
    pub(super) const DENY_FILE: i64 = 8;

    /// `load_backends` names this one.
    pub(super) fn loads(&self, backend: i64) -> bool {
        self.load_backends & backend != 0
    }
}

impl Default for Params {
    fn default() -> Params {
        let text = Str::from_static;
        Params {
            default_allow_file: text("permissions.allow"),
            default_deny_file: text("permissions.deny"),
            check_all_branches: true,
            allow_suffix: text(".allow"),
            deny_suffix: text(".deny"),
            db_url: None,
            db_mode: 0,
            trusted_table: text("trusted"),
            source_col: text("src_ip"),
            proto_col: text("proto"),
            from_col: text("from_pattern"),
            ruri_col: text("ruri_pattern"),
            tag_col: text("tag"),
            priority_col: text("priority"),
            peer_tag_avp: None,
            peer_tag_mode: 0,
            address_table: text("address"),
            address_file: None,
            grp_col: text("grp"),
            ip_addr_col: text("ip_addr"),
            mask_col: text("mask"),
            port_col: text("port"),
            max_subnets: 512,
            subnet_match_mode: 0,
            load_backends: 0xffff,
            reload_delta: 5,
            trusted_cleanup_interval: 60,
        }
    }
}

pub(super) fn declare(d: &mut Decl<Permissions>) {
    d.param(
        "default_allow_file",
        |p| &mut p.default_allow_file,
        "The rules that allow, for allow_routing() without arguments; from the folder of the configuration.",
    );
    d.param(
        "default_deny_file",
        |p| &mut p.default_deny_file,
        "The rules that deny, for allow_routing() without arguments.",
    );
    d.param(
        "check_all_branches",
        |p| &mut p.check_all_branches,
        "allow_routing() looks at every branch, not the first alone.",
    );
    d.param(
        "allow_suffix",
        |p| &mut p.allow_suffix,
        "Makes the name of the file that allows out of a base name.",
    );
    d.param(
        "deny_suffix",
        |p| &mut p.deny_suffix,
        "Makes the name of the file that denies out of a base name.",
    );
    d.param(
        "db_url",
        |p| &mut p.db_url,
        "The database of the tables address and trusted.",
    );
    d.param(
        "db_mode",
        |p| &mut p.db_mode,
        "0: allow_trusted() asks the database each time, 1: the table is kept in memory.",
    );
    d.param(
        "load_backends",
        |p| &mut p.load_backends,
        "What is loaded: 1 addresses, 2 trusted, 4 the default file that allows, 8 that which denies.",
    );
    d.param(
        "reload_delta",
        |p| &mut p.reload_delta,
        "Seconds between two reloads by command.",
    );
    d.param(
        "peer_tag_avp",
        |p| &mut p.peer_tag_avp,
        "The variable that takes the tag of what matched.",
    );
    d.param(
        "peer_tag_mode",
        |p| &mut p.peer_tag_mode,
        "1: allow_trusted() adds the tags of all rules that match and returns their number.",
    );
    d.param("trusted_cleanup_interval", |p| &mut p.trusted_cleanup_interval, "Seconds after which Kamailio frees replaced rules. Without effect here: they go when nobody uses them any more.");
    d.param(
        "trusted_table",
        |p| &mut p.trusted_table,
        "The table of allow_trusted().",
    );
    d.param(
        "source_col",
        |p| &mut p.source_col,
        "Its column of source addresses.",
    );
    d.param("proto_col", |p| &mut p.proto_col, "Its column of transports.");
    d.param(
        "from_col",
        |p| &mut p.from_col,
        "Its column of expressions for From.",
    );
    d.param(
        "ruri_col",
        |p| &mut p.ruri_col,
        "Its column of expressions for the Request-URI.",
    );
    d.param(
        "priority_col",
        |p| &mut p.priority_col,
        "Its column of priorities; the highest comes first in memory.",
    );
    d.param(
        "tag_col",
        |p| &mut p.tag_col,
        "The column of tags, in both tables.",
    );
    addresses(d);
}

fn addresses(d: &mut Decl<Permissions>) {
    d.param(
        "address_table",
        |p| &mut p.address_table,
        "The table of allow_address() and its like.",
    );
    d.param(
        "address_file",
        |p| &mut p.address_file,
        "A file in its place: `group address [mask [port [tag]]]` a line.",
    );
    d.param("grp_col", |p| &mut p.grp_col, "The column of groups.");
    d.param(
        "ip_addr_col",
        |p| &mut p.ip_addr_col,
        "The column of addresses and names.",
    );
    d.param(
        "mask_col",
        |p| &mut p.mask_col,
        "The column of mask lengths in bits; 0 is one address.",
    );
    d.param("port_col", |p| &mut p.port_col, "The column of ports; 0 is any.");
    d.param(
        "max_subnets",
        |p| &mut p.max_subnets,
        "How many subnets there may be.",
    );
    d.param(
        "subnet_match_mode",
        |p| &mut p.subnet_match_mode,
        "Of several subnets 0 the one loaded first, 1 the one with the longest mask.",
    );
}
