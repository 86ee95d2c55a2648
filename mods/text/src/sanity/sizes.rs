//! Size checks of version 6: nothing is longer than the parameters allow.

use kahea_module::Cx;
use kahea_sip::{HeaderId, view::Addrs};

use super::Failure;

/// The limits in bytes, and which of them count.
pub(super) struct Sizes {
    pub(super) checks: i64,
    pub(super) message: i64,
    pub(super) method: i64,
    pub(super) ruri: i64,
    pub(super) from_uri: i64,
    pub(super) to_uri: i64,
    pub(super) contact_uri: i64,
    pub(super) route_uri: i64,
    pub(super) path_uri: i64,
    pub(super) pai_uri: i64,
    pub(super) header: i64,
    pub(super) headers: i64,
    pub(super) body: i64,
}

impl Default for Sizes {
    fn default() -> Self {
        Sizes {
            checks: 0,
            message: 16384,
            method: 32,
            ruri: 256,
            from_uri: 256,
            to_uri: 256,
            contact_uri: 256,
            route_uri: 256,
            path_uri: 256,
            pai_uri: 256,
            header: 2048,
            headers: 8192,
            body: 8192,
        }
    }
}

pub(super) fn check(sizes: &Sizes, cx: &Cx) -> Result<(), Failure> {
    if sizes.checks == 0 {
        return Ok(());
    }
    let msg = &cx.msg;
    let headers =
        usize::try_from(msg.headers_end().saturating_sub(msg.headers_start())).unwrap_or(usize::MAX);
    let header = msg
        .headers()
        .iter()
        .map(|header| header.line.len())
        .max()
        .unwrap_or(0);
    let rows = [
        (1, msg.span().len(), sizes.message, too_large()),
        (
            2,
            msg.method_text().len(),
            sizes.method,
            Failure::bad("Method Too Long"),
        ),
        (
            4,
            msg.uri().unwrap_or_default().len(),
            sizes.ruri,
            Failure::of(414, "Request-URI Too Long"),
        ),
        (
            8,
            longest(cx, HeaderId::From),
            sizes.from_uri,
            Failure::bad("From URI Too Long"),
        ),
        (
            16,
            longest(cx, HeaderId::To),
            sizes.to_uri,
            Failure::bad("To URI Too Long"),
        ),
        (
            32,
            longest(cx, HeaderId::Contact),
            sizes.contact_uri,
            Failure::bad("Contact URI Too Long"),
        ),
        (
            64,
            longest(cx, HeaderId::Route),
            sizes.route_uri,
            Failure::bad("Route URI Too Long"),
        ),
        (
            128,
            longest(cx, HeaderId::Path),
            sizes.path_uri,
            Failure::bad("Path URI Too Long"),
        ),
        (
            256,
            longest(cx, HeaderId::PAssertedIdentity),
            sizes.pai_uri,
            Failure::bad("P-Asserted-Identity URI Too Long"),
        ),
        (512, header, sizes.header, Failure::bad("Header Too Long")),
        (1024, headers, sizes.headers, too_large()),
        (2048, msg.body().len(), sizes.body, too_large()),
    ];
    let too_long = rows.into_iter().find(|(bit, length, limit, _)| {
        let length = i64::try_from(*length).unwrap_or(i64::MAX);
        sizes.checks & bit != 0 && length > *limit
    });
    too_long.map_or(Ok(()), |(_, _, _, failure)| Err(failure))
}

fn too_large() -> Failure {
    Failure::of(513, "Message Too Large")
}

/// The length of the longest URI in the headers; what cannot be read counts as a whole.
fn longest(cx: &Cx, id: HeaderId) -> usize {
    let values = cx.msg.all(id).map(|header| cx.msg.value(header));
    let uris = values.flat_map(|value| {
        Addrs::new(value).map(move |address| address.map_or(value.len(), |address| address.uri.len()))
    });
    uris.max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::{super::tests::request, *};

    #[test]
    fn each_size_has_its_limit() {
        let server = Server::default();
        let long = "x".repeat(300);
        let lines = |line: &str| vec![line.replace('%', &long)];
        for (bit, line) in [
            (4, "OPTIONS sip:%@127.0.0.1 SIP/2.0"),
            (8, "From: <sip:%@b>;tag=1"),
            (16, "To: <sip:%@b>"),
            (32, "Contact: <sip:a@b>, <sip:%@b>"),
            (64, "Route: <sip:%@b;lr>"),
            (128, "Path: <sip:%@b;lr>"),
            (256, "P-Asserted-Identity: <sip:%@b>"),
        ] {
            let lines = lines(line);
            let cx = request(&server, &lines.iter().map(String::as_str).collect::<Vec<_>>());
            let with = |checks| Sizes {
                checks,
                ..Sizes::default()
            };
            assert!(check(&with(bit), &cx).is_err(), "{line}");
            assert_eq!(check(&with(4095 & !bit), &cx), Ok(()), "{line}");
            assert_eq!(check(&with(0), &cx), Ok(()));
        }
        let cx = request(&server, &[]);
        for (bit, tight) in [
            (
                1,
                Sizes {
                    message: 20,
                    ..Sizes::default()
                },
            ),
            (
                2,
                Sizes {
                    method: 6,
                    ..Sizes::default()
                },
            ),
            (
                512,
                Sizes {
                    header: 20,
                    ..Sizes::default()
                },
            ),
            (
                1024,
                Sizes {
                    headers: 20,
                    ..Sizes::default()
                },
            ),
        ] {
            assert!(check(&Sizes { checks: bit, ..tight }, &cx).is_err());
        }
    }
}
