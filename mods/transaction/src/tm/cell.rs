//! One transaction: what it was made from, its machines, and what its routes share.

use std::{collections::VecDeque, rc::Rc, sync::Arc};

use kahea_module::{
    Config, Cx, Fault, Lates, ReplyExtra, RouteId, Str, Worker, avp::Avps, ret::Blame, xavp::Xavps,
};
use kahea_sip::{Destination, Edits, Limits, Message, Method, Received, SendFlags, Transport};
use kahea_tx::{BranchId, Key, Time, Transaction};
use parking_lot::Mutex;
use smallvec::SmallVec;

use super::{
    core::Core,
    kept::{SavedTarget, SentRequest, Snapshot},
    local::Local,
    suspend::Suspended,
    table::Id,
    watch::Kept,
};

/// What was parsed once is parsed again from its bytes without looking at limits.
const NO_LIMITS: Limits = Limits {
    message: usize::MAX,
    headers: usize::MAX,
    header: usize::MAX,
    uri: usize::MAX,
};

/// Routes that a transaction runs; `None`: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arms {
    /// `t_on_failure()`.
    pub failure: Option<RouteId>,
    /// `t_on_reply()`.
    pub reply: Option<RouteId>,
    /// `t_on_branch()`.
    pub branch: Option<RouteId>,
    /// `t_on_branch_failure()`.
    pub branch_failure: Option<RouteId>,
}

/// Switches of one transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Switches(pub u16);

impl Switches {
    /// `t_set_auto_inv_100(0)`.
    pub const NO_AUTO_100: Switches = Switches(1);
    /// `t_set_disable_6xx(1)`.
    pub const NO_6XX: Switches = Switches(1 << 1);
    /// `t_set_disable_failover(1)`.
    pub const NO_FAILOVER: Switches = Switches(1 << 2);
    /// `t_set_no_e2e_cancel_reason(1)`.
    pub const NO_CANCEL_REASON: Switches = Switches(1 << 3);
    /// `t_set_disable_internal_reply(1)`.
    pub const NO_INTERNAL_REPLY: Switches = Switches(1 << 4);
    /// `t_set_no_auto_ack(1)`.
    pub const NO_AUTO_ACK: Switches = Switches(1 << 5);
    /// It waits for `t_continue()`.
    pub const SUSPENDED: Switches = Switches(1 << 6);
    /// A copy that nobody waits for (`t_replicate()`).
    pub const REPLICA: Switches = Switches(1 << 7);
    /// `t_release()`, `t_drop()`.
    pub const RELEASED: Switches = Switches(1 << 8);

    /// `t_use_uac_headers()`.
    pub const UAC_HEADERS: Switches = Switches(1 << 15);

    /// It is on.
    pub const fn has(self, switch: Switches) -> bool {
        self.0 & switch.0 != 0
    }

    /// Turns it on or off.
    pub const fn set(&mut self, switch: Switches, on: bool) {
        if on {
            self.0 |= switch.0;
        } else {
            self.0 &= !switch.0;
        }
    }
}

/// What the routes of one transaction share: values and flags.
#[derive(Default)]
pub struct Context {
    avps: Avps,
    xavps: Xavps,
    xavus: Xavps,
    xavis: Xavps,
    flags: u32,
    xflags: u64,
    vbflags: u64,
}

impl Context {
    /// A copy of what the message has now.
    pub fn copy(cx: &Cx) -> Context {
        Context {
            avps: cx.avps.clone(),
            xavps: cx.xavps.clone(),
            xavus: cx.xavus.clone(),
            xavis: cx.xavis.clone(),
            flags: cx.flags,
            xflags: cx.xflags,
            vbflags: cx.vbflags,
        }
    }

    /// The message flags.
    pub fn flags(&self) -> u32 {
        self.flags
    }

    /// The message flags, to be changed.
    pub fn flags_mut(&mut self) -> &mut u32 {
        &mut self.flags
    }

    /// The extended flags, to be changed.
    pub fn xflags_mut(&mut self) -> &mut u64 {
        &mut self.xflags
    }

