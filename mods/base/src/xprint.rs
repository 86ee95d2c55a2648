//! Module `xprint`: log lines with the `%` specifiers of SIP Express Router, each read as the variable it stands for.

use kahea_module::{
    Bind, BindError, Cx, Decl, Env, Format, InitError, Lit, Literal, Module, Piece, Str,
    log::{self, Level, Line},
};

/// The module.
pub struct Xprint {
    buf_size: usize,
}

/// Its parameters.
pub struct Params {
    buf_size: i64,
}

impl Default for Params {
    fn default() -> Params {
        Params { buf_size: 4096 }
    }
}

impl Module for Xprint {
    const NAME: &'static str = "xprint";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        d.param(
            "buf_size",
            |p| &mut p.buf_size,
            "The most bytes of a line; a longer one is not written and an error tells so.",
        );
        d.func(
            "xplog",
            ["level", "format"],
            xplog,
            "Logs a text with % specifiers at a level, such as L_ERR.",
        );
        d.func(
            "xpdbg",
            ["format"],
            |m: &Xprint, cx: &mut Cx, text: Lit<Text>| write(m, cx, Level::Debug, &text),
            "Logs a text with % specifiers at the level DEBUG.",
        );
    }

    fn init(params: Params, _: &mut Env<'_>) -> Result<Self, InitError> {
        match usize::try_from(params.buf_size) {
            Ok(buf_size) if buf_size > 0 => Ok(Xprint { buf_size }),
            _ => Err(InitError::new("buf_size of xprint is out of range")
                .help("write the bytes of a line, such as 4096")),
        }
    }
}

/// A level; what matters is its third letter.
struct Severity(Level);

impl Literal for Severity {
    const WHAT: &'static str = "a level such as L_ERR";

    fn parse(text: &str, _: &dyn Bind) -> Result<Severity, BindError> {
        let level = match text.as_bytes().get(2) {
            Some(b'A') => Level::Alert,
            Some(b'C') => Level::Critical,
            Some(b'E') => Level::Error,
            Some(b'W') => Level::Warning,
            Some(b'N') => Level::Notice,
            Some(b'I') => Level::Info,
            Some(b'D') => Level::Debug,
            _ => {
                return Err(
                    BindError::new(format!("'{text}' is no level")).help("write L_ERR, L_WARN, L_INFO, …")
                );
            }
        };
        Ok(Severity(level))
    }
}

/// A text with `%` specifiers.
struct Text(Format);

impl Literal for Text {
    const WHAT: &'static str = "a text with % specifiers";

    fn parse(text: &str, bind: &dyn Bind) -> Result<Text, BindError> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('%') {
            plain.push_str(before);
            rest = match specifier(behind)? {
                (Meaning::Plain(text), behind) => {
                    plain.push_str(&text);
                    behind
                }
                (Meaning::Var(name), behind) => {
                    if !plain.is_empty() {
                        pieces.push(Piece::Text(Str::from(std::mem::take(&mut plain))));
                    }
                    pieces.push(Piece::Var(bind.var(&name)?));
                    behind
                }
            };
        }
        plain.push_str(rest);
        pieces.push(Piece::Text(Str::from(plain)));
        Ok(Text(Format::new(pieces)))
    }
}

#[derive(Debug, PartialEq)]
enum Meaning {
    Plain(String),
    Var(String),
}

/// Two letters and the variable they stand for.
const SPECIFIERS: [(&str, &str); 32] = [
    ("br", "$br"),
    ("bR", "$bR"),
    ("ci", "$ci"),
    ("cs", "$cs"),
    ("ct", "$ct"),
    ("ds", "$ds"),
    ("fu", "$fu"),
    ("ft", "$ft"),
    ("Hn", "$HN(n)"),
    ("Hd", "$HN(d)"),
    ("Hf", "$HN(f)"),
    ("Hi", "$HN(i)"),
    ("mb", "$mb"),
    ("mf", "$mf"),
    ("mi", "$mi"),
    ("ml", "$ml"),
    ("nh", "$nh(u)"),
    ("pp", "$pp"),
    ("rm", "$rm"),
    ("ru", "$ru"),
    ("rr", "$rr"),
    ("rs", "$rs"),
    ("rt", "$rt"),
    ("Ri", "$Ri"),
    ("Rp", "$Rp"),
    ("si", "$si"),
    ("sp", "$sp"),
    ("tu", "$tu"),
    ("tt", "$tt"),
    ("Ts", "$TS"),
    ("Tf", "$Tf"),
    ("ua", "$ua"),
];

