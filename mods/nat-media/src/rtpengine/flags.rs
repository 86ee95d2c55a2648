//! The words of the flags argument, and what they become in a command.
//!
//! | word | in the command |
//! |---|---|
//! | `internal`, `external`, `direction=X` | `direction`, a list |
//! | `replace-X`, `replace=X` | `replace`, a list |
//! | `rtcp-mux-X` | `rtcp-mux`, a list |
//! | `SDES-X`, `SDES=X` | `SDES`, a list |
//! | `T.38=X`, `T38=X` | `T.38`, a list |
//! | `codec-OP=X`, `codec-OP-X` (transcode, strip, offer, except, mask, set) | `codec`, lists by operation |
//! | `RTP SRTP DTLS AVP AVPF`, `RTP/AVP` … | `transport-protocol` |
//! | `TOS=N`, `repacketize=N`, `delete-delay=N` | numbers |
//! | `call-id= from-tag= to-tag= to-tag via-branch= directional force-answer` | who is meant, see [`Flags`] |
//! | any other `key=value` | that key |
//! | any other word | `flags`, a list |

use kahea_module::{Fault, Str};

use super::bencode::Value;

/// Which Via branch names the call's part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViaBranch {
    /// That of the topmost Via.
    First,
    /// That of the second Via.
    Second,
    /// The first in requests, the second in replies.
    Auto,
    /// The value of `extra_id_pv`.
    Extra,
    /// That of the branch about to be sent.
    Next,
    /// The next in requests, the first in replies.
    AutoNext,
    /// The extra value in requests, the first in replies.
    AutoExtra,
}

impl ViaBranch {
    /// Of `via-branch=`.
    pub fn parse(word: &[u8]) -> Option<ViaBranch> {
        Some(match word {
            b"1" => ViaBranch::First,
            b"2" => ViaBranch::Second,
            b"auto" => ViaBranch::Auto,
            b"extra" => ViaBranch::Extra,
            b"next" => ViaBranch::Next,
            b"auto-next" => ViaBranch::AutoNext,
            b"auto-extra" => ViaBranch::AutoExtra,
            _ => return None,
        })
    }
}

/// What the words ask for.
#[derive(Debug, Default)]
pub struct Flags {
    /// Members of the command.
    pub members: Members,
    /// `call-id=`
    pub call_id: Option<Str>,
    /// `from-tag=`
    pub from_tag: Option<Str>,
    /// `to-tag=`
    pub to_tag: Option<Str>,
    /// `to-tag`: the To tag goes along where it otherwise would not.
    pub with_to_tag: bool,
    /// `directional`: only the side of the From tag is meant.
    pub directional: bool,
    /// `force-answer`: an offer becomes an answer.
    pub answer: bool,
    /// `via-branch=`
    pub via_branch: Option<ViaBranch>,
}

/// A dictionary that begins empty.
#[derive(Debug)]
pub struct Members(pub Value);

impl Default for Members {
    fn default() -> Members {
        Members(Value::dict())
    }
}

/// Members that the module itself sets.
const OWN: [&[u8]; 5] = [b"command", b"sdp", b"received-from", b"supports", b"version"];
const CODEC_OPERATIONS: [&str; 6] = ["transcode", "strip", "offer", "except", "mask", "set"];

