//! Actions that write to the log, run programs, and choose run-time parameters.

use std::process::Stdio;

use kahea_module::{
    Cx, Decl, Lit, Ret, Str,
    log::{self, Level, Line},
    notice,
    state::Selected,
    warning,
};

use super::Core;

/// Declares them.
pub fn declare(d: &mut Decl<Core>) {
    d.func("log", ["text"], log_debug, "Writes a text at level DEBUG.");
    d.func(
        "log",
        ["level", "text"],
        log_level,
        "Writes a text at a level, from -5 (ALERT) to 3 (DEBUG).",
    )
    .example(r#"log(1, "hello\n");"#);
    d.func(
        "error",
        ["first", "second"],
        error,
        "Writes two texts at level NOTICE, as Kamailio does.",
    );
    d.func(
        "exec",
        ["command"],
        exec,
        "Runs a shell command and waits for its end without holding up other messages.",
    )
    .waits();
    d.func(
        "cfg_select",
        ["group", "instance"],
        cfg_select,
        "Takes run-time parameters from an instance of their group, for this message.",
    );
    d.func(
        "cfg_reset",
        ["group"],
        cfg_reset,
        "Takes run-time parameters from the group itself again.",
    );
}

fn log_debug(_: &Core, cx: &mut Cx, text: Lit<Str>) {
    write(cx, Level::Debug, &text);
}

fn log_level(_: &Core, cx: &mut Cx, level: i64, text: Lit<Str>) {
    write(cx, Level::from_number(level), &text);
}

fn write(cx: &Cx, level: Level, text: &[u8]) {
    if !log::shows(level) {
        return;
    }
    let origin = cx.place();
    log::emit(&Line {
        level,
        facility: None,
        module: "",
        prefix: b"",
        place: origin.as_ref().map(|place| (&*place.file, place.line)),
        text: &[b"<script>: ", text].concat(),
        script: true,
        worker: log::worker(),
    });
}

fn error(_: &Core, _: &mut Cx, first: Lit<Str>, second: Lit<Str>) {
    notice!("core", "error(\"{}\", \"{}\")", *first, *second);
}

/// True however the command ends, as in Kamailio; an end other than 0 is logged.
fn exec(_: &Core, _: &mut Cx, command: Lit<Str>) -> Ret {
    Ret::wait(move |_| {
        Box::pin(async move {
            let ended = tokio::process::Command::new("/bin/sh")
                .arg("-c")
                .arg(std::ffi::OsStr::new(&*command.text()))
                .stdin(Stdio::null())
                .status()
                .await;
            match ended {
                Ok(status) if status.success() => {}
                Ok(status) => warning!("core", "exec(\"{}\") ended with {status}.", *command),
                Err(error) => warning!("core", "exec(\"{}\") did not run: {error}.", *command),
            }
            Ret::TRUE
        })
    })
}

fn cfg_select(_: &Core, cx: &mut Cx, group: Lit<Str>, instance: i64) {
    cx.extra::<Selected>().select(&group, instance);
}

fn cfg_reset(_: &Core, cx: &mut Cx, group: Lit<Str>) {
    cx.extra::<Selected>().reset(&group);
}

#[cfg(test)]
mod tests {
    use kahea_module::{Arg, Value, state::setting, testing::Server};

    use super::*;

    fn lit(cx: &mut Cx, text: &str) -> Lit<Str> {
        Lit::from_value(Some(Value::Str(Str::from(text))), cx).expect("a literal")
    }

    #[tokio::test]
    async fn a_command_runs_and_its_failure_is_no_failure() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("made");
        let (core, mut cx) = (Core::for_tests(), Server::default().invite());
        let command = lit(&mut cx, &format!("echo done > {}; exit 3", file.display()));
        let Ret::Wait(rest) = exec(&core, &mut cx, command) else {
            panic!("it waits")
        };
        assert!(matches!(rest(&mut cx).await, Ret::Code(1)));
        assert_eq!(std::fs::read_to_string(file).expect("the file"), "done\n");
    }

    #[test]
    fn instances_are_chosen_for_the_message_alone() {
        let server = Server::new(|config| {
            config.settings.declare("g", "x", Value::Int(1), "", false);
            config.settings.declare("g[2]", "x", Value::Int(2), "", false);
        });
        let (core, mut cx) = (Core::for_tests(), server.invite());
        let group = lit(&mut cx, "g");
        cfg_select(&core, &mut cx, group.clone(), 2);
        assert_eq!(setting(&cx, b"g", b"x"), Some(Value::Int(2)));
        assert_eq!(setting(&server.invite(), b"g", b"x"), Some(Value::Int(1)));
        cfg_reset(&core, &mut cx, group);
        assert_eq!(setting(&cx, b"g", b"x"), Some(Value::Int(1)));
    }
}
