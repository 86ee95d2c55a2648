//! Reading and changing a tree of values by a path.

use kahea_module::{
    Fault, Index, Str, Value,
    xavp::{XValue, Xavps},
};

type Step = (Str, Index);

/// The value at a path; without an index, and for `[*]`, the newest of a name.
pub fn find<'a>(list: &'a Xavps, path: &[Step]) -> Option<&'a XValue> {
    let ((name, index), rest) = path.split_first()?;
    let value = &list.get(name, pick(list, name, *index)?)?.value;
    match (rest, value) {
        ([], value) => Some(value),
        (rest, XValue::List(children)) => find(children, rest),
        _ => None,
    }
}

fn pick(list: &Xavps, name: &[u8], index: Index) -> Option<usize> {
    match index {
        Index::None | Index::All => Some(0),
        index => index.pick(list.count(name)),
    }
}

/// How many values a path means: all of a name without an index or with `[*]`, else one or none.
pub fn count(list: &Xavps, path: &[Step]) -> usize {
    let Some(((name, index), rest)) = path.split_first() else {
        return 0;
    };
    let meant = |at: usize| match index {
        Index::None | Index::All => true,
        index => index.pick(list.count(name)) == Some(at),
    };
    let values = list.all(name).enumerate().filter(|(at, _)| meant(*at));
    if rest.is_empty() {
        return values.count();
    }
    values
        .map(|(_, xavp)| match &xavp.value {
            XValue::List(children) => count(children, rest),
            _ => 0,
        })
        .sum()
}

/// Assigns as `$xavp()` does: without an index a new value comes in front; with one the value there is replaced, and
/// nothing happens where there is none. `$null` takes values away.
///
/// # Errors
/// A value for `[*]`.
pub fn assign(list: &mut Xavps, path: &[Step], value: Value) -> Result<(), Fault> {
    let Some(((name, index), rest)) = path.split_first() else {
        return Ok(());
    };
    if rest.is_empty() {
        return assign_leaf(list, name, *index, value);
    }
    let place = match index {
        Index::None if value.is_null() => Some(0),
        Index::None => {
            let mut children = list.sibling();
            assign(&mut children, rest, value)?;
            list.add(name.clone(), XValue::List(children));
            return Ok(());
        }
        Index::All => return Err(every(name)),
        index => index.pick(list.count(name)),
    };
    if let Some(xavp) = place.and_then(|at| list.get_mut(name, at))
        && let XValue::List(children) = &mut xavp.value
    {
        return assign(children, rest, value);
    }
    Ok(())
}

fn every(name: &Str) -> Fault {
    Fault::script(format!(
        "every value of '{name}' cannot be assigned at once; [*] takes only $null"
    ))
}

fn assign_leaf(list: &mut Xavps, name: &Str, index: Index, value: Value) -> Result<(), Fault> {
    match (index, value) {
        (Index::All, Value::Null) => {
            list.remove_all(name);
        }
        (Index::All, _) => return Err(every(name)),
        (index, Value::Null) => {
            if let Some(at) = pick(list, name, index) {
                list.remove(name, at);
            }
        }
        (Index::None, value) => list.add(name.clone(), XValue::from(value)),
        (index, value) => {
            let place = index.pick(list.count(name)).and_then(|at| list.get_mut(name, at));
            if let Some(xavp) = place {
                xavp.value = XValue::from(value);
            }
        }
    }
    Ok(())
}

/// Assigns as `$xavu()` does: one value for each name, lists made where they are missing.
///
/// # Errors
/// None; the same shape as [`assign`].
pub fn assign_unique(list: &mut Xavps, path: &[Step], value: Value) -> Result<(), Fault> {
    let Some(((name, _), rest)) = path.split_first() else {
        return Ok(());
    };
    if rest.is_empty() {
        put(list, name, value);
        return Ok(());
    }
    if !matches!(list.get(name, 0).map(|xavp| &xavp.value), Some(XValue::List(_))) {
        if value.is_null() {
            return Ok(());
        }
        let children = list.sibling();
        list.remove_all(name);
        list.add(name.clone(), XValue::List(children));
    }
    match list.get_mut(name, 0).map(|xavp| &mut xavp.value) {
        Some(XValue::List(children)) => assign_unique(children, rest, value),
        _ => Ok(()),
    }
}

/// The newest value of a name becomes this one; it is added where there is none; `$null` takes all away.
pub fn put(list: &mut Xavps, name: &Str, value: Value) {
    match (value, list.get_mut(name, 0)) {
        (Value::Null, _) => {
            list.remove_all(name);
        }
        (value, Some(xavp)) => xavp.value = XValue::from(value),
        (value, None) => list.add(name.clone(), XValue::from(value)),
    }
}

