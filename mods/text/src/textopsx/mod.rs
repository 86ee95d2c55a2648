//! Module `textopsx`: more text operations: changes applied at once, header values, iterators, shell patterns.

mod changes;
mod glob;
mod iterators;
mod list;
mod values;

pub(crate) use self::list::elements;

use kahea_module::{
    BRANCH, Cx, Decl, EVENT, Env, FAILURE, InitError, Module, Naming, REPLY, REQUEST, RouteKinds, Str,
};

/// The module's instance; it keeps nothing.
pub struct Textopsx;

impl Module for Textopsx {
    const NAME: &'static str = "textopsx";
    type Params = ();

    fn declare(d: &mut Decl<Self>) {
        declare_changes(d);
        declare_values(d);
        declare_header_iterators(d);
        declare_line_iterators(d);
        d.event(
            "textopsx:msg-changed-route",
            "In embedded languages: the function that msg_changed_route() names runs under this name.",
        );
    }

    fn init((): (), _: &mut Env<'_>) -> Result<Textopsx, InitError> {
        Ok(Textopsx)
    }
}

/// All routes with a message that goes on.
fn passing() -> RouteKinds {
    REQUEST | FAILURE | REPLY | BRANCH | EVENT
}

fn declare_changes(d: &mut Decl<Textopsx>) {
    use changes::*;
    d.func(
        "msg_apply_changes",
        [],
        msg_apply_changes,
        "Builds the message anew with all changes, so that what follows sees them.",
    )
    .routes(REQUEST | REPLY | EVENT)
    .kemi(0, "msg_apply_changes")
    .example("msg_apply_changes();");
    d.func(
        "msg_changed_route",
        ["route"],
        msg_changed_route,
        "Runs a route on the message as it is with all changes; the message itself stays as it was.",
    )
    .kemi(1, "msg_changed_route")
    .waits();
    d.func(
        "msg_set_buffer",
        ["text"],
        msg_set_buffer,
        "Puts another message of the same kind in place of this one.",
    )
    .routes(REQUEST | REPLY | EVENT)
    .kemi(1, "msg_set_buffer");
    d.func(
        "change_reply_status",
        ["code", "reason"],
        change_reply_status,
        "Changes code and reason of the reply.",
    )
    .routes(REPLY)
    .kemi(2, "change_reply_status")
    .example("change_reply_status(\"404\", \"Not Found\");");
    d.func(
        "change_reply_status_code",
        ["code"],
        change_reply_status_code,
        "Changes the code of the reply.",
    )
    .routes(REPLY)
    .kemi(1, "change_reply_status_code");
    d.func("remove_body", [], remove_body, "Takes the body out.")
        .kemi(0, "remove_body");
    d.func(
        "keep_hf",
        ["re"],
        keep_hf,
        "Takes out all headers but those that routing needs and those whose name matches.",
    )
    .kemi(0, "keep_hf")
    .kemi(1, "keep_hf_re");
    d.func(
        "fnmatch",
        ["text", "pattern", "flags"],
        fnmatch,
        "The text matches the shell pattern; flag i ignores case.",
    )
    .kemi(2, "fnmatch")
    .kemi(3, "fnmatch_ex");
}

fn declare_values(d: &mut Decl<Textopsx>) {
    use values::*;
    d.func(
        "append_hf_value",
        ["header", "value"],
        append_hf_value,
        "Adds a value behind the one of this index, or a new header at the end.",
    )
    .routes(passing())
    .kemi(2, "append_hf_value");
    d.func(
        "insert_hf_value",
        ["header", "value"],
        insert_hf_value,
        "Adds a value before the one of this index, or a new header before the first.",
    )
    .routes(passing())
    .kemi(2, "insert_hf_value");
    d.func(
        "remove_hf_value",
        ["header"],
        remove_hf_value,
        "Takes out a value, all values [*], or a parameter of them.",
    )
    .routes(passing())
    .kemi(1, "remove_hf_value");
    d.func(
        "remove_hf_value2",
        ["header"],
        remove_hf_value2,
        "The same for headers in which commas divide parameters.",
    )
    .routes(passing())
    .kemi(1, "remove_hf_value2");
    d.kemi_func(
        "textopsx",
        "remove_hf_value2",
        ["header", "unused"],
        remove_hf_value2_kemi,
        "The same with a second argument, which Kamailio declares but has no use for.",
    );
    d.func(
        "assign_hf_value",
        ["header", "value"],
        assign_hf_value,
        "Sets a value or a parameter of it.",
    )
    .routes(passing())
    .kemi(2, "assign_hf_value");
    d.func(
        "assign_hf_value2",
        ["header", "value"],
        assign_hf_value2,
        "The same for headers in which commas divide parameters.",
    )
    .routes(passing())
    .kemi(2, "assign_hf_value2");
    d.func(
        "include_hf_value",
        ["header", "value"],
        include_hf_value,
        "Adds the value unless the header has it.",
    )
    .routes(passing())
    .kemi(2, "include_hf_value")
    .example("include_hf_value(\"Supported\", \"path\");");
    d.func(
        "exclude_hf_value",
        ["header", "value"],
        exclude_hf_value,
        "Takes the value out where the header has it.",
    )
    .routes(passing())
    .kemi(2, "exclude_hf_value");
    d.func(
        "hf_value_exists",
        ["header", "value"],
        hf_value_exists,
        "The header has this value.",
    )
    .routes(passing())
    .kemi(2, "hf_value_exists");
}

