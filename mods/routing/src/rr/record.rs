//! Record-Route headers: one, or two where the message crosses from one address or transport to another.

use std::sync::Arc;

use kahea_module::{Cx, Fault, Outgoing, Str};
use kahea_sip::{
    EditId, EditTag, HeaderId, Insert, Place, Transport,
    view::{Scheme, Uri},
};

use super::{
    Double, Service, Setup,
    state::{self, State},
};

/// What the header names.
#[derive(Clone, Debug)]
enum Address {
    /// The listeners of the two sides.
    Own,
    /// A text of the script for both sides (`record_route_advertised_address()`).
    Advertised(Str),
    /// Texts of the script, one header for each (`record_route_preset()`).
    Preset(Vec<Str>),
}

/// Everything but the sides.
#[derive(Clone, Debug)]
pub(super) struct Spec {
    address: Address,
    double: Double,
    sips: bool,
    user: Str,
    ftag: Option<Str>,
    /// `;lr` or `;lr=on`.
    lr: &'static [u8],
    sockname: bool,
    /// All further parameters, each with its `;`.
    params: Vec<u8>,
}

/// A side of the message.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    /// Where it goes.
    Near,
    /// Where it came from.
    Far,
}

impl Spec {
    fn write(&self, way: &Outgoing<'_>, out: &mut Vec<u8>) {
        match &self.address {
            Address::Preset(addresses) => {
                for address in addresses {
                    self.begin(out);
                    out.extend_from_slice(address);
                    self.end(false, out);
                }
            }
            Address::Own => {
                let two = self.is_double(way.crosses());
                if two {
                    self.write_own(way, Side::Near, two, out);
                }
                self.write_own(way, Side::Far, two, out);
            }
            Address::Advertised(address) => {
                let two = self.is_double(way.transport != way.received.transport);
                if two {
                    self.write_advertised(address, Some(way.transport), out);
                }
                self.write_advertised(address, two.then_some(way.received.transport), out);
            }
        }
    }

    fn is_double(&self, crosses: bool) -> bool {
        match self.double {
            Double::Never => false,
            Double::WhereNeeded => crosses,
            Double::Always => true,
        }
    }

    fn begin(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"Record-Route: <");
        out.extend_from_slice(if self.sips { b"sips:" } else { b"sip:" });
        if !self.user.is_empty() {
            out.extend_from_slice(&self.user);
            out.push(b'@');
        }
    }

    fn write_own(&self, way: &Outgoing<'_>, side: Side, two: bool, out: &mut Vec<u8>) {
        self.begin(out);
        let (listener, transport) = match side {
            Side::Near => {
                way.push_near(out);
                (Some(way.listener), way.transport)
            }
            Side::Far => {
                way.push_far(out);
                (way.arrival(), way.received.transport)
            }
        };
        if transport != Transport::Udp {
            push_transport(transport, out);
        }
        if let Some(name) = listener
            .and_then(|listener| listener.name.as_ref())
            .filter(|_| self.sockname)
        {
            out.extend_from_slice(b";sn=");
            out.extend_from_slice(name);
        }
        if two {
            out.extend_from_slice(b";r2=on");
        }
        out.extend_from_slice(self.lr);
        self.push_ftag(out);
        out.extend_from_slice(&self.params);
        out.extend_from_slice(b">\r\n");
    }

    fn write_advertised(&self, address: &Str, transport: Option<Transport>, out: &mut Vec<u8>) {
        self.begin(out);
        out.extend_from_slice(address);
        if let Some(transport) = transport {
            push_transport(transport, out);
        }
        self.end(transport.is_some(), out);
    }

    /// What follows an address that the script gave.
    fn end(&self, two: bool, out: &mut Vec<u8>) {
        if two {
            out.extend_from_slice(b";r2=on");
        }
        self.push_ftag(out);
        out.extend_from_slice(self.lr);
        out.extend_from_slice(&self.params);
        out.extend_from_slice(b">\r\n");
    }

    fn push_ftag(&self, out: &mut Vec<u8>) {
        if let Some(tag) = &self.ftag {
            out.extend_from_slice(b";ftag=");
            out.extend_from_slice(tag);
        }
    }
}

fn push_transport(transport: Transport, out: &mut Vec<u8>) {
    out.extend_from_slice(b";transport=");
    out.extend_from_slice(transport.uri_name().as_bytes());
}

/// The edit of rr that is in force, and what its text is made of.
pub(super) fn recorded(cx: &Cx) -> Option<(EditId, Arc<Spec>)> {
    cx.edits.iter().find_map(|(id, edit)| match edit.insert {
        Some(Insert::Late(late)) if edit.tag == EditTag::Header(HeaderId::RecordRoute) => {
            Some((id, cx.late.note::<Spec>(late)?))
        }
        _ => None,
    })
}

