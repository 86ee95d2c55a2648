//! Literals of a script that can be completed only when their module starts, which knows its parameters and databases.

use std::sync::{Arc, Weak};

use kahea_module::Bind;
use parking_lot::Mutex;

/// The literals of one kind that wait, each with the compiler of its configuration.
pub(crate) struct Pending<T>(Mutex<Vec<(usize, Weak<T>)>>);

impl<T> Pending<T> {
    pub(crate) const fn new() -> Pending<T> {
        Pending(Mutex::new(Vec::new()))
    }

    /// Lets a literal wait for the module of the configuration that `bind` compiles.
    pub(crate) fn push(&self, bind: &dyn Bind, literal: &Arc<T>) {
        let mut waiting = self.0.lock();
        waiting.retain(|(_, literal)| literal.strong_count() > 0);
        waiting.push((mark(bind), Arc::downgrade(literal)));
    }

    /// The literals of the configuration that `bind` compiles, which wait no longer.
    pub(crate) fn take(&self, bind: &dyn Bind) -> Vec<Arc<T>> {
        let own = mark(bind);
        let mut taken = Vec::new();
        self.0.lock().retain(|(of, literal)| {
            if *of == own {
                taken.extend(literal.upgrade());
            }
            *of != own
        });
        taken
    }
}

/// Tells compilers apart.
fn mark(bind: &dyn Bind) -> usize {
    std::ptr::from_ref(bind).cast::<()>().addr()
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::FakeBind;

    use super::*;

    #[test]
    fn literals_wait_for_the_module_of_their_configuration() {
        let pending = Pending::new();
        let (one, two) = (FakeBind::default(), FakeBind::default());
        let (a, b, dropped) = (Arc::new(1), Arc::new(2), Arc::new(3));
        pending.push(&one, &a);
        pending.push(&two, &b);
        pending.push(&one, &dropped);
        drop(dropped);
        assert_eq!(pending.take(&one), [a]);
        assert_eq!(pending.take(&one), []);
        assert_eq!(pending.take(&two), [b]);
    }
}
