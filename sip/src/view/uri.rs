//! URIs: SIP and SIPS (RFC 3261 19.1), tel (RFC 3966), URN (RFC 8141), others by their scheme.

use std::{borrow::Cow, net::IpAddr};

use super::{Malformed, Params, scan};
use crate::Transport;

/// The scheme of a URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `sip:`
    Sip,
    /// `sips:`
    Sips,
    /// `tel:`
    Tel,
    /// `tels:`, Kamailio's own.
    Tels,
    /// `urn:`, such as `urn:service:sos` (RFC 5031).
    Urn,
    /// Any other, such as `http:` or `mailto:`: only its text is known.
    Other,
}

/// A URI.
///
/// Pieces that are absent are empty and lie where they would stand, so that an edit can insert them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uri<'a> {
    /// The whole URI, without blanks around it.
    pub raw: &'a [u8],
    /// What it is.
    pub scheme: Scheme,
    /// The scheme as it is written, without the colon.
    pub scheme_text: &'a [u8],
    /// The user with its own parameters; the number of a `tel:` URI; the namespace of a URN.
    pub user: &'a [u8],
    /// The password, which RFC 3261 19.1.1 advises against.
    pub password: Option<&'a [u8]>,
    /// The host of a SIP URI, an IPv6 reference with its brackets; what follows the namespace of a URN.
    pub host: &'a [u8],
    /// The port, where one is stated.
    pub port: Option<u16>,
    /// The port as it is written.
    pub port_text: &'a [u8],
    /// The parameters, without the first `;`.
    pub params: Params<'a>,
    /// The headers, without the `?`; `None` where there is no `?`.
    pub headers: Option<&'a [u8]>,
    /// All after the colon of the scheme.
    pub rest: &'a [u8],
}

impl<'a> Uri<'a> {
    /// Reads a URI; blanks around it are passed over.
    ///
    /// # Errors
    /// No scheme, no host (SIP), no number (tel), a port above 65535, or a line end or NUL anywhere.
    pub fn parse(text: &'a [u8]) -> Result<Uri<'a>, Malformed> {
        let raw = scan::trim(text);
        Uri::read(raw).map_err(|error| error.shifted(scan::offset(text, raw)))
    }

    fn read(raw: &'a [u8]) -> Result<Uri<'a>, Malformed> {
        if let Some(at) = memchr::memchr3(b'\r', b'\n', 0, raw) {
            return Err(Malformed::new("line end or NUL in a URI", at));
        }
        let (scheme, length) = scheme(raw)?;
        let (scheme_text, rest) = (scan::before(raw, length), scan::after(raw, length + 1));
        let (start, end) = (scan::before(rest, 0), scan::after(rest, rest.len()));
        let mut uri = Uri {
            raw,
            scheme,
            scheme_text,
            user: start,
            password: None,
            host: start,
            port: None,
            port_text: start,
            params: Params::uri(end),
            headers: None,
            rest,
        };
        match scheme {
            Scheme::Sip | Scheme::Sips => uri.sip()?,
            Scheme::Tel | Scheme::Tels => uri.tel()?,
            Scheme::Urn => uri.urn()?,
            Scheme::Other => {}
        }
        Ok(uri)
    }

    /// `[userinfo@]hostport[;params][?headers]`: the first `@` ends the user, which may hold `;`, `?` and `/`.
    fn sip(&mut self) -> Result<(), Malformed> {
        let mut place = self.rest;
        if let Some(at) = memchr::memchr(b'@', place) {
            (self.user, self.password) = scan::split_once(scan::before(place, at), b':');
            place = scan::after(place, at + 1);
        }
        let at = scan::host_port(place, false).map_err(|e| e.shifted(scan::offset(self.raw, place)))?;
        if !matches!(at.rest.first(), None | Some(b';' | b'?')) {
            return Err(Malformed::new(
                "byte that no host or port has",
                scan::offset(self.raw, at.rest),
            ));
        }
        (self.host, self.port, self.port_text) = (at.host, at.port, at.port_text);
        self.tail(at.rest);
        Ok(())
    }

    fn tel(&mut self) -> Result<(), Malformed> {
        let end = self
            .rest
            .iter()
            .position(|b| matches!(b, b';' | b'?'))
            .unwrap_or(self.rest.len());
        self.user = scan::before(self.rest, end);
        self.host = scan::after(self.user, end);
        self.port_text = self.host;
        if self.user.is_empty() {
            return Err(Malformed::new("no number", self.scheme_text.len() + 1));
        }
        self.tail(scan::after(self.rest, end));
        Ok(())
    }

    /// `namespace:string`: Kamailio has the namespace (`service`) as user and the string (`sos`) as host.
    fn urn(&mut self) -> Result<(), Malformed> {
        let end = self
            .rest
            .iter()
            .position(|b| matches!(b, b';' | b'?'))
            .unwrap_or(self.rest.len());
        let (namespace, string) = scan::split_once(scan::before(self.rest, end), b':');
        let string = string.unwrap_or_default();
        if namespace.is_empty() || string.is_empty() {
            return Err(Malformed::new(
                "URN that is not namespace:string",
                self.scheme_text.len() + 1,
            ));
        }
        self.user = namespace;
        self.host = string;
        self.port_text = scan::after(string, string.len());
        self.tail(scan::after(self.rest, end));
        Ok(())
    }

    /// Takes `[;params][?headers]`.
    fn tail(&mut self, tail: &'a [u8]) {
        let (params, headers) = match memchr::memchr(b'?', tail) {
            Some(at) => (scan::before(tail, at), Some(scan::after(tail, at + 1))),
            None => (tail, None),
        };
        self.params = Params::uri(params.strip_prefix(b";").unwrap_or(params));
        self.headers = headers;
    }

    /// The user without its own parameters (`alice;p=1`), as Kamailio takes it for telephone numbers.
    pub fn user_without_params(&self) -> &'a [u8] {
        scan::split_once(self.user, b';').0
    }

    /// The user as scripts see it (`$rU`): with `phone2tel` Kamailio cuts its parameters off where `user=phone` makes it a
    /// number.
    pub fn script_user(&self, phone2tel: bool) -> &'a [u8] {
        if phone2tel && self.has_user_param_phone() {
            self.user_without_params()
        } else {
            self.user
        }
    }

