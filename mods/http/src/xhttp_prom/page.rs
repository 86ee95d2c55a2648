//! The text format of Prometheus (version 0.0.4).

use std::{
    fmt::Write as _,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use kahea_module::{Fault, Str, config::Shared};

use super::metrics::{Figure, Kind, Metrics, Series};

/// Which statistics of the server are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// None.
    Nothing,
    /// All.
    All,
    /// Those of a group.
    Group(String),
    /// One.
    One(String),
}

impl Choice {
    /// `xhttp_prom_stats`.
    pub fn read(text: &str) -> Choice {
        match text.trim() {
            "" => Choice::Nothing,
            "all" => Choice::All,
            text => match text.strip_suffix(':') {
                Some(group) => Choice::Group(group.to_owned()),
                None => Choice::One(text.to_owned()),
            },
        }
    }
}

/// How times are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamps {
    /// Milliseconds since 1970.
    Millis,
    /// Seconds since 1970.
    Seconds,
    /// Not at all.
    Nothing,
}

impl Stamps {
    /// `timestamp_format`.
    pub fn read(text: &Str) -> Option<Stamps> {
        match text.as_bytes() {
            b"ms" => Some(Stamps::Millis),
            b"s" | b"sec" => Some(Stamps::Seconds),
            b"none" | b"" => Some(Stamps::Nothing),
            _ => None,
        }
    }
}

/// What the page looks like.
pub struct Style {
    /// What names begin with.
    pub beginning: String,
    /// Labels of every figure, without braces.
    pub tags: String,
    /// How times are written.
    pub stamps: Stamps,
    /// Types are written.
    pub metadata: bool,
    /// The statistics.
    pub choice: Choice,
    /// The uptime.
    pub uptime: bool,
    /// The most bytes; 0 without a limit.
    pub most: usize,
}

/// The script's figures.
pub fn own(metrics: &Metrics, style: &Style) -> String {
    let mut page = Page {
        out: String::new(),
        style,
    };
    page.own(metrics);
    page.out
}

/// Everything.
///
/// # Errors
/// The statistic that is asked for is not there, or the page is too long.
pub fn whole(metrics: &Metrics, style: &Style, shared: &Shared, now: SystemTime) -> Result<String, Fault> {
    let mut page = Page {
        out: String::new(),
        style,
    };
    page.own(metrics);
    page.statistics(shared, now)?;
    if style.most > 0 && page.out.len() > style.most {
        return Err(Fault::limit("the answer is longer than xhttp_prom_buf_size"));
    }
    Ok(page.out)
}

struct Page<'a> {
    out: String,
    style: &'a Style,
}

