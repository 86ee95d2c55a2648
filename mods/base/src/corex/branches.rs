//! `append_branch()`: further destinations.

use kahea_module::{Cx, Decl, FAILURE, Fault, REQUEST, Str, Target};
use kahea_sip::view;

use super::Corex;
use crate::pv::branches::add;

/// Declares the function.
pub fn declare(d: &mut Decl<Corex>) {
    d.func(
        "append_branch",
        ["uri", "q"],
        append_branch,
        "Adds a branch to the destination set: the URI, else the Request-URI as it is now, with a preference q between 0 and 1.",
    )
    .routes(REQUEST | FAILURE)
    .kemi(0, "append_branch")
    .kemi(1, "append_branch_uri")
    .kemi(2, "append_branch_uri_q")
    .example("append_branch(\"sip:carol@example.com\", \"0.5\");");
}

fn append_branch(_: &Corex, cx: &mut Cx, uri: Option<Str>, q: Option<Str>) -> Result<bool, Fault> {
    let q =
        match q {
            Some(text) => Some(preference(&text).ok_or_else(|| {
                Fault::script(format!("'{text}' is no q value: it must lie between 0 and 1"))
            })?),
            None => None,
        };
    let branch = match uri.filter(|uri| !uri.is_empty()) {
        Some(uri) => Target {
            ruri: Some(uri),
            q,
            ..cx.target.clone()
        },
        // The current destination with all that belongs to it becomes a branch.
        None => Target {
            ruri: Some(cx.ruri()),
            q: q.or(cx.target.q),
            ..cx.target.clone()
        },
    };
    add(cx, branch)?;
    Ok(true)
}

/// Thousandths of a q value (RFC 3261 section 25.1).
fn preference(text: &[u8]) -> Option<u16> {
    let mut contact = b"<sip:x>;q=".to_vec();
    contact.extend_from_slice(text);
    view::NameAddr::parse(&contact).ok()?.q().ok()?
}

#[cfg(test)]
mod tests {
    use super::*;
    use kahea_module::testing::Server;

    #[test]
    fn branches_have_a_uri_and_a_preference() {
        let mut cx = Server::default().invite();
        let add = |cx: &mut Cx, uri: Option<&str>, q: Option<&str>| {
            append_branch(&Corex, cx, uri.map(Str::from), q.map(Str::from))
        };
        assert_eq!(add(&mut cx, None, None), Ok(true));
        assert_eq!(add(&mut cx, Some("sip:x@z"), Some("0.5")), Ok(true));
        assert_eq!(add(&mut cx, Some(""), None), Ok(true));
        for bad in ["bad", "1.5", "-1"] {
            assert!(add(&mut cx, Some("sip:x@y"), Some(bad)).is_err(), "{bad}");
        }
        let seen: Vec<_> = cx
            .branches
            .iter()
            .map(|b| (b.ruri.as_ref().unwrap().text().into_owned(), b.q))
            .collect();
        let first = "sip:bob@example.com:5070;transport=udp".to_owned();
        assert_eq!(
            seen,
            [
                (first.clone(), None),
                ("sip:x@z".to_owned(), Some(500)),
                (first, None)
            ]
        );
    }

    #[test]
    fn branches_are_bounded() {
        let mut cx = Server::default().invite();
        let results: Vec<bool> = (0..40)
            .map(|_| append_branch(&Corex, &mut cx, None, None).is_ok())
            .collect();
        assert_eq!(results.iter().filter(|ok| **ok).count(), 11);
    }
}
