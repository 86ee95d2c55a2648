//! Module `math`: powers, roots and logarithms; results are cut off to whole numbers, the only ones that scripts have.

use kahea_module::{Cx, Decl, Env, Fault, InitError, Module, Value, VarRef};

/// The module.
pub struct Math;

impl Module for Math {
    const NAME: &'static str = "math";
    type Params = ();

    fn declare(d: &mut Decl<Self>) {
        let one = ["x", "result"];
        for name in ["math_pow", "pow"] {
            d.func(
                name,
                ["base", "power", "result"],
                power,
                "Raises a number to a power.",
            );
        }
        d.func(
            "math_logN",
            one,
            |_: &Math, cx: &mut Cx, x: i64, to: VarRef| store(cx, &to, real(x).ln()),
            "The natural logarithm of a number.",
        );
        d.func(
            "math_log2",
            one,
            |_: &Math, cx: &mut Cx, x: i64, to: VarRef| store(cx, &to, real(x).log2()),
            "The logarithm of a number to the base 2.",
        );
        d.func(
            "math_log10",
            one,
            |_: &Math, cx: &mut Cx, x: i64, to: VarRef| store(cx, &to, real(x).log10()),
            "The logarithm of a number to the base 10.",
        );
        d.func(
            "math_sqrt",
            one,
            |_: &Math, cx: &mut Cx, x: i64, to: VarRef| store(cx, &to, real(x).sqrt()),
            "The square root of a number.",
        );
    }

    fn init((): (), _: &mut Env<'_>) -> Result<Self, InitError> {
        Ok(Math)
    }
}

fn real(n: i64) -> f64 {
    n as f64
}

fn power(_: &Math, cx: &mut Cx, base: i64, power: i64, to: VarRef) -> Result<bool, Fault> {
    store(cx, &to, real(base).powf(real(power)))
}

/// A result that is no number (the root of -1) is refused; one out of range becomes the nearest number.
fn store(cx: &mut Cx, to: &VarRef, result: f64) -> Result<bool, Fault> {
    if result.is_nan() {
        return Err(Fault::script("the result is not a number"));
    }
    to.set(cx, Value::Int(result as i64))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::*;

    #[test]
    fn results_are_whole() {
        let server = Server::default();
        let mut cx = server.invite();
        let to = cx.bind().var("$var(r)").expect("a variable");
        assert_eq!(power(&Math, &mut cx, 2, 10, to.clone()), Ok(true));
        assert_eq!(to.get(&mut cx), Value::Int(1024));
        assert_eq!(store(&mut cx, &to, real(17).sqrt()), Ok(true));
        assert_eq!(to.get(&mut cx), Value::Int(4));
        assert!(store(&mut cx, &to, real(-1).sqrt()).is_err());
        assert_eq!(to.get(&mut cx), Value::Int(4));
    }
}
