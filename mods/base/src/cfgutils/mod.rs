//! Module `cfgutils`: locks, waiting, chance, global flags, and looking for routes.

mod chance;
mod lock;
mod rpc;

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use kahea_module::{Cx, Decl, Env, Fault, InitError, Module, Ret, RouteKind, Str, info};
use md5::{Digest, Md5};

use crate::transforms::core_hash;

/// The module.
pub struct Cfgutils {
    probability: AtomicI64,
    initial_probability: i64,
    flags: Arc<GlobalFlags>,
    locks: Option<Arc<lock::Set>>,
    hash: Option<(Str, [u8; 16])>,
}

/// The flags of `set_gflag()`; they survive a reload.
#[derive(Default)]
struct GlobalFlags(AtomicU32);

/// Its parameters.
pub struct Params {
    probability: i64,
    flags: i64,
    hash_file: Option<Str>,
    lock_set_size: i64,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            probability: 10,
            flags: 0,
            hash_file: None,
            lock_set_size: 0,
        }
    }
}

impl Module for Cfgutils {
    const NAME: &'static str = "cfgutils";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        d.param(
            "initial_probability",
            |p| &mut p.probability,
            "The probability of rand_event() at start, in percent.",
        );
        d.param(
            "initial_gflags",
            |p| &mut p.flags,
            "The global flags at start, a mask of 32 bits.",
        );
        d.param(
            "hash_file",
            |p| &mut p.hash_file,
            "A file whose MD5 sum is taken at start, to tell later whether it changed.",
        );
        d.param(
            "lock_set_size",
            |p| &mut p.lock_set_size,
            "The number of locks as a power of two, up to 16; 0: none.",
        );
        locks(d);
        waiting(d);
        routes(d);
        debugging(d);
        chance::declare(d);
        rpc::declare(d);
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Self, InitError> {
        if !(0..=100).contains(&params.probability) {
            return Err(
                InitError::new(format!("initial_probability is {} percent", params.probability))
                    .help("write a number from 0 to 100"),
            );
        }
        let bits = u32::try_from(params.lock_set_size)
            .ok()
            .filter(|bits| *bits <= 16)
            .ok_or_else(|| {
                InitError::new(format!("lock_set_size {} is out of range", params.lock_set_size))
                    .help("write a number from 0 to 16")
            })?;
        let locks = (bits > 0).then(|| env.shared.keep(lock::Sets::default).get(bits));
        let initial = u32::try_from(params.flags).unwrap_or(u32::MAX);
        let flags = env.shared.keep(|| GlobalFlags(AtomicU32::new(initial)));
        let hash = match params.hash_file {
            Some(path) => {
                let bytes = (env.read_file)(&path.text())
                    .map_err(|error| InitError::new(format!("hash_file {path} cannot be read: {error}")))?;
                Some((path, Md5::digest(bytes).into()))
            }
            None => None,
        };
        let probability = AtomicI64::new(params.probability);
        Ok(Cfgutils {
            probability,
            initial_probability: params.probability,
            flags,
            locks,
            hash,
        })
    }
}

fn locks(d: &mut Decl<Cfgutils>) {
    d.func(
        "lock",
        ["key", "key2"],
        lock::lock,
        "Takes the lock of a key, or of two; waits while another message holds it.",
    )
    .kemi(1, "lock")
    .kemi(2, "lock_key2")
    .waits();
    d.func(
        "trylock",
        ["key", "key2"],
        lock::trylock,
        "Takes the lock of a key, or of two; false where it is held.",
    )
    .kemi(1, "trylock")
    .kemi(2, "trylock_key2");
    d.func(
        "unlock",
        ["key", "key2"],
        lock::unlock,
        "Releases the lock; what a message holds is released when it ends.",
    )
    .kemi(1, "unlock")
    .kemi(2, "unlock_key2");
}

fn waiting(d: &mut Decl<Cfgutils>) {
    d.func(
        "sleep",
        ["seconds"],
        |_: &Cfgutils, cx: &mut Cx, n: i64| wait(cx, n, Duration::from_secs),
        "Lets the message wait; the worker goes on with others.",
    )
    .kemi(1, "sleep")
    .waits();
    d.func(
        "usleep",
        ["microseconds"],
        |_: &Cfgutils, cx: &mut Cx, n: i64| wait(cx, n, Duration::from_micros),
        "Lets the message wait; the worker goes on with others.",
    )
    .kemi(1, "usleep")
    .waits();
}