impl Page<'_> {
    fn own(&mut self, metrics: &Metrics) {
        let none = if metrics.is_empty() { "NO " } else { "" };
        let _ = writeln!(self.out, "# {none}User defined metrics");
        for (definition, all) in metrics.snapshot() {
            if !all.is_empty() {
                let kind = match definition.kind {
                    Kind::Counter => "counter",
                    Kind::Gauge => "gauge",
                    Kind::Histogram => "histogram",
                };
                self.kind(&definition.name, kind);
            }
            for series in &all {
                self.series(&definition.name, &definition.labels, &definition.buckets, series);
            }
        }
    }

    fn kind(&mut self, name: &str, kind: &str) {
        if self.style.metadata {
            let _ = writeln!(self.out, "# TYPE {}{name} {kind}", self.style.beginning);
        }
    }

    fn series(&mut self, name: &str, names: &[String], bounds: &[f64], series: &Series) {
        let labels: Vec<String> = names
            .iter()
            .zip(&series.labels)
            .map(|(name, value)| format!("{name}=\"{}\"", escaped(&value.text())))
            .collect();
        match &series.figure {
            Figure::Count(count) => self.line(name, &labels, &count.to_string(), series.changed),
            Figure::Level(level) => self.line(name, &labels, &format!("{level:.6}"), series.changed),
            Figure::Spread(counts, sum) => {
                let mut below = 0u64;
                let bounds = bounds.iter().map(|bound| format!("{bound:.6}"));
                for (bound, count) in bounds.chain(["+Inf".to_owned()]).zip(counts) {
                    below = below.saturating_add(*count);
                    let mut labels = labels.clone();
                    labels.push(format!("le=\"{bound}\""));
                    self.line(
                        &format!("{name}_bucket"),
                        &labels,
                        &below.to_string(),
                        series.changed,
                    );
                }
                self.line(
                    &format!("{name}_sum"),
                    &labels,
                    &format!("{sum:.6}"),
                    series.changed,
                );
                self.line(
                    &format!("{name}_count"),
                    &labels,
                    &below.to_string(),
                    series.changed,
                );
            }
        }
    }

    fn line(&mut self, name: &str, labels: &[String], value: &str, at: Duration) {
        let tags = (!self.style.tags.is_empty()).then_some(self.style.tags.as_str());
        let all: Vec<&str> = tags
            .into_iter()
            .chain(labels.iter().map(String::as_str))
            .collect();
        let _ = write!(self.out, "{}{name}", self.style.beginning);
        if !all.is_empty() {
            let _ = write!(self.out, "{{{}}}", all.join(", "));
        }
        let _ = match self.style.stamps {
            Stamps::Millis => writeln!(self.out, " {value} {}", at.as_millis()),
            Stamps::Seconds => writeln!(self.out, " {value} {}", at.as_secs()),
            Stamps::Nothing => writeln!(self.out, " {value}"),
        };
    }

    fn statistics(&mut self, shared: &Shared, now: SystemTime) -> Result<(), Fault> {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let stats = &shared.stats;
        match &self.style.choice {
            Choice::Nothing => {}
            Choice::All => {
                self.out.push_str("\n# Kamailio whole internal statistics\n");
                for group in stats.groups() {
                    self.group(shared, &group.text(), since);
                }
            }
            Choice::Group(group) => {
                let _ = writeln!(self.out, "\n# Kamailio statistics for group: {group}:");
                self.group(shared, group, since);
            }
            Choice::One(name) => {
                let groups = stats.groups();
                let found = groups
                    .iter()
                    .find_map(|group| Some((group, stats.get(group, name.as_bytes())?)));
                let (group, stat) =
                    found.ok_or_else(|| Fault::script(format!("there is no statistic {name}")))?;
                let _ = writeln!(self.out, "\n# Kamailio statistics for: {name}");
                self.stat(&group.text(), name, stat.get(), since);
            }
        }
        if self.style.uptime {
            let up = now.duration_since(shared.started).unwrap_or_default().as_secs();
            self.out.push_str("\n# Kamailio uptime\n");
            self.kind("uptime", "counter");
            self.line("uptime", &[], &up.to_string(), since);
        }
        Ok(())
    }

    fn group(&mut self, shared: &Shared, group: &str, at: Duration) {
        for (name, stat) in shared.stats.group(group.as_bytes()).unwrap_or_default() {
            self.stat(group, &name.text(), stat.get(), at);
        }
    }

    fn stat(&mut self, group: &str, name: &str, value: i64, at: Duration) {
        let name = format!("{group}_{name}").replace(|one: char| !one.is_ascii_alphanumeric(), "_");
        self.kind(&name, "untyped");
        self.line(&name, &[], &value.to_string(), at);
    }
}

/// A label's value between its quotes. Kamailio writes it as it is, which breaks readers.
fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::{
        super::metrics::{Change, Definition, Kept},
        *,
    };

    #[test]
    fn labels_and_tags_stand_in_braces() {
        let histogram = Definition::read(Kind::Histogram, "name=h; label=l; buckets=1").expect("a histogram");
        let metrics = Metrics::new(vec![histogram], 0, &Kept::default()).expect("figures");
        let at = UNIX_EPOCH + Duration::from_millis(12_345);
        metrics
            .change(b"h", &["a\"b\\".into()], Change::Observe(0.5), at)
            .expect("a value");
        let style = Style {
            beginning: "k_".to_owned(),
            tags: "host=\"x\"".to_owned(),
            stamps: Stamps::Seconds,
            metadata: true,
            choice: Choice::Nothing,
            uptime: false,
            most: 0,
        };
        let expected = "# User defined metrics\n# TYPE k_h histogram\n\
            k_h_bucket{host=\"x\", l=\"a\\\"b\\\\\", le=\"1.000000\"} 1 12\n\
            k_h_bucket{host=\"x\", l=\"a\\\"b\\\\\", le=\"+Inf\"} 1 12\n\
            k_h_sum{host=\"x\", l=\"a\\\"b\\\\\"} 0.500000 12\n\
            k_h_count{host=\"x\", l=\"a\\\"b\\\\\"} 1 12\n";
        assert_eq!(own(&metrics, &style), expected);
    }

    #[test]
    fn the_choice_is_read() {
        assert_eq!(Choice::read("sl:"), Choice::Group("sl".to_owned()));
        assert_eq!(Choice::read("200_replies"), Choice::One("200_replies".to_owned()));
        assert_eq!(
            (Choice::read("all"), Choice::read("")),
            (Choice::All, Choice::Nothing)
        );
    }
}
