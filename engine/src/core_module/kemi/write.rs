//! `KSR.info()` and its like, `KSR.route()`, `KSR.set_drop()`.

use kahea_module::{
    Cx, Decl, Fault, Ret, RouteKind, Str,
    log::{self, Level, Line},
    state::DropRequested,
};

use crate::core_module::Core;

const LEVELS: [(&str, Level, &str); 6] = [
    ("dbg", Level::Debug, "Writes a text at level DEBUG."),
    ("info", Level::Info, "Writes a text at level INFO."),
    ("notice", Level::Notice, "Writes a text at level NOTICE."),
    ("warn", Level::Warning, "Writes a text at level WARNING."),
    ("err", Level::Error, "Writes a text at level ERROR."),
    ("crit", Level::Critical, "Writes a text at level CRITICAL."),
];

/// Declares them.
pub fn declare(d: &mut Decl<Core>) {
    for (name, level, doc) in LEVELS {
        let write = move |_: &Core, _: &mut Cx, text: Str| write(level, &text);
        d.kemi_func("", name, ["text"], write, doc);
    }
    d.kemi_func(
        "",
        "log",
        ["level", "text"],
        write_named,
        "Writes a text at a level by its name.",
    );
    d.kemi_func(
        "",
        "get_debug",
        [],
        |_: &Core, _: &mut Cx| log::level(),
        "The level up to which lines are written.",
    );
    d.kemi_func(
        "",
        "set_drop",
        [],
        set_drop,
        "Lets the message go no further once the script ends.",
    );
    d.kemi_func(
        "",
        "route",
        ["name"],
        route,
        "Runs a route block of the native script.",
    )
    .waits();
}

fn write(level: Level, text: &Str) {
    if !log::shows_of(level, "core") {
        return;
    }
    // As xlog(): the script's text goes out as it is, banners of several lines included.
    let end: &[u8] = if text.ends_with(b"\n") { b"" } else { b"\n" };
    log::emit(&Line {
        level,
        facility: None,
        module: "core",
        prefix: b"",
        place: None,
        text: &[b"core: ", &**text, end].concat(),
        script: true,
        worker: log::worker(),
    });
}

fn write_named(_: &Core, _: &mut Cx, level: Str, text: Str) -> Result<(), Fault> {
    let level = Level::parse(&level.text()).ok_or_else(|| {
        Fault::script(format!(
            "there is no log level '{level}'; use dbg, info, notice, warn, err or crit"
        ))
    })?;
    write(level, &text);
    Ok(())
}

fn set_drop(_: &Core, cx: &mut Cx) {
    cx.extra::<DropRequested>().0 = true;
}

fn route(_: &Core, cx: &mut Cx, name: Str) -> Ret {
    match cx.bind().native_route(RouteKind::Request, &name.text()) {
        Some(route) => Ret::Route(route),
        None => Ret::Fault(Fault::script(format!("there is no route[{name}]"))),
    }
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::*;

    #[test]
    fn levels_have_the_names_of_kamailio() {
        let (core, mut cx) = (Core::for_tests(), Server::default().invite());
        let mut log = |level: &'static str| {
            write_named(&core, &mut cx, Str::from_static(level), Str::from_static("x\n")).is_ok()
        };
        assert!(LEVELS.iter().all(|(name, _, _)| log(name)));
        assert!(!log("loud"));
    }

    #[test]
    fn a_route_that_is_not_there_is_named() {
        let (core, mut cx) = (Core::for_tests(), Server::default().invite());
        let Ret::Fault(fault) = route(&core, &mut cx, Str::from_static("NOPE")) else {
            panic!("no such route")
        };
        assert!(fault.text.text().contains("route[NOPE]"));
        set_drop(&core, &mut cx);
        assert!(cx.extra::<DropRequested>().0);
    }
}
