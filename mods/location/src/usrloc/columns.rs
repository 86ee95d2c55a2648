//! The names of the columns of `location`, version 9, as the parameters `*_column` may change them.

use kahea_module::Str;

/// The names of the columns.
#[derive(Clone, Debug)]
pub(crate) struct Columns {
    pub ruid: Str,
    pub user: Str,
    pub domain: Str,
    pub contact: Str,
    pub expires: Str,
    pub q: Str,
    pub callid: Str,
    pub cseq: Str,
    pub flags: Str,
    pub cflags: Str,
    pub user_agent: Str,
    pub received: Str,
    pub path: Str,
    pub socket: Str,
    pub methods: Str,
    pub instance: Str,
    pub reg_id: Str,
    pub server_id: Str,
    pub connection_id: Str,
    pub keepalive: Str,
    pub partition: Str,
}

/// No parameter changes this one.
pub(crate) const LAST_MODIFIED: &str = "last_modified";

impl Default for Columns {
    fn default() -> Columns {
        let name = Str::from_static;
        Columns {
            ruid: name("ruid"),
            user: name("username"),
            domain: name("domain"),
            contact: name("contact"),
            expires: name("expires"),
            q: name("q"),
            callid: name("callid"),
            cseq: name("cseq"),
            flags: name("flags"),
            cflags: name("cflags"),
            user_agent: name("user_agent"),
            received: name("received"),
            path: name("path"),
            socket: name("socket"),
            methods: name("methods"),
            instance: name("instance"),
            reg_id: name("reg_id"),
            server_id: name("server_id"),
            connection_id: name("connection_id"),
            keepalive: name("keepalive"),
            partition: name("partition"),
        }
    }
}

impl Columns {
    /// All columns that a row is read from and written to, in the order in which the rest of this module has them.
    pub fn all(&self) -> [&Str; 21] {
        [
            &self.ruid,
            &self.user,
            &self.domain,
            &self.contact,
            &self.expires,
            &self.q,
            &self.callid,
            &self.cseq,
            &self.flags,
            &self.cflags,
            &self.user_agent,
            &self.received,
            &self.path,
            &self.socket,
            &self.methods,
            &self.instance,
            &self.reg_id,
            &self.server_id,
            &self.connection_id,
            &self.keepalive,
            &self.partition,
        ]
    }
}
