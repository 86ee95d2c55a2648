//! The example of CONTRIBUTING.md is the code that is compiled and tested here.

#[path = "../../docs/example/bodylimit.rs"]
mod bodylimit;

use std::sync::Arc;

use kahea_diag::render;
use kahea_engine::{boot, core_module::Core};
use kahea_lang::source::{Memory, Options};
use kahea_module::{modules, registry::Registry};

const GUIDE: &str = include_str!("../../CONTRIBUTING.md");
const EXAMPLE: &str = include_str!("../../docs/example/bodylimit.rs");

#[test]
fn the_guide_shows_the_example_as_it_is() {
    assert!(
        GUIDE.contains(&format!("```rust\n{EXAMPLE}```")),
        "copy docs/example/bodylimit.rs into CONTRIBUTING.md"
    );
}

#[test]
fn a_script_can_use_the_example() {
    let mut modules = modules![Core, bodylimit::BodyLimit];
    modules.extend(kahea_mods_base::modules());
    let registry = Arc::new(Registry::new(modules));
    let findings = |text: &str| {
        let compiled = boot::load_from(
            "t.cfg",
            &Memory::with("t.cfg", text),
            &Options::default(),
            &registry,
        );
        let sorted = compiled.diagnostics.sorted(&compiled.sources);
        sorted
            .into_iter()
            .map(|problem| render::line(problem, &compiled.sources))
            .collect::<Vec<_>>()
    };
    let head = "loadmodule \"bodylimit.so\"\nmodparam(\"bodylimit\", \"max_size\", 100)\n";
    assert_eq!(
        findings(&format!(
            "{head}request_route {{ if (!body_fits()) {{ drop; }} }}"
        )),
        [""; 0]
    );
    let wrong = findings(&format!("{head}request_route {{ body_fits(\"many\"); }}"));
    assert_eq!(wrong.len(), 1, "{wrong:?}");
}
