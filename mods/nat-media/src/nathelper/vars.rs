//! `$rr_count` and `$rr_top_count`.

use kahea_module::{Cx, Index, Value};
use kahea_sip::{
    HeaderId,
    view::{Addrs, NameAddr},
};

use super::NatHelper;

/// The Record-Route values, topmost first; `None` where one cannot be read.
fn routes(cx: &Cx) -> Option<Vec<NameAddr<'_>>> {
    let headers = cx.msg.all(HeaderId::RecordRoute);
    headers
        .flat_map(|header| Addrs::new(cx.msg.value(header)))
        .collect::<Result<_, _>>()
        .ok()
}

/// Empty where a header cannot be read.
pub(super) fn record_routes(_: &NatHelper, cx: &mut Cx, _: Index) -> Value {
    match routes(cx) {
        Some(routes) => Value::Int(i64::try_from(routes.len()).unwrap_or(i64::MAX)),
        None => Value::EMPTY,
    }
}

pub(super) fn topmost_record_routes(_: &NatHelper, cx: &mut Cx, _: Index) -> Value {
    let Some(routes) = routes(cx) else {
        return Value::EMPTY;
    };
    let Some(top) = routes.first() else {
        return Value::Int(0);
    };
    let double = top.parse_uri().is_ok_and(|uri| uri.r2().is_some());
    Value::Int(if double { 2 } else { 1 })
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::{super::tests::module, *};

    #[test]
    fn routes_are_counted_across_headers_and_commas() {
        let server = Server::default();
        let m = module();
        let count = |headers: &str| {
            let mut cx = server.message(&format!("INVITE sip:b@h SIP/2.0\n{headers}\n\n"));
            (
                record_routes(&m, &mut cx, Index::None),
                topmost_record_routes(&m, &mut cx, Index::None),
            )
        };
        assert_eq!(count("To: <sip:b@h>"), (Value::Int(0), Value::Int(0)));
        assert_eq!(
            count("Record-Route: <sip:a;r2=on;lr>, <sip:b;lr>\nRecord-Route: <sip:c;lr>"),
            (Value::Int(3), Value::Int(2))
        );
        assert_eq!(count("Record-Route: \"x <sip:a>").0, Value::EMPTY);
    }
}
