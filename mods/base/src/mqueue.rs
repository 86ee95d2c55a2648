//! Module `mqueue`: queues of key and value between routes; their content survives a reload.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use kahea_module::{
    BindError, Cx, Decl, Env, Fault, Index, InitError, Module, Named, Naming, Str,
    rpc::{RpcCall, RpcFault, RpcResult, RpcValue},
    value::parse_int,
};
use parking_lot::Mutex;

use crate::pv::functions::give;

/// The module.
pub struct Mqueue {
    /// In the order of their definition.
    queues: Arc<Vec<(Str, Queue)>>,
}

/// The queues, for modules that are loaded behind this one.
pub struct Queues(Arc<Vec<(Str, Queue)>>);

impl Queues {
    /// Adds an item; false where there is no such queue.
    pub fn add(&self, queue: &[u8], key: Str, value: Str) -> bool {
        let known = self.0.iter().find(|(name, _)| **name == *queue);
        if let Some((_, queue)) = known {
            queue.add(Item { key, value });
        }
        known.is_some()
    }

    /// There is such a queue.
    pub fn has(&self, queue: &[u8]) -> bool {
        self.0.iter().any(|(name, _)| **name == *queue)
    }
}

struct Queue {
    /// The most items; 0 without a limit.
    size: usize,
    mode: AddMode,
    items: Arc<Mutex<VecDeque<Item>>>,
}

#[derive(Clone, Debug, PartialEq)]
struct Item {
    key: Str,
    value: Str,
}

/// What happens to an item whose key is in the queue already.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum AddMode {
    #[default]
    Append,
    KeepOldest,
    KeepNewest,
}

/// The items of all queues by name: what a reload hands on.
#[derive(Default)]
struct Kept(Mutex<HashMap<Str, Arc<Mutex<VecDeque<Item>>>>>);

/// What `mq_fetch()` took, by queue; lasts as long as the message.
#[derive(Default)]
struct Fetched(HashMap<Str, Item>);

/// Its parameters.
#[derive(Default)]
pub struct Params {
    db_url: Option<Str>,
    size: i64,
    mode: i64,
    queues: Vec<Definition>,
}

#[derive(Debug, PartialEq)]
struct Definition {
    name: Str,
    size: usize,
    mode: AddMode,
}

impl Module for Mqueue {
    const NAME: &'static str = "mqueue";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        params(d);
        d.func(
            "mq_add",
            ["queue", "key", "value"],
            mq_add,
            "Adds an item; the oldest goes where the queue is full.",
        )
        .kemi(3, "mq_add");
        d.func(
            "mq_fetch",
            ["queue"],
            mq_fetch,
            "Takes the oldest item, for $mqk and $mqv; -2 where there is none.",
        )
        .kemi(1, "mq_fetch");
        d.func(
            "mq_pv_free",
            ["queue"],
            mq_pv_free,
            "Forgets the item that was fetched.",
        )
        .kemi(1, "mq_pv_free");
        d.func(
            "mq_size",
            ["queue"],
            mq_size,
            "How many items there are; -1 for none, -2 for an unknown queue.",
        )
        .kemi(1, "mq_size");
        vars(d);
        kemi(d);
        d.rpc("mqueue.get_size", rpc_size, "The number of items of a queue.");
        d.rpc(
            "mqueue.get_sizes",
            rpc_sizes,
            "The number of items of each queue.",
        )
        .list();
        d.rpc("mqueue.fetch", rpc_fetch, "Takes the oldest item of a queue.");
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Self, InitError> {
        if params.db_url.is_some() {
            return Err(InitError::new("mqueue cannot keep queues in a database yet")
                .help("take the parameter db_url out; queues survive a reload, but not a restart"));
        }
        let kept = env.shared.keep(Kept::default);
        let mut all = kept.0.lock();
        let queue = |one: Definition| {
            let items = all.entry(one.name.clone()).or_default().clone();
            (
                one.name,
                Queue {
                    size: one.size,
                    mode: one.mode,
                    items,
                },
            )
        };
        let queues: Arc<Vec<_>> = Arc::new(params.queues.into_iter().map(queue).collect());
        drop(all);
        env.provide(Arc::new(Queues(queues.clone())));
        Ok(Mqueue { queues })
    }
}

fn params(d: &mut Decl<Mqueue>) {
    d.param(
        "db_url",
        |p| &mut p.db_url,
        "A database that keeps queues over restarts; refused until there is one.",
    );
    d.param(
        "mqueue_size",
        |p| &mut p.size,
        "The most items of queues that mqueue_name defines after it; 0: any number.",
    );
    d.param(
        "mqueue_addmode",
        |p| &mut p.mode,
        "The addmode of queues that mqueue_name defines after it.",
    );
    d.param_fn(
        "mqueue",
        "string",
        |params, value, _| {
            params.queues.push(definition(&value.str_or_empty().text())?);
            Ok(())
        },
        "A queue: name=NAME;size=N;addmode=0|1|2. May be given several times.",
    );
    d.param_fn(
        "mqueue_name",
        "string",
        |params, value, _| {
            let size = usize::try_from(params.size).unwrap_or(0);
            let one = Definition {
                name: value.str_or_empty(),
                size,
                mode: mode(params.mode)?,
            };
            params.queues.push(one);
            Ok(())
        },
        "A queue by name alone. May be given several times.",
    );
}

