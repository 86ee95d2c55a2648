//! Check 1024: the URIs can be read.

use kahea_module::Cx;
use kahea_sip::{
    HeaderId,
    view::{Addrs, Contacts, NameAddr, Scheme, Uri},
};

use super::Failure;

const RURI: i64 = 1;
const FROM: i64 = 2;
const TO: i64 = 4;
const CONTACT: i64 = 8;

pub(super) fn check(cx: &Cx, which: i64) -> Result<(), Failure> {
    if which & RURI != 0 {
        let uri = cx.msg.uri().ok_or_else(Failure::silent)?;
        readable(uri, "Bad Request URI")?;
    }
    if which & FROM != 0 {
        single(cx, HeaderId::From, "Invalid From Header")?;
    }
    if which & TO != 0 {
        // So does Kamailio spell it.
        single(cx, HeaderId::To, "Ivalid To Header")?;
    }
    if which & CONTACT != 0 {
        contacts(cx)?;
    }
    Ok(())
}

fn readable(uri: &[u8], reason: &'static str) -> Result<(), Failure> {
    match Uri::parse(uri) {
        Ok(uri) if uri.scheme != Scheme::Other => Ok(()),
        _ => Err(Failure::bad(reason)),
    }
}

fn single(cx: &Cx, id: HeaderId, reason: &'static str) -> Result<(), Failure> {
    let value = cx.msg.first(id).map(|header| cx.msg.value(header));
    let address = value.and_then(|value| NameAddr::parse(value).ok());
    match address {
        Some(address) => readable(address.uri, reason),
        None => Err(Failure::bad(reason)),
    }
}

fn contacts(cx: &Cx) -> Result<(), Failure> {
    for header in cx.msg.all(HeaderId::Contact) {
        let value = cx.msg.value(header);
        if matches!(Contacts::parse(value), Contacts::Star) {
            continue;
        }
        for address in Addrs::new(value) {
            // What is no URI at all, such as a lone word, makes the header bad.
            let address = address.ok().filter(|address| address.uri.contains(&b':'));
            let address = address.ok_or_else(|| Failure::bad("Bad Contact Header"))?;
            readable(address.uri, "Bad Contact URI")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::{super::tests::request, *};

    #[test]
    fn contacts_are_read() {
        let server = Server::default();
        for (line, wanted) in [
            ("Contact: junk", Err("Bad Contact Header")),
            ("Contact: <sip:a@b>, junk", Err("Bad Contact Header")),
            ("Contact: *", Ok(())),
            ("Contact: <sip:>", Err("Bad Contact URI")),
            ("Contact: <sip:a@b>, <tel:+1>", Ok(())),
        ] {
            let cx = request(&server, &[line]);
            assert_eq!(check(&cx, CONTACT), wanted.map_err(Failure::bad), "{line}");
            assert_eq!(check(&cx, 7), Ok(()));
        }
    }
}
