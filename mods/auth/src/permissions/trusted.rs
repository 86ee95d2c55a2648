//! `allow_trusted()`: requests that need no password, by source address, transport and expressions.

use std::{collections::HashMap, sync::Arc};

use arc_swap::ArcSwap;
use kahea_db::{Database, Query, Row, Rows, TableVersion, check_table};
use kahea_module::{Cx, Env, Fault, InitError, Regex, Ret, Str, Var, log, log::Level};
use kahea_sip::Transport;

use super::{Permissions, addresses::leave_tag, params::Params};

/// The layout of the table `trusted` that this module reads.
const VERSION: i64 = 6;

/// The transports that a rule is for, or that a script asks about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Any,
    Only(Transport),
    /// Matches nothing.
    None,
}

impl Protocol {
    fn parse(text: &[u8]) -> Option<Protocol> {
        let known: [(&str, Protocol); 8] = [
            ("any", Protocol::Any),
            ("udp", Protocol::Only(Transport::Udp)),
            ("tcp", Protocol::Only(Transport::Tcp)),
            ("tls", Protocol::Only(Transport::Tls)),
            ("sctp", Protocol::Only(Transport::Sctp)),
            ("ws", Protocol::Only(Transport::Ws)),
            ("wss", Protocol::Only(Transport::Wss)),
            ("none", Protocol::None),
        ];
        let mut known = known.into_iter();
        known
            .find(|(name, _)| text.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, protocol)| protocol)
    }

    /// The rule is for what is asked about.
    fn covers(self, asked: Protocol) -> bool {
        self != Protocol::None
            && asked != Protocol::None
            && (self == Protocol::Any || asked == Protocol::Any || self == asked)
    }
}

/// A row.
struct Rule {
    protocol: Protocol,
    from: Option<Regex>,
    ruri: Option<Regex>,
    tag: Option<Str>,
    priority: i64,
}

impl Rule {
    /// From the columns behind the address.
    fn read(row: &[kahea_db::Value]) -> Result<Rule, String> {
        let [protocol, from, ruri, tag, priority] = row else {
            return Err("the row has too few columns".to_owned());
        };
        let name = protocol.text().unwrap_or_default();
        let pattern = |value: &kahea_db::Value| {
            let pattern = value.text().filter(|pattern| !pattern.is_empty());
            pattern
                .map(|pattern| Regex::new(&pattern).map_err(|error| error.to_string()))
                .transpose()
        };
        Ok(Rule {
            protocol: Protocol::parse(name.trim_ascii()).ok_or_else(|| {
                format!("'{name}' is no transport: write any, udp, tcp, tls, sctp, ws, wss or none")
            })?,
            from: pattern(from)?,
            ruri: pattern(ruri)?,
            tag: tag.text().filter(|tag| !tag.is_empty()),
            priority: priority.int().unwrap_or(0),
        })
    }
}

/// Rules by source address, those of the highest priority first.
#[derive(Default)]
pub(super) struct Cache(HashMap<Str, Vec<Rule>>);

impl Cache {
    /// # Errors
    /// A rule of an unknown transport. One whose expression cannot be read is passed over: it trusts nobody.
    fn read(rows: &Rows) -> Result<Cache, String> {
        let mut cache = Cache::default();
        for row in &rows.rows {
            let Some((source, rest)) = row.split_first() else {
                continue;
            };
            let source = source.text().unwrap_or_default();
            match Rule::read(rest) {
                Ok(rule) => cache.0.entry(source).or_default().push(rule),
                Err(why) if why.contains("no transport") => return Err(why),
                Err(why) => tell(&source, &why),
            }
        }
        for rules in cache.0.values_mut() {
            rules.sort_by_key(|rule| std::cmp::Reverse(rule.priority));
        }
        Ok(cache)
    }

    /// Every rule, for `permissions.trustedDump`.
    pub(super) fn dump(&self) -> Vec<[Str; 5]> {
        let mut all: Vec<(&Str, &Rule)> = self
            .0
            .iter()
            .flat_map(|(source, rules)| rules.iter().map(move |rule| (source, rule)))
            .collect();
        all.sort_by_key(|(source, rule)| ((*source).as_bytes().to_vec(), std::cmp::Reverse(rule.priority)));
        let shown = |text: Option<Str>| text.unwrap_or_else(|| Str::from_static("NULL"));
        let pattern = |regex: &Option<Regex>| shown(regex.as_ref().map(|regex| Str::copy(regex.pattern())));
        let lines = all.into_iter().map(|(source, rule)| {
            let tag = shown(rule.tag.clone());
            [
                source.clone(),
                protocol_text(rule.protocol),
                pattern(&rule.from),
                pattern(&rule.ruri),
                tag,
            ]
        });
        lines.collect()
    }
}