/// The fields of the newest value of a name.
pub fn children<'a>(list: &'a Xavps, name: &[u8]) -> Option<&'a Xavps> {
    match &list.get(name, 0)?.value {
        XValue::List(children) => Some(children),
        _ => None,
    }
}

/// Sets a field of the newest value of a name, which is made where it is missing. `false` where that value has no fields.
pub fn put_child(list: &mut Xavps, name: &Str, field: &Str, value: Value) -> bool {
    if list.get(name, 0).is_none() {
        let children = list.sibling();
        list.add(name.clone(), XValue::List(children));
    }
    match list.get_mut(name, 0).map(|xavp| &mut xavp.value) {
        Some(XValue::List(children)) => {
            put(children, field, value);
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(steps: &[(&str, Index)]) -> Vec<Step> {
        steps
            .iter()
            .map(|(name, index)| (Str::from(*name), *index))
            .collect()
    }

    fn value(list: &Xavps, steps: &[(&str, Index)]) -> Value {
        find(list, &path(steps)).map_or(Value::Null, XValue::value)
    }

    #[test]
    fn values_pile_up_and_are_replaced_by_index() {
        use Index::{All, At, None};
        let mut list = Xavps::new();
        let mut put = |steps: &[(&str, Index)], value: &'static str| {
            assign(&mut list, &path(steps), Value::from(value))
        };
        put(&[("p", None), ("l", None)], "Smith").expect("assigned");
        put(&[("p", None), ("l", None)], "Doe").expect("assigned");
        put(&[("p", At(0)), ("f", None)], "John").expect("assigned");
        put(&[("p", At(1)), ("f", None)], "Al").expect("assigned");
        put(&[("p", At(0)), ("f", None)], "John2").expect("assigned");
        put(&[("p", At(0)), ("f", At(0))], "John3").expect("assigned");
        put(&[("p", At(9)), ("f", None)], "no").expect("nothing happens");
        put(&[("new", At(0)), ("f", None)], "no").expect("nothing happens");
        assert!(put(&[("p", All)], "star").is_err());
        assert_eq!(value(&list, &[("p", None), ("l", None)]), Value::from("Doe"));
        assert_eq!(value(&list, &[("p", At(-1)), ("f", None)]), Value::from("Al"));
        assert_eq!(value(&list, &[("p", At(0)), ("f", At(0))]), Value::from("John3"));
        assert_eq!(value(&list, &[("p", At(0)), ("f", At(1))]), Value::from("John"));
        assert_eq!(value(&list, &[("new", None)]), Value::Null);
        assert_eq!(count(&list, &path(&[("p", None), ("f", None)])), 3);
        assert_eq!(count(&list, &path(&[("p", All), ("f", At(0))])), 2);
        assert_eq!(count(&list, &path(&[("p", At(5))])), 0);
    }

    #[test]
    fn null_takes_the_newest_or_all_away() {
        use Index::{All, At, None};
        let mut list = Xavps::new();
        for text in ["one", "two", "three"] {
            assign(&mut list, &path(&[("a", None)]), Value::from(text)).expect("assigned");
        }
        assign(&mut list, &path(&[("a", At(1))]), Value::Null).expect("removed");
        assert_eq!(value(&list, &[("a", At(1))]), Value::from("one"));
        assign(&mut list, &path(&[("a", None)]), Value::Null).expect("removed");
        assert_eq!(value(&list, &[("a", None)]), Value::from("one"));
        assign(&mut list, &path(&[("a", All)]), Value::Null).expect("removed");
        assert!(list.is_empty());
    }

    #[test]
    fn xavu_keeps_one_value_a_name() {
        use Index::None;
        let mut list = Xavps::new();
        let mut put = |steps: &[(&str, Index)], value: Value| {
            assign_unique(&mut list, &path(steps), value).expect("assigned")
        };
        put(&[("u", None)], Value::Int(1));
        put(&[("u", None)], Value::from("two"));
        put(&[("w", None), ("k", None)], Value::from("kv"));
        put(&[("w", None), ("k", None)], Value::from("kv2"));
        put(&[("w", None), ("j", None)], Value::Int(3));
        assert_eq!(value(&list, &[("u", None)]), Value::from("two"));
        assert_eq!(value(&list, &[("w", None), ("k", None)]), Value::from("kv2"));
        assert_eq!(count(&list, &path(&[("u", None)])), 1);
        assign_unique(&mut list, &path(&[("w", None)]), Value::Null).expect("removed");
        assert_eq!(value(&list, &[("w", None), ("j", None)]), Value::Null);
    }
}
