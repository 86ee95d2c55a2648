//! Route blocks: their kinds, and sets of kinds.

use std::ops::BitOr;

/// A route block of the running program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RouteId(pub u32);

impl RouteId {
    const CALLBACK: u32 = 1 << 31;

    /// That of a function of an embedded language: [`Callback::id`](crate::language::Callback::id) of the configuration.
    pub const fn of_callback(id: u32) -> RouteId {
        RouteId(id | Self::CALLBACK)
    }

    /// The callback's number, where it is one's.
    pub const fn callback(self) -> Option<u32> {
        match self.0 & Self::CALLBACK {
            0 => None,
            _ => Some(self.0 & !Self::CALLBACK),
        }
    }
}

/// The kind of a route block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum RouteKind {
    /// `request_route` and the named `route[X]` blocks.
    Request,
    /// `reply_route`, `onreply_route`: every reply, stateless.
    CoreReply,
    /// `onreply_route[X]`: replies of a transaction.
    Reply,
    /// `failure_route[X]`.
    Failure,
    /// `branch_route[X]`.
    Branch,
    /// `onsend_route`.
    OnSend,
    /// `event_route[x:y]`, and named branch failure routes.
    Event,
}

impl RouteKind {
    /// The kind as a set of one.
    pub const fn set(self) -> RouteKinds {
        RouteKinds(1 << self as u8)
    }

    /// As the script names the block.
    pub const fn keyword(self) -> &'static str {
        match self {
            RouteKind::Request => "request_route",
            RouteKind::CoreReply => "reply_route",
            RouteKind::Reply => "onreply_route",
            RouteKind::Failure => "failure_route",
            RouteKind::Branch => "branch_route",
            RouteKind::OnSend => "onsend_route",
            RouteKind::Event => "event_route",
        }
    }

    /// All of them.
    pub const ALL: [RouteKind; 7] = [
        RouteKind::Request,
        RouteKind::CoreReply,
        RouteKind::Reply,
        RouteKind::Failure,
        RouteKind::Branch,
        RouteKind::OnSend,
        RouteKind::Event,
    ];
}

/// A set of route kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteKinds(u8);

/// `route[X]`, `request_route`.
pub const REQUEST: RouteKinds = RouteKind::Request.set();
/// Both kinds of reply route.
pub const REPLY: RouteKinds = RouteKinds(RouteKind::Reply.set().0 | RouteKind::CoreReply.set().0);
/// `failure_route`.
pub const FAILURE: RouteKinds = RouteKind::Failure.set();
/// `branch_route`.
pub const BRANCH: RouteKinds = RouteKind::Branch.set();
/// `onsend_route`.
pub const ONSEND: RouteKinds = RouteKind::OnSend.set();
/// `event_route`. Kamailio runs these as request routes, so functions allowed in a request route are allowed there.
pub const EVENT: RouteKinds = RouteKind::Event.set();
/// Everywhere.
pub const ANY: RouteKinds = RouteKinds(0x7f);

impl RouteKinds {
    /// Holds this kind.
    pub const fn has(self, kind: RouteKind) -> bool {
        self.0 & kind.set().0 != 0
    }

    /// Its kinds.
    pub fn iter(self) -> impl Iterator<Item = RouteKind> {
        RouteKind::ALL.into_iter().filter(move |kind| self.has(*kind))
    }
}

impl BitOr for RouteKinds {
    type Output = RouteKinds;
    fn bitor(self, other: RouteKinds) -> RouteKinds {
        RouteKinds(self.0 | other.0)
    }
}

/// A step of the running program. The interpreter notes it in [`Cx::step`](crate::Cx::step) at every step, which costs
/// two stores; [`Cx::place`](crate::Cx::place) looks up what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScriptStep {
    /// The route block.
    pub route: RouteId,
    /// The step in its code, from 0.
    pub at: u32,
}

impl ScriptStep {
    /// No step: no script runs.
    pub const NONE: ScriptStep = ScriptStep {
        route: RouteId(u32::MAX),
        at: 0,
    };

    /// The start of a route block.
    pub const fn start(route: RouteId) -> ScriptStep {
        ScriptStep { route, at: 0 }
    }
}

/// Where a step stands in the configuration (`$cfg(line)`).
#[derive(Clone, Debug, PartialEq)]
pub struct ScriptPlace {
    /// The file of the configuration.
    pub file: crate::Str,
    /// Its line, from 1.
    pub line: u32,
    /// The name of the route block; empty for `request_route` and its like.
    pub route: crate::Str,
}
