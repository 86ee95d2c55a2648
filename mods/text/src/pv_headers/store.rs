//! The collected headers: a field of `$xavi(headers=>Name)` for each value, from top to bottom.

use kahea_module::{
    Cx, Str, Value,
    xavp::{XValue, Xavps},
};
use kahea_sip::HeaderId;

use super::PvHeaders;
use crate::textops::arg::HeaderName;

/// What is noted of the status line of a reply.
#[derive(Default)]
pub(super) struct Status {
    /// `$x_rs` where assigned.
    pub code: Option<u16>,
    /// `$x_rr` where assigned.
    pub reason: Option<Str>,
}

/// The usual name of a header: known ones as RFCs spell them, so that compact forms meet long ones.
pub(super) fn key(name: &[u8]) -> Str {
    match HeaderId::parse(name.trim_ascii()) {
        HeaderId::Other => Str::copy(name.trim_ascii()),
        id => Str::from_static(id.name()),
    }
}

fn is_one_of(list: &[HeaderName], name: &[u8]) -> bool {
    list.iter().any(|one| match (one.id(), HeaderId::parse(name)) {
        (HeaderId::Other, HeaderId::Other) => one.text().eq_ignore_ascii_case(name),
        (a, b) => a == b,
    })
}

impl PvHeaders {
    /// `skip_headers` has this header.
    pub(super) fn skips(&self, name: &[u8]) -> bool {
        is_one_of(&self.skip, name)
    }

    /// The collected headers, where there are any.
    pub(super) fn fields<'a>(&self, cx: &'a Cx) -> Option<&'a Xavps> {
        match cx.xavis.get(&self.xavi, 0).map(|xavi| &xavi.value) {
            Some(XValue::List(fields)) => Some(fields),
            _ => None,
        }
    }

    /// The collected headers, made where there are none.
    pub(super) fn fields_mut<'a>(&self, cx: &'a mut Cx) -> Option<&'a mut Xavps> {
        if self.fields(cx).is_none() {
            let empty = cx.xavis.sibling();
            cx.xavis.remove_all(&self.xavi);
            cx.xavis.add(self.xavi.clone(), XValue::List(empty));
        }
        match cx.xavis.get_mut(&self.xavi, 0).map(|xavi| &mut xavi.value) {
            Some(XValue::List(fields)) => Some(fields),
            _ => None,
        }
    }

    /// Reads the headers of the message; those read before are forgotten.
    pub(super) fn collect(&self, cx: &mut Cx) {
        let mut found = Vec::new();
        for header in cx.msg.headers() {
            let name = cx.msg.bytes(header.name);
            let value = cx.msg.value_text(header);
            found.extend(
                self.split(name, &value)
                    .into_iter()
                    .map(|value| (key(name), value)),
            );
        }
        *cx.extra::<Status>() = Status::default();
        cx.xavis.remove_all(&self.xavi);
        if let Some(fields) = self.fields_mut(cx) {
            for (name, value) in found {
                fields.add_last(name, XValue::Str(value));
            }
        }
    }

    /// The values of one header line.
    pub(super) fn split(&self, name: &[u8], value: &Str) -> Vec<Str> {
        if !is_one_of(&self.split, name) {
            return vec![value.clone()];
        }
        let list = crate::textopsx::elements(value, b',');
        list.into_iter()
            .filter_map(|element| value.get(element.value).map(|piece| value.share(piece)))
            .collect()
    }

    /// The values of a header, top to bottom; `None` where it is not known.
    pub(super) fn values(&self, cx: &Cx, name: &[u8]) -> Option<Vec<Value>> {
        let name = key(name);
        let fields = self.fields(cx)?;
        let values: Vec<Value> = fields.all(&name).map(|field| field.value.value()).collect();
        (!values.is_empty()).then_some(values)
    }

    /// Puts these values in the place of all values of a header.
    pub(super) fn set(&self, cx: &mut Cx, name: &[u8], values: Vec<Value>) {
        let name = key(name);
        if let Some(fields) = self.fields_mut(cx) {
            fields.remove_all(&name);
            for value in values {
                fields.add_last(name.clone(), XValue::from(value));
            }
        }
    }

    /// Changes one value; `false` where there is none at this place.
    pub(super) fn set_at(&self, cx: &mut Cx, name: &[u8], at: usize, value: Value) -> bool {
        let name = key(name);
        match self.fields_mut(cx).and_then(|fields| fields.get_mut(&name, at)) {
            Some(field) => {
                field.value = XValue::from(value);
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::module;
    use crate::textops::tests::request;

    #[test]
    fn values_keep_their_order_and_names_their_kin() {
        let (m, cx) = (
            module(),
            &mut request("X-A: 1\nt: <sip:a@b>\nx-a: 2\nX-S: a, b\n"),
        );
        assert!(m.values(cx, b"X-A").is_none());
        m.collect(cx);
        m.collect(cx);
        assert_eq!(m.values(cx, b"x-A"), Some(vec!["1".into(), "2".into()]));
        assert_eq!(m.values(cx, b"X-S"), Some(vec!["a".into(), "b".into()]));
        assert_eq!(m.values(cx, b"To"), m.values(cx, b"t"));
        assert!(m.set_at(cx, b"X-A", 1, "z".into()) && !m.set_at(cx, b"X-A", 2, "z".into()));
        assert!(m.skips(b"v") && !m.skips(b"X-A"));
    }
}
