//! The Contact header of 3xx replies: the destination set.

use kahea_module::{Cx, Str, Target};
use kahea_sip::view::param_escape;

/// What contacts carry besides URI and q (`rich_redirect`).
#[derive(Clone, Copy, Debug, Default)]
pub struct Rich {
    flags: bool,
    path: bool,
}

impl Rich {
    /// From the parameter: 1 branch flags, 2 path.
    pub fn from_bits(bits: i64) -> Rich {
        Rich {
            flags: bits & 1 != 0,
            path: bits & 2 != 0,
        }
    }
}

/// The Contact line of the destination set: the Request-URI where the script changed it, then the branches.
/// `None` without any.
pub fn contact(cx: &Cx, rich: Rich) -> Option<Str> {
    let changed = cx
        .target
        .ruri
        .as_ref()
        .is_some_and(|uri| Some(&**uri) != cx.msg.uri());
    let first = changed.then_some(&cx.target);
    let mut out = b"Contact: ".to_vec();
    let mut any = false;
    for branch in first.into_iter().chain(&cx.branches) {
        let Some(uri) = &branch.ruri else { continue };
        if any {
            out.extend_from_slice(b", ");
        }
        any = true;
        push(branch, uri, rich, &mut out);
    }
    out.extend_from_slice(b"\r\n");
    any.then(|| Str::from(out))
}

fn push(branch: &Target, uri: &[u8], rich: Rich, out: &mut Vec<u8>) {
    out.push(b'<');
    out.extend_from_slice(uri);
    if let Some(path) = branch.path.as_ref().filter(|path| rich.path && !path.is_empty()) {
        out.extend_from_slice(if uri.contains(&b'?') {
            b"&Route="
        } else {
            b"?Route="
        });
        push_escaped(path, out);
    }
    out.push(b'>');
    if let Some(q) = branch.q {
        let q = q.min(1000);
        let digits = format!(";q={}.{:03}", q / 1000, q % 1000);
        out.extend_from_slice(digits.trim_end_matches('0').trim_end_matches('.').as_bytes());
    }
    if rich.flags && branch.flags != 0 {
        out.extend_from_slice(format!(";flags={}", branch.flags).as_bytes());
    }
}

/// Escapes with small digits, as Kamailio writes them.
fn push_escaped(text: &[u8], out: &mut Vec<u8>) {
    let mut digits = 0_u8;
    for byte in param_escape(text).iter() {
        out.push(if digits > 0 {
            byte.to_ascii_lowercase()
        } else {
            *byte
        });
        digits = if *byte == b'%' {
            2
        } else {
            digits.saturating_sub(1)
        };
    }
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::*;

    #[test]
    fn the_changed_uri_comes_first() {
        let mut cx = Server::default().invite();
        assert_eq!(contact(&cx, Rich::default()), None);
        cx.target.ruri = Some("sip:new@h".into());
        cx.branches.push(Target {
            ruri: Some("sip:b@h".into()),
            q: Some(500),
            flags: 3,
            path: Some("<sip:p;lr>".into()),
            ..Target::default()
        });
        assert_eq!(
            contact(&cx, Rich::default()).unwrap(),
            "Contact: <sip:new@h>, <sip:b@h>;q=0.5\r\n"
        );
        let rich = contact(&cx, Rich::from_bits(3)).unwrap();
        assert!(
            rich.ends_with(b";q=0.5;flags=3\r\n") && rich.text().contains("<sip:b@h?Route=%3c"),
            "{rich}"
        );
    }
}
