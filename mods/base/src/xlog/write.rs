//! Puts a line together and hands it to the log.

use kahea_module::{
    Cx, Fault,
    log::{Level, Line, emit, shows, worker},
};

use super::{
    Xlog,
    arg::{Facility, Text},
};

impl Xlog {
    /// Writes a line where its level is shown; nothing of it is evaluated otherwise.
    pub(super) fn write(
        &self,
        cx: &mut Cx,
        level: Level,
        facility: Option<Facility>,
        text: &Text,
        place: bool,
    ) -> Result<bool, Fault> {
        if !shows(level) {
            return Ok(true);
        }
        let mut out = Vec::with_capacity(128);
        self.prefix.push_to(cx, &mut out);
        if place {
            self.push_place(cx, &mut out);
        }
        let start = out.len();
        text.0.push_to(cx, &mut out);
        if out.len().saturating_sub(start) > self.buf_size {
            return Err(Fault::script(format!(
                "the text of the line is longer than {} bytes: raise the parameter buf_size of xlog",
                self.buf_size
            )));
        }
        if self.auto_newline {
            out.push(b'\n');
        }
        let origin = cx.place();
        emit(&Line {
            level,
            facility: facility.or(self.facility).map(|facility| facility.0),
            module: "",
            prefix: b"",
            place: origin.as_ref().map(|place| (&*place.file, place.line)),
            text: &out,
            script: true,
            worker: worker(),
        });
        Ok(true)
    }

    /// `file:line:` of the call; nothing outside of native scripts.
    fn push_place(&self, cx: &Cx, out: &mut Vec<u8>) {
        let Some(place) = cx.place() else {
            return;
        };
        if self.long_format {
            out.extend_from_slice(&place.file);
            out.push(b':');
        }
        out.extend_from_slice(place.line.to_string().as_bytes());
        out.push(b':');
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, OnceLock};

    use kahea_module::{
        Format, RouteId, Str, Var,
        log::{Sink, set_level, set_sink},
        route::ScriptStep,
        testing::Server,
    };

    use super::*;

    type Written = (Level, Option<i32>, Str);

    /// The process has one log: the tests of this file share it and look for their own texts.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<Written>>>);

    impl Sink for Kept {
        fn write(&self, line: &Line<'_>) {
            self.0
                .lock()
                .unwrap()
                .push((line.level, line.facility, Str::copy(line.text)));
        }
    }

    fn log() -> &'static Kept {
        static LOG: OnceLock<Kept> = OnceLock::new();
        LOG.get_or_init(|| {
            let kept = Kept::default();
            set_sink(Box::new(kept.clone()));
            set_level(2);
            kept
        })
    }

    fn module() -> Xlog {
        Xlog {
            buf_size: 20,
            prefix: Format::constant("<script>: "),
            long_format: true,
            auto_newline: true,
            facility: Some(Facility(8)),
            force_color: false,
            settings: super::super::Filter,
        }
    }

    fn text(text: &str) -> Text {
        Text(Format::constant(text))
    }

    #[test]
    fn a_line_has_prefix_place_text_and_newline() {
        let kept = log();
        let mut cx = Server::default().invite();
        cx.step = ScriptStep {
            route: RouteId(0),
            at: 21,
        };
        assert_eq!(
            module().write(&mut cx, Level::Info, None, &text("hello"), true),
            Ok(true)
        );
        let line = (
            Level::Info,
            Some(8),
            Str::from("<script>: kamailio.cfg:21:hello\n"),
        );
        assert!(kept.0.lock().unwrap().contains(&line));
    }

    #[test]
    fn a_long_text_is_refused_and_a_hidden_one_not_even_evaluated() {
        log();
        let mut cx = Server::default().invite();
        let long = text("123456789012345678901");
        assert!(module().write(&mut cx, Level::Error, None, &long, false).is_err());
        let bomb = Var::new(Str::EMPTY, |_| panic!("evaluated"), None);
        let hidden = Text(Format::new(vec![kahea_module::Piece::Var(bomb)]));
        assert_eq!(
            module().write(&mut cx, Level::Debug, None, &hidden, false),
            Ok(true)
        );
    }
}
