//! What must hold for any bytes at all: the entry points of the fuzz targets and of their smoke run.

use kahea_module::rpc::{RpcAnswer, RpcValue};

use crate::{
    binrpc::{self, Header, Reader, Sizes},
    jsonrpcs::text,
    lines,
};

const SIZES: Sizes = Sizes {
    body: 1 << 20,
    group: 1 << 20,
};

/// A packet that can be read has a body within bounds, and its values are the same after they are written and read again.
#[expect(clippy::panic, reason = "a broken promise has to stop the fuzzer")]
pub fn packet(bytes: &[u8]) {
    let Ok(Some(header)) = Header::read(bytes) else {
        return;
    };
    assert!(header.body <= binrpc::LONGEST && header.header <= 10);
    let Some(body) = bytes.get(header.header..header.packet()) else {
        return;
    };
    let mut reader = Reader::new(body);
    let _ = reader.method();
    let Ok(values) = reader.values() else {
        return;
    };
    let Ok(written) = binrpc::reply(header.cookie, &values, SIZES) else {
        return;
    };
    let Ok(Some(again)) = Header::read(&written) else {
        // More than a request may have; answers may be longer.
        assert!(written.len() > binrpc::LONGEST);
        return;
    };
    assert!(again.cookie == header.cookie && again.packet() == written.len());
    let body = written.get(again.header..).unwrap_or_default();
    match Reader::new(body).values() {
        Ok(read) => assert!(read.len() == values.len()),
        Err(wrong) => panic!("what was written cannot be read: {wrong:?}"),
    }
}

/// Requests of the line protocol progress, and answers stay on their lines.
pub fn line_request(bytes: &[u8]) {
    let mut rest = bytes;
    while let Some((request, used)) = lines::split(rest) {
        assert!(used > request.len(), "an end without progress");
        if let Ok(request) = lines::read(request) {
            let count = request.args.len();
            let answer = lines::answer(&Ok(request.args));
            let ends = answer.iter().filter(|byte| **byte == b'\n').count();
            assert!(ends == count.saturating_add(1));
        }
        rest = rest.get(used..).unwrap_or_default();
    }
}

/// A document is a request or refused, and what is answered is JSON.
#[expect(clippy::panic, reason = "a broken promise has to stop the fuzzer")]
pub fn json_request(bytes: &[u8]) {
    let (done, id) = match text::read(bytes) {
        Ok(request) => {
            let result = Ok(vec![RpcValue::Array(request.args), request.method.into()]);
            (Ok(RpcAnswer { result, list: true }), request.id)
        }
        Err(wrong) => (Err(wrong.fault), wrong.id),
    };
    for pretty in [true, false] {
        let answer = text::answer(done.clone(), id.as_ref(), pretty);
        if let Err(error) = serde_json::from_slice::<serde_json::Value>(&answer) {
            panic!("the answer is no JSON: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// splitmix64.
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        }

        fn below(&mut self, n: usize) -> usize {
            usize::try_from(self.next() % u64::try_from(n.max(1)).unwrap()).unwrap()
        }
    }

    const SEEDS: [&[u8]; 6] = [
        b"\xa1\x03\x12\x12\x34\x56\x78\x91\x0acore.echo\0\x21a\x00\x10\x05",
        b"\xa1\x03\x1a\x12\x34\x56\x78\x91\x0acore.echo\0\x03\x25a\x00\x04\x10\x05\x22\x09\xc4\x84\x83",
        b":core.echo:reply\na\\nb\n5\n\n:core.version:\n\n",
        br#"{"jsonrpc":"2.0","method":"core.echo","params":["a",1,-2.5,{"b":[true,null]}],"id":"x"}"#,
        br#"{"jsonrpc":"2.0","method":"core.echo","params":{"a":"\u00e9\n"},"id":1,"reply_name":"r"}"#,
        b"\xa1\x0f\xff\xff\xff\xff\x01\x02\x03\x04",
    ];

    /// Each change of a seed: a byte replaced, removed, added, or the end cut off.
    #[test]
    fn nothing_that_is_sent_breaks_a_promise() {
        let mut random = Random(7);
        for _ in 0..20_000 {
            let mut bytes = SEEDS[random.below(SEEDS.len())].to_vec();
            for _ in 0..=random.below(4) {
                let at = random.below(bytes.len());
                let byte = u8::try_from(random.below(256)).unwrap();
                match random.below(4) {
                    0 if !bytes.is_empty() => bytes[at] = byte,
                    1 if !bytes.is_empty() => drop(bytes.remove(at)),
                    2 => bytes.insert(at, byte),
                    _ => bytes.truncate(at),
                }
            }
            packet(&bytes);
            line_request(&bytes);
            json_request(&bytes);
        }
    }

    #[test]
    fn nothing_that_is_cut_off_breaks_a_promise() {
        for seed in SEEDS {
            for end in 0..seed.len() {
                packet(&seed[..end]);
                line_request(&seed[..end]);
                json_request(&seed[..end]);
            }
        }
    }
}
