//! Words and numbers at the right of the equals sign.

use std::{net::IpAddr, ops::RangeInclusive};

use kahea_sip::Transport;

use super::{GlobalValue, kind::GlobalType};
use crate::{BindError, Str};

/// What Kamailio keeps in a C `int`.
const INT: RangeInclusive<i64> = -2_147_483_648..=2_147_483_647;

/// 1 for `yes`, `true`, `on`, `enable`, 0 for their opposites, as Kamailio spells them: lower case, and a few in upper.
pub fn truth(word: &str) -> Option<bool> {
    match word.to_ascii_lowercase().as_str() {
        "yes" | "true" | "on" | "enable" => Some(true),
        "no" | "false" | "off" | "disable" => Some(false),
        _ => None,
    }
}

/// A number, or a word of truth as 1 or 0.
pub fn number(value: &GlobalValue) -> Result<i64, BindError> {
    number_in(value, INT)
}

/// A number within limits.
pub fn number_in(value: &GlobalValue, range: RangeInclusive<i64>) -> Result<i64, BindError> {
    let n = match value {
        GlobalValue::Int(n) => *n,
        GlobalValue::Ident(word) => match truth(&word.text()) {
            Some(yes) => i64::from(yes),
            None => return Err(wrong("a number", value)),
        },
        GlobalValue::Str(text) => {
            let error = wrong("a number", value);
            let is_number = text.text().trim().parse::<i64>().is_ok();
            return Err(match is_number {
                true => error.help(format!("write {} without quotes", text.text().trim())),
                false => error,
            });
        }
        _ => return Err(wrong("a number", value)),
    };
    if range.contains(&n) {
        return Ok(n);
    }
    let (low, high) = range.into_inner();
    Err(BindError::new(format!(
        "takes a number from {low} to {high}, not {n}"
    )))
}

/// `yes` or `no`; a number other than 0 is yes.
pub fn yes_or_no(value: &GlobalValue) -> Result<bool, BindError> {
    match value {
        GlobalValue::Int(n) => Ok(*n != 0),
        GlobalValue::Ident(word) if truth(&word.text()).is_some() => Ok(truth(&word.text()) == Some(true)),
        GlobalValue::Str(text) if truth(&text.text()).is_some() => {
            Err(wrong("yes or no", value).help(format!("write {} without quotes", text.text())))
        }
        _ => Err(wrong("yes or no", value)),
    }
}

/// A text: a string, a word or an address.
pub fn text(value: &GlobalValue) -> Result<Str, BindError> {
    match value {
        GlobalValue::Str(text) | GlobalValue::Ident(text) => Ok(text.clone()),
        GlobalValue::Ip(ip) => Ok(Str::from(ip.to_string())),
        _ => Err(wrong("a string", value)),
    }
}

/// An IP address, plain, in brackets, or in a string.
pub fn address(value: &GlobalValue) -> Result<IpAddr, BindError> {
    let text = match value {
        GlobalValue::Ip(ip) => return Ok(*ip),
        GlobalValue::Str(text) | GlobalValue::Ident(text) => text.text(),
        _ => return Err(wrong("an IP address", value)),
    };
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    bare.parse().map_err(|_| wrong("an IP address", value))
}

/// A transport: `udp`, `TCP`, …
pub fn transport(value: &GlobalValue) -> Result<Transport, BindError> {
    let (GlobalValue::Ident(word) | GlobalValue::Str(word)) = value else {
        return Err(wrong("a transport", value));
    };
    match word.to_ascii_lowercase().as_slice() {
        b"udp" => Ok(Transport::Udp),
        b"tcp" => Ok(Transport::Tcp),
        b"tls" => Ok(Transport::Tls),
        b"sctp" => Ok(Transport::Sctp),
        b"ws" => Ok(Transport::Ws),
        b"wss" => Ok(Transport::Wss),
        _ => Err(wrong("a transport", value).help("write UDP, TCP, TLS or SCTP")),
    }
}

/// "takes WANTED, not …".
pub fn wrong(wanted: &str, value: &GlobalValue) -> BindError {
    let given = match value {
        GlobalValue::Int(n) => format!("the number {n}"),
        GlobalValue::Str(_) => "a string".to_owned(),
        GlobalValue::Ident(word) => format!("the word {word}"),
        GlobalValue::Ip(ip) => format!("the address {ip}"),
        GlobalValue::Listen(_) => "a listener".to_owned(),
        GlobalValue::Aliases(_) => "a host".to_owned(),
    };
    BindError::new(format!("takes {wanted}, not {given}"))
}

/// Replaces a field.
pub fn assign<T: GlobalType>(field: &mut T, value: GlobalValue) -> Result<(), BindError> {
    *field = T::read(value)?;
    Ok(())
}

/// Replaces a field by a number within limits.
pub fn assign_in<T: From<i64>>(
    field: &mut T,
    value: &GlobalValue,
    range: RangeInclusive<i64>,
) -> Result<(), BindError> {
    *field = T::from(number_in(value, range)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &'static str) -> GlobalValue {
        GlobalValue::Ident(Str::from_static(text))
    }

    #[test]
    fn words_of_truth_are_numbers_too() {
        for yes in ["yes", "on", "true", "enable", "YES"] {
            assert_eq!(yes_or_no(&word(yes)), Ok(true));
            assert_eq!(number(&word(yes)), Ok(1));
        }
        assert_eq!(yes_or_no(&word("off")), Ok(false));
        assert_eq!(yes_or_no(&GlobalValue::Int(7)), Ok(true));
        assert!(yes_or_no(&word("maybe")).is_err());
        assert!(number(&GlobalValue::Int(1 << 40)).is_err());
    }

    #[test]
    fn addresses_may_stand_in_brackets_and_strings() {
        let text = |text| address(&GlobalValue::Str(Str::from_static(text)));
        assert_eq!(text("[::1]"), Ok("::1".parse().unwrap()));
        assert_eq!(text("10.0.0.1"), Ok("10.0.0.1".parse().unwrap()));
        assert!(text("example.com").is_err());
        assert_eq!(transport(&word("TLS")), Ok(Transport::Tls));
        assert!(transport(&word("quic")).is_err());
    }
}
