//! The object `msg`, the first argument of functions of `app_python3`. It stands for the message in work, whichever that
//! is, and holds nothing itself.

use std::sync::Arc;

use kahea_kemi::{Entry, Table, held};
use kahea_module::{Cx, Str, Value};
use pyo3::{
    exceptions::{PyRuntimeError, PyValueError},
    prelude::*,
    types::{PyCFunction, PyDict, PyModule, PyTuple},
};

use crate::{ksr, value, visits::Visits};

/// The class; `get`, `header`, `ruri`, `dst_uri` and `call` are functions of this server.
const CLASS: &std::ffi::CStr = c"
class msg:
    __slots__ = ()
    Type = property(lambda self: get('Type'))
    Method = property(lambda self: get('Method'))
    Status = property(lambda self: get('Status'))
    RURI = property(lambda self: get('RURI'))
    src_address = property(lambda self: (get('src_ip'), int(get('src_port'))))
    dst_address = property(lambda self: (get('dst_ip'), int(get('dst_port'))))
    def getHeader(self, name):
        return header(name)
    def rewrite_ruri(self, uri):
        return ruri(uri)
    def set_dst_uri(self, uri):
        return dst_uri(uri)
    def call_function(self, name, *args):
        return call(name, *args)
    def copy(self):
        return self
";

/// Makes the object.
pub fn make<'py>(py: Python<'py>, table: &Arc<Table>, visits: &Arc<Visits>) -> PyResult<Bound<'py, PyAny>> {
    let module = PyModule::from_code(py, CLASS, c"msg.py", c"_kahea_msg")?;
    py.import("sys")?.getattr("modules")?.del_item("_kahea_msg")?;
    let texts: [(&'static std::ffi::CStr, Take); 4] = [
        (c"get", get),
        (c"header", header),
        (c"ruri", set_ruri),
        (c"dst_uri", set_dst_uri),
    ];
    for (name, take) in texts {
        let run = move |args: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| -> PyResult<Py<PyAny>> {
            let text = one_text(args)?;
            let taken = held::current(|cx| take(cx, &text))
                .unwrap_or_else(|| Err("there is no message in work".into()));
            match taken {
                Ok(Value::Null) => Ok(args.py().None()),
                Ok(given) => Ok(value::string(args.py(), &given.str_or_empty())?.unbind()),
                Err(error) => Err(PyValueError::new_err(error)),
            }
        };
        let function = PyCFunction::new_closure(py, Some(name), None, run)?;
        module.add(name.to_str().unwrap_or_default(), function)?;
    }
    let modf = |entry: &Entry| entry.module == "x" && entry.name == "modf";
    let named = table.entries().iter().position(modf).map(|at| ksr::Named {
        table: table.clone(),
        at,
        visits: visits.clone(),
    });
    let call = move |args: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| -> PyResult<Py<PyAny>> {
        match &named {
            Some(named) => named.call(args),
            None => Err(PyRuntimeError::new_err(
                "functions of the native script cannot be called",
            )),
        }
    };
    module.add("call", PyCFunction::new_closure(py, Some(c"call"), None, call)?)?;
    module.getattr("msg")?.call0()
}

type Take = fn(&mut Cx, &Str) -> Result<Value, String>;

fn one_text(args: &Bound<'_, PyTuple>) -> PyResult<Str> {
    let given = args.get_item(0)?;
    match value::argument(&given) {
        Ok(Value::Str(text)) => Ok(text),
        _ => Err(PyValueError::new_err("the argument must be a string")),
    }
}

fn get(cx: &mut Cx, what: &Str) -> Result<Value, String> {
    let is_request = cx.msg.is_request();
    Ok(match &**what {
        b"Type" if is_request => Str::from_static("SIP_REQUEST").into(),
        b"Type" => Str::from_static("SIP_REPLY").into(),
        b"Method" if is_request => Str::copy(cx.msg.method_text()).into(),
        b"Status" if !is_request => Str::from(cx.msg.status().unwrap_or(0).to_string()).into(),
        b"RURI" if is_request => cx.ruri().into(),
        b"src_ip" => Str::from(cx.received.source.ip().to_string()).into(),
        b"src_port" => Str::from(cx.received.source.port().to_string()).into(),
        b"dst_ip" => Str::from(cx.received.local.ip().to_string()).into(),
        b"dst_port" => Str::from(cx.received.local.port().to_string()).into(),
        _ if is_request => return Err("a request has no such attribute".to_owned()),
        _ => return Err("a reply has no such attribute".to_owned()),
    })
}

fn header(cx: &mut Cx, name: &Str) -> Result<Value, String> {
    let found = cx.msg.named(name).next();
    Ok(found.map_or(Value::Null, |header| Str::copy(cx.msg.value(header)).into()))
}

fn set_ruri(cx: &mut Cx, uri: &Str) -> Result<Value, String> {
    cx.set_ruri(uri.clone()).map_err(|fault| fault.to_string())?;
    Ok(Value::Null)
}

fn set_dst_uri(cx: &mut Cx, uri: &Str) -> Result<Value, String> {
    cx.target.dst_uri = Some(uri.clone());
    Ok(Value::Null)
}