fn wait(cx: &mut Cx, time: i64, unit: fn(u64) -> Duration) -> Result<Ret, Fault> {
    let time = u64::try_from(time).map_err(|_| Fault::script(format!("{time} is no time to wait")))?;
    if time == 0 {
        return Ok(Ret::TRUE);
    }
    let sleep = cx.worker.engine.sleep(unit(time));
    Ok(Ret::wait(move |_| {
        Box::pin(async move {
            sleep.await;
            Ret::TRUE
        })
    }))
}

fn routes(d: &mut Decl<Cfgutils>) {
    d.func(
        "check_route_exists",
        ["route"],
        |_: &Cfgutils, cx: &mut Cx, name: Str| {
            cx.bind().native_route(RouteKind::Request, &name.text()).is_some()
        },
        "True where the script has route[NAME].",
    )
    .kemi(1, "check_route_exists");
    d.func(
        "route_if_exists",
        ["route"],
        |_: &Cfgutils, cx: &mut Cx, name: Str| {
            cx.bind()
                .native_route(RouteKind::Request, &name.text())
                .map_or(Ret::FALSE, Ret::Route)
        },
        "Runs route[NAME] where the script has it, else is false.",
    )
    .kemi(1, "route_if_exists");
}

fn debugging(d: &mut Decl<Cfgutils>) {
    d.func(
        "abort",
        [],
        |_: &Cfgutils, _: &mut Cx| -> Result<bool, Fault> {
            Err(Fault::script(
                "abort() is refused: this server does not end itself on a script's word",
            ))
        },
        "Would end the server in Kamailio; refused here.",
    )
    .kemi(0, "abort");
    for name in ["pkg_status", "pkg_summary", "shm_status", "shm_summary"] {
        d.func(
            name,
            [],
            |_: &Cfgutils, _: &mut Cx| memory(),
            "Logs how much memory the process has; there are no pools here.",
        )
        .kemi(0, name);
    }
    d.func(
        "core_hash",
        ["string1", "string2", "size"],
        hash,
        "Kamailio's core hash of two texts, from 1 to 2^size.",
    )
    .kemi(3, "core_hash");
}

fn memory() {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let mut pages = statm
        .split(' ')
        .map(|n| n.parse::<u64>().unwrap_or(0).saturating_mul(4));
    let (all, resident) = (pages.next().unwrap_or(0), pages.next().unwrap_or(0));
    info!(
        "cfgutils",
        "Memory of the process: {resident} KiB resident, {all} KiB virtual."
    );
}

/// One is added because the return code 0 would end the script.
fn hash(_: &Cfgutils, _: &mut Cx, first: Str, second: Str, size: i64) -> i64 {
    let bits = u32::try_from(size).unwrap_or(0).min(31);
    i64::from(core_hash(&first, &second, 1 << bits)).saturating_add(1)
}

impl Cfgutils {
    fn flags(&self) -> u32 {
        self.flags.0.load(Relaxed)
    }

    #[cfg(test)]
    fn for_tests(bits: u32) -> Cfgutils {
        Cfgutils {
            probability: AtomicI64::new(10),
            initial_probability: 10,
            flags: Arc::default(),
            locks: (bits > 0).then(|| lock::Sets::default().get(bits)),
            hash: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::*;

    #[test]
    fn hashes_are_kamailios() {
        let (m, mut cx) = (Cfgutils::for_tests(0), Server::default().invite());
        let mut run = |a: &str, b: &str, size| hash(&m, &mut cx, Str::from(a), Str::from(b), size);
        assert_eq!(run("abc", "def", 4), 2);
        assert_eq!(run("abc", "", 16), 24_387);
        assert_eq!(run("abc", "", 0), 1);
        assert_eq!(run("abc", "", -1), 1);
    }

    #[test]
    fn waiting_suspends_and_refuses_the_past() {
        let mut cx = Server::default().invite();
        assert!(matches!(wait(&mut cx, 1, Duration::from_secs), Ok(Ret::Wait(_))));
        assert!(matches!(wait(&mut cx, 0, Duration::from_secs), Ok(Ret::Code(1))));
        assert!(wait(&mut cx, -1, Duration::from_secs).is_err());
    }
}
