//! Rule files as `hosts.allow` has them: `"FROM", … EXCEPT … : "URI", … EXCEPT …`, one rule a line.

use kahea_module::Regex;

/// How deep `EXCEPT` may be nested.
const DEEPEST: usize = 16;

/// The rules of one file.
#[derive(Default)]
pub(super) struct Rules(Vec<Rule>);

struct Rule {
    left: Expression,
    right: Expression,
}

struct Expression {
    /// Any of these; all where there are none.
    any: Vec<Regex>,
    except: Option<Box<Expression>>,
}

/// A line that is no rule; it is passed over.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadLine {
    pub(super) number: usize,
    pub(super) why: String,
}

impl Rules {
    /// Reads a file; lines that are no rules are told, the others count.
    pub(super) fn parse(text: &[u8]) -> (Rules, Vec<BadLine>) {
        let (mut rules, mut bad) = (Vec::new(), Vec::new());
        for (at, line) in text.split(|byte| *byte == b'\n').enumerate() {
            match Rule::parse(line) {
                Ok(rule) => rules.extend(rule),
                Err(why) => bad.push(BadLine {
                    number: at.saturating_add(1),
                    why,
                }),
            }
        }
        (Rules(rules), bad)
    }

    /// A rule matches both.
    pub(super) fn matches(&self, left: &[u8], right: &[u8]) -> bool {
        self.0
            .iter()
            .any(|rule| rule.left.matches(left) && rule.right.matches(right))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The parts of a line.
#[derive(Clone, Debug, PartialEq)]
enum Token<'a> {
    Quoted(&'a [u8]),
    Word(&'a [u8]),
    Comma,
    Colon,
}

fn tokens(mut line: &[u8]) -> Result<Vec<Token<'_>>, String> {
    let mut out = Vec::new();
    while let [first, rest @ ..] = line.trim_ascii_start() {
        line = match first {
            b'#' => break,
            b',' => push(&mut out, Token::Comma, rest),
            b':' => push(&mut out, Token::Colon, rest),
            b'"' => {
                let end = rest.iter().position(|byte| *byte == b'"');
                let end = end.ok_or("a quote does not end")?;
                let (inner, after) = rest.split_at(end);
                push(&mut out, Token::Quoted(inner), after.get(1..).unwrap_or_default())
            }
            _ => {
                let line = line.trim_ascii_start();
                let ends = |byte: &u8| byte.is_ascii_whitespace() || b",:\"#".contains(byte);
                let end = line.iter().position(ends).unwrap_or(line.len());
                let (word, after) = line.split_at(end);
                push(&mut out, Token::Word(word), after)
            }
        };
    }
    Ok(out)
}

fn push<'a>(out: &mut Vec<Token<'a>>, token: Token<'a>, rest: &'a [u8]) -> &'a [u8] {
    out.push(token);
    rest
}

impl Rule {
    /// `None` for an empty line.
    fn parse(line: &[u8]) -> Result<Option<Rule>, String> {
        let tokens = tokens(line)?;
        if tokens.is_empty() {
            return Ok(None);
        }
        let mut sides = tokens.split(|token| *token == Token::Colon);
        let (Some(left), Some(right), None) = (sides.next(), sides.next(), sides.next()) else {
            return Err("a rule has one colon between its two sides".to_owned());
        };
        Ok(Some(Rule {
            left: Expression::parse(left, DEEPEST)?,
            right: Expression::parse(right, DEEPEST)?,
        }))
    }
}

impl Expression {
    fn parse(tokens: &[Token<'_>], depth: usize) -> Result<Expression, String> {
        let depth = depth.checked_sub(1).ok_or("EXCEPT is nested too deep")?;
        let split = tokens.iter().position(|token| *token == Token::Word(b"EXCEPT"));
        let (list, except) = tokens.split_at(split.unwrap_or(tokens.len()));
        let except = match except {
            [] => None,
            [_, rest @ ..] => Some(Box::new(Expression::parse(rest, depth)?)),
        };
        let any = match list {
            [Token::Word(b"ALL")] => Vec::new(),
            list => patterns(list)?,
        };
        Ok(Expression { any, except })
    }

    fn matches(&self, text: &[u8]) -> bool {
        let listed = self.any.is_empty() || self.any.iter().any(|regex| regex.is_match(text));
        listed && !self.except.as_ref().is_some_and(|except| except.matches(text))
    }
}

/// Quoted expressions with commas between them, at least one.
fn patterns(list: &[Token<'_>]) -> Result<Vec<Regex>, String> {
    list.split(|token| *token == Token::Comma)
        .map(|item| match item {
            [Token::Quoted(pattern)] => Regex::with(pattern, true, false).map_err(|error| error.to_string()),
            [] => Err("an expression is missing".to_owned()),
            _ => Err(
                "expressions stand in quotes, with commas between them; without quotes there is only ALL"
                    .to_owned(),
            ),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Rules {
        let (rules, bad) = Rules::parse(text.as_bytes());
        assert_eq!(bad, []);
        rules
    }

    #[test]
    fn lists_all_and_except() {
        let all = rules("# first\n\"^sip:a\", \"^sip:b\" : ALL EXCEPT \"x\", \"y\" EXCEPT \"xx\"  # why\n\n");
        assert!(all.matches(b"sip:a", b"one") && all.matches(b"SIP:B", b"one"));
        assert!(
            !all.matches(b"sip:c", b"one") && !all.matches(b"sip:a", b"x") && !all.matches(b"sip:a", b"y")
        );
        assert!(all.matches(b"sip:a", b"xx"), "taken out of what is taken out");
    }

    #[test]
    fn bad_lines_are_told_and_passed_over() {
        let text = "no colon\n\"open : \"x\"\nALL : word\n : \"x\"\nALL : \"(\"\nALL : \"a\" : \"b\"\nALL : \"^good\"\nall : \"q\"\n";
        let (rules, bad) = Rules::parse(text.as_bytes());
        assert_eq!(
            bad.iter().map(|bad| bad.number).collect::<Vec<_>>(),
            [1, 2, 3, 4, 5, 6, 8]
        );
        assert!(rules.matches(b"any", b"good") && !rules.matches(b"any", b"q"));
        let deep = format!("ALL {} : ALL", "EXCEPT \"x\" ".repeat(40));
        assert_eq!(Rules::parse(deep.as_bytes()).1.len(), 1);
        assert!(Rules::parse(b"\n# only\n").0.is_empty());
    }
}
