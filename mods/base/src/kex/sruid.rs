//! `$sruid`: identifiers that no other server and no other start of this one gives.

use std::{
    hash::{BuildHasher, RandomState},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use kahea_module::{Cx, Decl, Index, Value};

use super::Kex;

/// Declares the variable.
pub fn declare(d: &mut Decl<Kex>) {
    d.var(
        "sruid",
        sruid,
        "An identifier that is given once only, `srid-START-PID-COUNT` in hexadecimal, with START of this start of the server.",
    );
}

/// Gives them.
pub struct Source {
    /// Drawn at the start of the process.
    start: u64,
    count: AtomicU64,
}

impl Default for Source {
    fn default() -> Source {
        Source {
            start: RandomState::new().hash_one(std::process::id()),
            count: AtomicU64::new(0),
        }
    }
}

impl Source {
    fn next(&self, pid: u32) -> String {
        let count = self.count.fetch_add(1, Relaxed).wrapping_add(1);
        format!("srid-{:08x}-{pid:x}-{count:x}", self.start & 0xffff_ffff)
    }
}

fn sruid(kex: &Kex, cx: &mut Cx, _: Index) -> Value {
    kex.sruid.next(cx.config().shared.pid).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kex::tests::kex;
    use kahea_module::testing::Server;

    #[test]
    fn each_is_another() {
        let (kex, mut cx) = (kex(), Server::default().invite());
        let one = sruid(&kex, &mut cx, Index::None);
        let other = sruid(&kex, &mut cx, Index::None);
        assert_ne!(one, other);
        let text = one.str_or_empty().text().into_owned();
        assert!(text.starts_with("srid-") && text.ends_with("-1"), "{text}");
        assert_eq!(text.split('-').count(), 4);
    }
}
