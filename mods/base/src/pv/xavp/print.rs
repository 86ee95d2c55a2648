//! `pv_xavp_print()` and its like: the trees in the log.

use kahea_module::{
    Cx, Decl,
    xavp::{XValue, Xavps},
};

use super::Family;
use crate::pv::Pv;

/// Declares the functions.
pub fn declare(d: &mut Decl<Pv>) {
    d.func(
        "pv_xavp_print",
        [],
        |_: &Pv, cx: &mut Cx| print(cx, Family::Xavp),
        "Logs every `$xavp()` at INFO.",
    )
    .kemi_as(0, "pvx", "pv_xavp_print");
    d.func(
        "pv_xavu_print",
        [],
        |_: &Pv, cx: &mut Cx| print(cx, Family::Xavu),
        "Logs every `$xavu()` at INFO.",
    )
    .kemi_as(0, "pvx", "pv_xavu_print");
    d.func(
        "pv_xavi_print",
        [],
        |_: &Pv, cx: &mut Cx| print(cx, Family::Xavi),
        "Logs every `$xavi()` at INFO.",
    )
    .kemi_as(0, "pvx", "pv_xavi_print");
}

fn print(cx: &mut Cx, family: Family) {
    for line in lines(family.list(cx), family.name(), 0) {
        kahea_module::info!("pv", "{line}");
    }
}

fn lines(list: &Xavps, kind: &str, level: usize) -> Vec<String> {
    let mut out = vec![format!("+++++ start {kind} list (level={level})")];
    for xavp in list.iter() {
        out.push(format!("     *** (l:{level}) {kind} name: {}", xavp.name));
        match &xavp.value {
            XValue::Null => out.push(format!("     {kind} value: <null>")),
            XValue::Int(n) => out.push(format!("     {kind} value (int): {n}")),
            XValue::Str(text) => out.push(format!("     {kind} value (str): {text}")),
            XValue::List(children) => out.extend(lines(children, kind, level.saturating_add(1))),
        }
        out.push(format!("     *** (l:{level}) end"));
    }
    out.push(format!("----- end {kind} list (level={level})"));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use kahea_module::Str;

    #[test]
    fn a_list_within_a_list_has_the_next_level() {
        let mut inner = Xavps::new();
        inner.add(Str::from("b"), XValue::Int(2));
        let mut list = Xavps::new();
        list.add(Str::from("a"), XValue::List(inner));
        let lines = lines(&list, "XAVP", 0);
        assert!(lines.contains(&"     *** (l:1) XAVP name: b".to_owned()));
        assert!(lines.contains(&"     XAVP value (int): 2".to_owned()));
        assert_eq!(lines.len(), 9);
    }
}
