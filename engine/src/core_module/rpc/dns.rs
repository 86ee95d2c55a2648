//! `dns.*`: the cache of names.

use std::sync::Arc;

use kahea_module::{
    Decl, DnsType, Str,
    ret::LocalFuture,
    rpc::{RpcCall, RpcFault, RpcResult, RpcValue},
};
use kahea_net::dns::{CacheEntry, Record, RecordData, RecordKind, Srv};

use super::{int, members, yes_no};
use crate::core_module::Core;

/// Declares them.
pub fn declare(d: &mut Decl<Core>) {
    d.rpc(
        "dns.mem_info",
        mem_info,
        "Bytes that the cache takes, about, and bytes that it may take.",
    );
    d.rpc("dns.view", view, "The entries of the cache.").list();
    d.rpc_waits(
        "dns.lookup",
        lookup,
        "An entry of the cache by type and name, after a look-up where there is none.",
    );
    d.rpc(
        "dns.debug",
        debug,
        "The entries of the cache, one figure after the other.",
    );
    d.rpc("dns.debug_all", debug_all, "The same with the records.");
    d.rpc("dns.stats_get", stats_get, "Figures of look-ups.");
    let doc = "Adds an address to the cache: name, seconds, IPv4 address, flags (2: for good).";
    d.rpc("dns.add_a", add_a, doc);
    let doc = "Adds an address to the cache: name, seconds, IPv6 address, flags (2: for good).";
    d.rpc("dns.add_aaaa", add_aaaa, doc);
    let doc =
        "Adds a service to the cache: name, seconds, priority, weight, port, host, flags (2: for good).";
    d.rpc("dns.add_srv", add_srv, doc);
    declare_deletes(d);
    let doc = "1: servers are asked; the resolver finds out by itself which of them answer.";
    d.rpc("dns.get_server_state", get_server_state, doc);
    let doc = "Refused: the resolver finds out by itself which servers answer.";
    d.rpc("dns.set_server_state", set_server_state, doc);
}

fn declare_deletes(d: &mut Decl<Core>) {
    d.rpc(
        "dns.delete_all",
        |core, _| clear(core, false),
        "Empties the cache but for what was added for good.",
    );
    d.rpc(
        "dns.delete_all_force",
        |core, _| clear(core, true),
        "Empties the cache.",
    );
    d.rpc(
        "dns.delete_a",
        |core, call| delete(core, call, RecordKind::A),
        "Takes an A entry out.",
    );
    let doc = "Takes an AAAA entry out.";
    d.rpc(
        "dns.delete_aaaa",
        |core, call| delete(core, call, RecordKind::Aaaa),
        doc,
    );
    let doc = "Takes an SRV entry out.";
    d.rpc(
        "dns.delete_srv",
        |core, call| delete(core, call, RecordKind::Srv),
        doc,
    );
    let doc = "Takes a NAPTR entry out.";
    d.rpc(
        "dns.delete_naptr",
        |core, call| delete(core, call, RecordKind::Naptr),
        doc,
    );
    let doc = "Takes a CNAME entry out.";
    d.rpc(
        "dns.delete_cname",
        |core, call| delete(core, call, RecordKind::Cname),
        doc,
    );
    let doc = "Takes a TXT entry out.";
    d.rpc(
        "dns.delete_txt",
        |core, call| delete(core, call, RecordKind::Txt),
        doc,
    );
    let doc = "Takes a PTR entry out.";
    d.rpc(
        "dns.delete_ptr",
        |core, call| delete(core, call, RecordKind::Ptr),
        doc,
    );
    let doc = "Not found in any case: EBL records are not kept.";
    d.rpc("dns.delete_ebl", delete_ebl, doc);
}

/// What an entry takes in memory, about: the entry itself, its name, its records.
fn size(entry: &CacheEntry) -> usize {
    const ENTRY: usize = 64;
    let records = entry.answer.as_ref().map_or(0, |records| records.len());
    ENTRY
        .saturating_add(entry.name.len())
        .saturating_add(records.saturating_mul(size_of::<Record>()))
}

fn mem_info(core: &Core, call: &mut RpcCall) -> RpcResult {
    let used: usize = core.net.get()?.cache().iter().map(size).sum();
    let most = call.worker.config.globals.dns_cache_mem.saturating_mul(1024);
    Ok(vec![int(used), int(most)])
}

fn view(core: &Core, _: &mut RpcCall) -> RpcResult {
    Ok(core.net.get()?.cache().iter().map(shown).collect())
}

fn seconds(left: Option<u64>) -> RpcValue {
    int(left.unwrap_or(0))
}

