//! Module `pv_headers`: the headers as variables, collected once, changed at will, and written back at the end.

mod apply;
mod functions;
mod store;
mod vars;

use kahea_module::{Decl, Env, InitError, Module, Naming, Str};

use crate::textops::arg::HeaderName;

/// The module's instance.
pub struct PvHeaders {
    xavi: Str,
    skip: Vec<HeaderName>,
    split: Vec<HeaderName>,
}

/// Its parameters.
pub struct Params {
    xavi_name: Str,
    header_value_size: i64,
    header_collect_flag: i64,
    header_apply_flag: i64,
    skip_headers: Str,
    split_headers: Str,
    auto_msg: bool,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            xavi_name: Str::from_static("headers"),
            header_value_size: 1024,
            header_collect_flag: 27,
            header_apply_flag: 28,
            skip_headers: Str::from_static("Record-Route,Via,Route,Content-Length,Max-Forwards,CSeq"),
            split_headers: Str::EMPTY,
            auto_msg: true,
        }
    }
}

impl Module for PvHeaders {
    const NAME: &'static str = "pv_headers";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        declare_params(d);
        declare_functions(d);
        declare_vars(d);
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<PvHeaders, InitError> {
        if params.xavi_name.is_empty() {
            return Err(InitError::new("xavi_name is empty").help("leave it out to use \"headers\""));
        }
        if params.auto_msg && env.bind.has_module("tm") {
            kahea_module::info!(
                "pv_headers",
                "Headers are not collected by themselves yet: call pvh_collect_headers() and pvh_apply_headers()."
            );
        }
        Ok(PvHeaders {
            xavi: params.xavi_name,
            skip: names(&params.skip_headers),
            split: names(&params.split_headers),
        })
    }
}

fn names(list: &Str) -> Vec<HeaderName> {
    let items = list
        .split(|b| *b == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|name| !name.is_empty());
    items.map(|name| HeaderName::new(&list.share(name))).collect()
}

fn declare_params(d: &mut Decl<PvHeaders>) {
    d.param(
        "xavi_name",
        |p| &mut p.xavi_name,
        "The $xavi() that holds the headers.",
    );
    d.param(
        "header_value_size",
        |p| &mut p.header_value_size,
        "The size of Kamailio's buffer for a value. Of no meaning here: values have no fixed buffers.",
    );
    d.param(
        "header_collect_flag",
        |p| &mut p.header_collect_flag,
        "The message flag in which Kamailio notes that headers are collected. Of no meaning here: no script flag is used up for that.",
    );
    d.param(
        "header_apply_flag",
        |p| &mut p.header_apply_flag,
        "The message flag in which Kamailio notes that headers are applied. Of no meaning here: no script flag is used up for that.",
    );
    d.param(
        "skip_headers",
        |p| &mut p.skip_headers,
        "Headers that are never changed, divided by commas.",
    );
    d.param(
        "split_headers",
        |p| &mut p.split_headers,
        "Headers whose comma lists become several values.",
    );
    d.param(
        "auto_msg",
        |p| &mut p.auto_msg,
        "Collects and applies by itself; as in Kamailio only with the tm module, without it the functions must be called.",
    );
}

fn declare_functions(d: &mut Decl<PvHeaders>) {
    use functions::*;
    d.func(
        "pvh_collect_headers",
        [],
        collect,
        "Reads the headers of the message into the variables.",
    )
    .kemi(0, "pvh_collect_headers")
    .example("pvh_collect_headers(); $x_hdr(X-Tag) = \"1\"; pvh_apply_headers();");
    d.func(
        "pvh_apply_headers",
        [],
        apply::apply,
        "Writes the variables back to the message.",
    )
    .kemi(0, "pvh_apply_headers");
    d.func("pvh_reset_headers", [], reset, "Forgets the collected headers.")
        .kemi(0, "pvh_reset_headers");
    d.func(
        "pvh_check_header",
        ["name"],
        check,
        "The header is among those collected.",
    )
    .kemi(1, "pvh_check_header");
    d.func("pvh_append_header", ["name", "value"], append, "Adds a value.")
        .kemi(2, "pvh_append_header");
    d.func(
        "pvh_modify_header",
        ["name", "value", "index"],
        modify,
        "Changes a value, the first without an index.",
    )
    .kemi(3, "pvh_modify_header");
    d.func(
        "pvh_remove_header",
        ["name", "index"],
        remove,
        "Takes out a value, all without an index.",
    )
    .kemi(2, "pvh_remove_header");
    d.func(
        "pvh_remove_all_headers",
        [],
        remove_all,
        "Takes out all headers but those that must stay.",
    );
    d.func(
        "pvh_header_param_exists",
        ["name", "param"],
        param_exists,
        "The header's list has this element.",
    )
    .kemi(2, "pvh_header_param_exists");
    d.func(
        "pvh_remove_header_param",
        ["name", "param"],
        remove_param,
        "Takes an element out of the header's list.",
    )
    .kemi(2, "pvh_remove_header_param");
}

fn declare_vars(d: &mut Decl<PvHeaders>) {
    use vars::*;
    d.var_named(
        "x_hdr",
        Naming::Required,
        header(),
        "A value of the header; assigning without an index adds one.",
    );
    d.var_rw("x_fu", from_uri, set_from_uri, "The URI of From.");
    d.var_rw("x_fU", from_user, set_from_user, "The user of From.");
    d.var_rw("x_fd", from_host, set_from_host, "The host of From.");
    d.var_rw("x_fn", from_name, set_from_name, "The display name of From.");
    d.var("x_ft", from_tag, "The tag of From.");
    d.var_rw("x_tu", to_uri, set_to_uri, "The URI of To.");
    d.var_rw("x_tU", to_user, set_to_user, "The user of To.");
    d.var_rw("x_td", to_host, set_to_host, "The host of To.");
    d.var_rw("x_tn", to_name, set_to_name, "The display name of To.");
    d.var("x_tt", to_tag, "The tag of To.");
    d.var_rw("x_rs", status, set_status, "The code of the reply.");
    d.var_rw("x_rr", reason, set_reason, "The reason of the reply.");
}

#[cfg(test)]
mod tests {
    use kahea_module::registry::ModuleDecl;

    use super::*;

    /// With the default parameters, and X-S split.
    pub fn module() -> PvHeaders {
        let params = Params::default();
        PvHeaders {
            xavi: params.xavi_name,
            skip: names(&params.skip_headers),
            split: names(&"X-S".into()),
        }
    }

    #[test]
    fn everything_of_the_inventory_is_declared() {
        let decl = ModuleDecl::of::<PvHeaders>();
        assert_eq!(
            (decl.funcs.len(), decl.vars.len(), decl.params.len()),
            (10, 13, 7)
        );
    }
}