fn checked(text: &[u8], what: &str) -> Result<(), Fault> {
    match text.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
        true => Err(Fault::script(format!(
            "{what} holds a line end or NUL, which would break the header"
        ))),
        false => Ok(()),
    }
}

/// Adds parameters, with the `;` that the script left out.
fn push_params(params: &mut Vec<u8>, text: &[u8]) {
    if !text.is_empty() && !text.starts_with(b";") {
        params.push(b';');
    }
    params.extend_from_slice(text);
}

/// The user part: a flow token where the request wants one, else the user that the parameters ask for.
fn user(setup: &Setup, cx: &mut Cx) -> Str {
    if let Some(outbound) = setup.outbound.as_ref().filter(|outbound| outbound.wants_flow(cx)) {
        return outbound.token(&cx.received);
    }
    if !setup.add_username {
        return Str::EMPTY;
    }
    let custom = setup.custom_user_avp.as_ref().and_then(|avp| avp.get(cx).str());
    custom
        .filter(|user| !user.is_empty())
        .unwrap_or_else(|| state::ruri_user(cx))
}

fn spec(service: &Service, cx: &mut Cx, address: Address, params: &[u8]) -> Result<Spec, Fault> {
    let setup = &service.setup;
    if recorded(cx).is_some() {
        return Err(Fault::script(
            "the message is record-routed already: call remove_record_route() before the second time",
        ));
    }
    let user = user(setup, cx);
    checked(&user, "the user")?;
    checked(params, "the parameter")?;
    let mut all = Vec::new();
    push_params(&mut all, params);
    all.extend_from_slice(&cx.extra::<State>().added);
    let secure = Uri::parse(&cx.ruri()).is_ok_and(|uri| uri.scheme == Scheme::Sips);
    Ok(Spec {
        address,
        double: setup.double,
        sips: secure && !setup.ignore_sips,
        user,
        ftag: setup
            .append_fromtag
            .then(|| state::initial_tag(cx, setup, false))
            .flatten(),
        lr: if setup.full_lr { b";lr=on" } else { b";lr" },
        sockname: setup.sockname_mode,
        params: all,
    })
}

fn late(cx: &mut Cx, spec: Spec) -> Result<Insert, Fault> {
    let spec = Arc::new(spec);
    let writer = spec.clone();
    let text = Arc::new(move |way: &Outgoing<'_>, out: &mut Vec<u8>| writer.write(way, out));
    Ok(Insert::Late(cx.late.add_noted(text, spec)?))
}

fn put(cx: &mut Cx, spec: Spec) -> Result<(), Fault> {
    let text = late(cx, spec)?;
    let at = cx.msg.headers_start();
    cx.edits
        .insert(at, Place::Before, text, EditTag::Header(HeaderId::RecordRoute));
    Ok(())
}

/// `record_route()`.
pub(super) fn record_route(service: &Service, cx: &mut Cx, params: &[u8]) -> Result<(), Fault> {
    let spec = spec(service, cx, Address::Own, params)?;
    put(cx, spec)
}

/// `record_route_preset()`: the address of the side that the message goes to comes first.
pub(super) fn preset(service: &Service, cx: &mut Cx, addresses: Vec<Str>) -> Result<(), Fault> {
    if addresses.len() > 1 && service.setup.double == Double::Never {
        return Err(Fault::script(
            "two addresses need double record routing, which enable_double_rr turns off",
        ));
    }
    for address in &addresses {
        checked(address, "the address")?;
    }
    let spec = spec(service, cx, Address::Preset(addresses), b"")?;
    put(cx, spec)
}

/// `record_route_advertised_address()`.
pub(super) fn advertised(service: &Service, cx: &mut Cx, address: Str) -> Result<(), Fault> {
    checked(&address, "the address")?;
    let spec = spec(service, cx, Address::Advertised(address), b"")?;
    put(cx, spec)
}

/// `add_rr_param()`: to headers that are there, else to those to come.
pub(super) fn add_param(cx: &mut Cx, param: &[u8]) -> Result<(), Fault> {
    checked(param, "the parameter")?;
    let Some((id, spec)) = recorded(cx) else {
        push_params(&mut cx.extra::<State>().added, param);
        return Ok(());
    };
    let mut changed = Spec::clone(&spec);
    push_params(&mut changed.params, param);
    let text = late(cx, changed)?;
    if let Some(edit) = cx.edits.get_mut(id) {
        edit.insert = Some(text);
    }
    Ok(())
}

/// `remove_record_route()`.
pub(super) fn remove(cx: &mut Cx) {
    if let Some((id, _)) = recorded(cx) {
        cx.edits.undo(id);
    }
}
