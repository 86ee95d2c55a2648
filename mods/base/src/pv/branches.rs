//! Branches: `$branch()`, `$br`, `$bR`, `$ds`, the static branch and its functions.

use kahea_module::{
    BRANCH, Bind, BindError, Cx, Decl, FAILURE, Fault, Index, Named, Naming, REQUEST, Str, Target, Value,
    value::push_int,
};
use kahea_sip::ConnectionId;

use super::{
    Pv, address,
    text::{count, number_only, text_only},
};

/// Declares variables and functions.
pub fn declare(d: &mut Decl<Pv>) {
    d.var_named("branch", Naming::Required, Named { parse: Attribute::parse, get: branch, set: Some(set_branch), raw: false }, "An attribute of a further branch, the first one without an index: `uri`, `dst_uri`, `path`, `q`, `send_socket`, `flags`, `ruid`, `location_ua`, `instance`, `otcpid`, or `count` of all.");
    d.var_named(
        "sbranch",
        Naming::Required,
        Named {
            parse: Attribute::parse,
            get: static_branch,
            set: Some(set_static),
            raw: false,
        },
        "An attribute of the static branch, which `sbranch_append()` and `sbranch_set_ruri()` use.",
    );
    d.var_rw(
        "br",
        |_, cx, _| cx.branches.first().and_then(|branch| branch.ruri.clone()).into(),
        append,
        "The URI of the first further branch; an assignment adds one.",
    );
    d.var("bR", |_, cx, _| all_printed(cx), "All further branches.");
    d.var(
        "ds",
        |_, cx, _| destination_set(cx),
        "The destination set as a Contact header.",
    );
    d.var(
        "ruid",
        |_, cx, _| cx.target.ruid.clone().into(),
        "The id of the location record that the request goes to.",
    );
    d.var(
        "location_ua",
        |_, cx, _| cx.target.location_ua.clone().into(),
        "The user agent of the location record that the request goes to.",
    );
    functions(d);
}

fn functions(d: &mut Decl<Pv>) {
    d.func(
        "sbranch_reset",
        [],
        |_: &Pv, cx: &mut Cx| {
            cx.extra::<Static>().0 = None;
            true
        },
        "Empties the static branch.",
    )
    .routes(REQUEST | FAILURE | BRANCH)
    .kemi_as(0, "pvx", "sbranch_reset");
    d.func(
        "sbranch_append",
        [],
        sbranch_append,
        "Adds the static branch to the destination set.",
    )
    .routes(REQUEST | FAILURE | BRANCH)
    .kemi_as(0, "pvx", "sbranch_append");
    d.func(
        "sbranch_set_ruri",
        [],
        sbranch_set_ruri,
        "Makes the static branch the first one: R-URI, destination, path, socket, flags.",
    )
    .routes(REQUEST | FAILURE | BRANCH)
    .kemi_as(0, "pvx", "sbranch_set_ruri");
}

