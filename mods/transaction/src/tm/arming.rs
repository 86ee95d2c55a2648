//! Which routes a transaction runs: `t_on_failure()` and its kin.

use kahea_module::{
    Bind, BindError, Cx, Decl, Fault, Format, Lit, RouteId, RouteKind,
    arg::Literal,
    route::{ANY, BRANCH, EVENT, FAILURE, REPLY, REQUEST},
    warning,
};

use super::{
    Tm,
    attached::{Attached, Role},
    cell::Arms,
};

/// Declares them.
pub fn declare(d: &mut Decl<Tm>) {
    let most = REQUEST | FAILURE | REPLY | BRANCH | EVENT;
    d.func(
        "t_on_failure",
        ["route"],
        t_on_failure,
        "The failure_route to run when the branches have ended without a 2xx.",
    )
    .routes(most)
    .kemi(1, "t_on_failure");
    d.func(
        "t_on_reply",
        ["route"],
        t_on_reply,
        "The onreply_route to run on replies of branches begun from now on.",
    )
    .routes(most)
    .kemi(1, "t_on_reply");
    d.func(
        "t_on_branch",
        ["route"],
        t_on_branch,
        "The branch_route to run before each branch is sent.",
    )
    .routes(most)
    .kemi(1, "t_on_branch");
    d.func(
        "t_on_branch_failure",
        ["route"],
        t_on_branch_failure,
        "The event_route[tm:branch-failure:NAME] to run when a branch has ended without a 2xx.",
    )
    .routes(most)
    .kemi(1, "t_on_branch_failure");
    d.func(
        "t_is_set",
        ["what"],
        t_is_set,
        "A route is set: failure_route, onreply_route or branch_route.",
    )
    .routes(ANY)
    .kemi(1, "t_is_set");
}

/// A route of the script by its name; `0` is none.
pub enum Named<K> {
    Fixed(Option<RouteId>),
    Text(Format, std::marker::PhantomData<fn() -> K>),
}

/// A kind of route that can be named.
pub trait Kind: 'static {
    /// For messages.
    const WHAT: &'static str;
    /// The kind.
    const KIND: RouteKind;
    /// In front of the name.
    const PREFIX: &'static str;
}

/// `failure_route[X]`.
pub struct Failure;
/// `onreply_route[X]`.
pub struct Reply;
/// `branch_route[X]`.
pub struct Branch;
/// `event_route[tm:branch-failure:X]`.
pub struct BranchFailure;

impl Kind for Failure {
    const WHAT: &'static str = "the name of a failure_route";
    const KIND: RouteKind = RouteKind::Failure;
    const PREFIX: &'static str = "";
}

impl Kind for Reply {
    const WHAT: &'static str = "the name of an onreply_route";
    const KIND: RouteKind = RouteKind::Reply;
    const PREFIX: &'static str = "";
}

impl Kind for Branch {
    const WHAT: &'static str = "the name of a branch_route";
    const KIND: RouteKind = RouteKind::Branch;
    const PREFIX: &'static str = "";
}

impl Kind for BranchFailure {
    const WHAT: &'static str = "the name behind tm:branch-failure: of an event_route";
    const KIND: RouteKind = RouteKind::Event;
    const PREFIX: &'static str = "tm:branch-failure:";
}

fn find<K: Kind>(name: &str, bind: &dyn Bind) -> Result<Option<RouteId>, BindError> {
    if name.is_empty() || name == "0" {
        return Ok(None);
    }
    let whole = format!("{}{name}", K::PREFIX);
    match bind.route(K::KIND, &whole) {
        Some(route) => Ok(Some(route)),
        None => Err(
            BindError::new(format!("there is no {}[{whole}]", K::KIND.keyword()))
                .help("add the route, or correct its name"),
        ),
    }
}

impl<K: Kind> Literal for Named<K> {
    const WHAT: &'static str = K::WHAT;

