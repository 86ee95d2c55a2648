//! What an engine tells of the quality of a call, and the variables that take it (`mos_*_pv`).

use std::collections::HashMap;

use kahea_module::{Bind, BindError, Cx, Str, Value as Script, Var};

use super::bencode::Value;

/// Variables by the name of their parameter, as the configuration gives them.
#[derive(Debug, Default)]
pub struct Named(HashMap<&'static str, Var>);

impl Named {
    /// Takes a parameter.
    ///
    /// # Errors
    /// Its value is no variable that can be assigned.
    pub fn set(&mut self, name: &'static str, value: &Script, bind: &dyn Bind) -> Result<(), BindError> {
        let var = bind.var(&value.str_or_empty().text())?;
        if !var.is_writable() && !name.contains("label") {
            return Err(BindError::new(format!("{} cannot be assigned", var.text()))
                .help("name an AVP or a script variable, such as \"$avp(mos)\""));
        }
        self.0.insert(name, var);
        Ok(())
    }

    fn get(&self, name: &str) -> Option<Var> {
        self.0.get(name).cloned()
    }
}

/// All variables, in the order in which they are filled.
#[derive(Debug)]
pub struct Mos {
    sides: Vec<Side>,
}

/// Those of the whole call, or of the side that a label names.
#[derive(Debug)]
struct Side {
    /// `None` for the whole call.
    label: Option<Var>,
    groups: [(Figure, Group); 3],
}

/// Which figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Figure {
    Lowest,
    Highest,
    Average,
}

impl Figure {
    const ALL: [(Figure, &'static str); 3] = [
        (Figure::Lowest, "min"),
        (Figure::Highest, "max"),
        (Figure::Average, "average"),
    ];

    /// The engine's key.
    const fn key(self) -> &'static str {
        match self {
            Figure::Lowest => "lowest MOS",
            Figure::Highest => "highest MOS",
            Figure::Average => "average MOS",
        }
    }
}

#[derive(Debug)]
struct Group {
    mos: Option<Var>,
    at: Option<Var>,
    /// With the engine's key.
    rest: Vec<(&'static str, Var)>,
}

/// The end of a parameter's name, and the engine's key.
const FIELDS: [(&str, &str); 5] = [
    ("_packetloss", "packet loss"),
    ("_jitter", "jitter"),
    ("_roundtrip", "round-trip time"),
    ("_roundtrip_leg", "round-trip time leg"),
    ("_samples", "samples"),
];

impl Mos {
    /// Sorts the variables.
    pub fn of(named: &Named) -> Mos {
        let side = |suffix: &str, label: Option<Var>| Side {
            label,
            groups: Figure::ALL.map(|(figure, name)| (figure, Group::of(named, name, suffix))),
        };
        let mut sides = vec![side("", None)];
        for suffix in ["_A", "_B"] {
            if let Some(label) = named.get(&format!("mos{suffix}_label_pv")) {
                sides.push(side(suffix, Some(label)));
            }
        }
        sides.retain(|side| side.groups.iter().any(|(_, group)| !group.is_empty()));
        Mos { sides }
    }

    /// Fills the variables from the answer to a query or a deletion; those without a figure stay as they are.
    pub fn fill(&self, cx: &mut Cx, answer: &Value) {
        let created = answer.int_of("created").unwrap_or(0);
        for side in &self.sides {
            let streams = match &side.label {
                None => all_streams(answer),
                Some(label) => match label.get(cx).str() {
                    Some(label) => streams_of_label(answer, &label),
                    None => continue,
                },
            };
            for (figure, group) in &side.groups {
                group.fill(cx, *figure, &streams, created);
            }
        }
    }
}

impl Group {
    fn of(named: &Named, name: &str, suffix: &str) -> Group {
        let var = |field: &str| named.get(&format!("mos_{name}{field}{suffix}_pv"));
        let rest = FIELDS.iter().filter_map(|(field, key)| Some((*key, var(field)?)));
        Group {
            mos: var(""),
            at: var("_at"),
            rest: rest.collect(),
        }
    }

    fn is_empty(&self) -> bool {
        self.mos.is_none() && self.at.is_none() && self.rest.is_empty()
    }

