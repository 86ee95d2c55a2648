//! The answer of a phone to a digest challenge (RFC 8760, RFC 7616 as SIP uses it), with every part of it open to change.

use std::fmt::Write as _;

use md5::Md5;
use sha2::{Digest, Sha256, Sha512_256};

use crate::message::Message;

/// What a scenario says about the answer; what it leaves out comes from the challenge.
pub const FIELDS: &[&str] = &[
    "user",
    "password",
    "ha1",
    "realm",
    "nonce",
    "uri",
    "algorithm",
    "qop",
    "nc",
    "cnonce",
    "opaque",
    "digest_method",
    "response",
    "header",
    "omit",
    "offer",
    "challenge",
];

/// A challenge as it came: its header's name and value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Challenge {
    /// The header that answers it.
    pub answer: &'static str,
    /// Its value.
    pub value: String,
}

impl Challenge {
    /// The challenges of a reply, those of WWW-Authenticate first.
    pub fn all(reply: &Message) -> Vec<Challenge> {
        let kinds = [
            ("WWW-Authenticate", "Authorization"),
            ("Proxy-Authenticate", "Proxy-Authorization"),
        ];
        kinds
            .into_iter()
            .flat_map(|(name, answer)| {
                reply.all(name).map(move |value| Challenge {
                    answer,
                    value: value.to_owned(),
                })
            })
            .collect()
    }

    /// A parameter, without its quotes.
    fn get(&self, name: &str) -> Option<&str> {
        let (_, parameters) = self.value.split_once(' ')?;
        parts(parameters)
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }
}

/// `key=value` pairs between commas; commas in quotes do not count.
fn parts(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut quoted = false;
    let split = text.split(move |c| {
        quoted ^= c == '"';
        c == ',' && !quoted
    });
    split.filter_map(|part| {
        let (key, value) = part.trim().split_once('=')?;
        Some((key.trim(), value.trim().trim_matches('"')))
    })
}

/// The header line that answers `challenge` for a request of that method, URI and body.
pub fn answer(
    challenge: &Challenge,
    method: &str,
    uri: &str,
    body: &str,
    fields: &[(String, String)],
) -> Result<String, String> {
    let own = |name: &str| {
        let found = fields.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    };
    let text = |name: &str| own(name).or_else(|| challenge.get(name)).unwrap_or_default();
    let algorithm = text("algorithm");
    let hash = |text: &str| hash(algorithm, text);
    let (user, realm, nonce) = (text("user"), text("realm"), text("nonce"));
    let uri = own("uri").unwrap_or(uri);
    let (nc, cnonce) = (own("nc").unwrap_or("00000001"), own("cnonce").unwrap_or("c0ffee"));
    let offered = challenge.get("qop").and_then(|all| all.split(',').next());
    let qop = own("qop")
        .or(offered)
        .filter(|qop| *qop != "none")
        .unwrap_or_default()
        .trim();
    let ha1 = match own("ha1") {
        Some(ha1) => ha1.to_owned(),
        None => hash(&format!("{user}:{realm}:{}", text("password")))?,
    };
    let method = own("digest_method").unwrap_or(method);
    let ha2 = match qop {
        "auth-int" => hash(&format!("{method}:{uri}:{}", hash(body)?))?,
        _ => hash(&format!("{method}:{uri}"))?,
    };
    let response = match (own("response"), qop) {
        (Some(own), _) => own.to_owned(),
        (None, "") => hash(&format!("{ha1}:{nonce}:{ha2}"))?,
        (None, qop) => hash(&format!("{ha1}:{nonce}:{nc}:{cnonce}:{qop}:{ha2}"))?,
    };
    let mut all = vec![
        ("username", user, true),
        ("realm", realm, true),
        ("nonce", nonce, true),
        ("uri", uri, true),
        ("response", &response, true),
        ("algorithm", algorithm, false),
        ("opaque", text("opaque"), true),
    ];
    if !qop.is_empty() {
        all.extend([("cnonce", cnonce, true), ("qop", qop, false), ("nc", nc, false)]);
    }
    let omit: Vec<&str> = own("omit").unwrap_or_default().split(',').collect();
    all.retain(|(name, value, _)| {
        let always = own(name).is_some() || matches!(*name, "username" | "realm" | "nonce" | "uri");
        !omit.contains(name) && (always || !value.is_empty())
    });
    Ok(line(own("header").unwrap_or(challenge.answer), &all))
}

