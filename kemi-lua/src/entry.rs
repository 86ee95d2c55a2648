//! Functions of `KSR` as plain C functions of Lua: no look-up by name, no wrapping of errors.
#![expect(unsafe_code, reason = "functions for Lua are C functions over its stack")]

use std::{
    ffi::{c_int, c_void},
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
};

use kahea_kemi::{Answer, Entry, Returns};
use kahea_module::{ArgKind, Str, Value, rpc::RpcValue};
use mlua::{Lua, ffi};

use crate::slot::{Slot, Waiting};

/// What a C function of `KSR` is bound to; lives as long as its interpreter.
pub struct Bound {
    slot: Rc<Slot>,
    /// In the table; none for the function that fetches what was waited for.
    entry: Option<usize>,
}

/// What the functions of an interpreter are bound to: in boxes, since Lua holds the addresses.
pub type Kept = Vec<Box<Bound>>;

/// What a call gives to Lua.
enum Given {
    Value(RpcValue),
    Nothing,
    Pending,
    Error(String),
}

static PENDING: u8 = 0;

/// The value that a function returns in place of one that is not there yet.
pub fn pending() -> mlua::LightUserData {
    mlua::LightUserData(std::ptr::from_ref(&PENDING).cast_mut().cast())
}

/// Makes the function of an entry, or with `None` the one that gives the value that was waited for. `keep` holds what
/// it is bound to, and must be dropped after the interpreter.
pub fn function(
    lua: &Lua,
    slot: &Rc<Slot>,
    entry: Option<usize>,
    keep: &mut Kept,
) -> mlua::Result<mlua::Function> {
    let bound = Box::new(Bound {
        slot: slot.clone(),
        entry,
    });
    let address = std::ptr::from_ref(&*bound).cast_mut().cast::<c_void>();
    keep.push(bound);
    // SAFETY: one upvalue is pushed for the closure, which takes it; the closure is the only value left.
    unsafe {
        lua.exec_raw((), |state| {
            ffi::lua_pushlightuserdata(state, address);
            ffi::lua_pushcclosure(state, called, 1);
        })
    }
}

/// What Lua calls.
unsafe extern "C-unwind" fn called(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: the upvalue is the address of a `Bound` that outlives the interpreter. Nothing that has a destructor is
    // alive where Lua may raise an error (pushes, lua_error), but for the values that are being pushed: LuaJIT raises
    // by unwinding, which drops them.
    unsafe {
        let bound = ffi::lua_touserdata(state, ffi::lua_upvalueindex(1)).cast::<Bound>();
        let Some(bound) = bound.as_ref() else { return 0 };
        match bound.call(state) {
            Given::Value(value) => {
                push(state, &value);
                1
            }
            Given::Nothing => 0,
            Given::Pending => {
                ffi::lua_pushlightuserdata(state, pending().0);
                1
            }
            Given::Error(text) => {
                ffi::luaL_where(state, 1);
                ffi::lua_pushlstring(state, text.as_ptr().cast(), text.len());
                drop(text);
                ffi::lua_concat(state, 2);
                ffi::lua_error(state)
            }
        }
    }
}

impl Bound {
    fn call(&self, state: *mut ffi::lua_State) -> Given {
        let Some(at) = self.entry else {
            return Given::Value(self.slot.answer.take().unwrap_or(RpcValue::Null));
        };
        let Some(entry) = self.slot.table.entries().get(at) else {
            return Given::Nothing;
        };
        let values = match arguments(state, entry) {
            Ok(values) => values,
            Err(text) => return Given::Error(text),
        };
        let called = catch_unwind(AssertUnwindSafe(|| self.slot.with(|cx| entry.call(cx, values))));
        match called {
            // As in Kamailio, a function without a result is true.
            Ok(Some(Ok(Answer::Now(_)))) if entry.returns == Returns::Nothing => {
                Given::Value(RpcValue::Bool(true))
            }
            Ok(Some(Ok(Answer::Now(value)))) => Given::Value(value),
            Ok(Some(Ok(Answer::Later(later)))) if entry.waits => {
                self.slot.waiting.replace(Some(Waiting { later, entry: at }));
                Given::Pending
            }
            Ok(Some(Ok(Answer::Later(_)))) => Given::Error(format!(
                "{} would have to wait, which it is not declared to do (a defect of this server)",
                entry.full_name()
            )),
            Ok(Some(Err(error))) => Given::Error(error.text),
            Ok(None) => Given::Error(format!("{} was called outside of a message", entry.full_name())),
            Err(_) => Given::Error(format!("a defect of this server in {}", entry.full_name())),
        }
    }
}

