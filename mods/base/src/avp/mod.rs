//! Module avp: SER's functions on attributes, which are the AVPs of `$avp()`.

mod attributes;
mod headers;
mod uris;
mod xl;

use kahea_module::{
    Bind, BindError, Cx, Decl, Env, FAILURE, Fault, InitError, Module, REPLY, REQUEST, RouteKinds, Str,
    Value,
    arg::Literal,
    avp::{AvpClass, AvpName},
};

/// The module.
pub struct Avp {
    xlbuf_size: usize,
}

/// Its parameters.
pub struct Params {
    xlbuf_size: i64,
}

impl Default for Params {
    fn default() -> Params {
        Params { xlbuf_size: 256 }
    }
}

/// The list of `$avp()`.
const CLASS: AvpClass = AvpClass::FromUser;

impl Module for Avp {
    const NAME: &'static str = "avp";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        d.param(
            "xlbuf_size",
            |params| &mut params.xlbuf_size,
            "Texts with %-variables have fewer bytes than this; a function whose text is longer fails.",
        );
        attributes::declare(d);
        headers::declare(d);
        uris::declare(d);
    }

    fn init(params: Params, _: &mut Env<'_>) -> Result<Avp, InitError> {
        let xlbuf_size = usize::try_from(params.xlbuf_size)
            .map_err(|_| InitError::new("xlbuf_size of avp is negative").help("write a number of bytes"))?;
        Ok(Avp { xlbuf_size })
    }
}

fn everywhere() -> RouteKinds {
    REQUEST | FAILURE | REPLY
}

/// An attribute as these functions name it, `$name`.
struct Attribute(AvpName);

impl Literal for Attribute {
    const WHAT: &'static str = "an attribute, $name";

    fn parse(text: &str, _: &dyn Bind) -> Result<Attribute, BindError> {
        let text = text.trim();
        let name = text
            .strip_prefix("$avp(")
            .and_then(|rest| rest.strip_suffix(')'))
            .or_else(|| text.strip_prefix('$'))
            .unwrap_or(text);
        let name = name.strip_prefix("s:").unwrap_or(name);
        if let Some(number) = name.strip_prefix("i:") {
            let id = kahea_module::value::parse_int(number.as_bytes())
                .ok_or_else(|| BindError::new(format!("'{number}' is no number of an attribute")))?;
            return Ok(Attribute(AvpName::Int(id)));
        }
        if name.is_empty() || name.contains(['$', '(', ')', '/']) {
            return Err(BindError::new(format!("'{text}' is no attribute")).help("write $name"));
        }
        Ok(Attribute(AvpName::Str(Str::from(name))))
    }
}

impl Attribute {
    fn value(&self, cx: &Cx) -> Option<Value> {
        cx.avps.all(CLASS, &self.0).next().map(|avp| avp.value.clone())
    }

    /// The newest value as text; numbers are printed.
    ///
    /// # Errors
    /// There is none.
    fn text(&self, cx: &Cx) -> Result<Str, Fault> {
        self.value(cx).and_then(|value| value.str()).ok_or_else(|| {
            let name = match &self.0 {
                AvpName::Int(n) => n.to_string(),
                AvpName::Str(name) => name.to_string(),
            };
            Fault::script(format!("there is no attribute {name}"))
        })
    }

    /// All values as texts, the newest first; numbers are printed.
    ///
    /// # Errors
    /// There is none.
    fn texts(&self, cx: &Cx) -> Result<Vec<Str>, Fault> {
        self.text(cx)?;
        let all = cx.avps.all(CLASS, &self.0);
        Ok(all.map(|avp| avp.value.str_or_empty()).collect())
    }

    fn add(&self, cx: &mut Cx, value: Value) -> Result<(), Fault> {
        cx.spend_bytes(value.str_or_empty().len().saturating_add(64))?;
        cx.avps.add(CLASS, self.0.clone(), value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kahea_module::{Arg, Lit, testing::Server};

    /// A message with these attributes.
    pub fn with(attributes: &[(&str, &str)]) -> Cx {
        let mut cx = Server::default().invite();
        for (name, value) in attributes {
            let name = AvpName::Str(Str::from(*name));
            cx.avps.add(CLASS, name, Value::from((*value).to_owned()));
        }
        cx
    }

    pub const AVP: Avp = Avp { xlbuf_size: 256 };

    pub fn lit<T: Literal>(cx: &mut Cx, text: &str) -> Lit<T> {
        Lit::from_value(Some(Value::Str(Str::from(text))), cx).unwrap()
    }

    #[test]
    fn attributes_have_names() {
        let bind = kahea_module::testing::FakeBind::default();
        let name = |text: &str| Attribute::parse(text, &bind).map(|attribute| attribute.0);
        assert_eq!(name("$my_route"), Ok(AvpName::Str(Str::from("my_route"))));
        assert_eq!(name("my_route"), name("$avp(s:my_route)"));
        assert_eq!(name("$avp(i:5)"), Ok(AvpName::Int(5)));
        assert!(name("$").is_err() && name("$avp($x)").is_err());
    }
}
