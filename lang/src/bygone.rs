//! What configurations of earlier versions carry: functions that moved into modules, modules with another name by now,
//! functions that no version has any more.

/// A function that was an action of the core, and its module since; it needs no `loadmodule` here.
pub const MOVED: &[(&str, &str)] = &[
    ("append_branch", "corex"),
    ("send_tcp", "corex"),
    ("avp_printf", "kex"),
    ("isbflagset", "kex"),
    ("isdsturiset", "kex"),
    ("issflagset", "kex"),
    ("pv_printf", "kex"),
    ("resetbflag", "kex"),
    ("resetdebug", "kex"),
    ("resetdsturi", "kex"),
    ("resetsflag", "kex"),
    ("setbflag", "kex"),
    ("setdebug", "kex"),
    ("setdsturi", "kex"),
    ("setsflag", "kex"),
];

/// An earlier name of a module, and the module that has its functions and parameters by now.
pub const RENAMED: &[(&str, &str)] = &[
    ("avp_db", "uid_avp_db"),
    ("cpl-c", "cplc"),
    ("db_ops", "db2_ops"),
    ("dbops", "db2_ops"),
    ("dbtext", "db_text"),
    ("gflags", "uid_gflags"),
    ("mysql", "db_mysql"),
    ("options", "siputils"),
    ("oracle", "db_oracle"),
    ("perl", "app_perl"),
    ("postgres", "db_postgres"),
    ("snmp", "snmpstats"),
    ("uri", "siputils"),
];

/// The module that a name of a `loadmodule` or `modparam` line means today.
pub fn module_now(name: &str) -> Option<&'static str> {
    RENAMED
        .iter()
        .find_map(|(old, now)| (*old == name).then_some(*now))
}

/// A function that earlier versions had and none has since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone {
    /// Its name.
    pub name: &'static str,
    /// Who had it: a module, and the server where it was not Kamailio.
    pub was: &'static str,
    /// What to write instead, if anything does the same.
    pub instead: Option<Instead>,
}

/// What took a function's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instead {
    /// The module that has it; `None`: the language itself.
    pub module: Option<&'static str>,
    /// As the script writes it.
    pub call: &'static str,
}

const fn gone(name: &'static str, was: &'static str) -> Gone {
    Gone {
        name,
        was,
        instead: None,
    }
}

const fn now(name: &'static str, was: &'static str, module: &'static str, call: &'static str) -> Gone {
    Gone {
        name,
        was,
        instead: Some(Instead {
            module: Some(module),
            call,
        }),
    }
}

const NATHELPER: &str = "module nathelper of versions before 3.0";
const REGISTRAR_1: &str = "module registrar of versions before 3.0";
const REGISTRAR: &str = "module registrar of SER";
const PA: &str = "module pa of SER";
const RLS: &str = "module rls of SER";
const EVAL: &str = "module eval of SER";

/// All of them that live configurations still carry.
pub const GONE: &[Gone] = &[
    Gone {
        name: "len_gt",
        was: "the core of SER",
        instead: Some(Instead {
            module: None,
            call: "msg:len > N",
        }),
    },
    now("force_rtp_proxy", NATHELPER, "rtpproxy", "rtpproxy_manage()"),
    now("lookup_contacts", REGISTRAR, "registrar", "lookup(\"location\")"),
    now("save_contacts", REGISTRAR, "registrar", "save(\"location\")"),
    now(
        "save_mem_nr",
        REGISTRAR,
        "registrar",
        "save(\"location\", \"0x03\")",
    ),
    now(
        "save_memory",
        REGISTRAR_1,
        "registrar",
        "save(\"location\", \"0x01\")",
    ),
    now(
        "save_noreply",
        REGISTRAR_1,
        "registrar",
        "save(\"location\", \"0x02\")",
    ),
    now("handle_subscription", PA, "presence", "handle_subscribe()"),
    now("handle_rls_subscription", RLS, "rls", "rls_handle_subscribe()"),
    now("query_resource_list", RLS, "rls", "rls_handle_subscribe()"),
    now("query_rls_services", RLS, "rls", "rls_handle_subscribe()"),
    now(
        "lookup_user",
        "module uri_db of SER",
        "uid_uri_db",
        "lookup_user(\"To\", \"@to.uri\")",
    ),
    gone("have_flat_list", RLS),
    gone("is_simple_rls_target", RLS),
    gone("authorize_message", PA),
    gone("dump_stored_winfo", PA),
    gone("target_online", PA),
    gone("handle_notify", "module presence_b2b of SER"),
    gone("create_via", "SER"),
    gone("eval_add", EVAL),
    gone("eval_oper", EVAL),
    gone("eval_pop", EVAL),
    gone("eval_push", EVAL),
    gone("eval_remove", EVAL),
    gone("vm", "module vm of SER, which left voice mail to a media server"),
];

/// The row of a function, if it is gone.
pub fn gone_function(name: &str) -> Option<&'static Gone> {
    GONE.iter().find(|row| row.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::known::{self, Kind};

    #[test]
    fn moved_functions_are_where_the_table_says() {
        for (name, module) in MOVED {
            let modules = known::modules_with(Kind::Function, name);
            assert!(modules.contains(module), "{name} is in {modules:?}");
        }
    }

    #[test]
    fn new_names_are_modules_and_old_ones_are_none() {
        for (old, now) in RENAMED {
            assert!(known::modules_with(Kind::Module, old).is_empty(), "{old}");
            assert!(!known::modules_with(Kind::Module, now).is_empty(), "{now}");
        }
        assert_eq!(module_now("mysql"), Some("db_mysql"));
        assert_eq!(module_now("db_mysql"), None);
    }

    #[test]
    fn gone_functions_have_a_replacement_that_exists() {
        for row in GONE {
            let here = known::modules_with(Kind::Function, row.name);
            let Some(instead) = row.instead else {
                assert!(here.is_empty(), "{} is in {here:?}", row.name);
                continue;
            };
            let Some(module) = instead.module else { continue };
            let name = instead.call.split('(').next().unwrap_or_default();
            assert!(here.is_empty() || name == row.name, "{} is in {here:?}", row.name);
            let modules = known::modules_with(Kind::Function, name);
            assert!(modules.contains(&module), "{name} is in {modules:?}");
        }
        assert!(gone_function("vm").is_some() && gone_function("t_relay").is_none());
    }
}