impl Flags {
    /// Reads the words.
    ///
    /// # Errors
    /// A word whose value is not what it must be.
    pub fn parse(text: &Str) -> Result<Flags, Fault> {
        let mut flags = Flags::default();
        let mut transport = Transport::default();
        let words = text.split(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
        for word in words.filter(|word| !word.is_empty()) {
            let word = text.share(word);
            match word.iter().position(|byte| *byte == b'=') {
                Some(0) => {}
                Some(at) => {
                    let key = word.share(word.get(..at).unwrap_or_default());
                    let value = word.share(word.get(at.saturating_add(1)..).unwrap_or_default());
                    flags.pair(&key, value)?;
                }
                None if transport.take(&word) => {}
                None => flags.word(word),
            }
        }
        if let Some(name) = transport.name() {
            flags.members.0.set("transport-protocol", name);
        }
        Ok(flags)
    }

    fn pair(&mut self, key: &Str, value: Str) -> Result<(), Fault> {
        let members = &mut self.members.0;
        match key.as_bytes() {
            b"call-id" => self.call_id = Some(value),
            b"from-tag" => self.from_tag = Some(value),
            b"to-tag" => {
                self.with_to_tag = true;
                self.to_tag = Some(value).filter(|tag| !tag.is_empty());
            }
            b"via-branch" => {
                let branch = ViaBranch::parse(&value).ok_or_else(|| {
                    Fault::script(format!(
                        "via-branch={value} is none of 1, 2, auto, extra, next, auto-next, auto-extra"
                    ))
                })?;
                self.via_branch = Some(branch);
            }
            b"direction" => members.add("direction", value),
            b"replace" => members.add("replace", value),
            b"SDES" => members.add("SDES", value),
            b"T.38" | b"T38" => members.add("T.38", value),
            b"TOS" => members.set("TOS", number(&value).unwrap_or(0)),
            b"delete-delay" => {
                members.set("delete delay", number(&value).unwrap_or(0));
                members.set("delete-delay", value);
            }
            b"repacketize" => {
                let time = number(&value).filter(|time| *time > 0).ok_or_else(|| {
                    Fault::script(format!("repacketize={value} is no time in milliseconds"))
                })?;
                members.set("repacketize", time);
            }
            key if OWN.contains(&key) => {}
            other => match codec_operation(other) {
                Some((operation, b"")) => self.codec(operation, value),
                _ => members.set(key.clone(), value),
            },
        }
        Ok(())
    }

    fn word(&mut self, word: Str) {
        let members = &mut self.members.0;
        let behind = |prefix: &str| word.strip_prefix(prefix.as_bytes()).map(|rest| word.share(rest));
        match word.as_bytes() {
            b"to-tag" => self.with_to_tag = true,
            b"directional" => self.directional = true,
            b"force-answer" => self.answer = true,
            b"internal" | b"external" => members.add("direction", word),
            _ => {
                let lists = [
                    ("replace-", "replace"),
                    ("rtcp-mux-", "rtcp-mux"),
                    ("SDES-", "SDES"),
                ];
                let list = lists
                    .iter()
                    .find_map(|(prefix, list)| Some((*list, behind(prefix)?)));
                match (list, codec_operation(&word)) {
                    (Some((list, item)), _) => members.add(list, item),
                    (None, Some((operation, codec))) if !codec.is_empty() => {
                        let codec = word.share(codec);
                        self.codec(operation, codec);
                    }
                    _ => members.add("flags", word),
                }
            }
        }
    }

    fn codec(&mut self, operation: &'static str, codec: Str) {
        if let Some(codecs) = self.members.0.inner("codec") {
            codecs.add(operation, codec);
        }
    }
}

/// `codec-OPERATION` and what follows behind a dash.
fn codec_operation(word: &[u8]) -> Option<(&'static str, &[u8])> {
    let rest = word.strip_prefix(b"codec-")?;
    CODEC_OPERATIONS.iter().find_map(|operation| {
        let tail = rest.strip_prefix(operation.as_bytes())?;
        match tail {
            [] => Some((*operation, tail)),
            [b'-', codec @ ..] => Some((*operation, codec)),
            _ => None,
        }
    })
}

fn number(text: &[u8]) -> Option<i64> {
    kahea_module::value::parse_int(text)
}

/// What is said about the transport of media, by whole names or by words.
#[derive(Debug, Default)]
struct Transport {
    whole: Option<&'static str>,
    rtp: bool,
    srtp: bool,
    dtls: bool,
    avp: bool,
    avpf: bool,
}

const WHOLE: [&str; 6] = [
    "RTP/AVP",
    "RTP/SAVP",
    "RTP/AVPF",
    "RTP/SAVPF",
    "UDP/TLS/RTP/SAVP",
    "UDP/TLS/RTP/SAVPF",
];

impl Transport {
    /// Takes a word that is about it.
    fn take(&mut self, word: &[u8]) -> bool {
        match word {
            b"RTP" => self.rtp = true,
            b"SRTP" => self.srtp = true,
            b"DTLS" => self.dtls = true,
            b"AVP" => self.avp = true,
            b"AVPF" => self.avpf = true,
            other => match WHOLE.iter().find(|name| name.as_bytes() == other) {
                Some(name) => self.whole = Some(name),
                None => return false,
            },
        }
        true
    }

