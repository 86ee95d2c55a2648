//! `{s.encode.…}` and `{s.decode.…}`: hexadecimal, base64, base58, the 7-bit packing of GSM.

use kahea_module::{Decl, Module, Str, Value};

use super::on_text;

const UPPER: [u8; 16] = *b"0123456789ABCDEF";
const LOWER: [u8; 16] = *b"0123456789abcdef";
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const BASE64_URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const BASE58: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

pub(super) fn declare<M: Module>(d: &mut Decl<M>) {
    on_text!(d, "s",
        "encode.hexa", "In hexadecimal, lower case.", |s| hex(s, LOWER).into();
        "decode.hexa", "From hexadecimal; null where it is none.", |s| unhex(s).into();
        "encode.7bit", "Packed to 7 bits a character, in hexadecimal.", |s| pack7(s).into();
        "decode.7bit", "Unpacked from 7 bits a character in hexadecimal.", |s| unpack7(s).into();
        "encode.base58", "In base58, with the digits of Bitcoin.", encode58;
        "decode.base58", "From base58; null where it is none.", decode58;
        "encode.base64", "In base64.", |s| encode64(s, BASE64, true).into();
        "decode.base64", "From base64; null where its length is no multiple of four.", |s| decode_padded(s).into();
        "encode.base64t", "In base64 without padding.", |s| encode64(s, BASE64, false).into();
        "decode.base64t", "From base64 with or without padding.", |s| decode64(s, BASE64).into();
        "encode.base64url", "In base64url.", |s| encode64(s, BASE64_URL, true).into();
        "decode.base64url", "From base64url.", decode_url;
        "encode.base64urlt", "In base64url without padding.", |s| encode64(s, BASE64_URL, false).into();
        "decode.base64urlt", "From base64url with or without padding.", decode_url;
    );
}

/// In hexadecimal, with the given digits.
pub(super) fn hex(bytes: &[u8], digits: [u8; 16]) -> Vec<u8> {
    let digit = |n: u8| digits.get(usize::from(n & 0xf)).copied().unwrap_or(b'?');
    bytes.iter().flat_map(|b| [digit(b >> 4), digit(*b)]).collect()
}

fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |b: &u8| char::from(*b).to_digit(16).and_then(|n| u8::try_from(n).ok());
    let out: Option<Vec<u8>> = text
        .as_chunks::<2>()
        .0
        .iter()
        .map(|[high, low]| Some((digit(high)? << 4) | digit(low)?))
        .collect();
    out.filter(|out| !out.is_empty() || text.is_empty())
}

/// Each character gives its lower seven bits, the first the lowest of the first byte (3GPP TS 23.038, 6.1.2.1).
fn pack7(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let (mut held, mut bits) = (0_u32, 0_u32);
    for b in text {
        held |= u32::from(b & 0x7f) << bits;
        bits = bits.saturating_add(7);
        if bits >= 8 {
            out.push(held.to_le_bytes()[0]);
            held >>= 8;
            bits = bits.saturating_sub(8);
        }
    }
    if bits > 0 {
        out.push(held.to_le_bytes()[0]);
    }
    hex(&out, UPPER)
}

/// What is no hexadecimal digit counts as Kamailio counts it, so that odd input gives the same odd result.
fn unpack7(text: &[u8]) -> Vec<u8> {
    let digit = |b: u8| match b {
        b'0'..=b'9' => b & 0xf,
        _ => b.wrapping_sub(55) & 0xf,
    };
    let (mut held, mut bits) = (0_u32, 0_u32);
    let mut out = Vec::with_capacity(text.len());
    for pair in text.chunks(2) {
        let (high, low) = match pair {
            [high, low] => (*high, *low),
            _ => (pair.first().copied().unwrap_or_default(), 0),
        };
        held |= u32::from((digit(high) << 4) | digit(low)) << bits;
        bits = bits.saturating_add(8);
        while bits >= 7 {
            out.push(held.to_le_bytes()[0] & 0x7f);
            held >>= 7;
            bits = bits.saturating_sub(7);
        }
    }
    out
}

fn encode64(text: &[u8], alphabet: &[u8; 64], pad: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len().div_ceil(3).saturating_mul(4));
    for chunk in text.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or_default());
        let word = (byte(0) << 16) | (byte(1) << 8) | byte(2);
        for (at, shift) in [18_u32, 12, 6, 0].into_iter().enumerate() {
            let digit = usize::try_from((word >> shift) & 63).unwrap_or_default();
            match alphabet.get(digit) {
                Some(c) if at <= chunk.len() => out.push(*c),
                _ if pad => out.push(b'='),
                _ => {}
            }
        }
    }
    out
}

/// Foreign characters count as all ones, as in Kamailio; a lone digit at the end gives a byte of its own.
fn decode64(text: &[u8], alphabet: &[u8; 64]) -> Vec<u8> {
    let text = text.trim_ascii_end();
    let end = text
        .iter()
        .rposition(|b| *b != b'=')
        .map_or(0, |at| at.saturating_add(1));
    let digits = text.get(..end).unwrap_or_default();
    let value = |c: &u8| {
        let at = alphabet.iter().position(|known| known == c);
        at.and_then(|at| u8::try_from(at).ok()).unwrap_or(0xff)
    };
    let mut out = Vec::with_capacity(digits.len());
    for chunk in digits.chunks(4) {
        let mut values = [0xff_u8; 4];
        for (place, c) in values.iter_mut().zip(chunk) {
            *place = value(c);
        }
        let [a, b, c, d] = values;
        let bytes = [
            (a << 2) | ((b & 0x70) >> 4),
            (b << 4) | ((c & 0x3c) >> 2),
            (c << 6) | (d & 0x3f),
        ];
        let count = chunk.len().saturating_sub(1).max(1);
        out.extend(bytes.into_iter().take(count));
    }
    out
}