    fn parse(text: &str, bind: &dyn Bind) -> Result<Self, BindError> {
        if text.contains('$') {
            return Ok(Named::Text(bind.format(text)?, std::marker::PhantomData));
        }
        match find::<K>(text, bind) {
            Ok(route) => Ok(Named::Fixed(route)),
            // Kamailio takes such a name, and then nothing runs.
            Err(error) => {
                warning!("tm", "{error}: nothing will run in its place.");
                Ok(Named::Fixed(None))
            }
        }
    }
}

impl<K: Kind> Named<K> {
    fn route(&self, cx: &mut Cx) -> Result<Option<RouteId>, Fault> {
        match self {
            Named::Fixed(route) => Ok(*route),
            Named::Text(format, _) => {
                let name = format.text(cx);
                let bind = cx.bind();
                find::<K>(&name.text(), &*bind).map_err(|error| Fault::script(error.message))
            }
        }
    }
}

/// Sets a route of the transaction, or of the one to come. In a branch's own routes it is for that branch too.
fn arm(cx: &mut Cx, set: impl Fn(&mut Arms), on_branch: impl Fn(&mut super::cell::Branch)) {
    let attached = cx.extra::<Attached>();
    let (cell, role) = (attached.cell.clone(), attached.role);
    let Some(cell) = cell else {
        return set(&mut attached.arms);
    };
    let mut state = cell.state.lock();
    set(&mut state.arms);
    if let Role::Reply(branch) = role
        && let Some(known) = state.branches.get_mut(branch.index())
    {
        on_branch(known);
    }
}

fn t_on_failure(_: &Tm, cx: &mut Cx, name: Lit<Named<Failure>>) -> Result<bool, Fault> {
    let route = name.route(cx)?;
    arm(
        cx,
        |arms| arms.failure = route,
        |branch| branch.on_failure = route,
    );
    Ok(true)
}

fn t_on_reply(_: &Tm, cx: &mut Cx, name: Lit<Named<Reply>>) -> Result<bool, Fault> {
    let route = name.route(cx)?;
    arm(cx, |arms| arms.reply = route, |branch| branch.on_reply = route);
    Ok(true)
}

fn t_on_branch(_: &Tm, cx: &mut Cx, name: Lit<Named<Branch>>) -> Result<bool, Fault> {
    let route = name.route(cx)?;
    arm(cx, |arms| arms.branch = route, |_| {});
    Ok(true)
}

fn t_on_branch_failure(_: &Tm, cx: &mut Cx, name: Lit<Named<BranchFailure>>) -> Result<bool, Fault> {
    let route = name.route(cx)?;
    arm(
        cx,
        |arms| arms.branch_failure = route,
        |branch| branch.on_branch_failure = route,
    );
    Ok(true)
}

/// What `t_is_set()` asks for.
pub enum Target {
    Failure,
    Reply,
    Branch,
}

impl Literal for Target {
    const WHAT: &'static str = "failure_route, onreply_route or branch_route";

    fn parse(text: &str, _: &dyn Bind) -> Result<Target, BindError> {
        match text {
            "failure_route" => Ok(Target::Failure),
            "onreply_route" => Ok(Target::Reply),
            "branch_route" => Ok(Target::Branch),
            _ => Err(BindError::new(format!("t_is_set() does not know '{text}'"))
                .help("ask for failure_route, onreply_route or branch_route")),
        }
    }
}

fn t_is_set(m: &Tm, cx: &mut Cx, what: Lit<Target>) -> bool {
    // In the reply route of the core, the reply's transaction counts.
    let cell = match cx.msg.is_request() {
        true => super::attached::cell(cx),
        false => super::replying::known(&m.core, cx),
    };
    let arms = match cell {
        Some(cell) => cell.state.lock().arms,
        None => cx.extra::<Attached>().arms,
    };
    match *what {
        Target::Failure => arms.failure.is_some(),
        Target::Reply => arms.reply.is_some(),
        Target::Branch => arms.branch.is_some(),
    }
}