/// What stands behind a percent sign, and the text after it.
fn specifier(text: &str) -> Result<(Meaning, &str), BindError> {
    let unknown = || {
        let shown: String = text.chars().take(2).collect();
        BindError::new(format!("unknown specifier %{shown}")).help("write %% for a percent sign")
    };
    if let Some(rest) = text.strip_prefix('%') {
        return Ok((Meaning::Plain("%".into()), rest));
    }
    if let Some(rest) = text.strip_prefix('|') {
        return Ok((Meaning::Plain(String::new()), rest));
    }
    if let Some((inner, rest)) = text.strip_prefix('{').and_then(|text| text.split_once('}')) {
        return Ok((Meaning::Var(indexed("hdr", inner)), rest));
    }
    if let Some((inner, rest)) = text.strip_prefix('<').and_then(|text| text.split_once('>')) {
        return Ok((Meaning::Var(indexed("avp", inner)), rest));
    }
    if let Some(rest) = text.strip_prefix('@') {
        let end = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || "._[]-\"".contains(c)))
            .unwrap_or(rest.len());
        let (select, rest) = rest.split_at_checked(end).ok_or_else(unknown)?;
        return Ok((Meaning::Var(format!("$sel({select})")), rest));
    }
    let (name, rest) = text.split_at_checked(2).ok_or_else(unknown)?;
    if name.starts_with('C') {
        let (colors, rest) = text.split_at_checked(3).ok_or_else(unknown)?;
        return Ok((
            Meaning::Plain(color(colors.as_bytes()).ok_or_else(unknown)?),
            rest,
        ));
    }
    let known = SPECIFIERS
        .iter()
        .find(|(known, _)| *known == name)
        .ok_or_else(unknown)?;
    Ok((Meaning::Var(known.1.to_owned()), rest))
}

/// `via[1]` as `$(hdr(via)[1])`.
fn indexed(class: &str, inner: &str) -> String {
    match inner.split_once('[') {
        Some((name, index)) => format!("$({class}({name})[{index})"),
        None => format!("${class}({inner})"),
    }
}

/// The escape sequence of `Cxy`: foreground x, background y.
fn color(text: &[u8]) -> Option<String> {
    let number = |c: &u8| match c {
        b'x' => Some(9),
        c => b"srgybpcw".iter().position(|known| known == c),
    };
    let [_, front, back] = text else { return None };
    Some(format!("\u{1b}[0;3{};4{}m", number(front)?, number(back)?))
}

fn xplog(m: &Xprint, cx: &mut Cx, level: Lit<Severity>, text: Lit<Text>) -> bool {
    write(m, cx, level.0, &text)
}

fn write(m: &Xprint, cx: &mut Cx, level: Level, text: &Text) -> bool {
    if !log::shows(level) {
        return true;
    }
    let text = [b"<script>: ", &*text.0.text(cx)].concat();
    if text.len() >= m.buf_size {
        kahea_module::error!(
            "xprint",
            "A line of {} bytes does not fit into {}: raise the parameter buf_size of xprint.",
            text.len(),
            m.buf_size
        );
        return false;
    }
    let origin = cx.place();
    log::emit(&Line {
        level,
        facility: None,
        module: "xprint",
        prefix: b"",
        place: origin.as_ref().map(|place| (&*place.file, place.line)),
        text: &text,
        script: true,
        worker: log::worker(),
    });
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specifiers_are_variables() {
        let var = |name: &str| Meaning::Var(name.to_owned());
        assert_eq!(specifier("rm>"), Ok((var("$rm"), ">")));
        assert_eq!(specifier("{via[1]}x"), Ok((var("$(hdr(via)[1])"), "x")));
        assert_eq!(specifier("<a>"), Ok((var("$avp(a)"), "")));
        assert_eq!(specifier("@ruri.user%|@"), Ok((var("$sel(ruri.user)"), "%|@")));
        assert_eq!(specifier("%"), Ok((Meaning::Plain("%".into()), "")));
        assert_eq!(
            specifier("Cbr."),
            Ok((Meaning::Plain("\u{1b}[0;34;41m".into()), "."))
        );
        assert_eq!(
            specifier("Cxx"),
            Ok((Meaning::Plain("\u{1b}[0;39;49m".into()), ""))
        );
        assert!(specifier("zz").is_err() && specifier("").is_err() && specifier("é").is_err());
    }

    #[test]
    fn the_third_letter_is_the_level() {
        let bind = kahea_module::testing::FakeBind::default();
        assert_eq!(
            Severity::parse("L_ERR", &bind).map(|s| s.0).ok(),
            Some(Level::Error)
        );
        assert!(Severity::parse("X", &bind).is_err());
    }
}
