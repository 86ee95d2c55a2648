//! `{s.…}`: blanks, tabs and line ends.

use kahea_module::{Decl, Module, Str, Value};

use super::on_text;

pub(super) fn declare<M: Module>(d: &mut Decl<M>) {
    on_text!(d, "s",
        "trim", "Without blanks, tabs and line ends around it.", |s| trim(s, true, true);
        "ltrim", "Without blanks, tabs and line ends before it.", |s| trim(s, true, false);
        "rtrim", "Without blanks, tabs and line ends after it.", |s| trim(s, false, true);
        "rmws", "Without any blanks, tabs and line ends.",
            |s| s.iter().copied().filter(|b| !is_space(b)).collect::<Vec<u8>>().into();
        "rmhdws", "As one line: each line end that blanks or tabs follow becomes, with them, one blank.",
            |s| unfold(s, b" ");
        "rmhlws", "As one line: line ends that blanks or tabs follow are taken out, with them.", |s| unfold(s, b"");
    );
}

fn is_space(b: &u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\r' | b'\n')
}

fn trim(text: &Str, before: bool, after: bool) -> Value {
    let mut rest: &[u8] = text;
    while let (true, [b, inner @ ..]) = (before, rest) {
        if !is_space(b) {
            break;
        }
        rest = inner;
    }
    while let (true, [inner @ .., b]) = (after, rest) {
        if !is_space(b) {
            break;
        }
        rest = inner;
    }
    Value::Str(text.share(rest))
}

fn unfold(text: &Str, with: &[u8]) -> Value {
    let mut out = Vec::with_capacity(text.len());
    let mut rest: &[u8] = text;
    while let [b, after @ ..] = rest {
        let behind = match rest {
            [b'\r', b'\n', behind @ ..] | [b'\r' | b'\n', behind @ ..] => behind,
            _ => after,
        };
        let is_fold = matches!(b, b'\r' | b'\n') && matches!(behind, [b' ' | b'\t', ..]);
        if is_fold {
            let blanks = behind.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
            out.extend_from_slice(with);
            rest = behind.get(blanks..).unwrap_or_default();
        } else {
            out.push(*b);
            rest = after;
        }
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::super::testing::text;

    #[test]
    fn blanks_are_taken_off_the_ends() {
        assert_eq!(text("  a b \t", "s.trim"), "a b");
        assert_eq!(text("  a ", "s.ltrim"), "a ");
        assert_eq!(text("  a\r\n", "s.rtrim"), "  a");
        assert_eq!(text("  ", "s.trim"), "");
        assert_eq!(text(" a \t b\r\nc", "s.rmws"), "abc");
    }

    #[test]
    fn folded_headers_become_one_line() {
        assert_eq!(text("a:  b\r\n \t c\n\td\r\n", "s.rmhdws"), "a:  b c d\r\n");
        assert_eq!(text("a:  b\r\n \t c\n\td", "s.rmhlws"), "a:  bcd");
        assert_eq!(text("a\r\nb", "s.rmhdws"), "a\r\nb");
    }
}
