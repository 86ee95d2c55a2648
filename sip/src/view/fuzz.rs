//! One entry for fuzzers and the smoke test: every parser of views on the same bytes.

use std::hint::black_box;

use super::{
    Addrs, CSeq, Challenges, ChargingVector, Contacts, Credentials, Event, Expires, Identity, Malformed,
    MaxForwards, MediaTypes, NameAddr, Params, RAck, RSeq, Reasons, Replaces, RetryAfter, SessionExpires,
    SubscriptionState, Tokens, Uri, Via, Vias, Warnings, param_escape, percent_decode, quote, range_in,
    unquote, user_escape,
};
use crate::{date::Date, multipart::Multipart, sdp::Sdp};

/// Runs every view on `text` and says how many of them took it.
///
/// # Panics
/// A piece lies outside of `text`, an error does, or a value that was taken is refused when read again: for tests only.
#[doc(hidden)]
pub fn fuzz_views(text: &[u8]) -> usize {
    [
        uris(text),
        addresses(text),
        vias(text),
        small(text),
        auth(text),
        lists(text),
        sdp(text),
        multipart(text),
        escapes(text),
    ]
    .into_iter()
    .sum()
}

/// The error lies in the text.
fn taken<T>(text: &[u8], result: &Result<T, Malformed>) -> usize {
    if let Err(error) = result {
        assert!(error.at <= text.len(), "{error} in {}", text.escape_ascii());
    }
    usize::from(result.is_ok())
}

/// All pieces are parts of the text.
fn inside(text: &[u8], pieces: &[&[u8]]) {
    for piece in pieces {
        assert!(
            range_in(text, piece).is_some(),
            "{} of {}",
            piece.escape_ascii(),
            text.escape_ascii()
        );
    }
}

fn params(text: &[u8], params: Params<'_>) {
    inside(text, &[params.raw]);
    let mut seen = 0;
    for param in params {
        inside(params.raw, &[param.whole, param.raw, param.name]);
        seen += param.whole.len();
        param.unquoted();
    }
    assert!(seen <= params.raw.len());
    params.get("tag");
}

/// Only the URI parsers, for their fuzz target.
#[doc(hidden)]
pub fn uris(text: &[u8]) -> usize {
    let uri = Uri::parse(text);
    if let Ok(uri) = &uri {
        inside(
            text,
            &[
                uri.raw,
                uri.user,
                uri.host,
                uri.port_text,
                uri.rest,
                uri.hostport(),
            ],
        );
        inside(
            text,
            &[
                uri.user_without_params(),
                uri.user_params().raw,
                uri.header_list().raw,
            ],
        );
        params(text, uri.params);
        assert_eq!(Uri::parse(uri.raw).as_ref(), Ok(uri));
        assert!(uri.equivalent(uri));
        black_box((
            uri.aor(),
            uri.scheme_aor(),
            uri.host_ip(),
            uri.transport(),
            uri.ttl(),
            uri.number(),
            uri.gr(),
        ));
    }
    taken(text, &uri)
}

fn addresses(text: &[u8]) -> usize {
    let mut count = 0;
    for addr in Addrs::new(text) {
        count += taken(text, &addr);
        let Ok(addr) = addr else { continue };
        inside(
            text,
            &[addr.raw, addr.display, addr.uri, addr.uri_with_brackets()],
        );
        params(text, addr.params);
        assert_eq!(NameAddr::parse(addr.raw), Ok(addr));
        black_box((addr.unquoted(), addr.tag(), addr.reg_id(), addr.instance()));
        taken(addr.raw, &addr.parse_uri());
        taken(addr.raw, &addr.q());
        taken(addr.raw, &addr.expires());
        addr.uri_header("Replaces");
    }
    taken(text, &NameAddr::parse(text));
    if let Contacts::List(list) = Contacts::parse(text) {
        count += list.count();
    }
    count
}

fn vias(text: &[u8]) -> usize {
    let mut count = 0;
    for via in Vias::new(text) {
        count += taken(text, &via);
        let Ok(via) = via else { continue };
        inside(
            text,
            &[
                via.raw,
                via.protocol,
                via.version,
                via.transport_text,
                via.host,
                via.port_text,
            ],
        );
        inside(text, &[via.sent_by()]);
        params(text, via.params);
        assert_eq!(Via::parse(via.raw), Ok(via));
        black_box((
            via.branch(),
            via.has_cookie(),
            via.received_ip(),
            via.rport(),
            via.ttl(),
            via.host_ip(),
        ));
    }
    taken(text, &Via::parse(text));
    count
}

