//! The figures of the script: what is defined, and the values by labels.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use kahea_module::{BindError, Fault, InitError, Str};
use parking_lot::Mutex;

/// Combinations of labels that one name may have: callers can put anything into a label.
const MOST_SERIES: usize = 10_000;
/// Labels of a name.
const MOST_LABELS: usize = 3;
/// The buckets of a histogram that names none.
const USUAL_BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// What a name counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Values by size.
    Histogram,
}

/// One `prom_counter`, `prom_gauge` or `prom_histogram`.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// The names of its labels.
    pub labels: Vec<String>,
    /// The upper bounds of its buckets, rising, without the infinite one.
    pub buckets: Vec<f64>,
}

impl Definition {
    /// Reads `name=NAME; label=A:B; buckets=1:2`.
    ///
    /// # Errors
    /// The name is missing, there are too many labels, or buckets do not rise.
    pub fn read(kind: Kind, text: &str) -> Result<Definition, BindError> {
        let mut own = Definition {
            kind,
            name: String::new(),
            labels: Vec::new(),
            buckets: Vec::new(),
        };
        for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            let (key, value) = part
                .split_once('=')
                .map(|(key, value)| (key.trim(), value.trim()))
                .ok_or_else(|| BindError::new(format!("{part} is not of the form attribute=value")))?;
            match key {
                "name" if name(value) => own.name = value.to_owned(),
                "label" if own.labels.is_empty() => own.labels = labels(value)?,
                "buckets" if kind == Kind::Histogram && own.buckets.is_empty() => {
                    own.buckets = buckets(value)?
                }
                _ => {
                    let help = "name=NAME; label=A:B:C, and buckets=1:2:3 for histograms, each once";
                    return Err(BindError::new(format!("{part} has no place here")).help(help));
                }
            }
        }
        if own.name.is_empty() {
            return Err(BindError::new("the definition has no name"));
        }
        if kind == Kind::Histogram && own.buckets.is_empty() {
            own.buckets = USUAL_BUCKETS.to_vec();
        }
        Ok(own)
    }
}

/// What Prometheus takes for a name.
fn name(text: &str) -> bool {
    let mark = |one: char| one.is_ascii_alphanumeric() || matches!(one, '_' | ':');
    !text.is_empty() && text.chars().all(mark)
}

fn labels(text: &str) -> Result<Vec<String>, BindError> {
    let all: Vec<String> = text.split(':').map(|one| one.trim().to_owned()).collect();
    if all.len() > MOST_LABELS || !all.iter().all(|label| name(label)) {
        return Err(BindError::new(format!(
            "{text} is no list of one to three labels"
        )));
    }
    Ok(all)
}

fn buckets(text: &str) -> Result<Vec<f64>, BindError> {
    let all = text
        .split(':')
        .map(|one| one.trim().parse::<f64>().ok().filter(|bound| bound.is_finite()));
    let all: Option<Vec<f64>> = all.collect();
    let rises = |all: &Vec<f64>| all.windows(2).all(|pair| matches!(pair, [a, b] if a < b));
    all.filter(rises)
        .ok_or_else(|| BindError::new(format!("{text} is no list of rising numbers")))
}

/// What one combination of labels holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Figure {
    /// Of a counter.
    Count(u64),
    /// Of a gauge.
    Level(f64),
    /// Of a histogram: by bucket, the infinite one last, and the sum.
    Spread(Vec<u64>, f64),
}

/// A combination of labels.
#[derive(Clone, Debug)]
pub struct Series {
    /// The values of the labels.
    pub labels: Vec<Str>,
    /// Its figure.
    pub figure: Figure,
    /// When it was changed, since 1970.
    pub changed: Duration,
    /// Counts combinations, for their order.
    number: u64,
}

/// All combinations of one name.
#[derive(Default)]
struct Table {
    series: HashMap<Vec<Str>, Series>,
    next: u64,
}

/// The tables of all names: what a reload hands on to definitions that stayed the same.
#[derive(Default)]
pub struct Kept(Mutex<HashMap<String, (Definition, Arc<Mutex<Table>>)>>);

