//! The parameters of `msilo`.

use kahea_module::{Decl, Str};

use super::Msilo;

/// Parameters; see their declarations.
pub struct Params {
    pub(super) db_url: Str,
    pub(super) db_table: Str,
    pub(super) from_address: Str,
    pub(super) contact_hdr: Str,
    pub(super) extra_hdrs: Str,
    pub(super) content_type_hdr: Str,
    pub(super) offline_message: Str,
    pub(super) reminder: Str,
    pub(super) outbound_proxy: Option<Str>,
    pub(super) expire_time: i64,
    pub(super) check_time: i64,
    pub(super) send_time: i64,
    pub(super) clean_period: i64,
    pub(super) use_contact: bool,
    pub(super) columns: Columns,
    pub(super) snd_time_avp: Str,
    pub(super) extra_hdrs_avp: Str,
    pub(super) add_date: bool,
    pub(super) max_messages: i64,
    pub(super) add_contact: bool,
    pub(super) skip_notification_flag: i64,
    pub(super) use_mode: i64,
}

/// The names of the columns.
#[derive(Clone, Debug)]
pub struct Columns {
    /// The number of a message.
    pub id: Str,
    /// The sender's address.
    pub from: Str,
    /// The receiver's address.
    pub to: Str,
    /// The user who gets it.
    pub user: Str,
    /// The user's domain.
    pub host: Str,
    /// The text.
    pub body: Str,
    /// Its type.
    pub content_type: Str,
    /// When it is thrown away.
    pub expires: Str,
    /// When it came.
    pub received: Str,
    /// When it is to be sent.
    pub send: Str,
    /// Further headers.
    pub headers: Str,
    /// Its Call-ID.
    pub call_id: Str,
    /// Its state.
    pub status: Str,
}

impl Default for Columns {
    fn default() -> Columns {
        Columns {
            id: Str::from_static("id"),
            from: Str::from_static("src_addr"),
            to: Str::from_static("dst_addr"),
            user: Str::from_static("username"),
            host: Str::from_static("domain"),
            body: Str::from_static("body"),
            content_type: Str::from_static("ctype"),
            expires: Str::from_static("exp_time"),
            received: Str::from_static("inc_time"),
            send: Str::from_static("snd_time"),
            headers: Str::from_static("extra_hdrs"),
            call_id: Str::from_static("callid"),
            status: Str::from_static("status"),
        }
    }
}

impl Default for Params {
    fn default() -> Params {
        Params {
            db_url: Str::from_static("mysql://kamailio:kamailiorw@localhost/kamailio"),
            db_table: Str::from_static("silo"),
            from_address: Str::EMPTY,
            contact_hdr: Str::EMPTY,
            extra_hdrs: Str::EMPTY,
            content_type_hdr: Str::EMPTY,
            offline_message: Str::EMPTY,
            reminder: Str::EMPTY,
            outbound_proxy: None,
            expire_time: 259_200,
            check_time: 60,
            send_time: 0,
            clean_period: 10,
            use_contact: true,
            columns: Columns::default(),
            snd_time_avp: Str::EMPTY,
            extra_hdrs_avp: Str::EMPTY,
            add_date: true,
            max_messages: 0,
            add_contact: false,
            skip_notification_flag: -1,
            use_mode: 0,
        }
    }
}

/// Declares them.
pub fn declare(d: &mut Decl<Msilo>) {
    keeping(d);
    sending(d);
    columns(d);
}

