//! Any bytes as a configuration: no panic, and an end in bounded time.
#![expect(clippy::indexing_slicing, reason = "a test's own helper")]

use kahea_lang::fuzz;
use proptest::prelude::*;

const WHOLE: &[u8] = include_bytes!("data/whole.cfg");

fn mutated(seed: &[(prop::sample::Index, u8)]) -> Vec<u8> {
    let mut data = WHOLE.to_vec();
    for (at, byte) in seed {
        let at = at.index(data.len());
        match byte % 4 {
            0 => data[at] = *byte,
            1 => drop(data.remove(at)),
            2 => data.insert(at, b"{}()[];\"$#!/\\:=."[usize::from(*byte) % 16]),
            _ => data.truncate(at.max(64)),
        }
    }
    data
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes(data in prop::collection::vec(any::<u8>(), 0..400)) {
        fuzz::preprocess(&data);
        fuzz::parse(&data);
        fuzz::pv_format(&data);
    }

    #[test]
    fn changed_configuration(seed in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        fuzz::parse(&mutated(&seed));
    }

    #[test]
    fn words(text in "([{}()\\[\\];,:=.!+\\-*/@$\"#\n ]|if|else|while|switch|case|route|exit|\\$var\\(x\\)|1|#!ifdef A|x){0,80}") {
        fuzz::parse(text.as_bytes());
    }
}

#[test]
fn deep_and_long() {
    let in_route = |text: String| fuzz::parse(format!("request_route {{ $var(x) = {text}; }}").as_bytes());
    in_route("(".repeat(100_000));
    in_route("!".repeat(100_000));
    in_route("1+".repeat(100_000));
    in_route("$(var(x){s.rm,".repeat(20_000));
    in_route("f(".repeat(100_000));
    in_route("$(;".repeat(20_000));
    fuzz::parse("{".repeat(100_000).as_bytes());
    fuzz::parse(format!("request_route {}", "{".repeat(100_000)).as_bytes());
    fuzz::parse(format!("request_route {{ {} }}", "if (1) ".repeat(100_000)).as_bytes());
    fuzz::parse(format!("request_route {{ {} }}", "if (1) exit; else ".repeat(100_000)).as_bytes());
    fuzz::parse("include_file \"fuzz.cfg\"\n".repeat(1_000).as_bytes());
    fuzz::parse("/*".repeat(100_000).as_bytes());
    fuzz::parse("#!ifdef A\n".repeat(100_000).as_bytes());
    let doubling: String = (1..60)
        .map(|n| format!("#!define A{n} A{0} A{0}\n", n - 1))
        .collect();
    fuzz::parse(format!("#!define A0 1\n{doubling}\nchildren=A59\n").as_bytes());
}
