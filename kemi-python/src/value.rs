//! Values between Python and functions of this server.
//!
//! Bytes that are no UTF-8 become lone surrogates, as `os.fsdecode` has it, and become the same bytes again.

use kahea_module::{Str, Value, rpc::RpcValue};
use pyo3::{
    prelude::*,
    types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString},
};

/// A value of a script as an argument.
///
/// # Errors
/// It is of another kind than text, bytes, number, truth or `None`; which.
pub fn argument(value: &Bound<'_, PyAny>) -> Result<Value, String> {
    if let Ok(text) = value.cast::<PyString>() {
        return match text.to_str() {
            Ok(text) => Ok(Value::Str(Str::copy(text.as_bytes()))),
            Err(_) => encoded(text).map(Value::Str),
        };
    }
    if value.is_none() {
        return Ok(Value::Null);
    }
    if let Ok(truth) = value.cast::<PyBool>() {
        return Ok(Value::Int(truth.is_true().into()));
    }
    if value.cast::<PyInt>().is_ok() {
        return match value.extract() {
            Ok(number) => Ok(Value::Int(number)),
            Err(_) => Err("a number of more than 64 bits".to_owned()),
        };
    }
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return Ok(Value::Str(Str::copy(bytes.as_bytes())));
    }
    if value.cast::<PyFloat>().is_ok() {
        return Err("a float".to_owned());
    }
    let kind = value.get_type().name().map(|name| name.to_string());
    Err(kind.unwrap_or_else(|_| "an object".to_owned()))
}

/// A text with lone surrogates.
fn encoded(text: &Bound<'_, PyString>) -> Result<Str, String> {
    let bytes = text
        .call_method1("encode", ("utf-8", "surrogateescape"))
        .map_err(|_| "a text with surrogates".to_owned())?;
    match bytes.cast::<PyBytes>() {
        Ok(bytes) => Ok(Str::copy(bytes.as_bytes())),
        Err(_) => Err("a text with surrogates".to_owned()),
    }
}

/// What a function gave, for the script.
pub fn result<'py>(py: Python<'py>, value: RpcValue) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        RpcValue::Null => py.None().into_bound(py),
        RpcValue::Bool(truth) => PyBool::new(py, truth).to_owned().into_any(),
        RpcValue::Int(number) => number.into_pyobject(py)?.into_any(),
        RpcValue::Double(number) => PyFloat::new(py, number).into_any(),
        RpcValue::Str(text) => string(py, &text)?,
        RpcValue::Struct(members) | RpcValue::Named(members) => {
            let dict = PyDict::new(py);
            for (name, value) in members {
                dict.set_item(string(py, &name)?, result(py, value)?)?;
            }
            dict.into_any()
        }
        RpcValue::Array(elements) => {
            let list = PyList::empty(py);
            for element in elements {
                list.append(result(py, element)?)?;
            }
            list.into_any()
        }
    })
}

/// A text of Python.
pub fn string<'py>(py: Python<'py>, text: &Str) -> PyResult<Bound<'py, PyAny>> {
    match std::str::from_utf8(text) {
        Ok(text) => Ok(PyString::new(py, text).into_any()),
        Err(_) => PyBytes::new(py, text).call_method1("decode", ("utf-8", "surrogateescape")),
    }
}
