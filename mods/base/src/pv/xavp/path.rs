//! The path in `$xavp(a[0]=>b[1])`.

use kahea_module::{Bind, BindError, Cx, Format, Index, Str, Var};
use smallvec::SmallVec;

/// Names and indexes from the root on.
#[derive(Clone, Debug)]
pub struct Path {
    steps: SmallVec<[Step; 2]>,
}

#[derive(Clone, Debug)]
struct Step {
    name: Name,
    index: Place,
}

#[derive(Clone, Debug)]
enum Name {
    Fixed(Str),
    Format(Format),
}

#[derive(Clone, Debug)]
enum Place {
    Fixed(Index),
    Var(Var),
}

/// A path with all its variables evaluated.
pub type Steps = SmallVec<[(Str, Index); 2]>;

impl Path {
    /// Reads a path.
    ///
    /// # Errors
    /// A name is missing, an index is none, or a variable in it is unknown.
    pub fn parse(text: &str, bind: &dyn Bind) -> Result<Path, BindError> {
        let text = text.trim();
        let text = text
            .strip_prefix('"')
            .and_then(|inner| inner.strip_suffix('"'))
            .unwrap_or(text);
        let steps = text
            .split("=>")
            .map(|step| Step::parse(step, bind))
            .collect::<Result<_, _>>()?;
        Ok(Path { steps })
    }

    /// Its names and indexes now. An index whose variable holds no number counts as none.
    pub fn steps(&self, cx: &mut Cx) -> Steps {
        self.steps.iter().map(|step| step.value(cx)).collect()
    }
}

impl Step {
    fn parse(text: &str, bind: &dyn Bind) -> Result<Step, BindError> {
        let text = text.trim();
        let (name, index) = match text.strip_suffix(']').and_then(|rest| split_index(rest)) {
            Some((name, index)) => (name.trim(), Place::parse(index.trim(), bind)?),
            None => (text, Place::Fixed(Index::None)),
        };
        if name.is_empty() {
            return Err(
                BindError::new("a name is missing in the path").help("write name[index]=>field[index]")
            );
        }
        let name = if name.contains('$') {
            Name::Format(bind.format(name)?)
        } else {
            Name::Fixed(Str::from(name))
        };
        Ok(Step { name, index })
    }

    fn value(&self, cx: &mut Cx) -> (Str, Index) {
        let name = match &self.name {
            Name::Fixed(name) => name.clone(),
            Name::Format(format) => format.text(cx),
        };
        let index = match &self.index {
            Place::Fixed(index) => *index,
            Place::Var(var) => var.get(cx).int().map_or(Index::None, Index::At),
        };
        (name, index)
    }
}

/// Splits `name[index` at the bracket that opens the index; brackets within it nest.
fn split_index(text: &str) -> Option<(&str, &str)> {
    let mut depth = 1usize;
    for (at, c) in text.char_indices().rev() {
        match c {
            ']' => depth = depth.saturating_add(1),
            '[' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return Some((text.get(..at)?, text.get(at.saturating_add(1)..)?));
        }
    }
    None
}

impl Place {
    fn parse(text: &str, bind: &dyn Bind) -> Result<Place, BindError> {
        if text == "*" {
            return Ok(Place::Fixed(Index::All));
        }
        if text.starts_with('$') {
            return bind.var(text).map(Place::Var);
        }
        text.parse().map(|n| Place::Fixed(Index::At(n))).map_err(|_| {
            BindError::new(format!("'{text}' is no index")).help("use a number, * or a variable")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kahea_module::testing::{FakeBind, Server};

    fn steps(text: &str) -> Vec<(String, Index)> {
        let path = Path::parse(text, &FakeBind::default()).expect("a path");
        let mut cx = Server::default().invite();
        path.steps(&mut cx)
            .into_iter()
            .map(|(name, index)| (name.to_string(), index))
            .collect()
    }

    #[test]
    fn paths_have_names_and_indexes() {
        assert_eq!(steps("a"), [("a".to_owned(), Index::None)]);
        assert_eq!(
            steps("a[0]=>b[*]"),
            [("a".to_owned(), Index::At(0)), ("b".to_owned(), Index::All)]
        );
        assert_eq!(
            steps(" a [-1] => b "),
            [("a".to_owned(), Index::At(-1)), ("b".to_owned(), Index::None)]
        );
        assert_eq!(
            steps("\"ok[$var(i)]=>x\""),
            [("ok".to_owned(), Index::At(0)), ("x".to_owned(), Index::None)]
        );
        for bad in ["", "a[x]", "=>b", "a=>", "a[]"] {
            assert!(Path::parse(bad, &FakeBind::default()).is_err(), "{bad}");
        }
    }
}
