//! What a message in work knows of its transaction.

use std::sync::Arc;

use kahea_module::Cx;
pub use kahea_module::UsedTarget;
use kahea_tx::{BranchId, Timing};

use super::{
    cell::{Arms, Cell, Switches},
    watch::Reported,
};

/// In which of a transaction's routes a message is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// The request itself.
    #[default]
    Request,
    /// In `branch_route`, about to become this branch.
    Branch(BranchId),
    /// A reply of this branch.
    Reply(BranchId),
    /// In `failure_route`; this branch's result was chosen.
    Failure(BranchId),
    /// In `event_route[tm:branch-failure:…]`.
    BranchFailure(BranchId),
    /// The request again, after it was suspended.
    Resumed,
}

impl Role {
    /// The branch that the route is about.
    pub fn branch(self) -> Option<BranchId> {
        match self {
            Role::Request | Role::Resumed => None,
            Role::Branch(branch)
            | Role::Reply(branch)
            | Role::Failure(branch)
            | Role::BranchFailure(branch) => Some(branch),
        }
    }
}

/// What a message in work knows of its transaction; see [`Cx::extra`].
#[derive(Default)]
pub struct Attached {
    /// It, once there is one.
    pub cell: Option<Arc<Cell>>,
    /// In which of its routes.
    pub role: Role,
    /// Routes for the transaction to come.
    pub arms: Arms,
    /// Its timers, where the script set them.
    pub timing: Option<Timing>,
    /// Its switches.
    pub switches: Switches,
    /// The request was relayed, answered, suspended or released: nothing is due at its end.
    pub settled: bool,
    /// The reply that is due at the end because relaying failed.
    pub failed: Option<(u16, &'static str)>,
    /// The branch whose reply is being handled, in routes about its failure.
    pub at_hand: Option<BranchId>,
    /// `t_suspend()` was called in this route.
    pub suspended: bool,
    /// The target that was used up.
    pub used: Option<UsedTarget>,
    /// The request before `t_msg_apply_changes()` in a branch route.
    pub unchanged: Option<kahea_sip::Message>,
    /// The reply that a watcher is told of.
    pub reported: Option<Box<Reported>>,
}

/// The transaction of the message, where it is known.
pub fn cell(cx: &Cx) -> Option<Arc<Cell>> {
    cx.extra_ref::<Attached>()?.cell.clone()
}

/// The reply that a watcher is told of, which looks at this request.
pub fn reported(cx: &Cx) -> Option<&Reported> {
    cx.extra_ref::<Attached>()?.reported.as_deref()
}

/// The route that the message is in.
pub fn role(cx: &Cx) -> Role {
    cx.extra_ref::<Attached>()
        .map_or(Role::Request, |attached| attached.role)
}