fn vars(d: &mut Decl<Mqueue>) {
    let fetched = |get| Named {
        parse: |name, _| Ok(Str::from(name)),
        get,
        set: None,
        raw: false,
    };
    d.var_named(
        "mqk",
        Naming::Required,
        fetched(|_, cx, name, _: Index| item(cx, name).map(|i| i.key).into()),
        "The key of the item fetched last.",
    );
    d.var_named(
        "mqv",
        Naming::Required,
        fetched(|_, cx, name, _: Index| item(cx, name).map(|i| i.value).into()),
        "The value of the item fetched last.",
    );
    let size = Named {
        parse: |name, _| Ok(Str::from(name)),
        get: |m: &Mqueue, _: &mut Cx, name: &Str, _: Index| {
            m.find(name).map(|q| length(q.items.lock().len())).into()
        },
        set: None,
        raw: false,
    };
    d.var_named(
        "mq_size",
        Naming::Required,
        size,
        "How many items are in the queue.",
    );
}

fn kemi(d: &mut Decl<Mqueue>) {
    type Part = fn(Item) -> Str;
    fn tell(cx: &mut Cx, queue: &Str, part: Part, otherwise: Option<&'static str>) -> bool {
        let value = item(cx, queue).map(part).or(otherwise.map(Str::from_static));
        give(cx, value.map_or(RpcValue::Null, RpcValue::Str))
    }
    let key: Part = |item| item.key;
    let value: Part = |item| item.value;
    for (part, names) in [
        (key, ["mqk_get", "mqk_gete", "mqk_getw"]),
        (value, ["mqv_get", "mqv_gete", "mqv_getw"]),
    ] {
        for (name, otherwise) in names.into_iter().zip([None, Some(""), Some("<null>")]) {
            d.kemi_func("mqueue", name, ["queue"],
                move |_: &Mqueue, cx: &mut Cx, queue: Str| tell(cx, &queue, part, otherwise),
                "The key (mqk) or value (mqv) fetched last; without one null, the empty text (…e) or <null> (…w).");
        }
    }
}

fn definition(text: &str) -> Result<Definition, BindError> {
    let mut out = Definition {
        name: Str::EMPTY,
        size: 0,
        mode: AddMode::Append,
    };
    for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let number = parse_int(value.trim().as_bytes());
        match (name.trim(), number) {
            ("name", _) => out.name = Str::from(value.trim()),
            ("size", Some(n)) => out.size = usize::try_from(n).unwrap_or(0),
            ("addmode", Some(n)) => out.mode = mode(n)?,
            ("dbmode", Some(0)) => {}
            ("dbmode", _) => {
                return Err(
                    BindError::new("dbmode needs a database, which mqueue cannot use yet")
                        .help("leave dbmode out"),
                );
            }
            _ => {
                return Err(BindError::new(format!("'{part}' is no attribute of a queue"))
                    .help("write name=, size= or addmode="));
            }
        }
    }
    if out.name.is_empty() {
        return Err(BindError::new("the queue has no name").help("write name=NAME"));
    }
    Ok(out)
}

fn mode(n: i64) -> Result<AddMode, BindError> {
    match n {
        0 => Ok(AddMode::Append),
        1 => Ok(AddMode::KeepOldest),
        2 => Ok(AddMode::KeepNewest),
        _ => Err(BindError::new(format!("there is no addmode {n}"))
            .help("write 0 (add), 1 (keep oldest) or 2 (keep newest)")),
    }
}

fn length(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn item(cx: &Cx, queue: &Str) -> Option<Item> {
    cx.extra_ref::<Fetched>()
        .and_then(|fetched| fetched.0.get(queue))
        .cloned()
}

impl Mqueue {
    fn find(&self, name: &Str) -> Option<&Queue> {
        self.queues
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, queue)| queue)
    }

    fn get(&self, name: &Str) -> Result<&Queue, Fault> {
        self.find(name).ok_or_else(|| {
            Fault::script(format!(
                "there is no queue {name}: add modparam(\"mqueue\", \"mqueue\", \"name={name}\")"
            ))
        })
    }
}

impl Queue {
    fn add(&self, item: Item) {
        let mut items = self.items.lock();
        let known = |items: &VecDeque<Item>| items.iter().position(|other| other.key == item.key);
        match self.mode {
            AddMode::Append => {}
            AddMode::KeepOldest if known(&items).is_some() => return,
            AddMode::KeepNewest => {
                if let Some(at) = known(&items) {
                    items.remove(at);
                }
            }
            AddMode::KeepOldest => {}
        }
        items.push_back(item);
        while self.size > 0 && items.len() > self.size {
            items.pop_front();
        }
    }
}

fn mq_add(m: &Mqueue, _: &mut Cx, queue: Str, key: Str, value: Str) -> Result<bool, Fault> {
    // Queues outlive messages, so they must not hold on to a message's buffer.
    m.get(&queue)?.add(Item {
        key: key.detach(),
        value: value.detach(),
    });
    Ok(true)
}

