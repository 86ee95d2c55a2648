//! Entry points for fuzzing: any bytes, no panic, an end in bounded time.

use kahea_diag::{Diagnostics, FileId, Span};
use kahea_sip::Str;

use crate::{
    ast::Text,
    parser, preprocess, pv,
    source::{Memory, Options},
};

/// Runs the preprocessor over a configuration that may include itself as `fuzz.cfg`.
pub fn preprocess(data: &[u8]) {
    preprocess::preprocess("fuzz.cfg", &Memory::with("fuzz.cfg", data), &Options::default());
}

/// Parses a configuration and renders what is wrong with it.
pub fn parse(data: &[u8]) {
    let parsed = parser::parse("fuzz.cfg", &Memory::with("fuzz.cfg", data), &Options::default());
    for diagnostic in parsed.diagnostics.sorted(&parsed.sources).into_iter().take(20) {
        kahea_diag::render::full(diagnostic, &parsed.sources);
        kahea_diag::render::line(diagnostic, &parsed.sources);
    }
}

/// Splits a format string.
pub fn pv_format(data: &[u8]) {
    let end = u32::try_from(data.len()).unwrap_or(u32::MAX);
    let text = Text::verbatim(Str::copy(data), Span::new(FileId::ROOT, 0, end));
    pv::format(&text, &mut Diagnostics::new());
}