    /// The Via-related flags, to be changed.
    pub fn vbflags_mut(&mut self) -> &mut u64 {
        &mut self.vbflags
    }

    /// Exchanges it with what the message has.
    pub fn swap(&mut self, cx: &mut Cx) {
        self.swap_values(cx);
        std::mem::swap(&mut self.flags, &mut cx.flags);
        std::mem::swap(&mut self.xflags, &mut cx.xflags);
        std::mem::swap(&mut self.vbflags, &mut cx.vbflags);
    }

    /// Exchanges the values alone, not the flags.
    pub fn swap_values(&mut self, cx: &mut Cx) {
        std::mem::swap(&mut self.avps, &mut cx.avps);
        std::mem::swap(&mut self.xavps, &mut cx.xavps);
        std::mem::swap(&mut self.xavus, &mut cx.xavus);
        std::mem::swap(&mut self.xavis, &mut cx.xavis);
    }
}

/// A reply of a branch with what reply routes did to it.
pub struct Held {
    /// As it came.
    pub msg: Message,
    /// How it came.
    pub received: Received,
    /// What its routes changed.
    pub edits: Edits,
    /// Texts in it that wait for the way out.
    pub late: Lates,
    /// Further header lines.
    pub extra: Vec<ReplyExtra>,
    /// `set_reply_close()` and the like.
    pub flags: SendFlags,
    /// `$mi`.
    pub number: u64,
}

impl Held {
    /// Takes the parts of a message that can wait.
    pub fn of(cx: &mut Cx) -> Held {
        Held {
            msg: cx.msg.clone(),
            received: cx.received,
            edits: std::mem::take(&mut cx.edits),
            late: std::mem::take(&mut cx.late),
            extra: std::mem::take(&mut cx.reply_extra),
            flags: cx.reply_flags,
            number: cx.number,
        }
    }

    /// A copy of a message that goes on.
    pub fn copy(cx: &Cx) -> Held {
        Held {
            msg: cx.msg.clone(),
            received: cx.received,
            edits: cx.edits.clone(),
            late: cx.late.clone(),
            extra: Vec::new(),
            flags: cx.reply_flags,
            number: cx.number,
        }
    }

    /// A message to be read, while this stays where it is.
    pub fn view(&self, worker: Rc<Worker>) -> Cx {
        let mut cx = Cx::new(self.msg.clone(), self.received, worker);
        cx.edits = self.edits.clone();
        cx.number = self.number;
        cx
    }

    /// A message in work again.
    pub fn into_cx(self, worker: Rc<Worker>) -> Cx {
        let mut cx = Cx::new(self.msg, self.received, worker);
        cx.edits = self.edits;
        cx.late = self.late;
        cx.reply_extra = self.extra;
        cx.reply_flags = self.flags;
        cx.number = self.number;
        cx
    }
}

/// One branch: its request as it left, and what came back.
pub struct Branch {
    /// Where to.
    pub to: Destination,
    /// The request's bytes.
    pub sent: SentRequest,
    /// Its Request-URI, and what else the script knew of its target.
    pub target: SavedTarget,
    /// Further addresses of the same hop (RFC 3263 section 4.3).
    pub rest: Vec<(std::net::SocketAddr, Transport)>,
    /// `t_on_reply()` as it stood for this branch.
    pub on_reply: Option<RouteId>,
    /// `t_on_failure()` as it stood for this branch.
    pub on_failure: Option<RouteId>,
    /// `t_on_branch_failure()` as it stood for this branch.
    pub on_branch_failure: Option<RouteId>,
    /// The status and, from 300 on, the reply.
    pub held: Option<Box<Held>>,
    /// The CANCEL that was sent.
    pub cancel: Option<Str>,
}

impl Branch {
    /// Nobody was asked: a suspended request waits in its place.
    pub fn is_blind(&self) -> bool {
        self.sent.is_empty()
    }
}

/// Work that ends its turn itself.
pub type Task = Box<dyn FnOnce(Arc<Cell>, &Rc<Worker>) + Send>;

