//! Kamailio's command line, read as its getopt does: flags may be grouped, values attached or apart.

use kahea_module::globals::{ListenSpec, truth};

use crate::address;

/// What the command line says about the server.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// `-f`
    pub config: Option<String>,
    /// `-c`
    pub check: bool,
    /// `--cfg-print`
    pub print_config: bool,
    /// `-m`, in megabytes: bounds what queues and caches of the network may hold.
    pub shared_memory: Option<u64>,
    /// `-M`, in megabytes: bounds the values that one message may make.
    pub private_memory: Option<u64>,
    /// `-d` once for each level from 0, or `--debug`.
    pub debug: Option<i64>,
    /// `-E`
    pub stderr: bool,
    /// `-e`
    pub color: bool,
    /// How many `-D`.
    pub foreground: u8,
    /// `-l`
    pub listen: Vec<ListenSpec>,
    /// `--alias` and `--domain`
    pub aliases: Vec<kahea_module::globals::AliasSpec>,
    /// `-a`
    pub auto_aliases: Option<bool>,
    /// `-n`
    pub children: Option<i64>,
    /// `-N`
    pub tcp_children: Option<i64>,
    /// `-b`, in bytes.
    pub receive_buffer: Option<i64>,
    /// `-B`, in bytes.
    pub send_buffer: Option<i64>,
    /// `-K`
    pub check_via: bool,
    /// `-r`
    pub dns: bool,
    /// `-R`
    pub reverse_dns: bool,
    /// `-S`
    pub no_sctp: bool,
    /// `-T`
    pub no_tcp: bool,
    /// `-w`
    pub work_dir: Option<String>,
    /// `-t`
    pub root_dir: Option<String>,
    /// `-Y`
    pub run_dir: Option<String>,
    /// `-u`
    pub user: Option<String>,
    /// `-g`
    pub group: Option<String>,
    /// `-P`
    pub pid_file: Option<String>,
    /// `-G`
    pub group_pid_file: Option<String>,
    /// `-A`
    pub defines: Vec<(String, Option<String>)>,
    /// `--subst`
    pub substs: Vec<String>,
    /// `--substdef`
    pub substdefs: Vec<String>,
    /// `--substdefs`
    pub substdefs_quoted: Vec<String>,
    /// `--loadmodule`
    pub modules: Vec<String>,
    /// `--modparam`: module, parameter, and the value as the script would write it.
    pub params: Vec<(String, String, String)>,
    /// `--log-engine`: the engine and its settings.
    pub log_engine: Option<(String, String)>,
    /// `--server-id`
    pub server_id: Option<i64>,
    /// `--iuid`
    pub iuid: Option<String>,
    /// `--workers`: worker threads, one for each processor otherwise.
    pub workers: Option<usize>,
}

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// To run, check or print a configuration.
    Server(Box<Options>),
    /// `-h`
    Help,
    /// `-v`
    Version,
    /// `-I`
    Internals,
}

/// Short options that take a value, as in Kamailio.
const WITH_VALUE: &str = "fmMbBlLnNWwtugPGQOaAxXY";
/// Short options that take none.
const PLAIN: &str = "cdVIhEevKrRDTS";
/// Long options, and whether they take a value.
const LONG: [(&str, bool); 17] = [
    ("help", false),
    ("version", false),
    ("alias", true),
    ("domain", true),
    ("subst", true),
    ("substdef", true),
    ("substdefs", true),
    ("server-id", true),
    ("loadmodule", true),
    ("modparam", true),
    ("log-engine", true),
    ("debug", true),
    ("cfg-print", false),
    ("atexit", true),
    ("all-errors", false),
    ("iuid", true),
    ("workers", true),
];