fn shown(entry: &CacheEntry) -> RpcValue {
    let mut row = vec![
        ("name", RpcValue::from(&*entry.name)),
        ("type", entry.kind.name().into()),
        ("size_bytes", int(size(entry))),
        ("reference_counter", int(1)),
        ("permanent", yes_no(entry.expires_in.is_none())),
        ("expires", seconds(entry.expires_in)),
        ("last_used", int(0)),
        ("negative_entry", yes_no(entry.answer.is_err())),
    ];
    if let Ok(records) = &entry.answer {
        let each = records.iter().enumerate();
        let each = each.map(|(at, record)| shown_record(at, record, entry.expires_in));
        row.push(("records", RpcValue::Array(each.collect())));
    }
    members(row)
}

fn shown_record(at: usize, record: &Record, left: Option<u64>) -> RpcValue {
    let mut row = vec![("rr_idx", int(at))];
    match &record.data {
        RecordData::A(ip) => row.push(("rr_ip", ip.to_string().into())),
        RecordData::Aaaa(ip) => row.push(("rr_ip", ip.to_string().into())),
        RecordData::Srv(srv) => row.extend([
            ("rr_name", RpcValue::from(&*srv.target)),
            ("rr_port", int(srv.port)),
            ("rr_priority", int(srv.priority)),
            ("rr_weight", int(srv.weight)),
        ]),
        RecordData::Naptr(naptr) => row.extend([
            ("rr_order", int(naptr.order)),
            ("rr_preference", int(naptr.preference)),
            ("rr_flags", RpcValue::from(&*naptr.flags)),
            ("rr_service", RpcValue::from(&*naptr.services)),
            ("rr_regexp", RpcValue::from(&*naptr.regexp)),
            ("rr_replacement", RpcValue::from(&*naptr.replacement)),
        ]),
        RecordData::Ptr(name) | RecordData::Cname(name) => row.push(("rr_name", RpcValue::from(&**name))),
        RecordData::Txt(text) => row.push(("rr_txt", Str::copy(text).into())),
    }
    row.push(("rr_permanent", yes_no(left.is_none())));
    row.push(("rr_expires", seconds(left)));
    members(row)
}

fn kind(name: &[u8]) -> Option<RecordKind> {
    let kinds = [
        RecordKind::A,
        RecordKind::Aaaa,
        RecordKind::Srv,
        RecordKind::Naptr,
        RecordKind::Cname,
        RecordKind::Txt,
        RecordKind::Ptr,
    ];
    kinds
        .into_iter()
        .find(|kind| name.eq_ignore_ascii_case(kind.name().as_bytes()))
}

fn question(kind: RecordKind) -> Option<DnsType> {
    Some(match kind {
        RecordKind::A => DnsType::A,
        RecordKind::Aaaa => DnsType::Aaaa,
        RecordKind::Srv => DnsType::Srv,
        RecordKind::Naptr => DnsType::Naptr,
        RecordKind::Ptr => DnsType::Ptr,
        RecordKind::Txt => DnsType::Txt,
        RecordKind::Cname => return None,
    })
}

fn not_found() -> RpcFault {
    RpcFault::new(400, "Not found")
}

fn lookup<'a>(core: &'a Core, call: &'a mut RpcCall) -> LocalFuture<'a, RpcResult> {
    Box::pin(async move {
        let kind = kind(&call.text()?).ok_or_else(|| RpcFault::new(400, "Invalid type"))?;
        let name = call.text()?;
        let net = core.net.get()?;
        let wanted = name.text().trim_end_matches('.').to_ascii_lowercase();
        let find = || {
            let entries = net.cache().into_iter();
            let mut entries = entries.filter(|entry| entry.kind == kind && entry.answer.is_ok());
            entries.find(|entry| *entry.name == *wanted)
        };
        let found = match find() {
            Some(found) => Some(found),
            None => {
                let question = question(kind).ok_or_else(not_found)?;
                // What comes of it is in the cache.
                let _ = call.worker.net.lookup(name.clone(), question).await;
                find()
            }
        };
        found.map(|entry| vec![shown(&entry)]).ok_or_else(not_found)
    })
}

/// The number of the type in the protocol.
fn number(kind: RecordKind) -> i64 {
    match kind {
        RecordKind::A => 1,
        RecordKind::Cname => 5,
        RecordKind::Ptr => 12,
        RecordKind::Txt => 16,
        RecordKind::Aaaa => 28,
        RecordKind::Srv => 33,
        RecordKind::Naptr => 35,
    }
}