/// The arguments on the stack.
fn arguments(state: *mut ffi::lua_State, entry: &Entry) -> Result<Vec<Value>, String> {
    // SAFETY: reads within the stack's size; strings are read by type, so that no number is converted in place.
    let count = unsafe { ffi::lua_gettop(state) };
    let length = usize::try_from(count).unwrap_or(0);
    let mut values = Vec::with_capacity(length);
    for at in 1..=count {
        // SAFETY: as above; the text is copied before anything else happens to the stack.
        let value = unsafe {
            match ffi::lua_type(state, at) {
                ffi::LUA_TNIL => Value::Null,
                ffi::LUA_TBOOLEAN => Value::Int(i64::from(ffi::lua_toboolean(state, at) != 0)),
                ffi::LUA_TNUMBER => {
                    let place = values.len();
                    let kind = entry
                        .parameters(length)
                        .get(place)
                        .map(|parameter| parameter.kind);
                    number(ffi::lua_tonumber(state, at), kind)
                }
                ffi::LUA_TSTRING => {
                    let mut size = 0;
                    let text = ffi::lua_tolstring(state, at, &mut size).cast::<u8>();
                    if text.is_null() {
                        Value::EMPTY
                    } else {
                        Value::Str(Str::copy(std::slice::from_raw_parts(text, size)))
                    }
                }
                other => {
                    let name = std::ffi::CStr::from_ptr(ffi::lua_typename(state, other));
                    return Err(format!(
                        "{}: argument {at} must be a string or a number, not a {}; write {}",
                        entry.full_name(),
                        name.to_string_lossy(),
                        entry.signatures().join(" or ")
                    ));
                }
            }
        };
        values.push(value);
    }
    Ok(values)
}

/// A number of Lua: whole where it is whole, cut where a whole one is due, else its text.
fn number(n: f64, kind: Option<ArgKind>) -> Value {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    let fits = (-LIMIT..LIMIT).contains(&n);
    if fits && (n.fract() == 0.0 || kind == Some(ArgKind::Int)) {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "in range; a fraction is to be cut"
        )]
        return Value::Int(n as i64);
    }
    Value::from(n.to_string())
}

/// Pushes a value onto the stack.
///
/// # Safety
/// `state` is a live Lua state whose stack belongs to the caller. Lua may raise an error.
unsafe fn push(state: *mut ffi::lua_State, value: &RpcValue) {
    // SAFETY: the caller's; room is made for what is pushed.
    unsafe {
        ffi::luaL_checkstack(state, 4, c"too deep a value".as_ptr());
        match value {
            RpcValue::Null => ffi::lua_pushnil(state),
            RpcValue::Bool(yes) => ffi::lua_pushboolean(state, (*yes).into()),
            #[expect(clippy::cast_precision_loss, reason = "Lua has no other numbers")]
            RpcValue::Int(n) => ffi::lua_pushnumber(state, *n as f64),
            RpcValue::Double(n) => ffi::lua_pushnumber(state, *n),
            RpcValue::Str(text) => {
                ffi::lua_pushlstring(state, text.as_bytes().as_ptr().cast(), text.as_bytes().len());
            }
            RpcValue::Struct(members) | RpcValue::Named(members) => {
                ffi::lua_newtable(state);
                for (name, member) in members {
                    ffi::lua_pushlstring(state, name.as_bytes().as_ptr().cast(), name.as_bytes().len());
                    push(state, member);
                    ffi::lua_rawset(state, -3);
                }
            }
            RpcValue::Array(items) => {
                ffi::lua_newtable(state);
                for (at, item) in (1..).zip(items) {
                    push(state, item);
                    ffi::lua_rawseti(state, -2, at);
                }
            }
        }
    }
}
