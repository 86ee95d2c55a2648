//! The checks by their numbers. Texts and their spelling are Kamailio's: tools read them.

use kahea_module::{Cx, Str};
use kahea_sip::{
    FirstLine, Header, HeaderId,
    view::{CSeq, NameAddr, Scheme, Tokens, Uri, Via},
};

use super::{Failure, Sanity, auth, uris};

type Check = fn(&Sanity, &Cx, i64) -> Result<(), Failure>;

/// In the order in which they are made.
const CHECKS: [(i64, Check); 15] = [
    (1, |_, cx, _| version(cx)),
    (2, |_, cx, _| scheme(cx)),
    (4, |_, cx, _| required(cx)),
    (8, |_, _, _| Ok(())),
    (16, |_, _, _| Ok(())),
    (32, |_, cx, _| cseq_method(cx)),
    (64, |_, cx, _| cseq_number(cx)),
    (128, |_, cx, _| content_length(cx)),
    (256, |_, cx, _| expires(cx)),
    (512, |m, cx, _| proxy_require(m, cx)),
    (1024, |_, cx, which| uris::check(cx, which)),
    (2048, |_, cx, _| auth::credentials(cx)),
    (4096, |_, cx, _| tags(cx)),
    (8192, |_, cx, _| auth::authorization(cx)),
    (16384, |_, cx, _| first_via(cx)),
];

/// All check numbers.
pub(super) const KNOWN: i64 = 32767;

/// The first failure of the checks in the sum.
pub(super) fn run(m: &Sanity, cx: &Cx, checks: i64, uris: i64) -> Result<(), Failure> {
    CHECKS
        .iter()
        .filter(|(bit, _)| checks & bit != 0)
        .try_for_each(|(_, check)| check(m, cx, uris))
}

fn version(cx: &Cx) -> Result<(), Failure> {
    let FirstLine::Request { .. } = cx.msg.first_line() else {
        return Err(Failure::silent());
    };
    let version = cx.msg.bytes(cx.msg.version());
    match version.split(|b| *b == b'/').next_back() {
        Some(b"2.0") => Ok(()),
        _ => Err(Failure::of(505, "Version Not Supported (R-URI)")),
    }
}

fn scheme(cx: &Cx) -> Result<(), Failure> {
    let Some(uri) = cx.msg.uri() else {
        return Err(Failure::silent());
    };
    match Uri::parse(uri) {
        Ok(uri) if uri.scheme != Scheme::Other => Ok(()),
        Ok(_) | Err(_) => Err(Failure::bad("Bad Request URI")),
    }
}

fn required(cx: &Cx) -> Result<(), Failure> {
    use HeaderId::{CSeq, CallId, From, To, Via};
    match [To, From, CSeq, CallId, Via].iter().all(|id| cx.msg.has(*id)) {
        true => Ok(()),
        false => Err(Failure::bad("Missing Required Header in Request")),
    }
}

fn value(cx: &Cx, id: HeaderId) -> Option<&[u8]> {
    cx.msg.first(id).map(|header| cx.msg.value(header))
}

fn cseq_method(cx: &Cx) -> Result<(), Failure> {
    if !cx.msg.is_request() {
        return Err(Failure::silent());
    }
    let Some(value) = value(cx, HeaderId::CSeq) else {
        return Ok(());
    };
    let mut words = value
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty());
    match words.nth(1) {
        Some(method) if method == cx.msg.method_text() => Ok(()),
        Some(_) => Err(Failure::bad("CSeq method does not match request method")),
        None => Err(Failure::bad("CSeq method is missing")),
    }
}

fn cseq_number(cx: &Cx) -> Result<(), Failure> {
    match value(cx, HeaderId::CSeq) {
        Some(value) if CSeq::parse(value).is_err() => Err(Failure::bad("CSeq number is illegal")),
        _ => Ok(()),
    }
}

/// The body is what the header says: bytes that follow it in a datagram count, as in Kamailio.
fn content_length(cx: &Cx) -> Result<(), Failure> {
    let Some(stated) = cx.msg.content_length() else {
        return Ok(());
    };
    let body = cx.msg.body_span();
    let there = match cx.received.transport.is_stream() {
        true => body.len(),
        false => cx
            .msg
            .buffer()
            .len()
            .saturating_sub(usize::try_from(body.start()).unwrap_or(0)),
    };
    match usize::try_from(stated) == Ok(there) {
        true => Ok(()),
        false => Err(Failure::bad("Content-Length mis-match")),
    }
}

fn expires(cx: &Cx) -> Result<(), Failure> {
    match value(cx, HeaderId::Expires).map(<[u8]>::trim_ascii) {
        None => Ok(()),
        Some([]) => Err(Failure::bad("Bad Expires Header")),
        // RFC 3261 section 20.19: what is beyond 32 bits counts as the largest number.
        Some(text) if text.iter().all(u8::is_ascii_digit) => Ok(()),
        Some(_) => Err(Failure::bad("Expires value is illegal")),
    }
}