fn decode_padded(text: &[u8]) -> Option<Vec<u8>> {
    text.len().is_multiple_of(4).then(|| decode64(text, BASE64))
}

fn decode_url(text: &Str) -> Value {
    if text.len() == 1 {
        return Value::EMPTY;
    }
    decode64(text, BASE64_URL).into()
}

/// The longest text for base58, whose cost grows with the square.
const MAX_BASE58: usize = 4_096;

/// Turns digits of one base into those of another, most significant first; leading zeros are kept apart.
fn rebase(digits: &[u8], from: u32, to: u32) -> Vec<u8> {
    let zeros = digits.iter().take_while(|d| **d == 0).count();
    let mut out: Vec<u8> = Vec::with_capacity(digits.len());
    for digit in digits {
        let mut carry = u32::from(*digit);
        for place in &mut out {
            carry = carry.wrapping_add(u32::from(*place).wrapping_mul(from));
            *place = u8::try_from(carry.checked_rem(to).unwrap_or_default()).unwrap_or_default();
            carry = carry.checked_div(to).unwrap_or_default();
        }
        while carry > 0 {
            out.push(u8::try_from(carry.checked_rem(to).unwrap_or_default()).unwrap_or_default());
            carry = carry.checked_div(to).unwrap_or_default();
        }
    }
    out.extend(std::iter::repeat_n(0, zeros));
    out.reverse();
    out
}

fn encode58(text: &Str) -> Value {
    if text.len() > MAX_BASE58 {
        return Value::Null;
    }
    let digits = rebase(text, 256, 58);
    let out: Vec<u8> = digits
        .iter()
        .filter_map(|d| BASE58.get(usize::from(*d)).copied())
        .collect();
    out.into()
}

fn decode58(text: &Str) -> Value {
    if text.len() > MAX_BASE58 {
        return Value::Null;
    }
    let digit = |c: &u8| {
        BASE58
            .iter()
            .position(|known| known == c)
            .and_then(|at| u8::try_from(at).ok())
    };
    let digits: Option<Vec<u8>> = text.iter().map(digit).collect();
    digits.map(|digits| rebase(&digits, 58, 256)).into()
}

#[cfg(test)]
mod tests {
    use kahea_module::Value;

    use super::super::testing::{apply, text};

    #[test]
    fn hexadecimal_goes_both_ways() {
        assert_eq!(text("Hello", "s.encode.hexa"), "48656c6c6f");
        assert_eq!(text("48656", "s.decode.hexa"), "He");
        assert_eq!(apply("zz", "s.decode.hexa"), Value::Null);
        assert_eq!(text("", "s.decode.hexa"), "");
    }

    #[test]
    fn base64_takes_kamailios_liberties() {
        assert_eq!(text("1234", "s.encode.base64"), "MTIzNA==");
        assert_eq!(text("1234", "s.encode.base64t"), "MTIzNA");
        assert_eq!(text("SGVsbG8=", "s.decode.base64"), "Hello");
        assert_eq!(apply("SGVsbG8", "s.decode.base64"), Value::Null);
        assert_eq!(text("SGVsbG8", "s.decode.base64t"), "Hello");
        assert_eq!(text("SGVsbG8_", "s.decode.base64url"), "Hello?");
        assert_eq!(
            apply("!!!!", "s.decode.base64"),
            Value::from(vec![0xff, 0xff, 0xff])
        );
        assert_eq!(apply("2", "s.decode.base64t"), Value::from(vec![0xdf]));
        assert_eq!(apply("-56", "s.decode.base64url"), Value::from(vec![0xfb, 0x9e]));
    }

    #[test]
    fn base58_keeps_leading_zeros() {
        assert_eq!(text("Hello, World", "s.encode.base58"), "2NEpo7TZsLBYdvo5V");
        assert_eq!(text("2NEpo7TZsLBYdvo5V", "s.decode.base58"), "Hello, World");
        assert_eq!(
            apply(Value::from(vec![0, 0, 7]), "s.encode.base58"),
            Value::from("118")
        );
        assert_eq!(apply("118", "s.decode.base58"), Value::from(vec![0, 0, 7]));
        assert_eq!(apply("0OIl", "s.decode.base58"), Value::Null);
    }

    #[test]
    fn seven_bits_are_packed() {
        assert_eq!(text("Hello, World", "s.encode.7bit"), "C8329BFD6681AE6F399B0C");
        assert_eq!(text("C8329BFD6681AE6F399B0C", "s.decode.7bit"), "Hello, World");
        assert_eq!(apply("7bitlen", "s.encode.7bit").str_or_empty().len(), 14);
        assert_eq!(text("2", "s.decode.7bit"), ")");
        assert_eq!(text("-56", "s.decode.7bit"), "eR");
    }
}
