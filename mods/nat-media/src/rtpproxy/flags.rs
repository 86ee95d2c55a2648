//! The letters of the flags argument, and what they become in a command.
//!
//! | letter | meaning |
//! |---|---|
//! | `1 2 3 b` | the Call-ID goes with the branch of the first Via, the second, the second of replies, or `extra_id_pv` |
//! | `a` | `A`: asymmetric; trusts the address of the description |
//! | `w` | `S`: symmetric |
//! | `i e` | `I`, `E`: the side of each direction |
//! | `x` | `IE` for IPv4, `EI` for IPv6 |
//! | `zNN` | `ZNN`: repacketization |
//! | `l` | an offer becomes a lookup |
//! | `f` | a description that is marked already is taken |
//! | `r` | trusts the address of the description |
//! | `t` | the To tag stays out of a deletion |
//! | `o c` | origin and session address, which are always replaced |

use kahea_module::Fault;

/// Which text follows the Call-ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extra {
    /// The branch of the topmost Via.
    FirstVia,
    /// The branch of the second Via.
    SecondVia,
    /// The first in requests, the second in replies.
    Via,
    /// `extra_id_pv`
    Variable,
}

/// What the letters ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// Letters of the command, but for those of the bridge and of repacketization.
    pub letters: String,
    /// `x`
    pub bridge: bool,
    /// `z`, with its digits.
    pub repacketize: Option<String>,
    pub extra: Option<Extra>,
    pub lookup: bool,
    pub force: bool,
    pub trust: bool,
    pub without_to_tag: bool,
}

impl Flags {
    /// Reads the letters.
    ///
    /// # Errors
    /// One that there is not.
    pub fn parse(text: &[u8]) -> Result<Flags, Fault> {
        let mut flags = Flags::default();
        let mut rest = text;
        while let [letter, after @ ..] = rest {
            rest = after;
            match letter.to_ascii_lowercase() {
                b'1' => flags.extra = Some(Extra::FirstVia),
                b'2' => flags.extra = Some(Extra::SecondVia),
                b'3' => flags.extra = Some(Extra::Via),
                b'b' => flags.extra = Some(Extra::Variable),
                b'a' => {
                    flags.letters.push('A');
                    flags.trust = true;
                }
                b'w' => flags.letters.push('S'),
                b'i' => flags.letters.push('I'),
                b'e' => flags.letters.push('E'),
                b'x' => flags.bridge = true,
                b'l' => flags.lookup = true,
                b'f' => flags.force = true,
                b'r' => flags.trust = true,
                b't' => flags.without_to_tag = true,
                b'o' | b'c' => {}
                b'z' => {
                    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
                    let (number, after) = rest.split_at(digits);
                    flags.repacketize = Some(String::from_utf8_lossy(number).into_owned());
                    rest = after;
                }
                _ => {
                    return Err(Fault::script(format!(
                        "'{}' is no flag of rtpproxy",
                        char::from(*letter).escape_default()
                    )));
                }
            }
        }
        Ok(flags)
    }

    /// The letters for a stream.
    pub fn command(&self, is_v6: bool, can_repacketize: bool) -> String {
        let mut out = self.letters.clone();
        if self.bridge {
            out.push_str(if is_v6 { "EI" } else { "IE" });
        }
        if let Some(number) = self.repacketize.as_ref().filter(|_| can_repacketize) {
            out.push('Z');
            out.push_str(number);
        }
        if is_v6 {
            out.push('6');
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_have_kamailios_order() {
        let of = |text: &str, v6| Flags::parse(text.as_bytes()).unwrap().command(v6, true);
        assert_eq!(of("z20ie", false), "IEZ20");
        assert_eq!(of("wrieo", false), "SIE");
        assert_eq!(of("zx", true), "EIZ6");
        assert_eq!(of("x", false), "IE");
        assert_eq!(of("arfo", false), "A");
        assert_eq!(Flags::parse(b"z10").unwrap().command(false, false), "");
        for bad in ["q", "+", "rw z10", "-1", "\u{e4}"] {
            assert!(Flags::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
