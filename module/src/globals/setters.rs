//! Parameters that take more than a value of their type: names for numbers, lists that grow.

use kahea_sip::Transport;

use super::{
    Globals,
    kind::{AsyncGroup, GlobalType, GlobalValue},
    words::{number_in, text, transport, wrong},
};
use crate::{BindError, Str};

pub fn set_tos(globals: &mut Globals, value: GlobalValue) -> Result<(), BindError> {
    let names = [
        ("IPTOS_LOWDELAY", 0x10),
        ("IPTOS_THROUGHPUT", 0x08),
        ("IPTOS_RELIABILITY", 0x04),
        ("IPTOS_MINCOST", 0x02),
    ];
    let named = text(&value).ok();
    let known = named.and_then(|word| {
        names
            .iter()
            .find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()))
    });
    globals.tos = match known {
        Some((_, bits)) => *bits,
        None => number_in(&value, 0..=255).map_err(|error| {
            error.help("write a number from 0 to 255, IPTOS_LOWDELAY, IPTOS_THROUGHPUT, IPTOS_RELIABILITY or IPTOS_MINCOST")
        })?,
    };
    Ok(())
}

/// UDP means none, as in Kamailio.
pub fn set_udp_mtu_try_proto(globals: &mut Globals, value: GlobalValue) -> Result<(), BindError> {
    globals.udp_mtu_try_proto = match transport(&value)? {
        Transport::Ws | Transport::Wss => return Err(wrong("UDP, TCP, TLS or SCTP", &value)),
        Transport::Udp | Transport::None => None,
        other => Some(other),
    };
    Ok(())
}

pub fn set_accept_protocols(globals: &mut Globals, value: GlobalValue) -> Result<(), BindError> {
    let GlobalValue::Str(names) = &value else {
        globals.tcp_accept_protocols = number_in(&value, 0..=255)?;
        return Ok(());
    };
    let mut sum = 0;
    for name in names
        .text()
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
    {
        sum |= match name.to_ascii_lowercase().as_str() {
            "http" => 4,
            "ws" | "wss" => 8,
            "msrp" => 16,
            "hep" | "hep3" => 32,
            "stun" => 64,
            "haproxy" => 128,
            _ => {
                let error = BindError::new(format!("takes names of protocols, not {name}"));
                return Err(error.help("write some of http, ws, msrp, hep, stun, haproxy"));
            }
        };
    }
    globals.tcp_accept_protocols = sum;
    Ok(())
}

pub fn set_user(globals: &mut Globals, value: GlobalValue) -> Result<(), BindError> {
    globals.user = Some(name_or_number(&value)?);
    Ok(())
}

pub fn set_group(globals: &mut Globals, value: GlobalValue) -> Result<(), BindError> {
    globals.group = Some(name_or_number(&value)?);
    Ok(())
}

fn name_or_number(value: &GlobalValue) -> Result<Str, BindError> {
    match value {
        GlobalValue::Int(n) if *n >= 0 => Ok(Str::from(n.to_string())),
        other => text(other).map_err(|_| wrong("a name or a number", other)),
    }
}

pub fn add_async_group(globals: &mut Globals, value: GlobalValue) -> Result<(), BindError> {
    globals
        .async_workers_group
        .append(&mut Vec::<AsyncGroup>::read(value)?);
    Ok(())
}

pub fn set_separator(globals: &mut Globals, value: GlobalValue) -> Result<(), BindError> {
    let separator = text(&value)?;
    if separator.len() != 1 {
        return Err(BindError::new("takes one character").help("write \"_\" or \"-\""));
    }
    globals.stats_name_separator = separator;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{super::find, *};
    use crate::Value;

    fn set(globals: &mut Globals, name: &str, value: GlobalValue) -> Result<(), BindError> {
        find(name).expect("a parameter").set(globals, value)
    }

    #[test]
    fn defaults_are_those_that_kamailio_reports() {
        let globals = Globals::default();
        let told = [
            ("debug", 0),
            ("children", 8),
            ("memdbg", 4),
            ("dst_blocklist_expire", 60),
            ("dns_udp_pref", 30),
            ("dns_retr_time", -1),
            ("dns_cache_max_ttl", -1),
            ("max_while_loops", 100),
            ("udp4_raw_mtu", 1500),
            ("mem_summary", 12),
            ("tcp_conn_wq_max", 32_768),
            ("tcp_wq_max", 10_485_760),
            ("tcp_rd_buf_size", 16_384),
            ("tcp_wq_blk_size", 2100),
            ("tcp_async", 1),
            ("enable_tls", 0),
            ("disable_sctp", 0),
        ];
        for (name, value) in told {
            let row = find(name).expect("a parameter");
            assert_eq!(row.value(&globals), Value::Int(value), "{name}");
        }
    }

    #[test]
    fn opposites_move_together() {
        let mut globals = Globals::default();
        set(
            &mut globals,
            "enable_tls",
            GlobalValue::Ident(Str::from_static("yes")),
        )
        .unwrap();
        assert!(!globals.disable_tls);
        set(&mut globals, "tls_disable", GlobalValue::Int(1)).unwrap();
        assert!(globals.disable_tls);
        set(&mut globals, "disable_sctp", GlobalValue::Int(1)).unwrap();
        assert_eq!(globals.enable_sctp, 0);
    }

    #[test]
    fn names_stand_for_numbers_where_kamailio_has_them() {
        let mut globals = Globals::default();
        let word = |word| GlobalValue::Ident(Str::from_static(word));
        let string = |text| GlobalValue::Str(Str::from_static(text));
        set(&mut globals, "tos", word("IPTOS_RELIABILITY")).unwrap();
        assert_eq!(globals.tos, 4);
        assert!(set(&mut globals, "tos", word("IPTOS_WHAT")).is_err());
        set(&mut globals, "tcp_accept_protocols", string("http, ws")).unwrap();
        assert_eq!(globals.tcp_accept_protocols, 12);
        assert!(set(&mut globals, "tcp_accept_protocols", string("gopher")).is_err());
        set(&mut globals, "udp_mtu_try_proto", word("TCP")).unwrap();
        assert_eq!(globals.udp_mtu_try_proto, Some(Transport::Tcp));
        set(&mut globals, "udp_mtu_try_proto", word("UDP")).unwrap();
        assert_eq!(globals.udp_mtu_try_proto, None);
        set(&mut globals, "user", GlobalValue::Int(1000)).unwrap();
        assert_eq!(globals.user.as_deref(), Some(b"1000".as_slice()));
    }

    #[test]
    fn separators_are_one_character() {
        let mut globals = Globals::default();
        let string = |text| GlobalValue::Str(Str::from_static(text));
        assert!(set(&mut globals, "stats_name_separator", string("--")).is_err());
        assert!(set(&mut globals, "stats_name_separator", string("-")).is_ok());
    }
}
