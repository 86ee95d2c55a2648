//! `t_precheck_trans()`: requests in work whose transaction has not begun.

use std::{collections::HashSet, sync::Arc};

use kahea_module::{
    Cx, Decl, Fault,
    route::{EVENT, REQUEST},
};
use kahea_sip::Method;
use kahea_tx::Key;
use parking_lot::Mutex;

use super::Tmx;

/// The requests in work, by the key of the transaction that they would begin.
#[derive(Default)]
pub struct InWork(Mutex<HashSet<u64>>);

/// One of them, for as long as its message is in work.
#[derive(Default)]
struct Entry(Option<(Arc<InWork>, u64)>);

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some((all, key)) = self.0.take() {
            all.0.lock().remove(&key);
        }
    }
}

/// Declares it.
pub fn declare(d: &mut Decl<Tmx>) {
    d.func(
        "t_precheck_trans",
        [],
        t_precheck_trans,
        "The same request came before and is still in work, here or in another worker; not for ACK and CANCEL.",
    )
    .routes(REQUEST | EVENT)
    .kemi(0, "t_precheck_trans");
}

fn t_precheck_trans(m: &Tmx, cx: &mut Cx) -> Result<bool, Fault> {
    let Some(all) = &m.in_work else {
        return Err(Fault::script("t_precheck_trans() is switched off (precheck_trans)").code(-2));
    };
    if matches!(cx.msg.method(), Method::Ack | Method::Cancel) {
        return Ok(false);
    }
    if cx.extra::<Entry>().0.is_some() {
        return Ok(false);
    }
    let key = Key::of(&cx.msg, &m.core.options().matching, &m.core.table.seed).0;
    if !all.0.lock().insert(key) {
        return Ok(true);
    }
    cx.extra::<Entry>().0 = Some((all.clone(), key));
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tm::testing::Bench;

    #[test]
    fn the_same_request_is_in_work_until_its_message_ends() {
        let bench = Bench::default();
        let mut first = bench.server.invite();
        let mut again = bench.server.invite();
        assert_eq!(t_precheck_trans(&bench.tmx, &mut first), Ok(false));
        assert_eq!(
            t_precheck_trans(&bench.tmx, &mut first),
            Ok(false),
            "it is itself"
        );
        assert_eq!(t_precheck_trans(&bench.tmx, &mut again), Ok(true));
        first.finish();
        assert_eq!(t_precheck_trans(&bench.tmx, &mut again), Ok(false));
    }

    #[test]
    fn a_message_that_ends_is_no_longer_in_work() {
        let all = Arc::new(InWork::default());
        all.0.lock().insert(7);
        drop(Entry(Some((all.clone(), 7))));
        assert!(all.0.lock().is_empty());
    }
}