/// Reads the words behind the program's name.
///
/// # Errors
/// One sentence in Kamailio's words where it has some.
pub fn parse(args: &[String]) -> Result<Request, String> {
    let mut options = Options::default();
    let mut words = args.iter();
    while let Some(word) = words.next() {
        let asked = match word.strip_prefix("--") {
            Some("") => break,
            Some(long) => long_option(&mut options, long, &mut words)?,
            None => match word.strip_prefix('-').filter(|flags| !flags.is_empty()) {
                Some(flags) => short_options(&mut options, flags, &mut words)?,
                // As in Kamailio, words that are no options count for nothing.
                None => None,
            },
        };
        if let Some(request) = asked {
            return Ok(request);
        }
    }
    Ok(Request::Server(Box::new(options)))
}

type Words<'a> = std::slice::Iter<'a, String>;

fn short_options(
    options: &mut Options,
    flags: &str,
    words: &mut Words<'_>,
) -> Result<Option<Request>, String> {
    let mut rest = flags;
    while let Some(letter) = rest.chars().next() {
        rest = rest.get(letter.len_utf8()..).unwrap_or_default();
        if PLAIN.contains(letter) {
            if let Some(request) = flag(options, letter) {
                return Ok(Some(request));
            }
            continue;
        }
        if !WITH_VALUE.contains(letter) {
            return Err(format!("Unknown option '-{letter}'. Use -h for help."));
        }
        let value = match rest {
            "" => words.next().map(String::as_str),
            attached => Some(attached),
        };
        let Some(value) = value else {
            return Err(format!(
                "Option '-{letter}' requires an argument. Use -h for help."
            ));
        };
        valued(options, letter, value)?;
        return Ok(None);
    }
    Ok(None)
}

fn flag(options: &mut Options, letter: char) -> Option<Request> {
    match letter {
        'c' => options.check = true,
        'd' => options.debug = Some(options.debug.unwrap_or(0).saturating_add(1)),
        'h' => return Some(Request::Help),
        'v' | 'V' => return Some(Request::Version),
        'I' => return Some(Request::Internals),
        'E' => options.stderr = true,
        'e' => options.color = true,
        'K' => options.check_via = true,
        'r' => options.dns = true,
        'R' => options.reverse_dns = true,
        'D' => options.foreground = options.foreground.saturating_add(1),
        'T' => options.no_tcp = true,
        'S' => options.no_sctp = true,
        _ => {}
    }
    None
}

fn valued(options: &mut Options, letter: char, value: &str) -> Result<(), String> {
    let own = || Some(value.to_owned());
    match letter {
        'f' => options.config = own(),
        'm' => options.shared_memory = Some(megabytes(value, "shmem", letter)?),
        'M' => options.private_memory = Some(megabytes(value, "private mem", letter)?),
        'b' => options.receive_buffer = Some(count(value, "buffer size", letter)?),
        'B' => options.send_buffer = Some(count(value, "buffer size", letter)?),
        'l' => options.listen.extend(address::listen(value)?),
        'n' => options.children = Some(count(value, "process", letter)?),
        'N' => options.tcp_children = Some(count(value, "process", letter)?),
        'Q' | 'O' => drop(count(value, "", letter)?),
        'W' => poll_method(value)?,
        'w' => options.work_dir = own(),
        't' => options.root_dir = own(),
        'u' => options.user = own(),
        'g' => options.group = own(),
        'P' => options.pid_file = own(),
        'G' => options.group_pid_file = own(),
        'a' => options.auto_aliases = Some(auto_aliases(value)?),
        'A' => options.defines.push(define(value)?),
        'x' | 'X' => memory_manager(value)?,
        'Y' => options.run_dir = own(),
        // -L: modules are built in, so there is no path to search.
        _ => {}
    }
    Ok(())
}

fn long_option(options: &mut Options, text: &str, words: &mut Words<'_>) -> Result<Option<Request>, String> {
    let (name, attached) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (text, None),
    };
    let (name, takes_value) = known(name)?;
    if !takes_value {
        if attached.is_some() {
            return Err(format!("Option '--{name}' takes no argument. Use -h for help."));
        }
        return Ok(match name {
            "help" => Some(Request::Help),
            "version" => Some(Request::Version),
            "cfg-print" => {
                options.print_config = true;
                None
            }
            // --all-errors: they are always all shown.
            _ => None,
        });
    }
    let Some(value) = attached.or_else(|| words.next().map(String::as_str)) else {
        return Err(format!(
            "Option '--{name}' requires an argument. Use -h for help."
        ));
    };
    long_valued(options, name, value).map(|()| None)
}

