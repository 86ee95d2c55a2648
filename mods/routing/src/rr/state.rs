//! What rr knows of the message in work, and what it tells other modules.

use std::sync::Arc;

use kahea_module::{Cx, Fault, Str};
use kahea_sip::view::{Params, Uri};
use parking_lot::RwLock;

use super::{Setup, record, routes};

/// Which way a request within a dialog goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// As the request that created the dialog: caller to callee.
    Downstream,
    /// Against it.
    Upstream,
}

/// What loose routing found out.
#[derive(Clone, Debug)]
pub(super) struct Routed {
    /// The message as it was then: another one has another route set.
    buffer: Str,
    /// The parameters of the own value that was taken off, without the first `;`.
    pub params: Str,
    /// The next hop is what a Route header says.
    pub next_hop: bool,
}

/// Per message.
#[derive(Debug, Default)]
pub(super) struct State {
    routed: Option<Routed>,
    /// `add_rr_param()` before `record_route()`.
    pub added: Vec<u8>,
}

fn same(one: &Str, other: &Str) -> bool {
    std::ptr::eq(one.as_ptr(), other.as_ptr()) && one.len() == other.len()
}

impl State {
    /// Notes what loose routing did.
    pub fn note(cx: &mut Cx, params: Str, next_hop: bool) {
        let buffer = cx.msg.buffer().clone();
        cx.extra::<State>().routed = Some(Routed {
            buffer,
            params,
            next_hop,
        });
    }

    /// What loose routing did with the message as it stands.
    pub fn routed(cx: &Cx) -> Option<&Routed> {
        cx.extra_ref::<State>()?
            .routed
            .as_ref()
            .filter(|routed| same(&routed.buffer, cx.msg.buffer()))
    }
}

/// The parameters of this server's own Route value: of the one that was taken off, or, before `loose_route()`, of the
/// one that it will take off.
pub(super) fn params(cx: &Cx, setup: &Setup) -> Option<Str> {
    if let Some(routed) = State::routed(cx).filter(|routed| !routed.params.is_empty()) {
        return Some(routed.params.clone());
    }
    let first = routes::first(cx)?;
    let uri = routes::parse(&first).ok()?;
    routes::is_own(cx, &uri, setup.sockname_mode).then(|| first.share(uri.params.raw))
}

/// A parameter of it; empty where it has no value.
pub(super) fn param(cx: &Cx, setup: &Setup, name: &[u8]) -> Option<Str> {
    let text = params(cx, setup)?;
    let found = Params::uri(&text).get(name)?;
    Some(found.value.map_or(Str::EMPTY, |value| text.share(value)))
}

/// The direction: the other one where the `ftag` of the own Route value is not the From tag.
pub(super) fn direction(cx: &Cx, setup: &Setup) -> Direction {
    let ftag = param(cx, setup, b"ftag").filter(|tag| !tag.is_empty());
    let from = cx.from().ok().and_then(|from| from.tag());
    match (ftag, from) {
        (Some(ftag), Some(from)) if *ftag != *from => Direction::Upstream,
        _ => Direction::Downstream,
    }
}

/// The tag of the side that created the dialog, or of the other one.
pub(super) fn initial_tag(cx: &Cx, setup: &Setup, callee: bool) -> Option<Str> {
    let from_side = (direction(cx, setup) == Direction::Downstream) != callee;
    let side = if from_side { cx.from() } else { cx.to() }.ok()?;
    let tag = side.tag().filter(|tag| !tag.is_empty())?;
    Some(cx.msg.buffer().share(tag))
}

/// Runs when an own Route value was taken off, with its parameters.
pub type RouteHook = Arc<dyn Fn(&mut Cx, &Str) + Send + Sync>;

/// What rr does for other modules.
pub struct Service {
    pub(super) setup: Arc<Setup>,
    hooks: RwLock<Arc<[RouteHook]>>,
}

impl Service {
    pub(super) fn new(setup: Arc<Setup>) -> Service {
        Service {
            setup,
            hooks: RwLock::new(Arc::new([])),
        }
    }

    /// Adds a hook that runs whenever loose routing took an own Route value off; it may change `$du`.
    pub fn on_route(&self, hook: RouteHook) {
        let mut hooks = self.hooks.write();
        *hooks = hooks.iter().cloned().chain([hook]).collect();
    }

    pub(super) fn run_hooks(&self, cx: &mut Cx, params: &Str) {
        let hooks = self.hooks.read().clone();
        for hook in hooks.iter() {
            hook(cx, params);
        }
    }

    /// The parameters of the own Route value, without the first `;`; `None` where the request has none.
    pub fn route_params(&self, cx: &Cx) -> Option<Str> {
        params(cx, &self.setup)
    }

    /// One of them; empty where it has no value.
    pub fn route_param(&self, cx: &Cx, name: &[u8]) -> Option<Str> {
        param(cx, &self.setup, name)
    }

    /// Which way a request within a dialog goes (`is_direction()`).
    pub fn direction(&self, cx: &Cx) -> Direction {
        direction(cx, &self.setup)
    }

    /// `record_route()` was called for this message, or for the branch in work.
    pub fn is_recorded(&self, cx: &Cx) -> bool {
        record::recorded(cx).is_some()
    }

    /// Adds `;name=value` to the Record-Route headers of this message, those to come or those that are there
    /// (`add_rr_param()`).
    ///
    /// # Errors
    /// The text holds a line end.
    pub fn add_param(&self, cx: &mut Cx, param: &[u8]) -> Result<(), Fault> {
        record::add_param(cx, param)
    }

    /// Adds Record-Route headers (`record_route()`).
    ///
    /// # Errors
    /// They are there already.
    pub fn record_route(&self, cx: &mut Cx) -> Result<(), Fault> {
        record::record_route(self, cx, b"")
    }
}

/// The user of the Request-URI as it came, else as it stands; empty where neither has one.
pub(super) fn ruri_user(cx: &Cx) -> Str {
    let now = cx.ruri();
    let came = cx.msg.text(
        cx.msg
            .uri()
            .and_then(|uri| kahea_sip::Span::within(cx.msg.buffer(), uri))
            .unwrap_or_default(),
    );
    [came, now]
        .iter()
        .find_map(|text| {
            let user = Uri::parse(text).ok()?.user;
            (!user.is_empty()).then(|| text.share(user))
        })
        .unwrap_or_default()
}