    /// The parameters inside of the user part, such as `phone-context` in `sip:+123;phone-context=x@host`.
    pub fn user_params(&self) -> Params<'a> {
        Params::uri(
            scan::split_once(self.user, b';')
                .1
                .unwrap_or(scan::after(self.user, self.user.len())),
        )
    }

    /// An `@` is there, though the user may be empty.
    pub fn has_userinfo(&self) -> bool {
        matches!(self.scheme, Scheme::Sip | Scheme::Sips) && memchr::memchr(b'@', self.rest).is_some()
    }

    /// The address, where the host is one; a zone (`%eth0`) is passed over.
    pub fn host_ip(&self) -> Option<IpAddr> {
        host_ip(self.host)
    }

    /// Host and port as they are written, `example.com:5070`.
    pub fn hostport(&self) -> &'a [u8] {
        let from = scan::offset(self.raw, self.host);
        let to = scan::offset(self.raw, self.port_text) + self.port_text.len();
        // Without a port its text is empty and lies after the host.
        scan::cut(self.raw, from, to)
    }

    /// `user@host`; the host where there is no user, the number of a `tel:` URI: Kamailio's `{uri.aor}`.
    pub fn aor(&self) -> Cow<'a, [u8]> {
        match (self.user.is_empty(), self.password) {
            (true, _) => Cow::Borrowed(self.host),
            (false, _) if self.host.is_empty() => Cow::Borrowed(self.user),
            (false, None) => {
                let end = scan::offset(self.raw, self.host) + self.host.len();
                Cow::Borrowed(scan::cut(self.raw, scan::offset(self.raw, self.user), end))
            }
            _ => Cow::Owned([self.user, b"@", self.host].concat()),
        }
    }

    /// `scheme:user@host`: Kamailio's `{uri.saor}`.
    pub fn scheme_aor(&self) -> Vec<u8> {
        [self.scheme_text, b":", &self.aor()].concat()
    }

    /// The URI headers, `name=value` joined by `&`.
    pub fn header_list(&self) -> Params<'a> {
        Params::uri_headers(
            self.headers
                .unwrap_or_else(|| scan::after(self.raw, self.raw.len())),
        )
    }

    /// The value of the parameter `name` in any case; `None` where it is absent or has no value.
    pub fn param(&self, name: impl AsRef<[u8]>) -> Option<&'a [u8]> {
        self.params.value(name)
    }

    /// The parameter `name` is there, with or without a value.
    pub fn has_param(&self, name: impl AsRef<[u8]>) -> bool {
        self.params.has(name)
    }

    /// The transport of `;transport=`; [`Transport::None`] where it is not stated or not known.
    pub fn transport(&self) -> Transport {
        self.transport_text()
            .and_then(Transport::parse)
            .unwrap_or_default()
    }

    /// `;transport=` as it is written.
    pub fn transport_text(&self) -> Option<&'a [u8]> {
        self.param("transport")
    }

    /// `;ttl=`, 0 to 255.
    pub fn ttl(&self) -> Option<u8> {
        scan::number(self.param("ttl")?)
    }

    /// `;user=`, `phone` or `ip`.
    pub fn user_param(&self) -> Option<&'a [u8]> {
        self.param("user")
    }

    /// `;user=phone` says that the user is a telephone number.
    pub fn has_user_param_phone(&self) -> bool {
        self.user_param()
            .is_some_and(|value| value.eq_ignore_ascii_case(b"phone"))
    }

    /// `;maddr=`
    pub fn maddr(&self) -> Option<&'a [u8]> {
        self.param("maddr")
    }

    /// `;method=`
    pub fn method(&self) -> Option<&'a [u8]> {
        self.param("method")
    }

    /// `;lr`, loose routing (RFC 3261 16.12).
    pub fn lr(&self) -> bool {
        self.has_param("lr")
    }

    /// `;r2`, Kamailio's mark of a double Record-Route.
    pub fn r2(&self) -> Option<&'a [u8]> {
        self.param("r2")
    }

    /// `;gr`, a GRUU (RFC 5627): `Some` with an empty value for a temporary one.
    pub fn gr(&self) -> Option<&'a [u8]> {
        self.params
            .get("gr")
            .map(|param| param.value.unwrap_or(scan::after(param.raw, param.raw.len())))
    }

    /// `;ob`, outbound (RFC 5626).
    pub fn ob(&self) -> bool {
        self.has_param("ob")
    }

    /// `;comp=`, signalling compression (RFC 3486).
    pub fn comp(&self) -> Option<&'a [u8]> {
        self.param("comp")
    }

    /// The telephone number: of a `tel:` URI, or of a SIP URI with `user=phone`.
    pub fn number(&self) -> Option<&'a [u8]> {
        let phone = match self.scheme {
            Scheme::Tel | Scheme::Tels => true,
            Scheme::Sip | Scheme::Sips => self.has_user_param_phone(),
            _ => false,
        };
        phone.then(|| self.user_without_params())
    }

    /// `;phone-context=` of the number.
    pub fn phone_context(&self) -> Option<&'a [u8]> {
        self.number_param("phone-context")
    }

    /// `;isub=`, the ISDN subaddress of the number.
    pub fn isub(&self) -> Option<&'a [u8]> {
        self.number_param("isub")
    }

    /// `;ext=`, the extension of the number.
    pub fn ext(&self) -> Option<&'a [u8]> {
        self.number_param("ext")
    }

    /// A parameter of the number: those of a SIP URI stand inside of its user part (RFC 3261 19.1.6).
    fn number_param(&self, name: &str) -> Option<&'a [u8]> {
        match self.scheme {
            Scheme::Tel | Scheme::Tels => self.param(name),
            _ => self.user_params().value(name),
        }
    }
}

