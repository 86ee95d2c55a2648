//! Actions on the destination set.

use kahea_module::{Cx, Decl, UsedTarget};

use super::Core;

/// Declares them.
pub fn declare(d: &mut Decl<Core>) {
    d.func(
        "clear_branches",
        [],
        clear_branches,
        "Takes all branches away; the Request-URI is one again once it or $du is set.",
    );
    d.func(
        "remove_branch",
        ["index"],
        remove_branch,
        "Takes a further branch away, counted from 0; the first one without an argument.",
    );
}

fn clear_branches(_: &Core, cx: &mut Cx) {
    cx.branches.clear();
    cx.target.flags = 0;
    let used = UsedTarget::of(cx);
    *cx.extra::<Option<UsedTarget>>() = Some(used);
}

/// True in any case, as in Kamailio; an index without a branch changes nothing.
fn remove_branch(_: &Core, cx: &mut Cx, index: Option<i64>) {
    let at = usize::try_from(index.unwrap_or(0)).ok();
    if let Some(at) = at.filter(|at| *at < cx.branches.len()) {
        cx.branches.remove(at);
    }
}

#[cfg(test)]
mod tests {
    use kahea_module::{Str, Target, testing::Server};

    use super::*;

    #[test]
    fn branches_go_one_by_one_or_all_at_once() {
        let (core, mut cx) = (Core::for_tests(), Server::default().invite());
        for uri in ["sip:b1@h", "sip:b2@h", "sip:b3@h"] {
            cx.branches.push(Target {
                ruri: Some(Str::from(uri)),
                ..Target::default()
            });
        }
        let left = |cx: &Cx| -> Vec<String> {
            let uris = cx.branches.iter().filter_map(|branch| branch.ruri.as_ref());
            uris.map(|uri| uri.text().into_owned()).collect()
        };
        remove_branch(&core, &mut cx, Some(1));
        assert_eq!(left(&cx), ["sip:b1@h", "sip:b3@h"]);
        remove_branch(&core, &mut cx, Some(-1));
        remove_branch(&core, &mut cx, Some(7));
        assert_eq!(left(&cx), ["sip:b1@h", "sip:b3@h"]);
        remove_branch(&core, &mut cx, None);
        assert_eq!(left(&cx), ["sip:b3@h"]);
        clear_branches(&core, &mut cx);
        assert!(cx.branches.is_empty());
    }
}
