//! Paths into documents: `a.b[0].c`.

use indexmap::IndexMap;
use kahea_module::Str;

use crate::document::Node;

/// A path as the script wrote it.
#[derive(Clone, Copy, Debug)]
pub struct Path<'a>(pub &'a [u8]);

/// A place that can be changed.
pub enum At<'a, 'p> {
    /// The whole document.
    Root(&'a mut Node),
    /// A value in it.
    Node(&'a mut Node),
    /// A member that is not there yet.
    New(&'a mut IndexMap<Str, Node>, &'p [u8]),
}

/// One step of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step<'a> {
    Member(&'a [u8]),
    Item(usize),
    /// It cannot be read.
    Broken,
}

impl<'p> Path<'p> {
    fn steps(self) -> impl Iterator<Item = Step<'p>> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let (step, after) = first(rest)?;
            rest = after;
            Some(step)
        })
    }

    /// What is there.
    pub fn find(self, root: &Node) -> Option<&Node> {
        self.steps().try_fold(root, |node, step| match (node, step) {
            (Node::Object(members), Step::Member(name)) => members.get(name),
            (Node::Array(items), Step::Item(at)) => items.get(at),
            _ => None,
        })
    }

    /// The place, to change it. With `make`, objects on the way are made where members are missing.
    pub fn place(self, root: &mut Node, make: bool) -> Option<At<'_, 'p>> {
        let mut steps = self.steps().peekable();
        if steps.peek().is_none() {
            return Some(At::Root(root));
        }
        let mut node = root;
        while let Some(step) = steps.next() {
            node = match (node, step) {
                (Node::Array(items), Step::Item(at)) => items.get_mut(at)?,
                (Node::Object(members), Step::Member(name)) => match steps.peek() {
                    None if !members.contains_key(name) => return make.then_some(At::New(members, name)),
                    Some(Step::Member(_)) if make => members
                        .entry(Str::copy(name))
                        .or_insert_with(|| Node::Object(IndexMap::new())),
                    _ => members.get_mut(name)?,
                },
                _ => return None,
            };
        }
        Some(At::Node(node))
    }
}

/// The first step and what follows it; a point at the end says nothing.
fn first(path: &[u8]) -> Option<(Step<'_>, &[u8])> {
    let broken = Some((Step::Broken, &b""[..]));
    match path {
        [] => None,
        [b'[', rest @ ..] => {
            let Some(end) = rest.iter().position(|byte| *byte == b']') else {
                return broken;
            };
            let (digits, after) = rest.split_at(end);
            let after = after.get(1..).unwrap_or_default();
            let item = std::str::from_utf8(digits)
                .ok()
                .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
                .and_then(|digits| digits.parse().ok());
            match (item, after) {
                (Some(item), [] | [b'[', ..]) => Some((Step::Item(item), after)),
                (Some(item), [b'.', after @ ..]) if !after.starts_with(b"[") => {
                    Some((Step::Item(item), after))
                }
                _ => broken,
            }
        }
        _ => {
            let end = path
                .iter()
                .position(|byte| matches!(byte, b'.' | b'['))
                .unwrap_or(path.len());
            let (name, after) = path.split_at(end);
            Some((Step::Member(name), after.strip_prefix(b".").unwrap_or(after)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Dialect;

    #[test]
    fn steps_are_read() {
        let steps = |path: &'static str| Path(path.as_bytes()).steps().collect::<Vec<_>>();
        assert_eq!(steps(""), []);
        assert_eq!(
            steps("a.b[2][0].c"),
            [
                Step::Member(b"a"),
                Step::Member(b"b"),
                Step::Item(2),
                Step::Item(0),
                Step::Member(b"c")
            ]
        );
        assert_eq!(steps("a."), [Step::Member(b"a")]);
        assert_eq!(steps(".a"), [Step::Member(b""), Step::Member(b"a")]);
        for broken in ["[-1]", "[a]", "[0", "[1].[1]", "[]x", "[99999999999999999999]"] {
            assert_eq!(steps(broken).first(), Some(&Step::Broken), "{broken}");
        }
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        let node = Node::read(b"{\"o\":{\"y\":[1,[2,3]]},\"s\":\"t\"}", Dialect::Strict).expect("a document");
        let at = |path: &str| Path(path.as_bytes()).find(&node).cloned();
        assert_eq!(at("o.y[1][1]"), Some(Node::int(3)));
        for none in ["o.y[2]", "o[0]", "s.x", "s[0]", "o..y", ".o", "none"] {
            assert_eq!(at(none), None, "{none}");
        }
    }
}