    /// The name; `None` where nothing is said, or contradictory things.
    fn name(&self) -> Option<&'static str> {
        if self.whole.is_some() {
            return self.whole;
        }
        let said = self.rtp || self.srtp || self.dtls || self.avp || self.avpf;
        let kinds = [self.rtp, self.srtp, self.dtls];
        let unclear = kinds.iter().filter(|kind| **kind).count() > 1 || self.avp && self.avpf;
        if !said || unclear {
            return None;
        }
        Some(match (self.srtp, self.dtls, self.avpf) {
            (false, false, false) => "RTP/AVP",
            (false, false, true) => "RTP/AVPF",
            (true, _, false) => "RTP/SAVP",
            (true, _, true) => "RTP/SAVPF",
            (false, true, false) => "UDP/TLS/RTP/SAVP",
            (false, true, true) => "UDP/TLS/RTP/SAVPF",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> String {
        let flags = Flags::parse(&Str::from(text)).unwrap();
        let mut out = Vec::new();
        flags.members.0.encode(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn words_have_their_places() {
        assert_eq!(
            of("replace-origin  ICE=force"),
            "d7:replacel6:origine3:ICE5:forcee"
        );
        assert_eq!(of("internal direction=b"), "d9:directionl8:internal1:bee");
        assert_eq!(
            of("codec-mask=all codec-strip-G729"),
            "d5:codecd4:maskl3:alle5:stripl4:G729eee"
        );
        assert_eq!(
            of("codec-accept=x codec-strip"),
            "d12:codec-accept1:x5:flagsl11:codec-stripee"
        );
        assert_eq!(
            of("SRTP AVPF symmetric"),
            "d5:flagsl9:symmetrice18:transport-protocol9:RTP/SAVPFe"
        );
        assert_eq!(of("DTLS SRTP"), "de");
        assert_eq!(of("RTP/AVP SRTP"), "d18:transport-protocol7:RTP/AVPe");
        assert_eq!(
            of("TOS=x T38=stop x= =y received-from=1.2.3.4"),
            "d3:TOSi0e4:T.38l4:stope1:x0:e"
        );
        assert_eq!(of("delete-delay=5"), "d12:delete delayi5e12:delete-delay1:5e");
    }

    #[test]
    fn who_is_meant_is_kept_apart() {
        let flags = Flags::parse(&Str::from(
            "call-id=c from-tag=f to-tag=t directional force-answer via-branch=auto-extra",
        ))
        .unwrap();
        assert_eq!(flags.members.0, Value::dict());
        assert_eq!(
            (flags.call_id, flags.from_tag, flags.to_tag),
            (Some("c".into()), Some("f".into()), Some("t".into()))
        );
        assert!(flags.directional && flags.answer && flags.with_to_tag);
        assert_eq!(flags.via_branch, Some(ViaBranch::AutoExtra));
        for bad in ["via-branch=3", "repacketize=0", "repacketize=x"] {
            assert!(Flags::parse(&Str::from(bad)).is_err(), "{bad}");
        }
    }
}