fn mq_fetch(m: &Mqueue, cx: &mut Cx, queue: Str) -> Result<i64, Fault> {
    let item = m.get(&queue)?.items.lock().pop_front();
    let fetched = &mut cx.extra::<Fetched>().0;
    Ok(match item {
        Some(item) => {
            fetched.insert(queue, item);
            1
        }
        None => {
            fetched.remove(&queue);
            -2
        }
    })
}

fn mq_pv_free(_: &Mqueue, cx: &mut Cx, queue: Str) -> bool {
    cx.extra::<Fetched>().0.remove(&queue);
    true
}

fn mq_size(m: &Mqueue, _: &mut Cx, queue: Str) -> Result<i64, Fault> {
    let count = m.get(&queue).map_err(|fault| fault.code(-2))?.items.lock().len();
    Ok(if count == 0 { -1 } else { length(count) })
}

fn sized(name: &Str, queue: &Queue) -> RpcValue {
    RpcValue::members([
        ("name", name.clone().into()),
        ("size", RpcValue::Int(length(queue.items.lock().len()))),
    ])
}

fn rpc_size(m: &Mqueue, call: &mut RpcCall) -> RpcResult {
    let name = call
        .optional_text()
        .ok()
        .flatten()
        .ok_or_else(|| RpcFault::new(400, "No queue name"))?;
    let queue = m.find(&name).ok_or_else(|| RpcFault::new(404, "No such queue"))?;
    Ok(vec![sized(&name, queue)])
}

fn rpc_sizes(m: &Mqueue, _: &mut RpcCall) -> RpcResult {
    Ok(m.queues
        .iter()
        .rev()
        .map(|(name, queue)| sized(name, queue))
        .collect())
}

fn rpc_fetch(m: &Mqueue, call: &mut RpcCall) -> RpcResult {
    let name = call
        .optional_text()
        .ok()
        .flatten()
        .ok_or_else(|| RpcFault::new(500, "No queue name"))?;
    let queue = m.find(&name).ok_or_else(|| RpcFault::new(500, "No such queue"))?;
    match queue.items.lock().pop_front() {
        Some(Item { key, value }) => Ok(vec![RpcValue::members([
            ("key", key.into()),
            ("val", value.into()),
        ])]),
        None => Err(RpcFault::new(404, "Empty queue")),
    }
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::*;

    fn module(size: usize, mode: AddMode) -> Mqueue {
        Mqueue {
            queues: Arc::new(vec![(
                Str::from("q"),
                Queue {
                    size,
                    mode,
                    items: Arc::default(),
                },
            )]),
        }
    }

    fn add(m: &Mqueue, cx: &mut Cx, key: &str, value: &str) {
        mq_add(m, cx, Str::from("q"), Str::from(key), Str::from(value)).expect("the queue is there");
    }

    #[test]
    fn the_oldest_goes_where_the_queue_is_full() {
        let (m, mut cx, q) = (
            module(2, AddMode::Append),
            Server::default().invite(),
            Str::from("q"),
        );
        assert_eq!(mq_size(&m, &mut cx, q.clone()), Ok(-1));
        for n in ["1", "2", "3"] {
            add(&m, &mut cx, n, n);
        }
        assert_eq!(mq_size(&m, &mut cx, q.clone()), Ok(2));
        assert_eq!(mq_fetch(&m, &mut cx, q.clone()), Ok(1));
        assert_eq!(item(&cx, &q).expect("an item").key, "2");
        assert!(mq_pv_free(&m, &mut cx, q.clone()));
        assert_eq!(item(&cx, &q), None);
        assert_eq!(mq_fetch(&m, &mut cx, q.clone()), Ok(1));
        assert_eq!(mq_fetch(&m, &mut cx, q.clone()), Ok(-2));
        assert_eq!(mq_size(&m, &mut cx, Str::from("none")).unwrap_err().code, -2);
    }

    #[test]
    fn a_key_may_be_unique() {
        for (mode, kept) in [(AddMode::KeepOldest, "1"), (AddMode::KeepNewest, "2")] {
            let (m, mut cx) = (module(0, mode), Server::default().invite());
            add(&m, &mut cx, "a", "1");
            add(&m, &mut cx, "a", "2");
            assert_eq!(mq_fetch(&m, &mut cx, Str::from("q")), Ok(1));
            assert_eq!(item(&cx, &Str::from("q")).expect("an item").value, kept);
            assert_eq!(mq_size(&m, &mut cx, Str::from("q")), Ok(-1));
        }
    }

    #[test]
    fn definitions_are_read() {
        let read = definition("name=q;size=20; addmode=2;").expect("a definition");
        assert_eq!(
            read,
            Definition {
                name: Str::from("q"),
                size: 20,
                mode: AddMode::KeepNewest
            }
        );
        for broken in ["size=2", "name=q;addmode=7", "name=q;dbmode=1", "name=q;x=y"] {
            assert!(definition(broken).is_err(), "{broken}");
        }
    }
}
