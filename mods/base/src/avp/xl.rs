//! The %-variables of SER's xprint module, as these functions take them: `%ci`, `%{Header[1]}`, `%%`.

use kahea_module::{Bind, BindError, Cx, Fault, Format, Piece, Str, Var, arg::Literal};

use super::Avp;

/// A text with %-variables, compiled.
pub struct Xl(pub Format);

impl Literal for Xl {
    const WHAT: &'static str = "a text with %-variables";

    fn parse(text: &str, bind: &dyn Bind) -> Result<Xl, BindError> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            plain.push_str(before);
            rest = match after.strip_prefix('%') {
                Some(after) => {
                    plain.push('%');
                    after
                }
                None => {
                    let (name, after) = variable(after)
                        .ok_or_else(|| BindError::new(format!("there is no %-variable at '%{after}'")))?;
                    push(&mut pieces, &mut plain);
                    pieces.push(Piece::Var(bound(&name, bind)?));
                    after
                }
            };
        }
        plain.push_str(rest);
        push(&mut pieces, &mut plain);
        Ok(Xl(Format::new(pieces)))
    }
}

impl Xl {
    /// The text for a message.
    ///
    /// # Errors
    /// It is longer than `xlbuf_size` allows.
    pub fn text(&self, m: &Avp, cx: &mut Cx) -> Result<Str, Fault> {
        let text = self.0.text(cx);
        if text.len() >= m.xlbuf_size {
            let (is, most) = (text.len(), m.xlbuf_size);
            return Err(Fault::limit(format!(
                "a text of {is} bytes does not fit into {most}: raise the parameter xlbuf_size of avp"
            )));
        }
        Ok(text)
    }
}

fn push(pieces: &mut Vec<Piece>, plain: &mut String) {
    if !plain.is_empty() {
        pieces.push(Piece::Text(Str::from(std::mem::take(plain))));
    }
}

/// The pseudo-variable that a %-variable stands for, and the text behind it.
fn variable(text: &str) -> Option<(String, &str)> {
    if let Some(rest) = text.strip_prefix('{') {
        let (name, after) = rest.split_once('}')?;
        return Some((header(name)?, after));
    }
    if let Some(rest) = text.strip_prefix('<') {
        let (name, after) = rest.split_once('>')?;
        return Some((format!("$avp({name})"), after));
    }
    if let Some(rest) = text.strip_prefix('@') {
        let end = rest.find(['|', ' ']).unwrap_or(rest.len());
        let (name, after) = rest.split_at_checked(end)?;
        return Some((format!("$sel({name})"), after.get(1..).unwrap_or("")));
    }
    let (name, after) = text.split_at_checked(2)?;
    let same = [
        "br", "bR", "ci", "cs", "ct", "ds", "fu", "ft", "mb", "mf", "mi", "ml", "pp", "rm", "ru", "rr", "rs",
        "rt", "Ri", "Rp", "si", "sp", "tu", "tt", "Ts", "Tf", "ua",
    ];
    let variable = match name {
        "Hn" => "$HN(n)".to_owned(),
        "Hd" => "$HN(d)".to_owned(),
        "Hf" => "$HN(f)".to_owned(),
        "Hi" => "$HN(i)".to_owned(),
        "nh" => "$nh(u)".to_owned(),
        "mx" => "$(mi{s.encode.hexa})".to_owned(),
        "px" => "$(pp{s.encode.hexa})".to_owned(),
        "uq" => "$sruid".to_owned(),
        name if same.contains(&name) => format!("${name}"),
        _ => return None,
    };
    Some((variable, after))
}

/// `name` or `name[n]`.
fn header(inner: &str) -> Option<String> {
    match inner.split_once('[') {
        None => Some(format!("$hdr({inner})")),
        Some((name, index)) => Some(format!("$(hdr({name})[{}])", index.strip_suffix(']')?)),
    }
}

fn bound(name: &str, bind: &dyn Bind) -> Result<Var, BindError> {
    bind.var(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_variables_are_pseudo_variables() {
        let name = |text: &str| variable(text).map(|(name, rest)| (name, rest.to_owned()));
        let is = |name: &str, rest: &str| Some((name.to_owned(), rest.to_owned()));
        assert_eq!(name("ci method"), is("$ci", " method"));
        assert_eq!(name("{User-Agent}|"), is("$hdr(User-Agent)", "|"));
        assert_eq!(name("{Via[1]}"), is("$(hdr(Via)[1])", ""));
        assert_eq!(name("@ruri.user|x"), is("$sel(ruri.user)", "x"));
        assert_eq!(name("Hf:5080"), is("$HN(f)", ":5080"));
        assert_eq!(name("zz"), None);
        assert_eq!(name("{x"), None);
    }

    #[test]
    fn plain_text_is_joined() {
        let bind = kahea_module::testing::FakeBind::default();
        let text = Xl::parse("100%% sure", &bind)
            .ok()
            .and_then(|xl| xl.0.as_constant());
        assert_eq!(text, Some(Str::from("100% sure")));
        assert!(Xl::parse("%zz", &bind).is_err());
    }
}
