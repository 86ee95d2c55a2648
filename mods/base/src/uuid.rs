//! Module `uuid`: universally unique identifiers (RFC 9562).

use std::time::SystemTime;

use ::uuid::{ContextV1, Timestamp};
use kahea_module::{Bind, BindError, Cx, Decl, Env, Index, InitError, Module, Named, Naming, rpc::RpcValue};

use crate::pv::functions::give;

/// The module.
pub struct Uuid {
    clock: ContextV1,
    node: [u8; 6],
}

#[derive(Clone, Copy)]
enum Kind {
    Random,
    Time,
}

impl Module for Uuid {
    const NAME: &'static str = "uuid";
    type Params = ();

    fn declare(d: &mut Decl<Self>) {
        let named = Named {
            parse: kind,
            get: |m: &Uuid, cx: &mut Cx, kind: &Kind, _: Index| m.make(cx, *kind).into(),
            set: None,
            raw: false,
        };
        d.var_named(
            "uuid",
            Naming::Required,
            named,
            "A new UUID: (r) and (g) random, (t) and (s) from time and a random node.",
        );
        d.kemi_func(
            "uuid",
            "get",
            [],
            |m: &Uuid, cx: &mut Cx| m.give(cx, Kind::Random),
            "A new UUID.",
        );
        d.kemi_func(
            "uuid",
            "rget",
            [],
            |m: &Uuid, cx: &mut Cx| m.give(cx, Kind::Random),
            "A new random UUID.",
        );
        d.kemi_func(
            "uuid",
            "tget",
            [],
            |m: &Uuid, cx: &mut Cx| m.give(cx, Kind::Time),
            "A new UUID from the time.",
        );
    }

    fn init((): (), _: &mut Env<'_>) -> Result<Self, InitError> {
        let [a, b, c, d, e, f, ..] = *::uuid::Uuid::new_v4().as_bytes();
        // The multicast bit says that the node is no network card's address (RFC 9562, 6.10).
        Ok(Uuid {
            clock: ContextV1::new_random(),
            node: [a | 1, b, c, d, e, f],
        })
    }
}

fn kind(name: &str, _: &dyn Bind) -> Result<Kind, BindError> {
    match name {
        "r" | "g" => Ok(Kind::Random),
        "t" | "s" => Ok(Kind::Time),
        _ => Err(BindError::new(format!("there is no $uuid({name})")).help("write $uuid(g), r, t or s")),
    }
}

impl Uuid {
    fn make(&self, cx: &Cx, kind: Kind) -> String {
        let uuid = match kind {
            Kind::Random => ::uuid::Uuid::new_v4(),
            Kind::Time => {
                let since = cx
                    .time()
                    .duration_since(SystemTime::UNIX_EPOCH)
                    .unwrap_or_default();
                let at = Timestamp::from_unix(&self.clock, since.as_secs(), since.subsec_nanos());
                ::uuid::Uuid::new_v1(at, &self.node)
            }
        };
        uuid.to_string()
    }

    fn give(&self, cx: &mut Cx, kind: Kind) -> bool {
        let uuid = self.make(cx, kind);
        give(cx, RpcValue::from(uuid))
    }
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::*;

    #[test]
    fn each_kind_has_its_version_and_none_repeats() {
        let server = Server::default();
        let cx = server.invite();
        let module = Uuid {
            clock: ContextV1::new_random(),
            node: [1, 2, 3, 4, 5, 6],
        };
        for (kind, version) in [(Kind::Random, b'4'), (Kind::Time, b'1')] {
            let (one, other) = (module.make(&cx, kind), module.make(&cx, kind));
            assert_eq!(one.len(), 36);
            assert_eq!(one.as_bytes()[14], version);
            assert_ne!(one, other);
        }
    }
}
