//! The running message: everything a function can see and change, in one value that can be set aside and taken up again.

use std::{
    any::{Any, TypeId},
    rc::Rc,
    sync::Arc,
    time::{Instant, SystemTime},
};

use kahea_sip::{
    Destination, Edits, HeaderId, ListenerId, Message, Method, Received, SendFlags, Transport,
    view::{Malformed, NameAddr, Uri},
};

use crate::{
    Bind, Config, Fault, RouteKind, Str, Value, Worker,
    avp::Avps,
    late::Lates,
    regex::Regex,
    route::{ScriptPlace, ScriptStep},
    xavp::Xavps,
};

/// Where a request goes; changed at once by the script, unlike headers. Also one entry of the destination set.
#[derive(Clone, Debug, Default)]
pub struct Target {
    /// `$ru` where the script changed it; `None`: as received. Always set in an entry of the destination set.
    pub ruri: Option<Str>,
    /// `$du`.
    pub dst_uri: Option<Str>,
    /// Path of the contact (`$branch(path)`).
    pub path: Option<Str>,
    /// `$fs`, `force_send_socket()`.
    pub send_socket: Option<ListenerId>,
    /// Branch flags.
    pub flags: u32,
    /// `q` in thousandths; `None` where not given.
    pub q: Option<u16>,
    /// `+sip.instance`.
    pub instance: Option<Str>,
    /// `reg-id`.
    pub reg_id: u32,
    /// Id of the location record (`$ruid`).
    pub ruid: Option<Str>,
    /// User agent of the location record (`$location_ua`).
    pub location_ua: Option<Str>,
    /// Connection that the contact registered over.
    pub connection: Option<kahea_sip::ConnectionId>,
}

/// A header or text for the replies that this server makes (`append_to_reply`).
#[derive(Clone, Debug)]
pub enum ReplyExtra {
    /// Whole header lines, each with its line end.
    Header(Str),
    /// The body.
    Body {
        /// The value of its Content-Type header.
        content_type: Str,
        /// Its bytes.
        content: Str,
    },
}

/// What the network layer is about to send, while `onsend_route` runs.
#[derive(Clone, Debug)]
pub struct Sending {
    /// Where to (`to_ip`, `to_port`, `snd_proto`, …).
    pub to: Destination,
    /// From which address (`snd_ip`, `snd_port`).
    pub from: std::net::SocketAddr,
    /// The bytes.
    pub data: Str,
}

/// Internal flags of a message that only functions of this server set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageFlags(pub u64);

impl MessageFlags {
    /// The own Via gets `srvid` (`via_add_srvid`).
    pub const ADD_SRVID: MessageFlags = MessageFlags(1 << 20);
    /// The own Via gets the fields of the xavp `xavp_via_params` (`via_add_xavp_params`).
    pub const ADD_XAVP_VIA_PARAMS: MessageFlags = MessageFlags(1 << 21);
    /// Address and port of the own Via come from the xavp `xavp_via_fields` (`via_use_xavp_fields`).
    pub const USE_XAVP_VIA_FIELDS: MessageFlags = MessageFlags(1 << 22);
    /// The topmost Via of replies gets the fields of the xavp `xavp_via_reply_params` (`via_reply_add_xavp_params`).
    pub const ADD_XAVP_VIA_REPLY_PARAMS: MessageFlags = MessageFlags(1 << 26);

    /// All bits of `flag` are set.
    pub const fn has(self, flag: MessageFlags) -> bool {
        self.0 & flag.0 == flag.0
    }

    /// Sets or clears the bits of `flag`.
    pub fn set(&mut self, flag: MessageFlags, on: bool) {
        if on {
            self.0 |= flag.0;
        } else {
            self.0 &= !flag.0;
        }
    }
}

/// The target as it stood when it was used up, be it relayed to or cleared: one that was set since is a new branch.
#[derive(Clone, Debug, Default)]
pub struct UsedTarget {
    ruri: Option<Str>,
    dst_uri: Option<Str>,
}

impl UsedTarget {
    /// Of the message as it stands.
    pub fn of(cx: &Cx) -> UsedTarget {
        UsedTarget {
            ruri: cx.target.ruri.clone(),
            dst_uri: cx.target.dst_uri.clone(),
        }
    }

    /// The script has set another since, be it of the same text.
    pub fn has_changed(&self, cx: &Cx) -> bool {
        let same = |old: &Option<Str>, new: &Option<Str>| match (old, new) {
            (None, None) => true,
            (Some(old), Some(new)) => std::ptr::eq(old.as_bytes(), new.as_bytes()),
            _ => false,
        };
        !same(&self.ruri, &cx.target.ruri) || !same(&self.dst_uri, &cx.target.dst_uri)
    }
}