/// 1 for an entry without records, 2 for one that stays.
fn flags(entry: &CacheEntry) -> i64 {
    let negative = i64::from(entry.answer.is_err());
    let permanent = i64::from(entry.expires_in.is_none());
    negative | permanent << 1
}

fn debug(core: &Core, _: &mut RpcCall) -> RpcResult {
    let row = |entry: CacheEntry| {
        [
            RpcValue::from(&*entry.name),
            int(number(entry.kind)),
            int(size(&entry)),
            int(1),
            seconds(entry.expires_in),
            int(0),
            int(flags(&entry)),
        ]
    };
    Ok(core.net.get()?.cache().into_iter().flat_map(row).collect())
}

fn debug_all(core: &Core, _: &mut RpcCall) -> RpcResult {
    let mut answer = Vec::new();
    for entry in core.net.get()?.cache() {
        answer.extend([
            RpcValue::from(&*entry.name),
            int(number(entry.kind)),
            int(0),
            int(size(&entry)),
            int(1),
            seconds(entry.expires_in),
            int(0),
            int(flags(&entry)),
        ]);
        let records: Arc<[Record]> = entry.answer.unwrap_or_else(|_| Arc::default());
        for record in records.iter() {
            let (what, text) = in_short(&record.data);
            answer.extend([what.into(), text.into(), seconds(entry.expires_in)]);
        }
    }
    Ok(answer)
}

fn in_short(data: &RecordData) -> (&'static str, String) {
    match data {
        RecordData::A(ip) => ("ip", ip.to_string()),
        RecordData::Aaaa(ip) => ("ip", ip.to_string()),
        RecordData::Srv(srv) => ("srv", srv.target.to_string()),
        RecordData::Naptr(naptr) => ("naptr", naptr.replacement.to_string()),
        RecordData::Ptr(name) => ("ptr", name.to_string()),
        RecordData::Cname(name) => ("cname", name.to_string()),
        RecordData::Txt(text) => ("txt", String::from_utf8_lossy(text).into_owned()),
    }
}

fn stats_get(_: &Core, call: &mut RpcCall) -> RpcResult {
    super::figures(call, b"dns")
}

/// 2 adds for good; 1, an entry without records, has no use here.
fn life(ttl: i64, flags: i64) -> Result<Option<u32>, RpcFault> {
    match flags {
        0 => u32::try_from(ttl)
            .map(Some)
            .map_err(|_| RpcFault::new(400, "The time to live is a number of seconds")),
        2 => Ok(None),
        _ => Err(RpcFault::new(
            400,
            "The flags are 0, or 2 for an entry that stays",
        )),
    }
}

fn add_address<T: std::str::FromStr>(
    core: &Core,
    call: &mut RpcCall,
    kind: RecordKind,
    data: fn(T) -> RecordData,
) -> RpcResult {
    let (name, ttl, ip, flags) = (call.text()?, call.int()?, call.text()?, call.int()?);
    let ip = ip
        .text()
        .parse()
        .map_err(|_| RpcFault::new(400, format!("{ip} is no address of that kind")))?;
    add(core, &name, kind, data(ip), life(ttl, flags)?)
}

fn add(core: &Core, name: &Str, kind: RecordKind, data: RecordData, life: Option<u32>) -> RpcResult {
    let record = Record {
        ttl: life.unwrap_or(u32::MAX),
        data,
    };
    let name = name.text().trim_end_matches('.').to_ascii_lowercase();
    core.net.get()?.add_records(&name, kind, vec![record], life);
    Ok(Vec::new())
}

fn add_a(core: &Core, call: &mut RpcCall) -> RpcResult {
    add_address(core, call, RecordKind::A, RecordData::A)
}

fn add_aaaa(core: &Core, call: &mut RpcCall) -> RpcResult {
    add_address(core, call, RecordKind::Aaaa, RecordData::Aaaa)
}

fn add_srv(core: &Core, call: &mut RpcCall) -> RpcResult {
    let (name, ttl) = (call.text()?, call.int()?);
    let mut short = |what: &str| {
        let wrong = || RpcFault::new(400, format!("The {what} is a number from 0 to 65535"));
        u16::try_from(call.int()?).map_err(|_| wrong())
    };
    let (priority, weight, port) = (short("priority")?, short("weight")?, short("port")?);
    let target = call.text()?.text().trim_end_matches('.').to_ascii_lowercase();
    let srv = Srv {
        priority,
        weight,
        port,
        target: target.into(),
    };
    let life = life(ttl, call.int()?)?;
    add(core, &name, RecordKind::Srv, RecordData::Srv(srv), life)
}