    fn fill(&self, cx: &mut Cx, figure: Figure, streams: &[&Value], created: i64) {
        let figures = streams.iter().filter_map(|stream| stream.get(figure.key()));
        let with_mos: Vec<(&Value, i64)> = figures
            .filter_map(|figures| Some((figures, figures.int_of("MOS")?)))
            .collect();
        let chosen = match figure {
            Figure::Lowest => with_mos.iter().min_by_key(|(_, mos)| *mos),
            // Of several the first, as for the lowest.
            Figure::Highest => with_mos.iter().rev().max_by_key(|(_, mos)| *mos),
            Figure::Average => with_mos.first(),
        };
        let Some((figures, mos)) = chosen else { return };
        let value = |key: &str| match figure {
            Figure::Average => mean(with_mos.iter().filter_map(|(figures, _)| figures.int_of(key))),
            _ => figures.int_of(key),
        };
        let mos = match figure {
            Figure::Average => mean(with_mos.iter().map(|(_, mos)| *mos)).unwrap_or(*mos),
            _ => *mos,
        };
        put(
            cx,
            self.mos.as_ref(),
            format!("{}.{}", mos / 10, mos.rem_euclid(10)),
        );
        if let Some(at) = figures.int_of("reported at") {
            let seconds = at.saturating_sub(created);
            put(
                cx,
                self.at.as_ref(),
                format!("{}:{:02}", seconds / 60, seconds.rem_euclid(60)),
            );
        }
        for (key, var) in &self.rest {
            put(cx, Some(var), value(key).unwrap_or(-1).to_string());
        }
    }
}

fn put(cx: &mut Cx, var: Option<&Var>, text: String) {
    if let Some(var) = var
        && let Err(fault) = var.set(cx, Script::from(text))
    {
        kahea_module::error!("rtpengine", "{fault}");
    }
}

fn mean(numbers: impl Iterator<Item = i64>) -> Option<i64> {
    let (sum, count) = numbers.fold((0_i64, 0_i64), |(sum, count), number| {
        (sum.saturating_add(number), count.saturating_add(1))
    });
    sum.checked_div(count)
}

fn all_streams(answer: &Value) -> Vec<&Value> {
    let streams = answer.get("SSRC").map(Value::members).unwrap_or_default();
    streams.iter().map(|(_, stream)| stream).collect()
}

/// The first stream of every media section of the legs with that label: the second one carries RTCP.
fn streams_of_label<'a>(answer: &'a Value, label: &Str) -> Vec<&'a Value> {
    let tags = answer.get("tags").map(Value::members).unwrap_or_default();
    let of_label = tags.iter().filter(|(_, leg)| leg.text_of("label") == Some(label));
    let medias = of_label.flat_map(|(_, leg)| leg.get("medias").map(Value::items).unwrap_or_default());
    let numbers = medias.filter_map(|media| media.get("streams")?.items().first()?.int_of("SSRC"));
    let by_number = |number: i64| answer.get("SSRC")?.get(&number.to_string());
    numbers.filter_map(by_number).collect()
}

/// `$rtpstat`: the totals of an answer, as Kamailio writes them; `None` where it has none.
pub fn totals_text(answer: &Value) -> Option<String> {
    let totals = answer.get("totals")?;
    let (rtp, rtcp) = (totals.get("RTP")?, totals.get("RTCP")?);
    let text = |name: &str, of: &Value| {
        Some(format!(
            "{name}: {} bytes, {} packets, {} errors",
            of.int_of("bytes")?,
            of.int_of("packets")?,
            of.int_of("errors")?
        ))
    };
    Some(format!("{}; {}", text("RTP", rtp)?, text("RTCP", rtcp)?))
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::{FakeBind, Server};

    use super::*;

    fn answer(text: &str) -> Value {
        Value::parse(&Str::from(text)).unwrap()
    }

    #[test]
    fn the_lowest_the_highest_and_the_mean_are_found() {
        let server = Server::new(|config| config.bind = std::sync::Arc::new(FakeBind::default()));
        let mut cx = server.invite();
        let bind = cx.bind();
        let mut named = Named::default();
        for name in [
            "mos_min_pv",
            "mos_min_at_pv",
            "mos_max_pv",
            "mos_average_pv",
            "mos_average_samples_pv",
            "mos_min_jitter_pv",
        ] {
            named
                .set(name, &Script::from(format!("$var({name})")), &*bind)
                .unwrap();
        }
        let stream = |low: i64, high: i64, at: i64| {
            format!(
                "d10:lowest MOSd3:MOSi{low}e11:reported ati{at}ee11:highest MOSd3:MOSi{high}ee11:average MOSd3:MOSi{low}e7:samplesi4eee"
            )
        };
        let text = format!(
            "d7:createdi100e4:SSRCd1:1{}1:2{}ee",
            stream(35, 40, 175),
            stream(20, 44, 165)
        );
        Mos::of(&named).fill(&mut cx, &answer(&text));
        let mut of = |name: &str| {
            bind.var(&format!("$var({name})"))
                .unwrap()
                .get(&mut cx)
                .str_or_empty()
                .to_string()
        };
        assert_eq!(
            (of("mos_min_pv"), of("mos_min_at_pv")),
            ("2.0".into(), "1:05".into())
        );
        assert_eq!(
            (of("mos_max_pv"), of("mos_average_pv")),
            ("4.4".into(), "2.7".into())
        );
        assert_eq!(
            (of("mos_average_samples_pv"), of("mos_min_jitter_pv")),
            ("4".into(), "-1".into())
        );
    }

    #[test]
    fn totals_are_one_line() {
        let text =
            "d6:totalsd3:RTPd5:bytesi1e7:packetsi2e6:errorsi3ee4:RTCPd5:bytesi4e7:packetsi5e6:errorsi6eeee";
        assert_eq!(
            totals_text(&answer(text)).unwrap(),
            "RTP: 1 bytes, 2 packets, 3 errors; RTCP: 4 bytes, 5 packets, 6 errors"
        );
        assert_eq!(totals_text(&answer("d6:totalsdee")), None);
    }
}
