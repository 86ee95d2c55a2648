//! In which kind of route a script is: `t_is_request_route()` and its kin.

use kahea_module::{Cx, Decl, RouteKind};

use super::Tmx;
use crate::tm::attached::{self, Role};

/// Declares them.
pub fn declare(d: &mut Decl<Tmx>) {
    d.func(
        "t_is_request_route",
        [],
        t_is_request_route,
        "The script was entered by request_route, or by an event_route that is run like it.",
    )
    .kemi(0, "t_is_request_route");
    d.func(
        "t_is_reply_route",
        [],
        t_is_reply_route,
        "The script was entered by a reply_route or an onreply_route.",
    )
    .kemi(0, "t_is_reply_route");
    d.func(
        "t_is_failure_route",
        [],
        |_: &Tmx, cx: &mut Cx| cx.route == RouteKind::Failure,
        "The script was entered by a failure_route, or goes on with a request that was suspended.",
    )
    .kemi(0, "t_is_failure_route");
    d.func(
        "t_is_branch_route",
        [],
        |_: &Tmx, cx: &mut Cx| cx.route == RouteKind::Branch,
        "The script was entered by a branch_route.",
    )
    .kemi(0, "t_is_branch_route");
}

fn t_is_request_route(_: &Tmx, cx: &mut Cx) -> bool {
    match cx.route {
        RouteKind::Request => true,
        RouteKind::Event => !matches!(attached::role(cx), Role::BranchFailure(_)),
        _ => false,
    }
}

fn t_is_reply_route(_: &Tmx, cx: &mut Cx) -> bool {
    matches!(cx.route, RouteKind::Reply | RouteKind::CoreReply)
}
