//! `KSR.setdsturi()` and its like.

use kahea_module::{Cx, Decl, Fault, Str};
use kahea_sip::view::Uri;

use crate::core_module::Core;

/// Declares them.
pub fn declare(d: &mut Decl<Core>) {
    d.kemi_func("", "setdsturi", ["uri"], setdsturi, "Sets the destination URI.");
    d.kemi_func(
        "",
        "resetdsturi",
        [],
        resetdsturi,
        "Takes the destination URI away.",
    );
    let is_set = |_: &Core, cx: &mut Cx| cx.target.dst_uri.is_some();
    d.kemi_func("", "isdsturiset", [], is_set, "There is a destination URI.");
}

fn setdsturi(_: &Core, cx: &mut Cx, uri: Str) -> Result<(), Fault> {
    if let Err(error) = Uri::parse(&uri) {
        return Err(Fault::script(format!("'{uri}' is no destination URI: {error}")));
    }
    cx.target.dst_uri = Some(uri);
    Ok(())
}

fn resetdsturi(_: &Core, cx: &mut Cx) {
    cx.target.dst_uri = None;
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::*;

    #[test]
    fn the_destination_is_a_uri_or_nothing() {
        let (core, mut cx) = (Core::for_tests(), Server::default().invite());
        assert!(setdsturi(&core, &mut cx, Str::from_static("junk")).is_err());
        assert!(cx.target.dst_uri.is_none());
        assert!(setdsturi(&core, &mut cx, Str::from_static("sip:192.0.2.1;transport=tls")).is_ok());
        resetdsturi(&core, &mut cx);
        assert!(cx.target.dst_uri.is_none());
    }
}