fn keeping(d: &mut Decl<Msilo>) {
    d.param("db_url", |p| &mut p.db_url, "The database.");
    d.param("db_table", |p| &mut p.db_table, "The table of messages.");
    d.param(
        "expire_time",
        |p| &mut p.expire_time,
        "Seconds after which a message is thrown away; the Expires header of a message may shorten them.",
    );
    d.param(
        "check_time",
        |p| &mut p.check_time,
        "Seconds; a message is taken out of the table as soon as it is answered, so that this counts for clean_period alone.",
    );
    d.param(
        "clean_period",
        |p| &mut p.clean_period,
        "Old messages are thrown away every so many times check_time.",
    );
    d.param(
        "max_messages",
        |p| &mut p.max_messages,
        "The most messages for one user; 0 for any number.",
    );
    d.param(
        "snd_time_avp",
        |p| &mut p.snd_time_avp,
        "The AVP that says when a message is to be sent, as YYYYMMDDHHMMSS.",
    );
    d.param(
        "extra_hdrs_avp",
        |p| &mut p.extra_hdrs_avp,
        "The AVP with header lines that are stored with a message and sent with it.",
    );
    d.param(
        "use_mode",
        |p| &mut p.use_mode,
        "With 1 the Call-ID of a message is stored, and used again when it is sent.",
    );
}

fn sending(d: &mut Decl<Msilo>) {
    d.param(
        "from_address",
        |p| &mut p.from_address,
        "The sender of the notice that a message was stored; it may have variables. No notice where empty.",
    );
    d.param(
        "contact_hdr",
        |p| &mut p.contact_hdr,
        "The Contact line of the notice, with its line end.",
    );
    d.param(
        "extra_hdrs",
        |p| &mut p.extra_hdrs,
        "Header lines of messages that m_dump() sends, each with its line end; they may have variables.",
    );
    d.param(
        "content_type_hdr",
        |p| &mut p.content_type_hdr,
        "The Content-Type line of the notice, with its line end.",
    );
    d.param(
        "offline_message",
        |p| &mut p.offline_message,
        "The text of the notice; it may have variables. No notice where empty.",
    );
    d.param(
        "reminder",
        |p| &mut p.reminder,
        "The sender of messages whose time has come; none are sent where empty.",
    );
    d.param(
        "outbound_proxy",
        |p| &mut p.outbound_proxy,
        "The next hop of all messages, in place of their Request-URIs.",
    );
    d.param(
        "send_time",
        |p| &mut p.send_time,
        "Seconds between looks for messages whose time has come; 0 for never.",
    );
    d.param(
        "use_contact",
        |p| &mut p.use_contact,
        "The notice goes to the sender's Contact, where there is one.",
    );
    d.param(
        "add_date",
        |p| &mut p.add_date,
        "The text begins with the time when it was stored.",
    );
    d.param(
        "add_contact",
        |p| &mut p.add_contact,
        "Messages have a Contact, the sender's address.",
    );
    d.param(
        "skip_notification_flag",
        |p| &mut p.skip_notification_flag,
        "The message flag under which no notice is sent; -1 for none.",
    );
}

fn columns(d: &mut Decl<Msilo>) {
    d.param(
        "sc_mid",
        |p| &mut p.columns.id,
        "The column of numbers of messages.",
    );
    d.param("sc_from", |p| &mut p.columns.from, "The column of senders.");
    d.param("sc_to", |p| &mut p.columns.to, "The column of receivers.");
    d.param("sc_uri_user", |p| &mut p.columns.user, "The column of users.");
    d.param("sc_uri_host", |p| &mut p.columns.host, "The column of domains.");
    d.param("sc_body", |p| &mut p.columns.body, "The column of texts.");
    d.param(
        "sc_ctype",
        |p| &mut p.columns.content_type,
        "The column of types.",
    );
    d.param(
        "sc_exp_time",
        |p| &mut p.columns.expires,
        "The column of the time of throwing away.",
    );
    d.param(
        "sc_inc_time",
        |p| &mut p.columns.received,
        "The column of the time of coming.",
    );
    d.param(
        "sc_snd_time",
        |p| &mut p.columns.send,
        "The column of the time of sending.",
    );
    d.param(
        "sc_stored_hdrs",
        |p| &mut p.columns.headers,
        "The column of further headers.",
    );
    d.param(
        "sc_callid",
        |p| &mut p.columns.call_id,
        "The column of Call-IDs, with use_mode.",
    );
    d.param(
        "sc_status",
        |p| &mut p.columns.status,
        "The column of states, 0 for a stored message.",
    );
}