fn delete(core: &Core, call: &mut RpcCall, kind: RecordKind) -> RpcResult {
    let name = call.text()?.text().trim_end_matches('.').to_ascii_lowercase();
    match core.net.get()?.delete_records(&name, kind) {
        true => Ok(Vec::new()),
        false => Err(not_found()),
    }
}

fn delete_ebl(_: &Core, call: &mut RpcCall) -> RpcResult {
    call.text()?;
    Err(not_found())
}

fn clear(core: &Core, permanent: bool) -> RpcResult {
    core.net.get()?.clear_cache(permanent);
    Ok(vec![members(vec![("status", "ok".into())])])
}

fn get_server_state(_: &Core, _: &mut RpcCall) -> RpcResult {
    Ok(vec![int(1)])
}

fn set_server_state(_: &Core, _: &mut RpcCall) -> RpcResult {
    Err(RpcFault::new(
        500,
        "The resolver finds out by itself which servers answer",
    ))
}

#[cfg(test)]
mod tests {
    use super::{super::testing::Client, *};
    use crate::core_module::net_control::fake::FakeControl;

    fn client() -> Client {
        let client = Client::new(FakeControl::default());
        for line in [
            "dns.add_a a.example.com 60 10.1.2.3 0",
            "dns.add_aaaa A6.example.com. 60 ::1 2",
            "dns.add_srv _sip._udp.example.com 60 10 5 5060 a.example.com 0",
        ] {
            assert_eq!(client.run(line), Ok(vec![]), "{line}");
        }
        client
    }

    #[test]
    fn what_is_added_is_found() {
        let client = client();
        let a = |name| client.member("dns.lookup a a.example.com", &[name]);
        assert_eq!((a("type"), a("expires")), ("A".into(), RpcValue::Int(60)));
        let RpcValue::Array(records) = a("records") else {
            panic!("records")
        };
        let RpcValue::Struct(record) = &records[0] else {
            panic!("a record")
        };
        assert!(record.contains(&(Str::from_static("rr_ip"), "10.1.2.3".into())));
        let stays = client.member("dns.lookup AAAA a6.example.com", &["permanent"]);
        assert_eq!(stays, RpcValue::from("yes"));
        assert_eq!(client.run("dns.view").map(|rows| rows.len()), Ok(3));
    }

    #[test]
    fn mistakes_have_kamailios_codes() {
        let client = client();
        client.control.negative("nosuch.invalid");
        for line in [
            "dns.lookup a nosuch.invalid",
            "dns.lookup xyz a.example.com",
            "dns.lookup cname a.example.com",
            "dns.add_a a.example.com 60",
            "dns.add_a a.example.com 60 10.1.2.300 0",
            "dns.add_a a.example.com 60 10.1.2.3 1",
            "dns.add_srv x 60 10 5 70000 a.example.com 0",
            "dns.delete_a nosuch.example.com",
            "dns.delete_ebl a.example.com",
        ] {
            assert_eq!(client.run(line).map_err(|fault| fault.code), Err(400), "{line}");
        }
        assert!(client.run("dns.set_server_state 0").is_err());
        assert_eq!(client.run("dns.get_server_state"), Ok(vec![RpcValue::Int(1)]));
    }

    #[test]
    fn entries_go_one_by_one_or_all_but_the_permanent() {
        let client = client();
        assert_eq!(client.run("dns.delete_a a.example.com"), Ok(vec![]));
        assert_eq!(client.member("dns.delete_all", &["status"]), RpcValue::from("ok"));
        assert_eq!(client.run("dns.view").map(|rows| rows.len()), Ok(1));
        assert!(client.run("dns.delete_all_force").is_ok());
        assert_eq!(client.run("dns.view"), Ok(vec![]));
    }

    #[test]
    fn bare_figures_come_in_kamailios_order() {
        let client = client();
        let rows = client.run("dns.debug").expect("rows");
        assert_eq!(rows.len(), 21);
        assert_eq!(rows.get(1), Some(&RpcValue::Int(1)));
        assert_eq!(rows.get(13), Some(&RpcValue::Int(2)), "AAAA stays");
        let all = client.run("dns.debug_all").expect("rows");
        assert_eq!(all.len(), 33);
        assert_eq!(
            all.get(8..11),
            Some(["ip".into(), "10.1.2.3".into(), RpcValue::Int(60)].as_slice())
        );
        let memory = client.run("dns.mem_info").expect("figures");
        assert_eq!(memory.get(1), Some(&RpcValue::Int(512_000)));
        assert!(matches!(memory.first(), Some(RpcValue::Int(used)) if *used > 0));
    }
}
