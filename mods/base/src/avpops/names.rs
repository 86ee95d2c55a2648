//! How avpops names AVPs: `$avp(s:name)`, `$avp(i:5)`, `$avp(i3:5)`, an alias, and what may follow after `/`.

use kahea_module::{
    Bind, BindError, Cx, Fault, Str, Value,
    avp::{Avp, AvpClass, AvpName},
};

use crate::pv::avps::AvpRef;

/// An AVP as the script names it.
#[derive(Clone, Debug)]
pub struct AvpSpec {
    name: AvpRef,
    /// Script flags that it must have; 0 matches all.
    flags: u32,
}

impl AvpSpec {
    /// Reads `$avp(…)`.
    ///
    /// # Errors
    /// It is no AVP.
    pub fn parse(text: &str, bind: &dyn Bind) -> Result<AvpSpec, BindError> {
        let inner = text
            .trim()
            .strip_prefix("$avp(")
            .and_then(|rest| rest.strip_suffix(')'))
            .ok_or_else(|| BindError::new(format!("'{text}' is no AVP")).help("write $avp(name)"))?;
        let (flags, name) = flagged(inner)?;
        Ok(AvpSpec {
            name: AvpRef::parse(&name, bind)?,
            flags,
        })
    }

    /// The name now.
    ///
    /// # Errors
    /// It stands in a variable that is `$null`.
    pub fn resolve(&self, aliases: &crate::pv::avps::Aliases, cx: &mut Cx) -> Result<Named, Fault> {
        self.name
            .resolve(aliases, cx)
            .map(|name| Named {
                name,
                flags: self.flags,
            })
            .ok_or_else(|| Fault::script("the name of the AVP is $null"))
    }
}

/// `i3:name` without its flags, and the flags.
fn flagged(inner: &str) -> Result<(u32, String), BindError> {
    let plain = || (0, inner.to_owned());
    let Some((head, name)) = inner.split_once(':') else {
        return Ok(plain());
    };
    let Some(digits) = head.strip_prefix(['i', 'I', 's', 'S']) else {
        return Ok(plain());
    };
    let kind = if head.starts_with(['i', 'I']) { 'i' } else { 's' };
    Ok((script_flags(digits)?, format!("{kind}:{name}")))
}

/// The script flags behind a type letter; none is 0.
pub fn script_flags(digits: &str) -> Result<u32, BindError> {
    if digits.is_empty() {
        return Ok(0);
    }
    digits.parse::<u8>().map(u32::from).map_err(|_| {
        BindError::new(format!("'{digits}' are no script flags")).help("give a number from 0 to 255")
    })
}

/// An AVP's name, resolved.
#[derive(Clone, Debug)]
pub struct Named {
    /// Its name.
    pub name: AvpName,
    /// Script flags that it must have; 0 matches all.
    pub flags: u32,
}

/// The list that `$avp()` uses.
pub const CLASS: AvpClass = AvpClass::FromUser;

impl Named {
    /// This AVP is meant.
    pub fn matches(&self, avp: &Avp) -> bool {
        avp.class == CLASS && avp.name == self.name && (self.flags == 0 || avp.flags & self.flags != 0)
    }

    /// Its values, newest first.
    pub fn values(&self, cx: &Cx) -> Vec<Value> {
        let all = cx.avps.iter().filter(|avp| self.matches(avp));
        all.map(|avp| avp.value.clone()).collect()
    }

    /// Adds a value, with the script flags of the name.
    pub fn add(&self, cx: &mut Cx, value: Value) -> Result<(), Fault> {
        cx.spend_bytes(std::mem::size_of::<Avp>())?;
        cx.avps.add(CLASS, self.name.clone(), value);
        if let Some(avp) = cx.avps.all_mut(CLASS, &self.name).next() {
            avp.flags = self.flags;
        }
        Ok(())
    }

    /// Takes the newest away; false where there is none.
    pub fn remove_newest(&self, cx: &mut Cx) -> bool {
        let place = cx.avps.all(CLASS, &self.name).position(|avp| self.matches(avp));
        place.is_some_and(|at| cx.avps.remove_at(CLASS, &self.name, at))
    }

    /// Takes all away; how many.
    pub fn remove_all(&self, cx: &mut Cx) -> usize {
        let named = self.clone();
        cx.avps.remove(|avp| named.matches(avp))
    }
}