/// What may still be spent on a message.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Interpreter steps.
    pub steps: u64,
    /// Bytes of values and edits.
    pub bytes: u64,
}

/// The running message.
pub struct Cx {
    /// As received, parsed.
    pub msg: Message,
    /// How it came.
    pub received: Received,
    /// Changes to headers and body, applied when the message is built.
    pub edits: Edits,
    /// The texts of edits that depend on where the message goes.
    pub late: Lates,
    /// For replies made here.
    pub reply_extra: Vec<ReplyExtra>,
    /// The first branch.
    pub target: Target,
    /// Further branches (`append_branch`).
    pub branches: Vec<Target>,
    /// Message flags 0–31 (`setflag`).
    pub flags: u32,
    /// Extended flags 0–63 (`setxflag`).
    pub xflags: u64,
    /// Internal flags (`msg_iflag_set`).
    pub iflags: MessageFlags,
    /// Via-related flags (`msg_vbflag_set`).
    pub vbflags: u64,
    /// Answer to the source port (`force_rport()`).
    pub force_rport: bool,
    /// Put `rport` into our own Via (`add_local_rport()`).
    pub local_rport: bool,
    /// `set_advertised_address()`.
    pub advertised_host: Option<Str>,
    /// `set_advertised_port()`.
    pub advertised_port: Option<u16>,
    /// `set_forward_close()`, `set_forward_no_connect()`.
    pub forward_flags: SendFlags,
    /// `set_reply_close()`, `set_reply_no_connect()`.
    pub reply_flags: SendFlags,
    /// `udp_mtu_try_proto()`.
    pub udp_mtu_try: Option<Transport>,
    /// `$avp()`.
    pub avps: Avps,
    /// `$xavp()`.
    pub xavps: Xavps,
    /// `$xavu()`.
    pub xavus: Xavps,
    /// `$xavi()`.
    pub xavis: Xavps,
    /// `$var()`, by the slots that [`Bind::var_slot`] gives.
    pub vars: Vec<Value>,
    /// `$rc`.
    pub rc: i64,
    /// The kind of route in work.
    pub route: RouteKind,
    /// Its name (`request_route` has none).
    pub route_name: Str,
    /// The step in work; see [`Cx::place`].
    pub step: ScriptStep,
    /// While `onsend_route` runs.
    pub sending: Option<Sending>,
    /// `$mb` in `event_route[network:msg]`, where it is not the received message.
    pub raw: Option<Str>,
    /// Made by the server itself (timers, events), not received.
    pub faked: bool,
    /// `$mi`: counts from 1 in each worker.
    pub number: u64,
    /// When work on it began.
    pub started: Instant,
    /// What may still be spent.
    pub budget: Budget,
    /// The worker that handles it.
    pub worker: Rc<Worker>,
    extras: Vec<(TypeId, Box<dyn Any>)>,
}

impl Cx {
    /// Begins work on a message.
    pub fn new(msg: Message, received: Received, worker: Rc<Worker>) -> Cx {
        let started = worker.engine.now();
        let vars = std::mem::take(&mut *worker.vars.borrow_mut());
        let limits = worker.config.limits;
        Cx {
            msg,
            received,
            edits: Edits::default(),
            late: Lates::default(),
            reply_extra: Vec::new(),
            target: Target::default(),
            branches: Vec::new(),
            flags: 0,
            xflags: 0,
            iflags: MessageFlags::default(),
            vbflags: 0,
            force_rport: false,
            local_rport: false,
            advertised_host: None,
            advertised_port: None,
            forward_flags: SendFlags::default(),
            reply_flags: SendFlags::default(),
            udp_mtu_try: None,
            avps: Avps::default(),
            xavps: Xavps::new(),
            xavus: Xavps::new(),
            xavis: Xavps::ignoring_case(),
            vars,
            rc: 0,
            route: RouteKind::Request,
            route_name: Str::EMPTY,
            step: ScriptStep::NONE,
            sending: None,
            raw: None,
            faked: false,
            number: 0,
            started,
            budget: limits,
            worker,
            extras: Vec::new(),
        }
    }

    /// Ends work: the `$var` values go back to the worker, as Kamailio keeps them in its processes.
    pub fn finish(mut self) {
        *self.worker.vars.borrow_mut() = std::mem::take(&mut self.vars);
    }

