//! The module's declaration and its matching.

use std::{collections::HashMap, sync::Arc};

use kahea_module::{
    BRANCH, Cx, Decl, Env, FAILURE, Fault, InitError, Module, REPLY, REQUEST, Str,
    rpc::{RpcCall, RpcFault, RpcResult},
};
use parking_lot::{Mutex, RwLock};
use pcre2::bytes::{Regex, RegexBuilder};

use crate::file;

/// Expressions of the script that are kept compiled.
const KEPT: usize = 256;

/// The module.
pub struct RegexModule {
    params: Params,
    groups: RwLock<Arc<[Regex]>>,
    compiled: Mutex<HashMap<Str, Arc<Regex>>>,
}

/// Its parameters.
pub struct Params {
    file: Option<Str>,
    max_groups: i64,
    group_max_size: i64,
    caseless: bool,
    multiline: bool,
    dotall: bool,
    extended: bool,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            file: None,
            max_groups: 20,
            group_max_size: 8192,
            caseless: false,
            multiline: false,
            dotall: false,
            extended: false,
        }
    }
}

impl Module for RegexModule {
    const NAME: &'static str = "regex";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        d.param(
            "file",
            |p| &mut p.file,
            "The file of groups, needed for pcre_match_group().",
        );
        d.param(
            "max_groups",
            |p| &mut p.max_groups,
            "The most groups in the file.",
        );
        d.param(
            "group_max_size",
            |p| &mut p.group_max_size,
            "The most bytes of a group.",
        );
        d.param(
            "pcre_caseless",
            |p| &mut p.caseless,
            "Letters match in either case, as (?i).",
        );
        d.param(
            "pcre_multiline",
            |p| &mut p.multiline,
            "^ and $ match at line ends, as (?m).",
        );
        d.param(
            "pcre_dotall",
            |p| &mut p.dotall,
            "The dot matches line ends, as (?s).",
        );
        d.param(
            "pcre_extended",
            |p| &mut p.extended,
            "Blanks and comments in expressions do not count, as (?x).",
        );
        let routes = REQUEST | FAILURE | REPLY | BRANCH;
        d.func(
            "pcre_match",
            ["string", "pcre_regex"],
            pcre_match,
            "True where the expression matches; -4 where it is none.",
        )
        .routes(routes)
        .kemi(2, "pcre_match")
        .example("if (pcre_match(\"$ua\", \"(?i)^twinkle\")) { exit; }");
        d.func("pcre_match_group", ["string", "group"], pcre_match_group,
            "True where a group of the file, the first without a number, matches; -4 where there is none of that number.")
            .routes(routes)
            .kemi(2, "pcre_match_group");
        d.rpc(
            "regex.reload",
            reload,
            "Reads the file of groups again; the old groups stay where it cannot be used.",
        );
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Self, InitError> {
        let groups = match &params.file {
            Some(path) => {
                let path = path.text();
                let bytes = (env.read_file)(&path).map_err(|error| {
                    InitError::new(format!("the file {path} cannot be read: {error}"))
                        .help("correct the parameter file")
                })?;
                compile_file(&params, &bytes).map_err(|error| InitError::new(format!("{path}: {error}")))?
            }
            None => Vec::new(),
        };
        Ok(RegexModule {
            params,
            groups: RwLock::new(groups.into()),
            compiled: Mutex::default(),
        })
    }
}

fn compile(params: &Params, pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new()
        .caseless(params.caseless)
        .multi_line(params.multiline)
        .dotall(params.dotall)
        .extended(params.extended)
        .jit_if_available(true)
        .build(pattern)
        .map_err(|error| error.to_string())
}

fn compile_file(params: &Params, bytes: &[u8]) -> Result<Vec<Regex>, String> {
    let limit = |n: i64| usize::try_from(n).unwrap_or(0);
    let groups = file::groups(
        &String::from_utf8_lossy(bytes),
        limit(params.max_groups),
        limit(params.group_max_size),
    )?;
    let numbered = (0_usize..).zip(groups);
    numbered
        .map(|(n, group)| compile(params, &group).map_err(|error| format!("group {n}: {error}")))
        .collect()
}