impl Kept {
    fn table(&self, definition: &Definition) -> Arc<Mutex<Table>> {
        let mut all = self.0.lock();
        match all.get(&definition.name) {
            Some((known, table)) if known == definition => table.clone(),
            _ => {
                let table = Arc::<Mutex<Table>>::default();
                all.insert(definition.name.clone(), (definition.clone(), table.clone()));
                table
            }
        }
    }
}

/// The figures of the script.
pub struct Metrics {
    all: Vec<(Definition, Arc<Mutex<Table>>)>,
    /// `None` keeps figures for ever.
    life: Option<Duration>,
}

/// A change of a figure.
#[derive(Clone, Copy, Debug)]
pub enum Change {
    /// Adds to a counter.
    Count(u64),
    /// Sets a gauge.
    Set(f64),
    /// Adds to a gauge.
    Move(f64),
    /// Counts a value of a histogram.
    Observe(f64),
    /// Sets a counter to 0.
    ResetCount,
    /// Sets a gauge to 0.
    ResetLevel,
}

impl Change {
    fn kind(self) -> Kind {
        match self {
            Change::Count(_) | Change::ResetCount => Kind::Counter,
            Change::Set(_) | Change::Move(_) | Change::ResetLevel => Kind::Gauge,
            Change::Observe(_) => Kind::Histogram,
        }
    }
}

impl Metrics {
    /// With figures that outlived a reload.
    ///
    /// # Errors
    /// A name is defined twice.
    pub fn new(definitions: Vec<Definition>, minutes: u64, kept: &Kept) -> Result<Metrics, InitError> {
        for (at, one) in definitions.iter().enumerate() {
            if definitions
                .iter()
                .skip(at.saturating_add(1))
                .any(|other| other.name == one.name)
            {
                return Err(InitError::new(format!("{} is defined twice", one.name)));
            }
        }
        let all = definitions
            .into_iter()
            .map(|definition| {
                let table = kept.table(&definition);
                (definition, table)
            })
            .collect();
        Ok(Metrics {
            all,
            life: (minutes > 0).then(|| Duration::from_secs(minutes.saturating_mul(60))),
        })
    }

    /// Changes a figure, which is made where it is new.
    ///
    /// # Errors
    /// There is no such name of that kind with so many labels, or there are too many combinations.
    pub fn change(&self, name: &[u8], labels: &[Str], change: Change, now: SystemTime) -> Result<(), Fault> {
        let found = self.all.iter().find(|(definition, _)| {
            definition.name.as_bytes() == name
                && definition.kind == change.kind()
                && definition.labels.len() == labels.len()
        });
        let Some((definition, table)) = found else {
            let name = String::from_utf8_lossy(name);
            let (kind, count) = (change.kind(), labels.len());
            return Err(Fault::script(format!(
                "no {kind:?} {name} with {count} labels is defined"
            )));
        };
        let changed = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        table.lock().change(definition, labels, change, changed)
    }

    /// Everything, in the order of definition and first use.
    pub fn snapshot(&self) -> impl Iterator<Item = (&Definition, Vec<Series>)> {
        self.all.iter().map(|(definition, table)| {
            let mut all: Vec<Series> = table.lock().series.values().cloned().collect();
            all.sort_by_key(|series| series.number);
            (definition, all)
        })
    }

    /// Nothing is defined.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Forgets what was not changed for long.
    pub fn forget_unused(&self, now: SystemTime) {
        let Some(life) = self.life else { return };
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        for (_, table) in &self.all {
            table
                .lock()
                .series
                .retain(|_, series| now.saturating_sub(series.changed) < life);
        }
    }
}