/// The scheme and the length of its text.
fn scheme(raw: &[u8]) -> Result<(Scheme, usize), Malformed> {
    let head = raw
        .first_chunk::<4>()
        .map(|head| head.map(|b| b.to_ascii_lowercase()));
    let colon = || raw.get(4) == Some(&b':');
    match head.as_ref() {
        Some(b"sip:") => return Ok((Scheme::Sip, 3)),
        Some(b"sips") if colon() => return Ok((Scheme::Sips, 4)),
        Some(b"tel:") => return Ok((Scheme::Tel, 3)),
        Some(b"tels") if colon() => return Ok((Scheme::Tels, 4)),
        Some(b"urn:") => return Ok((Scheme::Urn, 3)),
        _ => {}
    }
    let in_scheme = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
    let length = raw.iter().position(|b| !in_scheme(b)).unwrap_or(raw.len());
    if !raw.first().is_some_and(u8::is_ascii_alphabetic) || raw.get(length) != Some(&b':') {
        return Err(Malformed::new("no scheme", 0));
    }
    Ok((Scheme::Other, length))
}

/// The address that `host` is, with or without the brackets of an IPv6 reference.
pub(crate) fn host_ip(host: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(host).ok()?;
    match text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        Some(inner) => inner.split('%').next()?.parse().ok().map(IpAddr::V6),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::{percent_decode, range_in};
    use proptest::prelude::*;

    fn uri(text: &str) -> Uri<'_> {
        Uri::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn takes_a_sip_uri_apart() {
        let all =
            uri("sips:alice:pw@[2001:db8::1]:5061;transport=TLS;lr;x-y=%61?Subject=a&Route=%3Csip%3Ab%3E");
        assert_eq!(all.scheme, Scheme::Sips);
        assert_eq!((all.user, all.password), (&b"alice"[..], Some(&b"pw"[..])));
        assert_eq!((all.host, all.port), (&b"[2001:db8::1]"[..], Some(5061)));
        assert_eq!(all.host_ip(), Some("2001:db8::1".parse().unwrap()));
        assert_eq!(all.hostport(), b"[2001:db8::1]:5061");
        assert_eq!((all.transport(), all.lr()), (Transport::Tls, true));
        assert_eq!(all.param("X-Y"), Some(&b"%61"[..]));
        assert_eq!(all.header_list().value("route"), Some(&b"%3Csip%3Ab%3E"[..]));
        assert_eq!(all.aor().as_ref(), b"alice@[2001:db8::1]");
        assert_eq!(all.scheme_aor(), b"sips:alice@[2001:db8::1]");
    }

    #[test]
    fn absent_pieces_lie_where_they_would_stand() {
        let text = "SIP:host.example";
        let bare = uri(text);
        assert_eq!(
            (bare.user, bare.password, bare.port, bare.headers),
            (&b""[..], None, None, None)
        );
        assert_eq!(range_in(text.as_bytes(), bare.user), Some(4..4));
        assert_eq!(range_in(text.as_bytes(), bare.port_text), Some(16..16));
        assert_eq!(range_in(text.as_bytes(), bare.params.raw), Some(16..16));
        assert_eq!(bare.hostport(), b"host.example");
        assert_eq!(bare.aor().as_ref(), b"host.example");
        assert!(!bare.has_userinfo() && uri("sip:@h").has_userinfo());
    }

    /// RFC 4475 3.1.1.2, 3.1.1.3, 3.1.1.9, 3.1.1.13 and 3.1.2.11 (intmeth, esc01, semiuri, unreason, escruri).
    #[test]
    fn odd_users_of_rfc_4475() {
        let intmeth = uri(
            "sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com",
        );
        assert_eq!(intmeth.user, b"1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*");
        assert_eq!(
            intmeth.password,
            Some(&b"&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"[..])
        );
        assert_eq!(intmeth.host, b"example.com");
        let esc = uri("sip:sips%3Auser%40example.com@example.net");
        assert_eq!(percent_decode(esc.user).as_ref(), b"sips:user@example.com");
        let semi = uri("sip:user;par=u%40example.net@example.com");
        assert_eq!(
            (semi.user, semi.host),
            (&b"user;par=u%40example.net"[..], &b"example.com"[..])
        );
        assert_eq!(semi.user_without_params(), b"user");
        assert_eq!(semi.user_params().value("par"), Some(&b"u%40example.net"[..]));
        assert!(semi.params.is_empty());
        let headers = uri("sip:user@example.com?Route=%3Csip:example.com%3E");
        assert_eq!(headers.headers, Some(&b"Route=%3Csip:example.com%3E"[..]));
        assert_eq!(uri("sip:user@example.com?Route=sip:a@b").host, b"example.com");
        assert_eq!(uri("soap.beep://192.0.2.103:3002").scheme, Scheme::Other);
        assert_eq!(
            uri("nobodyKnowsThisScheme:totallyopaquecontent").rest,
            b"totallyopaquecontent"
        );
    }

    #[test]
    fn telephone_numbers() {
        let tel = uri("tel:+1-201-555-0123;ext=7;isub=12;phone-context=example.com");
        assert_eq!(
            (tel.user, tel.number()),
            (&b"+1-201-555-0123"[..], Some(&b"+1-201-555-0123"[..]))
        );
        assert_eq!((tel.ext(), tel.isub()), (Some(&b"7"[..]), Some(&b"12"[..])));
        assert_eq!(tel.phone_context(), Some(&b"example.com"[..]));
        let sip = uri("sip:0123;phone-context=+44@gw.example;user=phone");
        assert_eq!(
            (sip.number(), sip.phone_context()),
            (Some(&b"0123"[..]), Some(&b"+44"[..]))
        );
        assert!(sip.has_user_param_phone());
        assert_eq!(uri("sip:0123@gw").number(), None);
        // Kamailio 5.6.3 says the same of both.
        assert_eq!(sip.script_user(true), b"0123");
        assert_eq!(sip.script_user(false), b"0123;phone-context=+44");
        assert_eq!(uri("sip:alice;p=1@h").script_user(true), b"alice;p=1");
        assert_eq!(tel.aor().as_ref(), b"+1-201-555-0123");
        assert_eq!(uri("TELS:+1").scheme, Scheme::Tels);
        assert!(uri("tel:+1(201)555").equivalent(&uri("tel:+1201-555")));
        assert!(!uri("tel:+1;ext=2").equivalent(&uri("tel:+1")));
    }

    #[test]
    fn urns_and_others() {
        let urn = uri("urn:service:sos.police");
        assert_eq!((urn.scheme, urn.host), (Scheme::Urn, &b"sos.police"[..]));
        let imei = uri("urn:gsma:imei:90420156-025763-0;svn=1");
        assert_eq!(
            (imei.host, imei.param("svn")),
            (&b"imei:90420156-025763-0"[..], Some(&b"1"[..]))
        );
        assert!(urn.equivalent(&uri("URN:Service:SOS.police")));
        assert!(!imei.equivalent(&uri("urn:gsma:IMEI:90420156-025763-0;svn=1")));
        assert_eq!(uri("mailto:a@b").scheme, Scheme::Other);
    }

    #[test]
    fn refuses_what_has_no_meaning() {
        for bad in [
            "",
            "bob",
            "sip:",
            "sip:a@",
            "sip:a@:5060",
            "sip:a@h:99999",
            "sip:a@h:x",
            "sip:a@b@c",
            "sip:a@[::1",
            "sip:a@h\r\n ;x",
            "tel:",
            "urn:",
            "urn:service",
            "urn::sos",
            ":a",
            "1sip:a",
            "sip:2001:db8::10",
            "sip:a b",
            "<sip:a@b>",
        ] {
            assert!(Uri::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert_eq!(Uri::parse(b" sip:a@h:99999").unwrap_err().at, 9);
    }

    proptest! {
        #[test]
        fn the_pieces_make_up_the_whole(
            text in "(sips?|tel|urn|x):([a-z;?/%]{0,4}(:[a-z]{0,2})?@)?[a-z.]{0,4}(:[0-9]{0,3})?(;[a-z=;]{0,6})?(\\?[a-z=&]{0,5})?"
        ) {
            if let Ok(uri) = Uri::parse(text.as_bytes()) {
                let mut again = [uri.scheme_text, b":"].concat();
                if matches!(uri.scheme, Scheme::Sip | Scheme::Sips) {
                    again.extend_from_slice(uri.user);
                    if let Some(password) = uri.password {
                        again.extend([b":", password].concat());
                    }
                    if uri.has_userinfo() {
                        again.push(b'@');
                    }
                    let tail = scan::offset(uri.raw, uri.host);
                    prop_assert_eq!(&again[..], &uri.raw[..tail]);
                    prop_assert!(uri.raw[tail..].starts_with(uri.hostport()));
                }
                prop_assert!(uri.equivalent(&uri));
            }
        }

        #[test]
        fn nothing_panics(text in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = Uri::parse(&text);
            let _ = Uri::parse(&[b"sip:", &text[..]].concat());
        }
    }
}