/// The static branch of the message.
#[derive(Default)]
struct Static(Option<Target>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attribute {
    Uri,
    DstUri,
    Path,
    Q,
    SendSocket,
    Flags,
    Ruid,
    LocationUa,
    Instance,
    Connection,
    Count,
}

impl Attribute {
    fn parse(name: &str, _: &dyn Bind) -> Result<Attribute, BindError> {
        Ok(match name {
            "uri" => Attribute::Uri,
            "dst_uri" => Attribute::DstUri,
            "path" => Attribute::Path,
            "q" => Attribute::Q,
            "send_socket" => Attribute::SendSocket,
            "flags" => Attribute::Flags,
            "ruid" => Attribute::Ruid,
            "location_ua" => Attribute::LocationUa,
            "instance" => Attribute::Instance,
            "otcpid" => Attribute::Connection,
            "count" => Attribute::Count,
            _ => {
                return Err(BindError::new(format!("a branch has no attribute '{name}'")).help(
                    "use uri, dst_uri, path, q, send_socket, flags, ruid, location_ua, instance, otcpid or count",
                ));
            }
        })
    }
}

fn branch(_: &Pv, cx: &mut Cx, attribute: &Attribute, index: Index) -> Value {
    if *attribute == Attribute::Count {
        return match cx.branches.len() {
            0 => Value::Null,
            n => count(n),
        };
    }
    let index = if index == Index::All { Index::None } else { index };
    let branch = index.pick(cx.branches.len()).and_then(|at| cx.branches.get(at));
    branch.map_or(Value::Null, |branch| read(cx, branch, *attribute))
}

fn read(cx: &Cx, branch: &Target, attribute: Attribute) -> Value {
    match attribute {
        Attribute::Uri => branch.ruri.clone().into(),
        Attribute::DstUri => branch.dst_uri.clone().into(),
        Attribute::Path => branch.path.clone().into(),
        Attribute::Q => branch.q.into(),
        Attribute::SendSocket => {
            let listener = branch
                .send_socket
                .and_then(|id| cx.config().identity.listener(id));
            listener.map(|listener| listener.text.clone()).into()
        }
        Attribute::Flags => branch.flags.into(),
        Attribute::Ruid => branch.ruid.clone().into(),
        Attribute::LocationUa => branch.location_ua.clone().into(),
        Attribute::Instance => branch.instance.clone().into(),
        Attribute::Connection => Value::Int(
            branch
                .connection
                .and_then(|id| i64::try_from(id.0).ok())
                .unwrap_or(0),
        ),
        Attribute::Count => Value::Null,
    }
}

fn set_branch(_: &Pv, cx: &mut Cx, attribute: &Attribute, index: Index, value: Value) -> Result<(), Fault> {
    let len = cx.branches.len();
    let at = index.pick(len).ok_or_else(|| {
        Fault::script(format!(
            "there is no such branch; the message has {len} further branches"
        ))
    })?;
    if *attribute == Attribute::Uri && value.is_null() {
        cx.branches.remove(at);
        return Ok(());
    }
    let socket = socket(cx, *attribute, &value)?;
    match cx.branches.get_mut(at) {
        Some(branch) => write(branch, *attribute, value, socket),
        None => Ok(()),
    }
}

/// The listener that an assignment of `send_socket` names.
fn socket(cx: &Cx, attribute: Attribute, value: &Value) -> Result<Option<kahea_sip::ListenerId>, Fault> {
    match (attribute, value) {
        (Attribute::SendSocket, Value::Str(text)) => address::find_socket(cx, text).map(Some),
        (Attribute::SendSocket, Value::Int(_)) => {
            Err(Fault::script("a socket is written proto:address:port"))
        }
        _ => Ok(None),
    }
}

fn write(
    branch: &mut Target,
    attribute: Attribute,
    value: Value,
    socket: Option<kahea_sip::ListenerId>,
) -> Result<(), Fault> {
    let text = |value: Value| match value {
        Value::Null => Ok(None),
        value => text_only(value, "this attribute of a branch").map(Some),
    };
    match attribute {
        Attribute::Uri => branch.ruri = Some(text_only(value, "the URI of a branch")?),
        Attribute::DstUri => branch.dst_uri = text(value)?,
        Attribute::Path => branch.path = text(value)?,
        Attribute::Q => branch.q = quality(&value)?,
        Attribute::SendSocket => branch.send_socket = socket,
        Attribute::Flags => {
            let flags = number_only(&value, "the flags of a branch")?;
            branch.flags = u32::try_from(flags & i64::from(u32::MAX)).unwrap_or(0);
        }
        Attribute::Connection => {
            let id = u64::try_from(number_only(&value, "otcpid")?).unwrap_or(0);
            branch.connection = (id != 0).then_some(ConnectionId(id));
        }
        Attribute::Ruid | Attribute::LocationUa | Attribute::Instance | Attribute::Count => {
            return Err(Fault::script("this attribute of a branch cannot be assigned"));
        }
    }
    Ok(())
}

/// `q` in thousandths; `$null` takes it away.
fn quality(value: &Value) -> Result<Option<u16>, Fault> {
    match value {
        Value::Null => Ok(None),
        value => u16::try_from(number_only(value, "q")?)
            .ok()
            .filter(|q| *q <= 1000)
            .map(Some)
            .ok_or_else(|| Fault::script("q is a number from 0 to 1000")),
    }
}

fn static_branch(_: &Pv, cx: &mut Cx, attribute: &Attribute, _: Index) -> Value {
    if *attribute == Attribute::Count {
        return Value::Int(0);
    }
    let Some(branch) = cx.extra::<Static>().0.clone() else {
        return Value::Null;
    };
    read(cx, &branch, *attribute)
}

fn set_static(_: &Pv, cx: &mut Cx, attribute: &Attribute, _: Index, value: Value) -> Result<(), Fault> {
    let socket = socket(cx, *attribute, &value)?;
    let branch = &mut cx.extra::<Static>().0;
    if *attribute == Attribute::Uri && value.is_null() {
        *branch = None;
        return Ok(());
    }
    let branch = branch.get_or_insert_with(|| Target {
        q: Some(0),
        ..Target::default()
    });
    write(branch, *attribute, value, socket)
}

fn filled_static(cx: &mut Cx) -> Option<Target> {
    cx.extra::<Static>()
        .0
        .clone()
        .filter(|branch| branch.ruri.is_some())
}

/// Adds a branch, as far as `max_branches` allows.
pub(crate) fn add(cx: &mut Cx, branch: Target) -> Result<(), Fault> {
    let most = usize::try_from(cx.config().globals.max_branches).unwrap_or(usize::MAX);
    // The first branch counts as one.
    if cx.branches.len().saturating_add(1) >= most.max(1) {
        return Err(Fault::limit(format!(
            "a request has at most {most} branches (max_branches)"
        )));
    }
    cx.branches.push(branch);
    Ok(())
}

fn sbranch_append(_: &Pv, cx: &mut Cx) -> Result<bool, Fault> {
    match filled_static(cx) {
        Some(branch) => add(cx, branch).map(|()| true),
        None => Ok(false),
    }
}

fn sbranch_set_ruri(_: &Pv, cx: &mut Cx) -> Result<bool, Fault> {
    let Some(branch) = filled_static(cx) else {
        return Ok(false);
    };
    if let Some(uri) = &branch.ruri {
        cx.set_ruri(uri.clone())?;
    }
    cx.target = branch;
    Ok(true)
}

fn append(_: &Pv, cx: &mut Cx, _: Index, value: Value) -> Result<(), Fault> {
    let uri = text_only(value, "$br")?;
    let branch = Target {
        ruri: Some(uri),
        ..Target::default()
    };
    add(cx, branch)
}

/// `uri`, or `<uri>;q=0.5`.
fn printed(branch: &Target) -> Str {
    let uri = branch.ruri.clone().unwrap_or_default();
    match branch.q {
        None => uri,
        Some(q) => {
            let mut out = Vec::with_capacity(uri.len().saturating_add(12));
            push_bracketed(&uri, Some(q), &mut out);
            Str::from(out)
        }
    }
}

fn push_bracketed(uri: &[u8], q: Option<u16>, out: &mut Vec<u8>) {
    out.push(b'<');
    out.extend_from_slice(uri);
    out.push(b'>');
    if let Some(q) = q {
        out.extend_from_slice(b";q=");
        push_quality(q, out);
    }
}

/// Thousandths as the shortest decimal number.
fn push_quality(q: u16, out: &mut Vec<u8>) {
    match q {
        0 => out.push(b'0'),
        1000.. => push_int(i64::from(q / 1000), out),
        q => {
            let digits = format!("{q:03}");
            out.extend_from_slice(b"0.");
            out.extend_from_slice(digits.trim_end_matches('0').as_bytes());
        }
    }
}

fn all_printed(cx: &Cx) -> Value {
    let mut out: Option<Vec<u8>> = None;
    for branch in &cx.branches {
        let out = match &mut out {
            None => out.insert(Vec::new()),
            Some(out) => {
                out.extend_from_slice(b", ");
                out
            }
        };
        out.extend_from_slice(&printed(branch));
    }
    out.into()
}

fn destination_set(cx: &Cx) -> Value {
    let first = cx.target.ruri.as_ref().map(|_| &cx.target);
    let mut out = Vec::from(*b"Contact: ");
    let start = out.len();
    for branch in first.into_iter().chain(&cx.branches) {
        if out.len() > start {
            out.extend_from_slice(b", ");
        }
        push_bracketed(branch.ruri.as_deref().unwrap_or_default(), branch.q, &mut out);
    }
    if out.len() > start {
        Value::from(out)
    } else {
        Value::Null
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kahea_module::testing::{FakeBind, Server};

    fn server() -> Server {
        Server::new(|config| config.globals.max_branches = 4)
    }

    fn attribute(name: &str) -> Attribute {
        Attribute::parse(name, &FakeBind::default()).expect("an attribute")
    }

    #[test]
    fn branches_are_added_changed_and_dropped() {
        let (mut cx, m) = (server().invite(), Pv::default());
        assert_eq!(branch(&m, &mut cx, &attribute("count"), Index::None), Value::Null);
        append(&m, &mut cx, Index::None, Value::from("sip:br1@h")).expect("room");
        append(&m, &mut cx, Index::None, Value::from("sip:br2@h")).expect("room");
        set_branch(&m, &mut cx, &attribute("q"), Index::At(1), Value::Int(500)).expect("in range");
        assert_eq!(all_printed(&cx), Value::from("sip:br1@h, <sip:br2@h>;q=0.5"));
        assert_eq!(
            branch(&m, &mut cx, &attribute("uri"), Index::At(-1)),
            Value::from("sip:br2@h")
        );
        assert!(set_branch(&m, &mut cx, &attribute("uri"), Index::At(5), Value::from("sip:x")).is_err());
        assert!(set_branch(&m, &mut cx, &attribute("ruid"), Index::At(0), Value::from("x")).is_err());
        set_branch(&m, &mut cx, &attribute("uri"), Index::At(0), Value::Null).expect("dropped");
        assert_eq!(
            branch(&m, &mut cx, &attribute("count"), Index::None),
            Value::Int(1)
        );
        assert_eq!(destination_set(&cx), Value::from("Contact: <sip:br2@h>;q=0.5"));
        append(&m, &mut cx, Index::None, Value::from("sip:br3@h")).expect("room");
        append(&m, &mut cx, Index::None, Value::from("sip:br4@h")).expect("room");
        assert!(append(&m, &mut cx, Index::None, Value::from("sip:br5@h")).is_err());
    }

    #[test]
    fn the_static_branch_is_a_template() {
        let (mut cx, m) = (server().invite(), Pv::default());
        assert_eq!(sbranch_append(&m, &mut cx), Ok(false));
        for (name, value) in [
            ("uri", Value::from("sip:sb@h")),
            ("dst_uri", Value::from("sip:1.1.1.1")),
            ("q", Value::Int(50)),
        ] {
            set_static(&m, &mut cx, &attribute(name), Index::None, value).expect("assigned");
        }
        assert_eq!(sbranch_append(&m, &mut cx), Ok(true));
        assert_eq!(all_printed(&cx), Value::from("<sip:sb@h>;q=0.05"));
        assert_eq!(sbranch_set_ruri(&m, &mut cx), Ok(true));
        assert_eq!(
            (cx.ruri(), cx.target.dst_uri.clone()),
            (Str::from("sip:sb@h"), Some(Str::from("sip:1.1.1.1")))
        );
        set_static(&m, &mut cx, &attribute("uri"), Index::None, Value::Null).expect("emptied");
        assert_eq!(sbranch_set_ruri(&m, &mut cx), Ok(false));
    }

    #[test]
    fn quality_is_as_short_as_can_be() {
        let text = |q| {
            let mut out = Vec::new();
            push_quality(q, &mut out);
            String::from_utf8(out).expect("digits")
        };
        assert_eq!(
            [0, 1, 50, 500, 999, 1000].map(text),
            ["0", "0.001", "0.05", "0.5", "0.999", "1"]
        );
    }
}