    /// Moves the message out, for work that cannot borrow it, and leaves one behind that nobody is to look at until the
    /// first is back in its place.
    pub fn lend(&mut self) -> Cx {
        let worker = self.worker.clone();
        let mut left = Cx::new(self.msg.clone(), self.received, worker.clone());
        *worker.vars.borrow_mut() = std::mem::take(&mut left.vars);
        std::mem::replace(self, left)
    }

    /// The configuration that this message runs under.
    pub fn config(&self) -> &Arc<Config> {
        &self.worker.config
    }

    /// Compiles names that are known only now.
    pub fn bind(&self) -> Arc<dyn Bind> {
        self.worker.config.bind.clone()
    }

    /// A regular expression that is known only now.
    ///
    /// # Errors
    /// It is no valid expression.
    pub fn regex(&self, pattern: &[u8]) -> Result<Regex, Fault> {
        self.worker.regex(pattern)
    }

    /// Wall clock.
    pub fn time(&self) -> SystemTime {
        self.worker.engine.time()
    }

    /// Where the step in work stands in the configuration; `None` outside of native scripts.
    pub fn place(&self) -> Option<ScriptPlace> {
        self.worker.engine.place(self.step)
    }

    /// The Request-URI as the script sees it: changed or as received. Empty in a reply.
    pub fn ruri(&self) -> Str {
        match &self.target.ruri {
            Some(uri) => uri.clone(),
            None => self
                .msg
                .uri()
                .map_or(Str::EMPTY, |uri| self.msg.buffer().share(uri)),
        }
    }

    /// Changes the Request-URI.
    ///
    /// # Errors
    /// It is no URI.
    pub fn set_ruri(&mut self, uri: Str) -> Result<(), Fault> {
        if let Err(error) = Uri::parse(&uri) {
            return Err(Fault::script(format!("'{uri}' cannot be a Request-URI: {error}")));
        }
        self.target.ruri = Some(uri);
        Ok(())
    }

    /// Reads the Request-URI.
    pub fn with_ruri<R>(&self, read: impl FnOnce(Result<Uri<'_>, Malformed>) -> R) -> R {
        match &self.target.ruri {
            Some(uri) => read(Uri::parse(uri)),
            None => read(Uri::parse(self.msg.uri().unwrap_or_default())),
        }
    }

    /// The From value.
    ///
    /// # Errors
    /// It is missing or malformed.
    pub fn from(&self) -> Result<NameAddr<'_>, Fault> {
        self.name_addr(HeaderId::From, "From")
    }

    /// The To value.
    ///
    /// # Errors
    /// It is missing or malformed.
    pub fn to(&self) -> Result<NameAddr<'_>, Fault> {
        self.name_addr(HeaderId::To, "To")
    }

    fn name_addr(&self, id: HeaderId, name: &str) -> Result<NameAddr<'_>, Fault> {
        let header = self
            .msg
            .first(id)
            .ok_or_else(|| Fault::peer(format!("the message has no {name} header")))?;
        NameAddr::parse(self.msg.value(header))
            .map_err(|error| Fault::peer(format!("the {name} header cannot be read: {error}")))
    }

    /// The method; of a reply, the CSeq's.
    pub fn method(&self) -> Method {
        self.msg.method()
    }

    /// State that a module keeps with the message; made by `Default` at first use.
    pub fn extra<T: Default + 'static>(&mut self) -> &mut T {
        let id = TypeId::of::<T>();
        let at = match self.extras.iter().position(|(known, _)| *known == id) {
            Some(at) => at,
            None => {
                self.extras.push((id, Box::new(T::default())));
                self.extras.len().saturating_sub(1)
            }
        };
        #[expect(
            clippy::expect_used,
            reason = "the place was found or made above, under the type's own id"
        )]
        self.extras
            .get_mut(at)
            .and_then(|(_, any)| any.downcast_mut())
            .expect("state under its type id")
    }

    /// The same, where it is there already.
    pub fn extra_ref<T: 'static>(&self) -> Option<&T> {
        let id = TypeId::of::<T>();
        self.extras
            .iter()
            .find(|(known, _)| *known == id)
            .and_then(|(_, any)| any.downcast_ref())
    }

    /// Spends bytes of the message's budget on a value of that size.
    ///
    /// # Errors
    /// The budget is used up.
    pub fn spend_bytes(&mut self, bytes: usize) -> Result<(), Fault> {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        match self.budget.bytes.checked_sub(bytes) {
            Some(left) => {
                self.budget.bytes = left;
                Ok(())
            }
            None => Err(Fault::limit(
                "the message has used up its memory budget (kahea.message_memory)",
            )),
        }
    }
}