/// What has to be done to a transaction once it is its turn.
pub enum Work {
    /// A reply to a branch.
    Reply(BranchId, Box<Held>),
    /// Its deadline has come.
    Tick,
    /// Somebody cancels it; with header lines for the CANCELs.
    Cancel(Str),
    /// The network did not deliver a branch's request.
    Unsent(BranchId),
    /// Anything else.
    Do(Task),
}

/// The last reply that left for the caller.
#[derive(Clone)]
pub struct Sent {
    /// Where to.
    pub to: Destination,
    /// Its bytes.
    pub data: Str,
}

/// What changes in a transaction.
pub struct State {
    /// The machines.
    pub tx: Transaction,
    /// By [`BranchId`].
    pub branches: SmallVec<[Branch; 1]>,
    /// Routes to run.
    pub arms: Arms,
    /// Switches.
    pub switches: Switches,
    /// Where replies go.
    pub reply_to: Option<Destination>,
    /// The last reply.
    pub sent: Option<Sent>,
    /// The branch whose reply that was.
    pub relayed: Option<BranchId>,
    /// Reason headers for CANCELs.
    pub cancel_reason: Str,
    /// Values and flags.
    pub context: Box<Context>,
    /// Where failure routes begin.
    pub snapshot: Option<Box<Snapshot>>,
    /// Somebody works on it; others queue.
    pub busy: bool,
    /// Their work.
    pub queue: VecDeque<Work>,
    /// The earliest moment for which the wheel has it.
    pub armed: Time,
    /// The To-tag of replies made here.
    pub tag: Option<Str>,
    /// Which results are forgotten when a failure route goes on (`failure_reply_mode`, `t_drop_replies()`).
    pub drop_replies: u8,
    /// What waits for `t_continue()`.
    pub suspended: Option<Box<Suspended>>,
    /// What a transaction that this server began keeps besides.
    pub local: Option<Box<Local>>,
    /// What watchers keep with it.
    pub kept: Option<Box<Kept>>,
}

impl State {
    /// Of a transaction that begins.
    pub fn new(tx: Transaction, drop_replies: u8) -> State {
        State {
            tx,
            branches: SmallVec::new(),
            arms: Arms::default(),
            switches: Switches::default(),
            reply_to: None,
            sent: None,
            relayed: None,
            cancel_reason: Str::EMPTY,
            context: Box::default(),
            snapshot: None,
            busy: false,
            queue: VecDeque::new(),
            armed: Time::NEVER,
            tag: None,
            drop_replies,
            suspended: None,
            local: None,
            kept: None,
        }
    }

    /// Somebody was asked.
    pub fn has_asked(&self) -> bool {
        self.branches.iter().any(|branch| !branch.is_blind())
    }
}

/// One transaction.
pub struct Cell {
    /// Its name.
    pub id: Id,
    /// Where its requests are found.
    pub key: Key,
    /// Call-ID and CSeq number.
    pub call: Key,
    /// The request's method.
    pub method: Method,
    /// The request as it came.
    pub request: Str,
    /// How it came.
    pub received: Received,
    /// The configuration that it runs under.
    pub config: Arc<Config>,
    /// The module as that configuration has it.
    pub core: Arc<Core>,
    /// The rest.
    pub state: Mutex<State>,
}

impl Cell {
    /// A branch's request as it left; empty for a branch that nobody was asked for.
    pub fn sent_on(&self, branch: &Branch) -> Str {
        branch.sent.bytes(&self.request)
    }

    /// The request, parsed.
    ///
    /// # Errors
    /// Only where this server is wrong: it was parsed before.
    pub fn message(&self) -> Result<Message, Fault> {
        Message::parse(self.request.clone(), &NO_LIMITS)
            .map_err(|error| Fault::new(Blame::Ours, format!("a kept request cannot be read: {error}")))
    }

    /// The request in work again, as it stood when it was relayed; without the shared values.
    ///
    /// # Errors
    /// As [`Cell::message`].
    pub fn request_cx(&self, worker: Rc<Worker>) -> Result<Cx, Fault> {
        let mut cx = Cx::new(self.message()?, self.received, worker);
        if let Some(snapshot) = &self.state.lock().snapshot {
            snapshot.put_into(&mut cx);
        }
        Ok(cx)
    }
}
