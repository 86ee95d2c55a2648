//! Loose routing (RFC 3261 section 16.4), with the strict routers of RFC 2543 before and behind.

use kahea_module::{
    Cx, Fault, Str,
    log::{self, Level},
};
use kahea_sip::view::{Scheme, Uri};

use super::{
    Service,
    routes::{self, RouteSet},
    state::State,
};

/// The route set is worked off.
const DONE: i64 = 1;
/// The next hop is the flow that the token in the own Route value names.
const BY_FLOW: i64 = 2;
/// There is no route set, or none that can be followed.
pub(super) const NONE: i64 = -1;
/// The flow token is not one of this server.
const TAMPERED: i64 = -2;
/// An initial request whose whole route set was this server.
pub(super) const PRELOADED: i64 = -3;

/// `loose_route()`; with `loose_only` an own Request-URI is no sign of a strict router.
pub(super) fn loose_route(service: &Service, cx: &mut Cx, loose_only: bool) -> Result<i64, Fault> {
    if cx.msg.first(kahea_sip::HeaderId::Route).is_none() {
        return Ok(NONE);
    }
    let set = RouteSet::read(cx)?;
    let Some(first) = set.get(0) else {
        return Ok(NONE);
    };
    let first = first.uri.clone();
    let mut walk = Walk {
        service,
        by_name: service.setup.sockname_mode,
        in_dialog: cx
            .to()
            .is_ok_and(|to| to.tag().is_some_and(|tag| !tag.is_empty())),
        set,
    };
    match walk.in_dialog && !loose_only && walk.is_from_strict(cx) {
        true => walk.after_strict(cx, &first),
        false => walk.after_loose(cx, &first),
    }
}

struct Walk<'a> {
    service: &'a Service,
    by_name: bool,
    in_dialog: bool,
    set: RouteSet,
}