fn protocol_text(protocol: Protocol) -> Str {
    match protocol {
        Protocol::Any => Str::from_static("any"),
        Protocol::None => Str::from_static("none"),
        Protocol::Only(transport) => Str::from(transport.to_string().to_ascii_lowercase()),
    }
}

fn tell(source: &Str, why: &str) {
    log::write(
        Level::Error,
        "permissions",
        format_args!("a trusted rule of {source} is passed over: {why}"),
    );
}

/// How the rules are had.
enum Mode {
    Off,
    Cached(ArcSwap<Cache>),
    /// The database is asked for every request (`db_mode=0`).
    Asked,
}

/// The trusted sources of this configuration.
pub(super) struct Trusted {
    mode: Mode,
    access: Option<Access>,
    all_tags: bool,
    peer_tag: Option<Var>,
}

struct Access {
    database: Database,
    all: Arc<Query>,
    of_source: Arc<Query>,
}

/// What a request shows.
struct Asked {
    source: Str,
    protocol: Protocol,
    from: Str,
}

impl Trusted {
    /// # Errors
    /// The table cannot be read, or has another layout, or a rule is of an unknown transport.
    pub(super) fn load(params: &Params, env: &Env<'_>, peer_tag: Option<Var>) -> Result<Trusted, InitError> {
        let access = match &params.db_url {
            Some(url) if params.loads(Params::TRUSTED) => Some(access(params, env, &url.text())?),
            _ => None,
        };
        let mode = match &access {
            None => Mode::Off,
            Some(_) if params.db_mode == 0 => Mode::Asked,
            Some(access) => {
                let rows = access.database.run_blocking(&access.all, Vec::new());
                let rows = rows.map_err(|error| error.to_string());
                let cache = rows.and_then(|rows| Cache::read(&rows)).map_err(|error| {
                    let (url, table) = (access.database.url(), &params.trusted_table);
                    InitError::new(format!("{url}: table {table} cannot be used: {error}"))
                })?;
                Mode::Cached(ArcSwap::from_pointee(cache))
            }
        };
        Ok(Trusted {
            mode,
            access,
            all_tags: params.peer_tag_mode != 0,
            peer_tag,
        })
    }

    /// The rules in memory; `None` where there are none.
    pub(super) fn cache(&self) -> Option<Arc<Cache>> {
        match &self.mode {
            Mode::Cached(cache) => Some(cache.load_full()),
            Mode::Off | Mode::Asked => None,
        }
    }

    /// Loads the rules anew and exchanges them at once; where that fails the old ones stay.
    pub(super) async fn reload(&self) -> Result<(), String> {
        let (Mode::Cached(cache), Some(access)) = (&self.mode, &self.access) else {
            return Err("the trusted table is not kept in memory: set db_url and db_mode=1".to_owned());
        };
        let rows = access.database.run(&access.all, Vec::new()).await;
        cache.store(Arc::new(Cache::read(&rows.map_err(|error| error.to_string())?)?));
        Ok(())
    }

    /// The tags of the rules that match: of all, or of the first.
    fn matching<'r>(
        &self,
        cx: &Cx,
        asked: &Asked,
        rules: impl Iterator<Item = &'r Rule>,
    ) -> Vec<Option<Str>> {
        let ruri = cx.ruri();
        let fits =
            |regex: &Option<Regex>, text: &[u8]| regex.as_ref().is_none_or(|regex| regex.is_match(text));
        let matching = rules.filter(|rule| {
            rule.protocol.covers(asked.protocol) && fits(&rule.from, &asked.from) && fits(&rule.ruri, &ruri)
        });
        let most = if self.all_tags { usize::MAX } else { 1 };
        matching.take(most).map(|rule| rule.tag.clone()).collect()
    }

    /// Leaves the tags; true, or with `peer_tag_mode` 1 the number of rules.
    fn accept(&self, cx: &mut Cx, tags: Vec<Option<Str>>) -> Ret {
        let count = i64::try_from(tags.len()).unwrap_or(i64::MAX);
        for tag in tags {
            if let Err(fault) = leave_tag(self.peer_tag.as_ref(), cx, tag) {
                return fault.into();
            }
        }
        if count == 0 { Ret::FALSE } else { count.into() }
    }

    async fn ask(&self, cx: &mut Cx, asked: Asked) -> Ret {
        let Some(access) = &self.access else {
            return Ret::FALSE;
        };
        let values = vec![kahea_db::Value::Text(asked.source.clone())];
        let rows = match access.database.run(&access.of_source, values).await {
            Ok(rows) => rows,
            Err(error) => return Fault::backend(format!("{}: {error}", access.database.url())).into(),
        };
        let rules: Vec<Rule> = rows
            .rows
            .iter()
            .filter_map(|row: &Row| match Rule::read(row) {
                Ok(rule) => Some(rule),
                Err(why) => {
                    tell(&asked.source, &why);
                    None
                }
            })
            .collect();
        let tags = self.matching(cx, &asked, rules.iter());
        self.accept(cx, tags)
    }
}