/// The full name; an unambiguous beginning will do, as with getopt_long.
fn known(name: &str) -> Result<(&'static str, bool), String> {
    if let Some(exact) = LONG.iter().find(|(known, _)| *known == name) {
        return Ok(*exact);
    }
    let mut fitting = LONG.iter().filter(|(known, _)| known.starts_with(name));
    match (fitting.next(), fitting.next()) {
        (Some(one), None) => Ok(*one),
        (Some(one), Some(two)) => Err(format!(
            "Option '--{name}' is ambiguous: --{} or --{}.",
            one.0, two.0
        )),
        _ => Err(format!("Unknown option '--{name}'. Use -h for help.")),
    }
}

fn long_valued(options: &mut Options, name: &str, value: &str) -> Result<(), String> {
    match name {
        "alias" | "domain" => options.aliases.push(address::alias(value)?),
        "subst" => options.substs.push(value.to_owned()),
        "substdef" => options.substdefs.push(value.to_owned()),
        "substdefs" => options.substdefs_quoted.push(value.to_owned()),
        "server-id" => {
            options.server_id = Some(number(value).ok_or(format!("bad server id: --server-id={value}"))?)
        }
        "loadmodule" => options.modules.push(value.to_owned()),
        "modparam" => options.params.push(modparam(value)?),
        "log-engine" => options.log_engine = Some(log_engine(value)?),
        "debug" => options.debug = Some(number(value).ok_or(format!("bad debug level: --debug={value}"))?),
        "iuid" => options.iuid = Some(value.to_owned()),
        "workers" => options.workers = Some(workers(value)?),
        // --atexit: there are no callbacks that could be left out.
        _ => match value.to_ascii_lowercase().as_str() {
            "y" | "yes" | "1" | "n" | "no" | "0" => {}
            _ => return Err(format!("bad atexit value: {value} (valid y, yes, 1, n, no, 0)")),
        },
    }
    Ok(())
}

fn number(text: &str) -> Option<i64> {
    text.parse().ok()
}

fn count(text: &str, what: &str, letter: char) -> Result<i64, String> {
    let n = number(text).filter(|n| *n >= 0);
    n.ok_or_else(|| {
        format!(
            "bad {what}{}number: -{letter} {text}",
            if what.is_empty() { "" } else { " " }
        )
    })
}

fn megabytes(text: &str, what: &str, letter: char) -> Result<u64, String> {
    let n = text.parse().ok().filter(|n| *n > 0);
    n.ok_or_else(|| format!("bad {what} size number: -{letter} {text}"))
}

fn workers(text: &str) -> Result<usize, String> {
    let n = text.parse().ok().filter(|n| (1..=1024).contains(n));
    n.ok_or_else(|| format!("bad number of workers: --workers={text} (from 1 to 1024)"))
}

fn poll_method(text: &str) -> Result<(), String> {
    match text {
        "poll" | "epoll_lt" | "epoll_et" | "sigio_rt" | "select" | "kqueue" | "/dev/poll" => Ok(()),
        _ => Err(format!(
            "bad poll method name: -W {text}\ntry one of poll, epoll_lt, epoll_et, sigio_rt, select (all mean epoll here)."
        )),
    }
}

fn memory_manager(text: &str) -> Result<(), String> {
    match text {
        "fm" | "f_malloc" | "qm" | "q_malloc" | "tlsf" | "tlsf_malloc" => Ok(()),
        _ => Err(format!(
            "bad memory manager: {text} (valid fm, qm, tlsf; all mean the one that is here)"
        )),
    }
}

fn auto_aliases(text: &str) -> Result<bool, String> {
    truth(text).ok_or_else(|| format!("bad auto aliases parameter: {text} (valid on, off, yes, no)"))
}

