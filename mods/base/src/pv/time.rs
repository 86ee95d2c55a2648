//! Time: `$Ts`, `$Tf`, `$TV()`, `$time()`, `$timef()` and their UTC forms.

use std::time::{Duration, SystemTime};

use kahea_module::{Bind, BindError, Cx, Decl, Index, Named, Naming, Str, Value};

use super::{Pv, clock::Calendar};

/// Declares the variables.
pub fn declare(d: &mut Decl<Pv>) {
    d.var(
        "Ts",
        |_, cx, _| seconds(cached(cx)),
        "Seconds since 1970, read once for each message.",
    );
    d.var("TS", |_, cx, _| seconds(now(cx)), "Seconds since 1970, now.");
    d.var(
        "Tf",
        |_, cx, _| date(cached(cx)),
        "Date and time in the server's time zone, read once for each message.",
    );
    d.var(
        "TF",
        |_, cx, _| date(now(cx)),
        "Date and time in the server's time zone, now.",
    );
    d.var(
        "Tb",
        |_, cx, _| seconds(since_epoch(cx.config().shared.started)),
        "Seconds since 1970 when the server started.",
    );
    d.var_named("TV", Naming::Required, Named { parse: Precise::parse, get: precise, set: None, raw: false }, "The time to the microsecond: `s` and `u` once for each message; `sn`, `un`, `Sn` and `Fn` now; `Sm` from the monotonic clock.");
    d.var_named(
        "time",
        Naming::Required,
        part(|_, cx, field, _| field(&local(cx))),
        "A part of the local time: `sec`, `min`, `hour`, `mday`, `mon`, `year`, `wday`, `yday` or `isdst`.",
    );
    d.var_named(
        "utime",
        Naming::Required,
        part(|_, cx, field, _| field(&utc(cx))),
        "A part of the time in UTC: `sec`, `min`, `hour`, `mday`, `mon`, `year`, `wday`, `yday` or `isdst`.",
    );
    d.var_named(
        "timef",
        Naming::Required,
        format(|_, cx, text, _| Value::from(local(cx).format(&text.text()))),
        "The local time in the form of `strftime(3)`.",
    );
    d.var_named(
        "utimef",
        Naming::Required,
        format(|_, cx, text, _| Value::from(utc(cx).format(&text.text()))),
        "The time in UTC in the form of `strftime(3)`.",
    );
}

/// The moment that all cached variables of one message share.
#[derive(Default)]
struct Stamp(Option<Duration>);

fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

fn now(cx: &Cx) -> Duration {
    since_epoch(cx.time())
}

fn cached(cx: &mut Cx) -> Duration {
    let now = now(cx);
    *cx.extra::<Stamp>().0.get_or_insert(now)
}

