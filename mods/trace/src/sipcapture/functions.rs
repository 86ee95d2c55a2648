//! The functions of `sipcapture`.

use std::sync::Arc;

use kahea_module::{Cx, Decl, Fault, Str};

use super::{
    Sipcapture,
    row::{self, Original},
};
use crate::{courier::Address, hep, shot::Shot};

pub(super) fn declare(d: &mut Decl<Sipcapture>) {
    let doc = "Writes the message to a table of the parameters, to the one named (with the letters of strftime), or as a capture_mode says.";
    d.func(
        "sip_capture",
        [],
        |m: &Sipcapture, cx: &mut Cx| capture(m, cx, None, None),
        doc,
    )
    .kemi(0, "sip_capture");
    let named = |m: &Sipcapture, cx: &mut Cx, table: Str| capture(m, cx, Some(table), None);
    d.func("sip_capture", ["table"], named, doc)
        .kemi(1, "sip_capture_table");
    let by_mode =
        |m: &Sipcapture, cx: &mut Cx, table: Str, mode: Str| capture(m, cx, Some(table), Some(mode));
    d.func("sip_capture", ["table", "mode"], by_mode, doc)
        .kemi(2, "sip_capture_mode");
    let doc = "Writes a report (what a packet of HEP carries that is no SIP, or the data given) to a table.";
    let named = |m: &Sipcapture, cx: &mut Cx, table: Str| report(m, cx, &table, None, None);
    d.func("report_capture", ["table"], named, doc)
        .kemi(1, "report_capture");
    let with_id = |m: &Sipcapture, cx: &mut Cx, table: Str, id: Str| report(m, cx, &table, Some(id), None);
    d.func("report_capture", ["table", "correlation"], with_id, doc)
        .kemi(2, "report_capture_cid");
    let whole = |m: &Sipcapture, cx: &mut Cx, table: Str, id: Str, data: Str| {
        report(m, cx, &table, Some(id), Some(data))
    };
    d.func("report_capture", ["table", "correlation", "data"], whole, doc)
        .kemi(3, "report_capture_data");
    let doc = "The product of a fraction and a number, without what is behind the point; -1 where that is 0.";
    d.func(
        "float2int",
        ["fraction", "number"],
        |_: &Sipcapture, _: &mut Cx, a: Str, b: Str| float2int(&a, &b),
        doc,
    )
    .kemi(2, "float2int");
    d.func(
        "sip_capture_forward",
        ["to"],
        forward,
        "Sends the packet of HEP on to another collector.",
    )
    .kemi(1, "sip_capture_forward");
}

/// A table's name with the letters of strftime(3) filled in.
fn table_name(cx: &Cx, name: &Str) -> Result<Option<Str>, Fault> {
    if name.is_empty() {
        return Ok(None);
    }
    if !name.contains(&b'%') {
        return Ok(Some(name.clone()));
    }
    let wrong = |error: jiff::Error| {
        Fault::script(format!(
            "the name of the table '{name}' is no form of a time: {error}"
        ))
    };
    let now = jiff::Timestamp::try_from(cx.time()).map_err(wrong)?;
    let now = now.to_zoned(jiff::tz::TimeZone::system());
    let text = jiff::fmt::strtime::format(name.text().as_bytes(), &now).map_err(wrong)?;
    Ok(Some(Str::from(text)))
}

fn capture(m: &Sipcapture, cx: &mut Cx, table: Option<Str>, mode: Option<Str>) -> Result<bool, Fault> {
    if !m.is_on() {
        return Ok(false);
    }
    let mode = mode.unwrap_or_default();
    let tables = m.tables(&mode).ok_or_else(|| match mode.is_empty() {
        true => Fault::script("there is no table to capture to; set the parameter db_url"),
        false => Fault::script(format!("there is no capture_mode '{mode}'")),
    })?;
    let table = match table {
        Some(name) => table_name(cx, &name)?,
        None => None,
    };
    let values = row::message(cx, &m.extras);
    let pick = row::pick(&cx.msg, cx.worker.random());
    Ok(tables.write(table.as_ref(), &pick, values))
}

fn report(
    m: &Sipcapture,
    cx: &mut Cx,
    table: &Str,
    id: Option<Str>,
    data: Option<Str>,
) -> Result<bool, Fault> {
    if !m.is_on() {
        return Ok(false);
    }
    let tables = m
        .reports
        .as_ref()
        .ok_or_else(|| Fault::script("there is no table for reports; set the parameter db_url"))?;
    let table =
        table_name(cx, table)?.ok_or_else(|| Fault::script("a report needs the name of its table"))?;
    let given = |text: Option<Str>| text.filter(|text| !text.is_empty());
    let values = row::report(cx, &m.extras, given(id).as_ref(), given(data).as_ref());
    let pick = row::pick(&cx.msg, 0);
    Ok(tables.write(Some(&table), &pick, values))
}

/// As atof(3) and atoi(3) read them: as far as they are numbers.
fn float2int(fraction: &Str, number: &Str) -> i64 {
    let leading = |text: &Str, fits: fn(char) -> bool| -> String {
        let text = text.text();
        let text = text.trim_start();
        let (sign, digits) = match text.strip_prefix('-') {
            Some(rest) => ("-", rest),
            None => ("", text.strip_prefix('+').unwrap_or(text)),
        };
        let end = digits.find(|one: char| !fits(one)).unwrap_or(digits.len());
        format!("{sign}{}", digits.get(..end).unwrap_or_default())
    };
    let fraction: f64 = leading(fraction, |one| one.is_ascii_digit() || one == '.')
        .parse()
        .unwrap_or(0.0);
    let number: f64 = leading(number, |one| one.is_ascii_digit()).parse().unwrap_or(0.0);
    // A cast of a float saturates.
    match (fraction * number) as i64 {
        0 => -1,
        product => product,
    }
}

fn forward(m: &Sipcapture, cx: &mut Cx, to: Str) -> Result<bool, Fault> {
    let address = Address::of_uri(&to, None)
        .ok_or_else(|| Fault::script(format!("'{to}' is no SIP URI that packets can go to")))?;
    let bytes = match cx.extra_ref::<Original>() {
        Some(Original(bytes)) if !bytes.is_empty() => bytes.to_vec(),
        _ => {
            let bytes = Shot::of(cx).packet().encode(hep::Version::Three);
            bytes.ok_or_else(|| Fault::script("the message does not fit a packet of HEP"))?
        }
    };
    Ok(m.courier.send(&Arc::new(address), bytes))
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::*;

    #[test]
    fn fractions_become_numbers() {
        let of = |a: &str, b: &str| float2int(&Str::from(a), &Str::from(b));
        assert_eq!(of("10.5", "1"), 10);
        assert_eq!(of("4.19", "100"), 419);
        assert_eq!(of("-1.5", "2"), -3);
        assert_eq!((of("x", "1"), of("0.1", "1"), of("1", "")), (-1, -1, -1));
        assert_eq!(of("2x", "3y"), 6);
    }

    #[test]
    fn names_of_tables_have_dates() {
        let server = Server::default();
        let cx = server.invite();
        let name = table_name(&cx, &Str::from("sip_%Y")).unwrap().unwrap();
        assert!(name.starts_with(b"sip_") && name.len() == 8);
        assert_eq!(table_name(&cx, &Str::EMPTY).unwrap(), None);
        assert!(table_name(&cx, &Str::from("x%")).is_err());
    }
}