impl Walk<'_> {
    /// The Request-URI is this server's own: a strict router put our Route value there. A GRUU is an address for its own
    /// sake (RFC 5627).
    fn is_from_strict(&self, cx: &Cx) -> bool {
        cx.with_ruri(|uri| uri.is_ok_and(|uri| uri.gr().is_none() && routes::is_own(cx, &uri, self.by_name)))
    }

    fn after_loose(&mut self, cx: &mut Cx, first: &Str) -> Result<i64, Fault> {
        let uri = routes::parse(first)?;
        if !routes::is_own(cx, &uri, self.by_name) {
            return self.go_to(cx, 0, false).map(|()| DONE);
        }
        let params = first.share(uri.params.raw);
        State::note(cx, params.clone(), false);
        let flow = self.flow(cx, &uri)?;
        let next = self.pass_double(cx, 0, &uri, flow);
        let has_next = self.set.get(next).is_some();
        if !flow && self.service.setup.force_send_socket && next == 1 {
            self.send_from(cx, &uri);
        }
        match has_next {
            true => self.go_to(cx, next, flow)?,
            false => self.set.remove(cx, |_| true),
        }
        State::note(cx, params.clone(), has_next);
        self.service.run_hooks(cx, &params);
        Ok(match (flow, has_next || self.in_dialog) {
            (true, _) => BY_FLOW,
            (false, true) => DONE,
            (false, false) => PRELOADED,
        })
    }

    /// Where the value after the own one at `at` stands; of a double Record-Route the second own one is passed too, and
    /// the message leaves by the listener that it names.
    fn pass_double(&self, cx: &mut Cx, at: usize, own: &Uri<'_>, flow: bool) -> usize {
        let next = at.saturating_add(1);
        let Some(second) = self.second_of_pair(cx, next, own) else {
            return next;
        };
        if let Ok(uri) = routes::parse(&second)
            && !flow
        {
            self.send_from(cx, &uri);
        }
        next.saturating_add(1)
    }

    /// The value at `at`, where it is the other half of the pair that `own` begins: marked and this server's, so that
    /// nobody's route is dropped for a mark of ours.
    fn second_of_pair(&self, cx: &Cx, at: usize, own: &Uri<'_>) -> Option<Str> {
        own.r2()?;
        let second = self.set.get(at)?.uri.clone();
        let uri = routes::parse(&second).ok()?;
        (uri.r2().is_some() && routes::is_own(cx, &uri, self.by_name)).then(|| second.clone())
    }

    fn send_from(&self, cx: &mut Cx, uri: &Uri<'_>) {
        let found = routes::listener(cx, uri, self.by_name).map(|listener| listener.id);
        match found {
            Some(id) => cx.target.send_socket = Some(id),
            None if self.service.setup.socket_mismatch_warning => {
                let uri = String::from_utf8_lossy(uri.raw);
                log::write(
                    Level::Warning,
                    "rr",
                    format_args!(
                        "no listener is {uri}, which a Route header names: the message leaves by another"
                    ),
                );
            }
            None => {}
        }
    }

    /// Sends to the value at `at`; those before it leave. A strict router gets its URI as Request-URI and ours as the
    /// last Route value (RFC 3261 section 16.6 step 6). A request that follows a flow keeps its destination.
    fn go_to(&self, cx: &mut Cx, at: usize, flow: bool) -> Result<(), Fault> {
        let Some(next) = self.set.get(at).map(|route| route.uri.clone()) else {
            return Ok(());
        };
        if at > 0 {
            self.set.remove(cx, |place| place < at);
        }
        let uri = routes::parse(&next)?;
        if uri.lr() {
            if !flow {
                cx.target.dst_uri = Some(next.clone());
            }
            return Ok(());
        }
        let came = Str::copy(cx.msg.uri().unwrap_or_default());
        cx.set_ruri(next.clone())?;
        self.set.remove(cx, |place| place == at);
        RouteSet::append(cx, &came);
        Ok(())
    }

    fn after_strict(&mut self, cx: &mut Cx, first: &Str) -> Result<i64, Fault> {
        routes::parse(first)?;
        let own = cx.ruri();
        let own_uri = routes::parse(&own)?;
        let params = own.share(own_uri.params.raw);
        // The Request-URI stands before the set: the other half of its pair is the first value.
        let at = match self.second_of_pair(cx, 0, &own_uri) {
            Some(second) => {
                if let Ok(uri) = routes::parse(&second) {
                    self.send_from(cx, &uri);
                }
                1
            }
            None => 0,
        };
        State::note(cx, params.clone(), false);
        let Some(next) = self.set.get(at).map(|route| route.uri.clone()) else {
            return Err(Fault::peer(
                "a strict router left no Route value behind this server's own",
            ));
        };
        if routes::parse(&next)?.lr() {
            cx.target.dst_uri = Some(next);
            let Some((last, target)) = self.set.last() else {
                return Ok(NONE);
            };
            let target = target.uri.clone();
            routes::parse(&target)?;
            cx.set_ruri(target)?;
            self.set.remove(cx, |place| place < at || place == last);
        } else {
            cx.set_ruri(next)?;
            self.set.remove(cx, |place| place <= at);
        }
        self.service.run_hooks(cx, &params);
        Ok(DONE)
    }

    /// Follows the flow token in the user part of the own value (RFC 5626 section 5.3): true where the request goes to the
    /// flow, false where there is no token or the request came by that flow.
    fn flow(&self, cx: &mut Cx, uri: &Uri<'_>) -> Result<bool, Fault> {
        let Some(outbound) = &self.service.setup.outbound else {
            return Ok(false);
        };
        if uri.user.is_empty() || !matches!(uri.scheme, Scheme::Sip | Scheme::Sips) {
            return Ok(false);
        }
        let flow = match outbound.flow(uri.user) {
            Ok(Some(flow)) => flow,
            Ok(None) => return Ok(false),
            Err(fault) => return Err(fault.code(TAMPERED)),
        };
        if flow.is_of(&cx.received) {
            return Ok(false);
        }
        flow.follow(cx);
        Ok(true)
    }
}
