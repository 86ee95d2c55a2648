//! Checks 2048 and 8192: credentials have what a digest needs.

use kahea_module::Cx;
use kahea_sip::{Header, HeaderId, view::Credentials};

use super::Failure;

/// All credentials; a scheme other than digest fails without a reply.
pub(super) fn credentials(cx: &Cx) -> Result<(), Failure> {
    let both = cx
        .msg
        .all(HeaderId::Authorization)
        .chain(cx.msg.all(HeaderId::ProxyAuthorization));
    for header in both {
        let found = read(cx, header)?;
        if !found.is_digest() {
            return Err(Failure::silent());
        }
        digest(&found)?;
    }
    Ok(())
}

/// Digests only; other schemes pass.
pub(super) fn authorization(cx: &Cx) -> Result<(), Failure> {
    let both = cx
        .msg
        .all(HeaderId::Authorization)
        .chain(cx.msg.all(HeaderId::ProxyAuthorization));
    for header in both {
        if is_digest(cx.msg.value(header)) {
            digest(&read(cx, header)?)?;
        }
    }
    Ok(())
}

fn is_digest(value: &[u8]) -> bool {
    let mut words = value
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty());
    words
        .next()
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"Digest"))
}

fn read<'a>(cx: &'a Cx, header: &Header) -> Result<Credentials<'a>, Failure> {
    Credentials::parse(cx.msg.value(header)).map_err(|_| Failure::bad("Bad Auth Header"))
}

fn digest(found: &Credentials<'_>) -> Result<(), Failure> {
    let needs_count = found.qop_text.is_none() || found.cnonce.is_some() && found.nc_text.is_some();
    let all = found.username.is_some()
        && found.realm.is_some()
        && found.nonce.is_some()
        && found.uri.is_some()
        && found.response.is_some()
        && needs_count;
    if !all {
        return Err(Failure::bad("Bad Auth Credentials"));
    }
    if found.username == Some(b"") {
        return Err(Failure::bad("Auth Empty User"));
    }
    if found.nonce == Some(b"") {
        return Err(Failure::bad("Auth Empty Nonce"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::{super::tests::request, *};

    const GOOD: &str =
        "Authorization: Digest username=\"a\", realm=\"r\", nonce=\"n\", uri=\"sip:x\", response=\"0\"";

    #[test]
    fn the_oracles_table() {
        let server = Server::default();
        let bad = |reason| Err(Failure::bad(reason));
        let rows = [
            (GOOD.to_owned(), Ok(())),
            (GOOD.replace(", response=\"0\"", ""), bad("Bad Auth Credentials")),
            (GOOD.replace("username=\"a\", ", ""), bad("Bad Auth Credentials")),
            (GOOD.replace("\"a\"", "\"\""), bad("Auth Empty User")),
            (GOOD.replace("\"n\"", "\"\""), bad("Auth Empty Nonce")),
            (format!("{GOOD}, qop=auth"), bad("Bad Auth Credentials")),
            (format!("{GOOD}, qop=auth, nc=1, cnonce=\"x\""), Ok(())),
            (GOOD.replace("\"sip:x\"", "\"\""), Ok(())),
            (
                "Authorization: Digest username=\"a".to_owned(),
                bad("Bad Auth Header"),
            ),
        ];
        for (line, wanted) in rows {
            let cx = request(&server, &[&line]);
            assert_eq!(credentials(&cx), wanted, "{line}");
            assert_eq!(authorization(&cx), wanted, "{line}");
        }
        for line in [
            "Authorization: Basic abc",
            "Proxy-Authorization: Basic abc",
            "Authorization: junk",
        ] {
            let cx = request(&server, &[line]);
            assert_eq!(
                (credentials(&cx), authorization(&cx)),
                (Err(Failure::silent()), Ok(())),
                "{line}"
            );
        }
    }
}