impl Table {
    fn change(
        &mut self,
        of: &Definition,
        labels: &[Str],
        change: Change,
        now: Duration,
    ) -> Result<(), Fault> {
        if let Some(series) = self.series.get_mut(labels) {
            series.changed = now;
            series.figure.apply(&of.buckets, change);
            return Ok(());
        }
        if self.series.len() >= MOST_SERIES {
            return Err(Fault::limit(format!(
                "{} has {MOST_SERIES} combinations of labels",
                of.name
            )));
        }
        let mut figure = match of.kind {
            Kind::Counter => Figure::Count(0),
            Kind::Gauge => Figure::Level(0.0),
            Kind::Histogram => Figure::Spread(vec![0; of.buckets.len().saturating_add(1)], 0.0),
        };
        figure.apply(&of.buckets, change);
        // Messages share their buffers: a label must not keep one alive.
        let labels: Vec<Str> = labels.iter().map(|label| Str::copy(label)).collect();
        self.next = self.next.saturating_add(1);
        let series = Series {
            labels: labels.clone(),
            figure,
            changed: now,
            number: self.next,
        };
        self.series.insert(labels, series);
        Ok(())
    }
}

impl Figure {
    fn apply(&mut self, bounds: &[f64], change: Change) {
        match (self, change) {
            (Figure::Count(count), Change::Count(more)) => *count = count.saturating_add(more),
            (Figure::Count(count), Change::ResetCount) => *count = 0,
            (Figure::Level(level), Change::Set(value)) => *level = value,
            (Figure::Level(level), Change::Move(by)) => *level += by,
            (Figure::Level(level), Change::ResetLevel) => *level = 0.0,
            (Figure::Spread(counts, sum), Change::Observe(value)) => {
                let at = bounds.partition_point(|bound| *bound < value);
                if let Some(count) = counts.get_mut(at) {
                    *count = count.saturating_add(1);
                }
                *sum += value;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics() -> Metrics {
        let definitions = vec![
            Definition::read(Kind::Counter, "name=c; label=a:b").expect("a counter"),
            Definition::read(Kind::Histogram, "name=h; buckets=1:2.5;").expect("a histogram"),
        ];
        Metrics::new(definitions, 1, &Kept::default()).expect("figures")
    }

    #[test]
    fn definitions_are_checked() {
        let read = |text: &str| Definition::read(Kind::Histogram, text);
        assert_eq!(read("name=h;").map(|own| own.buckets.len()), Ok(11));
        for wrong in [
            "",
            "label=a",
            "name=a; label=a:b:c:d",
            "name=a b",
            "name=h; buckets=2:1",
            "name=h; buckets=x",
            "h",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert!(Definition::read(Kind::Counter, "name=c; buckets=1").is_err());
        let twice = vec![Definition::read(Kind::Gauge, "name=g").expect("a gauge"); 2];
        assert!(Metrics::new(twice, 1, &Kept::default()).is_err());
    }

    #[test]
    fn figures_belong_to_their_labels_and_are_forgotten() {
        let own = metrics();
        let now = UNIX_EPOCH + Duration::from_secs(1000);
        let labels = ["x".into(), "y".into()];
        assert!(own.change(b"c", &labels, Change::Count(3), now).is_ok());
        assert!(own.change(b"c", &labels, Change::Count(4), now).is_ok());
        assert!(own.change(b"c", &labels[..1], Change::Count(4), now).is_err());
        assert!(own.change(b"c", &labels, Change::Set(4.0), now).is_err());
        for value in [0.5, 1.0, 2.0, 9.0] {
            own.change(b"h", &[], Change::Observe(value), now)
                .expect("a histogram");
        }
        let all: Vec<Figure> = own
            .snapshot()
            .flat_map(|(_, all)| all)
            .map(|series| series.figure)
            .collect();
        assert_eq!(all, [Figure::Count(7), Figure::Spread(vec![2, 1, 1], 12.5)]);
        own.forget_unused(now + Duration::from_secs(59));
        assert_eq!(own.snapshot().flat_map(|(_, all)| all).count(), 2);
        own.forget_unused(now + Duration::from_secs(60));
        assert_eq!(own.snapshot().flat_map(|(_, all)| all).count(), 0);
    }

    #[test]
    fn labels_of_callers_do_not_fill_the_memory() {
        let own = metrics();
        let add = |n: usize| {
            let labels = [Str::from(n.to_string()), Str::EMPTY];
            own.change(b"c", &labels, Change::Count(1), UNIX_EPOCH)
        };
        assert!((0..MOST_SERIES).all(|n| add(n).is_ok()));
        assert!(add(MOST_SERIES).is_err() && add(0).is_ok());
    }
}
