//! The xavps of registrar: values for one message (`xavp_cfg`), details of contacts (`xavp_rcd`), fields that are kept
//! with a contact (`xavp_contact`).

use std::sync::Arc;

use kahea_module::{
    Cx, Str,
    xavp::{XValue, Xavps},
};

use super::params::Fixed;
use crate::usrloc::Contact;

fn field<'a>(cx: &'a Cx, class: Option<&Str>, name: &[u8]) -> Option<&'a XValue> {
    match &cx.xavps.get(class?, 0)?.value {
        XValue::List(fields) => fields.get(name, 0).map(|field| &field.value),
        _ => None,
    }
}

/// A text of `xavp_cfg`.
pub(crate) fn text(cx: &Cx, class: Option<&Str>, name: &[u8]) -> Option<Str> {
    match field(cx, class, name)? {
        XValue::Str(text) => Some(text.clone()),
        XValue::Int(n) => Some(kahea_module::value::int_text(*n)),
        _ => None,
    }
}

/// A number of `xavp_cfg`.
pub(crate) fn number(cx: &Cx, class: Option<&Str>, name: &[u8]) -> Option<i64> {
    match field(cx, class, name)? {
        XValue::Int(n) => Some(*n),
        XValue::Str(text) => kahea_module::value::parse_int(text),
        _ => None,
    }
}

/// The fields of the message's xavp of that name, to be kept: texts get allocations of their own.
pub(crate) fn to_keep(cx: &Cx, class: Option<&Str>) -> Option<Arc<Xavps>> {
    let XValue::List(fields) = &cx.xavps.get(class?, 0)?.value else {
        return None;
    };
    let mut kept = fields.sibling();
    for field in fields.iter() {
        let value = match &field.value {
            XValue::Str(text) => XValue::Str(text.detach()),
            XValue::Int(n) => XValue::Int(*n),
            XValue::Null | XValue::List(_) => continue,
        };
        kept.add_last(field.name.detach(), value);
    }
    (!kept.is_empty()).then(|| Arc::new(kept))
}

/// Gives the message the fields of a contact, behind those of the contacts before it.
pub(crate) fn give_fields(cx: &mut Cx, class: Option<&Str>, contact: &Contact) {
    if let Some(class) = class {
        let fields = contact.attributes().map(|known| Xavps::clone(known));
        let fields = fields.unwrap_or_else(|| cx.xavps.sibling());
        cx.xavps.add_last(class.clone(), XValue::List(fields));
    }
}

/// Forgets what earlier calls gave.
pub(crate) fn forget(cx: &mut Cx, class: Option<&Str>) {
    if let Some(class) = class {
        cx.xavps.remove_all(class);
    }
}

/// Gives the message the details of a contact, before those of others.
pub(crate) fn give_details(fixed: &Fixed, cx: &mut Cx, contact: &Contact, now: u32) {
    let Some(class) = &fixed.xavp_rcd else { return };
    let wanted = |bit: i64| fixed.xavp_rcd_mask & bit == 0;
    let mut fields = cx.xavps.sibling();
    let whole = contact.whole();
    let mut put = |name: &'static str, value: XValue| fields.add(Str::from_static(name), value);
    if wanted(1) {
        put("ruid", XValue::Str(whole.share(contact.ruid())));
    }
    if wanted(2) {
        put("contact", XValue::Str(whole.share(contact.address())));
    }
    if wanted(4) {
        let left = contact.seconds_left(now).unwrap_or(0);
        put("expires", XValue::Int(left.into()));
    }
    if let Some(received) = contact.received().filter(|_| wanted(8)) {
        put("received", XValue::Str(whole.share(received)));
    }
    if let Some(path) = contact.path().filter(|_| wanted(16)) {
        put("path", XValue::Str(whole.share(path)));
    }
    cx.xavps.add(class.clone(), XValue::List(fields));
}
