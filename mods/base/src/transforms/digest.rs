//! `{s.…}`: hashes and checksums.

use std::sync::Arc;

use kahea_module::{Bind, BindError, Decl, Module, Str, TransformKind, Value, transform::BoundTransform};
use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::{Sha256, Sha384, Sha512};
use sha3::{Keccak256, Keccak384, Keccak512, Sha3_256, Sha3_384, Sha3_512};

use super::{args, codec::hex, on_text, with_text};

pub(super) fn declare<M: Module>(d: &mut Decl<M>) {
    on_text!(d, "s",
        "md5", "Its MD5 sum in hexadecimal.", digest::<Md5>;
        "sha1", "Its SHA-1 sum in hexadecimal.", digest::<Sha1>;
        "sha256", "Its SHA-256 sum in hexadecimal.", digest::<Sha256>;
        "sha384", "Its SHA-384 sum in hexadecimal.", digest::<Sha384>;
        "sha512", "Its SHA-512 sum in hexadecimal.", digest::<Sha512>;
        "crc32", "Its CRC-32 checksum (as in Ethernet and gzip), a number.", |s| Value::Int(crc32(s).into());
    );
    d.transform(
        "s",
        "sha3",
        &["bits"],
        TransformKind::Raw(|raw, bind| {
            sized(
                raw,
                bind,
                [digest::<Sha3_256>, digest::<Sha3_384>, digest::<Sha3_512>],
            )
        }),
        "Its SHA-3 sum of 256 (without an argument), 384 or 512 bits in hexadecimal.",
    );
    d.transform("s", "keccak", &["bits"], TransformKind::Raw(|raw, bind| {
        sized(raw, bind, [digest::<Keccak256>, digest::<Keccak384>, digest::<Keccak512>])
    }), "Its Keccak sum, the forerunner of SHA-3, of 256 (without an argument), 384 or 512 bits in hexadecimal.");
    d.transform(
        "s",
        "corehash",
        &["n"],
        TransformKind::Raw(|raw, bind| {
            args::by_optional_number(raw, bind, 0, |text, size| {
                let size = u32::try_from(size).unwrap_or(0);
                Value::Str(kahea_module::value::int_text(core_hash(text, b"", size).into()))
            })
        }),
        "Kamailio's core hash of it, as text; within n where n, a power of two, is given.",
    );
}

fn digest<D: Digest>(text: &Str) -> Value {
    hex(&D::digest(&**text), *b"0123456789abcdef").into()
}

fn sized(raw: &str, bind: &dyn Bind, by_size: [fn(&Str) -> Value; 3]) -> Result<BoundTransform, BindError> {
    let number = match raw.trim() {
        "" => args::Number::Fixed(256),
        given => args::Number::parse(given, bind)?,
    };
    let [small, middle, large] = by_size;
    if let args::Number::Fixed(bits) = number
        && !matches!(bits, 256 | 384 | 512)
    {
        return Err(BindError::new(format!("there is no sum of {bits} bits")).help("write 256, 384 or 512"));
    }
    Ok(Arc::new(move |cx, value| match number.get(cx) {
        Some(256) => with_text(&value, small),
        Some(384) => with_text(&value, middle),
        Some(512) => with_text(&value, large),
        _ => Value::Null,
    }))
}

/// Kamailio's hash for tables: over two texts, within `size` where it is not 0. Scripts rely on its values.
///
/// The texts are taken as big-endian words of four bytes, the rest as a shorter word.
pub fn core_hash(first: &[u8], second: &[u8], size: u32) -> u32 {
    let mut hash = 0_u32;
    for text in [first, second] {
        for word in text.chunks(4) {
            let v = word.iter().fold(0_u32, |v, b| (v << 8) | u32::from(*b));
            hash = hash.wrapping_add(v ^ (v >> 3));
        }
    }
    hash = hash
        .wrapping_add(hash >> 11)
        .wrapping_add((hash >> 13).wrapping_add(hash >> 23));
    match size {
        0 => hash,
        size => hash & size.wrapping_sub(1),
    }
}

fn crc32(text: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0xedb8_8320;
    let step = |crc: u32| {
        if crc & 1 == 1 {
            (crc >> 1) ^ POLYNOMIAL
        } else {
            crc >> 1
        }
    };
    let crc = text.iter().fold(u32::MAX, |crc, b| {
        (0..8).fold(crc ^ u32::from(*b), |crc, _| step(crc))
    });
    !crc
}

#[cfg(test)]
mod tests {
    use kahea_module::Value;

    use super::{
        super::testing::{apply, refused, text},
        *,
    };

    #[test]
    fn sums_are_the_known_ones() {
        assert_eq!(text("", "s.md5"), "d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(text("abc", "s.sha1"), "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert!(text("Hello, World", "s.sha256").starts_with("03675ac53ff9cd15"));
        assert!(text("", "s.sha3").starts_with("a7ffc6f8bf1ed766"));
        assert!(text("", "s.keccak,256").starts_with("c5d2460186f7233c"));
        assert_eq!(text("x", "s.sha3,512").len(), 128);
        assert!(refused("s.sha3,224").contains("224"));
        assert_eq!(apply("123456789", "s.crc32"), Value::Int(0xcbf4_3926));
    }

    #[test]
    fn the_core_hash_is_kamailios() {
        for (input, hash) in [
            ("Hello, World", "114333856"),
            ("1234", "924651761"),
            ("-56", "2660838"),
            ("2", "52"),
            ("", "0"),
        ] {
            assert_eq!(text(input, "s.corehash"), hash);
        }
        assert_eq!(text("Hello, World", "s.corehash,16"), "0");
        assert_eq!(core_hash(b"abc", b"", 1 << 16), 24_386);
        assert_eq!(core_hash(b"abc", b"def", 1 << 4), 1);
    }
}
