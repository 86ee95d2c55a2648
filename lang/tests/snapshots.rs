//! Trees and messages of small programs.

use std::fmt::Write;

use kahea_diag::render;
use kahea_lang::{
    ast, parser,
    source::{Memory, Options},
};

fn parse(text: &str) -> parser::Parsed {
    let mut sources = Memory::with("dir/a.cfg", text).and("dir/part.cfg", include_bytes!("data/part.cfg"));
    sources.env.insert("HOME".into(), "/root".into());
    parser::parse("dir/a.cfg", &sources, &Options::default())
}

#[test]
fn every_construct() {
    let parsed = parse(include_str!("data/whole.cfg"));
    let messages: Vec<_> = parsed
        .diagnostics
        .iter()
        .map(|item| render::full(item, &parsed.sources))
        .collect();
    insta::assert_snapshot!(format!("{}\n{}", ast::sexpr(&parsed.config), messages.join("\n")));
}

/// Broken programs: each has the mistakes it is named for, no more.
const BROKEN: &[(usize, &str)] = &[
    (1, "request_route {\n    xlog(\"a\")\n    exit;\n}\n"),
    (
        1,
        "request_route {\n    if (1) {\n        exit;\n}\nroute[A] { exit; }\n",
    ),
    (1, "#!ifdef X\nchildren=1\n"),
    (2, "#!else\n#!endif\nchildren=1\n"),
    (1, "#!define A 1\n#!define A 2\n"),
    (1, "#!ifdeff A\nchildren=1\n"),
    (1, "request_route { xlog(\"never closed); }\n"),
    (1, "/* open /* nested */\nchildren=1\n"),
    (1, "request_route { $var(x) == 1; exit; }\n"),
    (1, "request_route { if ($ru !~ \"x\") exit; }\n"),
    (1, "request_route { x = 1; exit; }\n"),
    (1, "request_route { $var(x) = $(var(y){len}); exit; }\n"),
    (1, "#!define A B\n#!define B A\nchildren=A\n"),
    (1, "include_file \"none.cfg\"\nchildren=1\n"),
    (1, "include_file \"a.cfg\"\n"),
    (1, "modparam(\"tm\", \"x\", VALUE)\nchildren=1\n"),
    (1, "listen=udp:192.0.2.300:5060\nchildren=1\n"),
    (1, "listen=udp:192.0.2.1:99999\nchildren=1\n"),
    (1, "socket = { bnd = udp:192.0.2.1; bind = udp:192.0.2.2; }\n"),
    (1, "event_route[x] { exit; }\n"),
    (1, "}\nchildren=1\n"),
    (1, "request_route { switch ($rU) { exit; case 1: break; } }\n"),
    (
        1,
        "#!define BAD xlog(\nrequest_route {\n    BAD ;\n    exit;\n}\n",
    ),
    (1, "request_route { force_rprot; exit; }\n"),
    (3, "request_route {\n    a(;\n    b(1;\n    c();\n    $x = ;\n}\n"),
];

#[test]
fn broken_programs() {
    let mut out = String::new();
    let mut wrong = String::new();
    for (count, text) in BROKEN {
        let parsed = parse(text);
        let found = parsed.diagnostics.sorted(&parsed.sources);
        let shown: Vec<_> = found
            .iter()
            .map(|item| render::full(item, &parsed.sources))
            .collect();
        if found.len() != *count {
            let _ = writeln!(
                wrong,
                "expected {count}, found {}: {text}\n{}",
                found.len(),
                shown.join("\n")
            );
        }
        let _ = writeln!(out, "{}", shown.join("\n"));
    }
    assert!(wrong.is_empty(), "{wrong}");
    insta::assert_snapshot!(out);
}

#[test]
fn json_has_all_fields() {
    let parsed = parse("children=\n");
    let json = render::json(parsed.diagnostics.iter(), &parsed.sources);
    insta::assert_snapshot!(json);
}