fn access(params: &Params, env: &Env<'_>, url: &str) -> Result<Access, InitError> {
    let database = Database::open(env, url)?;
    let table = params.trusted_table.text();
    check_table(
        &database,
        TableVersion {
            versions: &env.globals.version_table.text(),
            table: &table,
            accepted: &[VERSION],
        },
    )?;
    let source = params.source_col.text();
    let [protocol, from, ruri, tag, priority] = [
        &params.proto_col,
        &params.from_col,
        &params.ruri_col,
        &params.tag_col,
        &params.priority_col,
    ]
    .map(Str::text);
    let rest: [&str; 5] = [&protocol, &from, &ruri, &tag, &priority];
    let mut all: Vec<&str> = vec![&source];
    all.extend(rest);
    Ok(Access {
        database,
        all: Query::select(&table, &all).build(),
        of_source: Query::select(&table, &rest)
            .when_eq(&source)
            .order_by(&priority)
            .build(),
    })
}

/// Decides about a request.
fn decide(m: &Permissions, cx: &mut Cx, asked: Asked) -> Ret {
    match &m.trusted.mode {
        Mode::Off => {
            Fault::script("allow_trusted() has no rules: set db_url, and let load_backends include 2").into()
        }
        Mode::Cached(cache) => {
            let cache = cache.load();
            let rules = cache.0.get(&asked.source).map_or(&[][..], |rules| rules);
            let tags = m.trusted.matching(cx, &asked, rules.iter());
            m.trusted.accept(cx, tags)
        }
        Mode::Asked => {
            let trusted = m.trusted.clone();
            Ret::wait(move |cx| Box::pin(async move { trusted.ask(cx, asked).await }))
        }
    }
}

fn from_uri(cx: &Cx) -> Result<Str, Fault> {
    cx.from().map(|from| Str::copy(from.uri))
}

pub(super) fn allow_trusted(m: &Permissions, cx: &mut Cx) -> Ret {
    let asked = from_uri(cx).map(|from| Asked {
        source: Str::from(cx.received.source.ip().to_string()),
        protocol: Protocol::Only(cx.received.transport),
        from,
    });
    match asked {
        Ok(asked) => decide(m, cx, asked),
        Err(fault) => fault.into(),
    }
}

pub(super) fn allow_trusted_source(
    m: &Permissions,
    cx: &mut Cx,
    source: Str,
    protocol: Str,
    from: Option<Str>,
) -> Ret {
    let Some(protocol) = Protocol::parse(&protocol) else {
        return Fault::script(format!("'{protocol}' is no transport that allow_trusted() knows")).into();
    };
    match from.map_or_else(|| from_uri(cx), Ok) {
        Ok(from) => decide(
            m,
            cx,
            Asked {
                source,
                protocol,
                from,
            },
        ),
        Err(fault) => fault.into(),
    }
}

#[cfg(test)]
mod tests {
    use kahea_db::Value;

    use super::*;

    fn rows(rows: &[[&str; 6]]) -> Rows {
        Rows::from(
            rows.iter()
                .map(|row| row.iter().map(|text| Value::from(*text)).collect())
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn protocols() {
        let covers = |rule: &str, asked: &str| {
            Protocol::parse(rule.as_bytes())
                .unwrap()
                .covers(Protocol::parse(asked.as_bytes()).unwrap())
        };
        assert!(covers("ANY", "udp") && covers("tcp", "TCP") && covers("tcp", "any"));
        assert!(
            !covers("none", "udp")
                && !covers("none", "any")
                && !covers("ws", "wss")
                && !covers("any", "none")
        );
        assert_eq!(Protocol::parse(b"foo"), None);
    }

    #[test]
    fn the_highest_priority_comes_first_and_bad_rules_trust_nobody() {
        let cache = Cache::read(&rows(&[
            ["1.1.1.1", "any", "", "", "low", "0"],
            ["1.1.1.1", "udp", "^sip:a", "", "high", "5"],
            ["1.1.1.1", "any", "(", "", "bad", "9"],
        ]))
        .unwrap();
        let tags: Vec<String> = cache
            .dump()
            .into_iter()
            .map(|[_, _, _, _, tag]| tag.text().into_owned())
            .collect();
        assert_eq!(tags, ["high", "low"]);
        assert!(Cache::read(&rows(&[["1.1.1.1", "foo", "", "", "", "0"]])).is_err());
    }
}