/// The views of one value.
fn small(text: &[u8]) -> usize {
    let timer = SessionExpires::parse(text);
    let retry = RetryAfter::parse(text);
    retry.iter().for_each(|retry| params(text, retry.params));
    let replaces = Replaces::parse(text);
    replaces
        .iter()
        .for_each(|replaces| inside(text, &[replaces.raw, replaces.call_id]));
    let event = Event::parse(text);
    event
        .iter()
        .for_each(|event| inside(text, &[event.package(), event.template()]));
    let identity = Identity::parse(text);
    identity
        .iter()
        .for_each(|identity| inside(text, &[identity.token]));
    let date = Date::parse(text);
    date.iter()
        .for_each(|date| assert_eq!(Date::parse(date.to_string().as_bytes()), Ok(*date)));
    let charging = ChargingVector::parse(text);
    charging.iter().for_each(|vector| drop(vector.icid_value()));
    taken(text, &CSeq::parse(text))
        + taken(text, &RSeq::parse(text))
        + taken(text, &RAck::parse(text))
        + taken(text, &Expires::parse(text))
        + taken(text, &MaxForwards::parse(text))
        + taken(text, &SubscriptionState::parse(text))
        + taken(text, &timer)
        + taken(text, &retry)
        + taken(text, &replaces)
        + taken(text, &event)
        + taken(text, &identity)
        + taken(text, &date)
        + taken(text, &charging)
}

fn auth(text: &[u8]) -> usize {
    let shown = Credentials::parse(text);
    if let Ok(shown) = &shown {
        inside(text, &[shown.raw, shown.scheme, shown.rest]);
        params(text, shown.params);
        black_box((
            shown.algorithm(),
            shown.qop(),
            shown.nc(),
            shown.user(),
            shown.domain(),
        ));
        taken(text, &shown.check());
    }
    let mut count = taken(text, &shown);
    for challenge in Challenges::new(text) {
        count += taken(text, &challenge);
        if let Ok(challenge) = challenge {
            inside(text, &[challenge.raw, challenge.scheme]);
            params(text, challenge.params);
        }
    }
    count
}

fn lists(text: &[u8]) -> usize {
    Tokens::new(text).for_each(|token| inside(text, &[token]));
    Reasons::new(text)
        .map(|reason| taken(text, &reason))
        .sum::<usize>()
        + Warnings::new(text)
            .map(|warning| taken(text, &warning))
            .sum::<usize>()
        + MediaTypes::new(text)
            .map(|media| taken(text, &media))
            .sum::<usize>()
}

/// Only the session descriptions, for their fuzz target.
#[doc(hidden)]
pub fn sdp(text: &[u8]) -> usize {
    let sdp = Sdp::parse(text);
    if let Ok(sdp) = &sdp {
        assert_eq!(
            sdp.lines().map(|line| line.whole.len()).sum::<usize>(),
            text.len()
        );
        let sections: usize = sdp.media().map(|media| media.raw.len()).sum();
        assert_eq!(sdp.session.len() + sections, text.len());
        black_box((
            sdp.origin(),
            sdp.is_on_hold(),
            sdp.has_ice(),
            sdp.address(),
            sdp.address_family(),
            sdp.direction(),
        ));
        for media in sdp.media() {
            inside(text, &[media.kind, media.port_text, media.proto, media.formats]);
            black_box((
                media.codecs(),
                media.rtcp(),
                media.connection(),
                media.fmtp(b"96"),
                media.rtpmap(b"96"),
            ));
            media
                .candidates()
                .for_each(|candidate| inside(text, &[candidate.address, candidate.extensions]));
        }
    }
    taken(text, &sdp)
}

fn multipart(text: &[u8]) -> usize {
    let boundary = text.split(|b| *b == b'\n').next().unwrap_or_default();
    let boundary = boundary.strip_prefix(b"--").unwrap_or(boundary);
    let body = Multipart::new(boundary.trim_ascii_end(), text);
    inside(text, &[body.preamble(), body.epilogue()]);
    assert!(body.insert_at() <= text.len());
    let parts = body.parts().inspect(|part| {
        inside(part.whole, &[part.headers]);
        inside(text, &[part.whole, part.body]);
        part.media_type();
    });
    parts.count()
}

fn escapes(text: &[u8]) -> usize {
    for escaped in [user_escape(text), param_escape(text)] {
        assert_eq!(percent_decode(&escaped).as_ref(), text);
    }
    assert!(percent_decode(text).len() <= text.len() && unquote(text).len() <= text.len());
    assert!(quote(text).len() >= text.len());
    0
}
