//! Values between JavaScript and functions of this server.

use kahea_module::{Str, Value, rpc::RpcValue};
use rquickjs::{Array, Ctx, Object, Result, String as JsString, Value as JsValue};

/// A value of a script as an argument.
///
/// # Errors
/// It is an object, a function or a symbol; what it is.
pub fn argument(value: &JsValue<'_>) -> std::result::Result<Value, &'static str> {
    if let Some(number) = value.as_int() {
        return Ok(Value::Int(number.into()));
    }
    if let Some(text) = value.as_string() {
        return match text.to_string() {
            Ok(text) => Ok(Value::Str(text.into())),
            Err(_) => Err("a text with half a surrogate pair"),
        };
    }
    if let Some(number) = value.as_float() {
        return Ok(Value::Int(whole(number)));
    }
    if let Some(truth) = value.as_bool() {
        return Ok(Value::Int(truth.into()));
    }
    if value.is_null() || value.is_undefined() {
        return Ok(Value::Null);
    }
    match value.as_big_int().map(|number| number.clone().to_i64()) {
        Some(Ok(number)) => Ok(Value::Int(number)),
        _ => Err(value.type_name()),
    }
}

/// Without the fraction, as Duktape converts; 0 where it is no number.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the conversion of Rust saturates, which is what is wanted"
)]
fn whole(number: f64) -> i64 {
    number as i64
}

/// What a function gave, for the script.
///
/// Bytes that are no UTF-8 become replacement characters: texts of JavaScript are Unicode.
pub fn result<'js>(ctx: &Ctx<'js>, value: RpcValue) -> Result<JsValue<'js>> {
    Ok(match value {
        RpcValue::Null => JsValue::new_null(ctx.clone()),
        RpcValue::Bool(truth) => JsValue::new_bool(ctx.clone(), truth),
        RpcValue::Int(number) => integer(ctx, number),
        RpcValue::Double(number) => JsValue::new_number(ctx.clone(), number),
        RpcValue::Str(text) => string(ctx, &text)?.into_value(),
        RpcValue::Struct(members) | RpcValue::Named(members) => {
            let object = Object::new(ctx.clone())?;
            for (name, value) in members {
                object.set(string(ctx, &name)?, result(ctx, value)?)?;
            }
            object.into_value()
        }
        RpcValue::Array(elements) => {
            let array = Array::new(ctx.clone())?;
            for (at, element) in elements.into_iter().enumerate() {
                array.set(at, result(ctx, element)?)?;
            }
            array.into_value()
        }
    })
}

#[expect(clippy::cast_precision_loss, reason = "numbers of JavaScript have 53 bits")]
fn integer<'js>(ctx: &Ctx<'js>, number: i64) -> JsValue<'js> {
    match i32::try_from(number) {
        Ok(number) => JsValue::new_int(ctx.clone(), number),
        Err(_) => JsValue::new_number(ctx.clone(), number as f64),
    }
}

/// A text of JavaScript.
pub fn string<'js>(ctx: &Ctx<'js>, text: &Str) -> Result<JsString<'js>> {
    JsString::from_str(ctx.clone(), &text.text())
}