fn unix(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

fn seconds(time: Duration) -> Value {
    Value::Int(unix(time))
}

fn date(time: Duration) -> Value {
    Value::from(Calendar::local(unix(time)).format("%a %b %e %H:%M:%S %Y"))
}

fn local(cx: &mut Cx) -> Calendar {
    Calendar::local(unix(cached(cx)))
}

fn utc(cx: &mut Cx) -> Calendar {
    Calendar::utc(unix(cached(cx)))
}

/// The forms of `$TV()`.
#[derive(Clone, Copy, Debug)]
enum Precise {
    Seconds,
    Micros,
    SecondsNow,
    MicrosNow,
    TextNow,
    DateNow,
    Monotonic,
}

impl Precise {
    fn parse(name: &str, _: &dyn Bind) -> Result<Precise, BindError> {
        Ok(match name {
            "s" => Precise::Seconds,
            "u" => Precise::Micros,
            "sn" => Precise::SecondsNow,
            "un" => Precise::MicrosNow,
            "Sn" => Precise::TextNow,
            "Fn" => Precise::DateNow,
            "Sm" => Precise::Monotonic,
            _ => {
                return Err(BindError::new(format!("$TV() has no form '{name}'"))
                    .help("use s, u, sn, un, Sn, Fn or Sm"));
            }
        })
    }
}

/// Seconds and microseconds of the last reading, which `$TV(un)` belongs to.
#[derive(Default)]
struct Reading(Duration);

fn precise(_: &Pv, cx: &mut Cx, form: &Precise, _: Index) -> Value {
    let micros = |time: Duration| Value::Int(time.subsec_micros().into());
    let text = |time: Duration| Value::from(format!("{}.{:06}", time.as_secs(), time.subsec_micros()));
    match form {
        Precise::Seconds => seconds(cached(cx)),
        Precise::Micros => micros(cached(cx)),
        Precise::SecondsNow => {
            let now = now(cx);
            cx.extra::<Reading>().0 = now;
            seconds(now)
        }
        Precise::MicrosNow => match cx.extra_ref::<Reading>() {
            Some(reading) => micros(reading.0),
            None => micros(now(cx)),
        },
        Precise::TextNow => text(now(cx)),
        Precise::DateNow => {
            let now = now(cx);
            let date = Calendar::local(unix(now)).format("%Y-%m-%d %H:%M:%S");
            Value::from(format!("{date}.{:06}", now.subsec_micros()))
        }
        Precise::Monotonic => {
            let running = cx
                .worker
                .engine
                .now()
                .saturating_duration_since(cx.config().shared.started_at);
            text(running)
        }
    }
}

type Field = fn(&Calendar) -> Value;

fn part(get: fn(&Pv, &mut Cx, &Field, Index) -> Value) -> Named<Pv, Field> {
    Named {
        parse: field,
        get,
        set: None,
        raw: false,
    }
}

fn field(name: &str, _: &dyn Bind) -> Result<Field, BindError> {
    Ok(match name {
        "sec" => |at| Value::Int(at.second()),
        "min" => |at| Value::Int(at.minute()),
        "hour" => |at| Value::Int(at.hour()),
        "mday" => |at| Value::Int(at.day()),
        "mon" => |at| Value::Int(at.month()),
        "year" => |at| Value::Int(at.year()),
        "wday" => |at| Value::Int(at.weekday()),
        "yday" => |at| Value::Int(at.year_day()),
        "isdst" => |at| Value::Int(at.is_dst()),
        _ => {
            return Err(BindError::new(format!("there is no part '{name}' of the time"))
                .help("use sec, min, hour, mday, mon, year, wday, yday or isdst"));
        }
    })
}

fn format(get: fn(&Pv, &mut Cx, &Str, Index) -> Value) -> Named<Pv, Str> {
    Named {
        parse: |text, _| Ok(Str::from(text)),
        get,
        set: None,
        raw: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kahea_module::testing::{EPOCH_SECONDS, FakeBind, Server};

    #[test]
    fn one_message_has_one_cached_moment() {
        let server = Server::default();
        let mut cx = server.invite();
        let start = i64::try_from(EPOCH_SECONDS).expect("a number");
        assert_eq!(seconds(cached(&mut cx)), Value::Int(start));
        server.engine.advance(Duration::from_millis(2_500));
        assert_eq!(seconds(cached(&mut cx)), Value::Int(start));
        assert_eq!(seconds(now(&cx)), Value::Int(start + 2));
        assert_eq!(
            precise(&Pv::default(), &mut cx, &Precise::TextNow, Index::None),
            Value::from(format!("{}.500000", start + 2))
        );
        assert_eq!(
            precise(&Pv::default(), &mut cx, &Precise::Monotonic, Index::None),
            Value::from("2.500000")
        );
    }

    #[test]
    fn parts_have_kamailios_ranges() {
        let mut cx = Server::default().invite();
        let mut get = |name: &str| field(name, &FakeBind::default()).expect("a part")(&utc(&mut cx));
        assert_eq!(get("mon"), Value::Int(1));
        assert_eq!(get("wday"), Value::Int(5));
        assert_eq!(get("yday"), Value::Int(1));
        assert!(field("century", &FakeBind::default()).is_err());
    }
}