fn proxy_require(m: &Sanity, cx: &Cx) -> Result<(), Failure> {
    let unknown = |header: &Header| {
        let mut tags = Tokens::new(cx.msg.value(header));
        tags.find(|tag| !m.supported.iter().any(|known| **known == **tag))
    };
    let Some(tag) = cx.msg.all(HeaderId::ProxyRequire).find_map(unknown) else {
        return Ok(());
    };
    let mut failure = Failure::of(420, "Bad Proxy Require Extension");
    failure.header = Some(Str::from([b"Unsupported: ", tag, b"\r\n"].concat()));
    Err(failure)
}

fn tags(cx: &Cx) -> Result<(), Failure> {
    let many = |id| {
        let params = value(cx, id).and_then(|value| NameAddr::parse(value).ok()?.params.into());
        params.is_some_and(|params| {
            params
                .iter()
                .filter(|param| param.name.eq_ignore_ascii_case(b"tag"))
                .count()
                > 1
        })
    };
    if many(HeaderId::From) {
        return Err(Failure::bad("Many From Tag Params"));
    }
    if many(HeaderId::To) {
        return Err(Failure::bad("Many To Tag Params"));
    }
    Ok(())
}

fn first_via(cx: &Cx) -> Result<(), Failure> {
    let hop = cx.msg.vias().next();
    match hop.map(|hop| Via::parse(cx.msg.bytes(hop.span))) {
        Some(Ok(_)) => Ok(()),
        _ => Err(Failure::bad("Bad Via Header")),
    }
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::{
        super::tests::{request, started},
        *,
    };

    /// The numbers of the checks that fail, and the reason of the first.
    fn failing(lines: &[&str]) -> (Vec<i64>, String) {
        let server = Server::default();
        let cx = request(&server, lines);
        let m = started(|_| {});
        let failures = CHECKS
            .iter()
            .filter_map(|(bit, _)| Some((*bit, run(&m, &cx, *bit, 15).err()?)));
        let (bits, failures): (Vec<_>, Vec<_>) = failures.unzip();
        let first = failures.first().map(|f| f.reason.text().into_owned());
        (bits, first.unwrap_or_default())
    }

    #[test]
    fn the_oracles_table() {
        let rows: [(&[&str], &[i64], &str); 20] = [
            (&[], &[], ""),
            (&["OPTIONS sips:x@127.0.0.1 SIP/2.0"], &[], ""),
            (&["OPTIONS tel:+123 SIP/2.0"], &[], ""),
            (&["OPTIONS urn:service:sos SIP/2.0"], &[], ""),
            (&["OPTIONS http://x SIP/2.0"], &[2, 1024], "Bad Request URI"),
            (&["OPTIONS junk SIP/2.0"], &[2, 1024], "Bad Request URI"),
            (&["From: junk"], &[1024], "Invalid From Header"),
            (&["To: <sip:a@b:99999>"], &[1024], "Ivalid To Header"),
            (
                &["CSeq: 1 INVITE"],
                &[32],
                "CSeq method does not match request method",
            ),
            (&["CSeq: abc OPTIONS"], &[64], "CSeq number is illegal"),
            (&["CSeq: -1 OPTIONS"], &[64], "CSeq number is illegal"),
            (&["CSeq: 4294967295 OPTIONS"], &[], ""),
            (&["Expires: 4294967296"], &[], ""),
            (&["Expires: -1"], &[256], "Expires value is illegal"),
            (&["Expires:"], &[256], "Bad Expires Header"),
            (&["Proxy-Require: bar,foo"], &[], ""),
            (&["Proxy-Require: FOO"], &[512], "Bad Proxy Require Extension"),
            (&["From: <sip:a@b>;tag=1;tag=2"], &[4096], "Many From Tag Params"),
            (&["To: <sip:a@b>;tag=1;tag=1"], &[4096], "Many To Tag Params"),
            (&["To: <sip:a@b>;tag="], &[], ""),
        ];
        for (lines, bits, reason) in rows {
            assert_eq!(failing(lines), (bits.to_vec(), reason.to_owned()), "{lines:?}");
        }
    }

    #[test]
    fn what_is_missing_or_left_over() {
        let server = Server::default();
        let whole = request(&server, &[]).msg.buffer().text().replace("\r\n", "\n");
        let cx = server.message(&whole.replace("Call-ID: s1\n", ""));
        assert_eq!(
            required(&cx),
            Err(Failure::bad("Missing Required Header in Request"))
        );
        let cx = server.message(&format!(
            "{}\n\nhello",
            whole.trim_end().replace("Length: 0", "Length: 1")
        ));
        assert_eq!(content_length(&cx), Err(Failure::bad("Content-Length mis-match")));
        let cx = server.message(&whole.replace("Content-Length: 0\n", ""));
        assert_eq!(content_length(&cx), Ok(()));
        assert!(CHECKS.iter().map(|(bit, _)| bit).sum::<i64>() == KNOWN);
    }
}