fn line(name: &str, parts: &[(&str, &str, bool)]) -> String {
    let mut out = format!("{name}: Digest ");
    for (at, (key, value, quoted)) in parts.iter().enumerate() {
        let comma = if at == 0 { "" } else { ", " };
        let quote = if *quoted { "\"" } else { "" };
        // Writing to a String cannot fail.
        let _ = write!(out, "{comma}{key}={quote}{value}{quote}");
    }
    out
}

/// In lower-case hex. An algorithm that is none of those known counts as MD5, so that a case can claim one.
fn hash(algorithm: &str, text: &str) -> Result<String, String> {
    let bytes = crate::text::encode(text);
    Ok(match algorithm.to_ascii_uppercase().as_str() {
        "SHA-256" => hex(&Sha256::digest(bytes)),
        "SHA-512-256" => hex(&Sha512_256::digest(bytes)),
        sess if sess.ends_with("-SESS") => return Err(format!("{sess} is not known here")),
        _ => hex(&Md5::digest(bytes)),
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(all: &[(&str, &str)]) -> Vec<(String, String)> {
        all.iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    /// The example of RFC 7616 section 3.9.1, which has the same answers for HTTP.
    fn example(algorithm: &str) -> String {
        let challenge = Challenge {
            answer: "Authorization",
            value: format!(
                "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm={algorithm}, \
                 nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
            ),
        };
        let all = fields(&[
            ("user", "Mufasa"),
            ("password", "Circle of Life"),
            ("cnonce", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"),
        ]);
        answer(&challenge, "GET", "/dir/index.html", "", &all).unwrap()
    }

    #[test]
    fn examples_of_rfc_7616() {
        assert!(example("MD5").contains("response=\"8ca523f5e9506fed4657c9700eebdbec\""));
        let sha = "response=\"753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1\"";
        assert!(example("SHA-256").contains(sha));
        assert!(example("MD5").starts_with("Authorization: Digest username=\"Mufasa\", realm=\"http-auth"));
    }

    #[test]
    fn everything_can_be_changed_or_left_out() {
        let challenge = Challenge {
            answer: "Proxy-Authorization",
            value: "Digest realm=\"a, b\", nonce=\"n\", qop=\"auth\"".into(),
        };
        let all = fields(&[
            ("user", "u"),
            ("qop", "none"),
            ("response", "0"),
            ("omit", "uri"),
            ("realm", ""),
        ]);
        assert_eq!(
            answer(&challenge, "INVITE", "sip:x", "", &all).unwrap(),
            "Proxy-Authorization: Digest username=\"u\", realm=\"\", nonce=\"n\", response=\"0\""
        );
        assert_eq!(challenge.get("realm"), Some("a, b"));
        assert!(
            answer(
                &challenge,
                "INVITE",
                "sip:x",
                "",
                &fields(&[("algorithm", "MD5-sess")])
            )
            .is_err()
        );
    }

    #[test]
    fn challenges_of_a_reply() {
        let reply = Message::parse(
            b"SIP/2.0 401 x\r\nProxy-Authenticate: Digest c\r\nWWW-Authenticate: Digest a\r\nWWW-Authenticate: Digest b\r\n\r\n",
        );
        let all: Vec<String> = Challenge::all(&reply).into_iter().map(|c| c.value).collect();
        assert_eq!(all, ["Digest a", "Digest b", "Digest c"]);
    }
}