fn define(text: &str) -> Result<(String, Option<String>), String> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text, None),
    };
    match name.is_empty() {
        true => Err(format!("error at define param: -A {text}")),
        false => Ok((name.to_owned(), value)),
    }
}

fn modparam(text: &str) -> Result<(String, String, String), String> {
    let bad = || {
        format!("invalid modparam: {text} (the form is module:parameter:s:text or module:parameter:i:number)")
    };
    let mut parts = text.splitn(4, ':');
    let mut part = || parts.next().filter(|part| !part.is_empty()).ok_or_else(bad);
    let (module, name, kind) = (part()?, part()?, part()?);
    let value = parts.next().ok_or_else(bad)?;
    let value = match kind {
        "s" => format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")),
        "i" => number(value).ok_or_else(bad)?.to_string(),
        _ => return Err(bad()),
    };
    Ok((module.to_owned(), name.to_owned(), value))
}

fn log_engine(text: &str) -> Result<(String, String), String> {
    let (engine, data) = text.split_once(':').unwrap_or((text, ""));
    match kahea_engine::logging::Style::of(engine, data) {
        Some(_) => Ok((engine.to_owned(), data.to_owned())),
        None => Err(format!("unknown log engine: {engine} (there is json)")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Request, String> {
        let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        parse(&words)
    }

    fn options(text: &str) -> Options {
        match read(text) {
            Ok(Request::Server(options)) => *options,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn flags_are_grouped_and_values_attached_or_apart() {
        let all = options("-DDE -ddd -fa.cfg -m 64 -M8 -cA WITH_X -A FLT=1 -P/run/p");
        assert!(all.stderr && all.check);
        assert_eq!((all.foreground, all.debug), (2, Some(3)));
        assert_eq!(
            (all.config.as_deref(), all.pid_file.as_deref()),
            (Some("a.cfg"), Some("/run/p"))
        );
        assert_eq!((all.shared_memory, all.private_memory), (Some(64), Some(8)));
        assert_eq!(
            all.defines,
            [("WITH_X".into(), None), ("FLT".into(), Some("1".into()))]
        );
    }

    #[test]
    fn long_options_take_values_either_way_and_may_be_cut_short() {
        let all = options("--debug=2 --loadmodule pv --modparam=corex:alias_subdomains:s:a.b:c --cfg");
        assert_eq!(all.debug, Some(2));
        assert_eq!(all.modules, ["pv"]);
        assert_eq!(
            all.params,
            [("corex".into(), "alias_subdomains".into(), "\"a.b:c\"".into())]
        );
        assert!(all.print_config);
        assert!(read("--subst").is_err(), "needs a value");
        assert!(read("--l=x").unwrap_err().contains("ambiguous"));
    }

    #[test]
    fn the_first_question_wins() {
        assert_eq!(read("-f x -v -h"), Ok(Request::Version));
        assert_eq!(read("--help"), Ok(Request::Help));
        assert_eq!(read("-I"), Ok(Request::Internals));
    }

    #[test]
    fn mistakes_are_named() {
        for (text, part) in [
            ("-Z", "Unknown option '-Z'"),
            ("-f", "requires an argument"),
            ("--foo", "Unknown option '--foo'"),
            ("-a maybe", "bad auto aliases parameter"),
            ("-m abc", "bad shmem size number: -m abc"),
            ("-A =1", "error at define param"),
            ("--modparam=x:y", "invalid modparam"),
            ("--modparam=x:y:i:z", "invalid modparam"),
            ("-W foo", "bad poll method"),
            ("-x foo", "bad memory manager"),
            ("-n -1", "bad process number"),
            ("-l a:b:c:d", "bad -l address"),
            ("--log-engine=pigeon:x", "unknown log engine"),
            ("--atexit=maybe", "bad atexit"),
            ("--workers=0", "bad number of workers"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn every_option_of_kamailio_is_known() {
        for letter in "fcmMdVIhEebBlLnvKrRDTNWwtugPGSQOaAxXY".chars() {
            let known = PLAIN.contains(letter) != WITH_VALUE.contains(letter);
            assert!(known, "-{letter}");
        }
    }
}