/// Backtracking beyond PCRE2's own limits is a failure, not a match.
fn matches(regex: &Regex, text: &[u8]) -> Result<bool, Fault> {
    regex
        .is_match(text)
        .map_err(|error| Fault::limit(format!("the expression cannot be matched: {error}")))
}

impl RegexModule {
    fn compiled(&self, pattern: &Str) -> Result<Arc<Regex>, Fault> {
        if let Some(regex) = self.compiled.lock().get(pattern) {
            return Ok(regex.clone());
        }
        let regex = compile(&self.params, &pattern.text()).map_err(|error| {
            Fault::script(format!("'{pattern}' is no regular expression: {error}")).code(-4)
        })?;
        let regex = Arc::new(regex);
        let mut compiled = self.compiled.lock();
        if compiled.len() >= KEPT {
            compiled.clear();
        }
        compiled.insert(pattern.detach(), regex.clone());
        Ok(regex)
    }
}

fn pcre_match(m: &RegexModule, _: &mut Cx, text: Str, pattern: Str) -> Result<bool, Fault> {
    matches(&*m.compiled(&pattern)?, &text)
}

fn pcre_match_group(m: &RegexModule, _: &mut Cx, text: Str, group: Option<i64>) -> Result<bool, Fault> {
    if m.params.file.is_none() {
        return Err(Fault::script("there are no groups: set the parameter file of module regex").code(-2));
    }
    let groups = m.groups.read().clone();
    let number = group.unwrap_or(0);
    let regex = usize::try_from(number).ok().and_then(|n| groups.get(n));
    let regex = regex.ok_or_else(|| {
        Fault::script(format!("there is no group {number}, only {}", groups.len())).code(-4)
    })?;
    matches(regex, &text)
}

fn reload(m: &RegexModule, _: &mut RpcCall) -> RpcResult {
    let failed = |text: String| RpcFault::new(500, format!("Failed to reload: {text}"));
    let path = m
        .params
        .file
        .as_ref()
        .ok_or_else(|| RpcFault::new(500, "Group matching not enabled"))?;
    let bytes = std::fs::read(&*path.text()).map_err(|error| failed(error.to_string()))?;
    let groups = compile_file(&m.params, &bytes).map_err(failed)?;
    *m.groups.write() = groups.into();
    Ok(Vec::new())
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::*;

    fn module(text: &str) -> RegexModule {
        let params = Params {
            file: Some(Str::from("groups")),
            ..Params::default()
        };
        let groups = compile_file(&params, text.as_bytes()).expect("groups");
        RegexModule {
            params,
            groups: RwLock::new(groups.into()),
            compiled: Mutex::default(),
        }
    }

    #[test]
    fn expressions_match_as_perl_says() {
        let (m, mut cx) = (module(""), Server::default().invite());
        let mut run =
            |text: &str, pattern: &str| pcre_match(&m, &mut cx, Str::from(text), Str::from(pattern));
        assert_eq!(run("abc", "^a"), Ok(true));
        assert_eq!(run("abc", "B"), Ok(false));
        assert_eq!(run("abc", "(?i)B"), Ok(true));
        assert_eq!(run("", "^$"), Ok(true));
        assert_eq!(run("abc", "(").unwrap_err().code, -4);
    }

    #[test]
    fn groups_are_numbered_by_place() {
        let (m, mut cx) = (module("[5]\n^ab\n[6]\n^zz\n"), Server::default().invite());
        let mut run = |text: &str, group| pcre_match_group(&m, &mut cx, Str::from(text), group);
        assert_eq!(run("abc", None), Ok(true));
        assert_eq!(run("zz", Some(1)), Ok(true));
        assert_eq!(run("yy", Some(1)), Ok(false));
        assert_eq!(run("abc", Some(9)).unwrap_err().code, -4);
    }

    #[test]
    fn a_costly_expression_ends_in_a_fault_or_an_answer() {
        let (m, mut cx) = (module(""), Server::default().invite());
        let text = Str::from("a".repeat(5_000) + "!");
        let answer = pcre_match(&m, &mut cx, text, Str::from("^(a+)+$"));
        assert_ne!(answer, Ok(true));
    }
}