/// Splits at `/` outside of parentheses, so that `$xavp(a=>b)/g` and `$(var(x){s.substr,0,1})` stay whole.
pub fn split(text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let (mut depth, mut start) = (0usize, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' | '{' => depth = depth.saturating_add(1),
            ')' | '}' => depth = depth.saturating_sub(1),
            '/' if depth == 0 => {
                out.push(text.get(start..at).unwrap_or_default());
                start = at.saturating_add(1);
            }
            _ => {}
        }
    }
    out.push(text.get(start..).unwrap_or_default());
    out
}

/// A set of one-letter flags; case does not matter.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Letters(u32);

impl Letters {
    /// Reads letters out of `allowed`.
    ///
    /// # Errors
    /// Another letter.
    pub fn parse(text: &str, allowed: &str) -> Result<Letters, BindError> {
        let mut out = 0u32;
        for c in text.trim().chars() {
            let c = c.to_ascii_lowercase();
            let at = allowed.chars().position(|known| known == c).ok_or_else(|| {
                BindError::new(format!("unknown flag '{c}'")).help(format!("flags are {allowed}"))
            })?;
            out |= 1u32.checked_shl(u32::try_from(at).unwrap_or(31)).unwrap_or(0);
        }
        Ok(Letters(out))
    }

    /// The letter at this place of the allowed ones is there.
    pub fn has(self, at: u32) -> bool {
        self.0 & 1u32.checked_shl(at).unwrap_or(0) != 0
    }
}

/// A constant or a variable on the right side of an operation.
#[derive(Clone, Debug)]
pub enum Operand {
    /// Fixed.
    Value(Value),
    /// An AVP: with flag `g` all its values count.
    Avp(AvpSpec),
    /// Any other variable.
    Var(kahea_module::Var),
}

impl Operand {
    /// Reads `i:5`, `i:0x1f`, `s:text`, text, or a variable.
    ///
    /// # Errors
    /// No number after `i:`, an unknown variable.
    pub fn parse(text: &str, bind: &dyn Bind) -> Result<Operand, BindError> {
        if text.starts_with("$avp(") && text.ends_with(')') {
            return AvpSpec::parse(text, bind).map(Operand::Avp);
        }
        if text.starts_with('$') {
            return bind.var(text).map(Operand::Var);
        }
        if let Some(digits) = text.strip_prefix("i:").or_else(|| text.strip_prefix("I:")) {
            return integer(digits)
                .map(|n| Operand::Value(Value::Int(n)))
                .ok_or_else(|| BindError::new(format!("'{digits}' is no number")));
        }
        let text = text
            .strip_prefix("s:")
            .or_else(|| text.strip_prefix("S:"))
            .unwrap_or(text);
        Ok(Operand::Value(Value::Str(Str::from(text))))
    }

    /// Its values now; none where it is `$null`.
    ///
    /// # Errors
    /// The name of the AVP is `$null`.
    pub fn values(&self, aliases: &crate::pv::avps::Aliases, cx: &mut Cx) -> Result<Vec<Value>, Fault> {
        Ok(match self {
            Operand::Value(value) => vec![value.clone()],
            Operand::Avp(spec) => spec.resolve(aliases, cx)?.values(cx),
            Operand::Var(var) => match var.get(cx) {
                Value::Null => Vec::new(),
                value => vec![value],
            },
        })
    }
}

/// Decimal, or hexadecimal with `0x`.
pub fn integer(text: &str) -> Option<i64> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => i64::from_str_radix(digits, 16).ok(),
        None => kahea_module::value::parse_int(text.as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kahea_module::testing::FakeBind;

    #[test]
    fn slashes_inside_parentheses_do_not_split() {
        assert_eq!(split("$avp(s:a)/$avp(b)/g"), ["$avp(s:a)", "$avp(b)", "g"]);
        assert_eq!(split("$(avp(a){s.select,0,/})"), ["$(avp(a){s.select,0,/})"]);
        assert_eq!(split("eq/i:5"), ["eq", "i:5"]);
    }

    #[test]
    fn names_may_have_flags() {
        assert_eq!(flagged("i3:123").unwrap(), (3, "i:123".to_owned()));
        assert_eq!(flagged("s:foo").unwrap(), (0, "s:foo".to_owned()));
        assert_eq!(flagged("foo").unwrap(), (0, "foo".to_owned()));
        assert!(flagged("i300:1").is_err());
        assert!(AvpSpec::parse("avp(x)", &FakeBind::default()).is_err());
    }

    #[test]
    fn letters_and_numbers() {
        let letters = Letters::parse("gD", "gd").unwrap();
        assert!(letters.has(0) && letters.has(1));
        assert!(Letters::parse("x", "gd").is_err());
        assert_eq!(
            (integer("0x1f"), integer("-5"), integer("z")),
            (Some(31), Some(-5), None)
        );
    }
}