fn declare_header_iterators(d: &mut Decl<Textopsx>) {
    use iterators::*;
    d.func(
        "hf_iterator_start",
        ["name"],
        hf_start,
        "Starts to walk the headers.",
    )
    .kemi(1, "hf_iterator_start");
    d.func("hf_iterator_end", ["name"], hf_end, "Ends the walk.")
        .kemi(1, "hf_iterator_end");
    d.func("hf_iterator_next", ["name"], hf_next, "Goes to the next header.")
        .kemi(1, "hf_iterator_next");
    d.func(
        "hf_iterator_prev",
        ["name"],
        hf_prev,
        "Goes back to the header before.",
    )
    .kemi(1, "hf_iterator_prev");
    d.func("hf_iterator_rm", ["name"], hf_rm, "Takes the present header out.")
        .kemi(1, "hf_iterator_rm");
    d.func(
        "hf_iterator_append",
        ["name", "text"],
        hf_append,
        "Adds headers behind the present one.",
    )
    .kemi(2, "hf_iterator_append");
    d.func(
        "hf_iterator_insert",
        ["name", "text"],
        hf_insert,
        "Adds headers before the present one.",
    )
    .kemi(2, "hf_iterator_insert");
    d.kemi_func(
        "textopsx",
        "hf_iterator_hname",
        ["iname"],
        |m: &Textopsx, cx: &mut Cx, name: Str| give(m, cx, &name, hf_name),
        "Gives the name of the present header; null where there is none.",
    );
    d.kemi_func(
        "textopsx",
        "hf_iterator_hbody",
        ["iname"],
        |m: &Textopsx, cx: &mut Cx, name: Str| give(m, cx, &name, hf_body),
        "Gives the value of the present header; null where there is none.",
    );
    d.var_named(
        "hfitname",
        Naming::Required,
        named(hf_name),
        "The name of the iterator's present header.",
    );
    d.var_named(
        "hfitbody",
        Naming::Required,
        named(hf_body),
        "The value of the iterator's present header.",
    );
}

fn declare_line_iterators(d: &mut Decl<Textopsx>) {
    use iterators::*;
    d.func(
        "bl_iterator_start",
        ["name"],
        bl_start,
        "Starts to walk the lines of the body.",
    )
    .kemi(1, "bl_iterator_start");
    d.func("bl_iterator_end", ["name"], bl_end, "Ends the walk.")
        .kemi(1, "bl_iterator_end");
    d.func("bl_iterator_next", ["name"], bl_next, "Goes to the next line.")
        .kemi(1, "bl_iterator_next");
    d.func("bl_iterator_rm", ["name"], bl_rm, "Takes the present line out.")
        .kemi(1, "bl_iterator_rm");
    d.func(
        "bl_iterator_append",
        ["name", "text"],
        bl_append,
        "Adds text behind the present line.",
    )
    .kemi(2, "bl_iterator_append");
    d.func(
        "bl_iterator_insert",
        ["name", "text"],
        bl_insert,
        "Adds text before the present line.",
    )
    .kemi(2, "bl_iterator_insert");
    d.kemi_func(
        "textopsx",
        "bl_iterator_value",
        ["iname"],
        |m: &Textopsx, cx: &mut Cx, name: Str| give(m, cx, &name, bl_value),
        "Gives the present line with its line end; null where there is none.",
    );
    d.var_named(
        "blitval",
        Naming::Required,
        named(bl_value),
        "The iterator's present line with its line end.",
    );
}

#[cfg(test)]
mod tests {
    use kahea_module::registry::ModuleDecl;

    use super::*;

    #[test]
    fn everything_of_the_inventory_is_declared() {
        let decl = ModuleDecl::of::<Textopsx>();
        let names: std::collections::BTreeSet<_> =
            decl.funcs.iter().filter(|f| f.native).map(|f| f.name).collect();
        assert_eq!((names.len(), decl.vars.len()), (30, 3));
    }
}
