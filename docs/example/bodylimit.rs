//! Module `bodylimit`: refuses bodies that are larger than this site wants.

use kahea_module::{ANY, Cx, Decl, Env, InitError, Module, stats::Counter};

/// The module's instance.
pub struct BodyLimit {
    max: i64,
    refused: Counter,
}

/// Its parameters.
pub struct Params {
    max_size: i64,
}

impl Default for Params {
    fn default() -> Params {
        Params { max_size: 8192 }
    }
}

impl Module for BodyLimit {
    const NAME: &'static str = "bodylimit";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        d.param(
            "max_size",
            |p| &mut p.max_size,
            "The largest body in bytes, from 0.",
        );
        d.func(
            "body_fits",
            ["max"],
            body_fits,
            "True where the body is not larger.",
        )
        .routes(ANY)
        .kemi(0, "body_fits")
        .kemi(1, "body_fits_max")
        .example("if (!body_fits()) { drop; }");
        d.stat("refused", "Messages whose body was too large.");
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<BodyLimit, InitError> {
        if params.max_size < 0 {
            return Err(InitError::new("max_size is below 0").help("0 allows no body at all"));
        }
        Ok(BodyLimit {
            max: params.max_size,
            refused: env.counter("refused"),
        })
    }
}

fn body_fits(module: &BodyLimit, cx: &mut Cx, max: Option<i64>) -> bool {
    let size = i64::try_from(cx.msg.body().len()).unwrap_or(i64::MAX);
    let fits = size <= max.unwrap_or(module.max);
    if !fits {
        module.refused.inc();
    }
    fits
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::*;

    #[test]
    fn larger_bodies_are_refused_and_counted() {
        let module = BodyLimit {
            max: 100,
            refused: Counter::default(),
        };
        let mut cx = Server::default().invite();
        assert!(!body_fits(&module, &mut cx, None));
        assert!(body_fits(&module, &mut cx, Some(200)));
        assert_eq!(module.refused.get(), 1);
    }
}
