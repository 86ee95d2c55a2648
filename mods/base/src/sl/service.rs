//! How the transaction layer takes over replies, whichever of the two modules is loaded first.

use std::sync::{Arc, OnceLock};

use kahea_module::{Cx, Env, Ret, Str};

/// What the transaction layer does for `sl`.
pub trait SlReply: Send + Sync {
    /// Replies in the request's transaction; `None` where there is none.
    fn reply(&self, cx: &mut Cx, status: u16, reason: &Str) -> Option<Ret>;

    /// Replies with the error of the transaction; `None` where there is no transaction.
    fn reply_error(&self, cx: &mut Cx) -> Option<Ret>;

    /// The To-tag that replies of the transaction have; `None` where there is no transaction.
    fn local_tag(&self, cx: &Cx) -> Option<Str>;
}

/// The place where the transaction layer puts its [`SlReply`].
#[derive(Default)]
pub struct Stateful(OnceLock<Box<dyn SlReply>>);

impl Stateful {
    /// The place of this configuration; made by whichever module asks first.
    pub fn of(env: &mut Env<'_>) -> Arc<Stateful> {
        if let Some(known) = env.service::<Stateful>() {
            return known;
        }
        let made = Arc::new(Stateful::default());
        env.provide(made.clone());
        made
    }

    /// Fills the place; a second time has no effect.
    pub fn set(&self, service: Box<dyn SlReply>) {
        let _ = self.0.set(service);
    }

    /// What fills the place.
    pub fn get(&self) -> Option<&dyn SlReply> {
        self.0.get().map(|service| &**service)
    }
}
