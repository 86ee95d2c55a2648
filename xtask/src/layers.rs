//! Which crate may depend on which (ARCHITECTURE.md), held against what `Cargo.toml` files say.

use serde_json::Value;

use crate::shell::{Outcome, cargo, output, root, say};

/// A row of the table: a crate by its folder, the folders it may depend on, and why no others.
struct Layer {
    folder: &'static str,
    may: &'static [&'static str],
    why: &'static str,
}

const LAYERS: &[Layer] = &[
    Layer {
        folder: "sip",
        may: &[],
        why: "messages are bytes: no input or output, no clock, no other crate",
    },
    Layer {
        folder: "diag",
        may: &[],
        why: "diagnostics are data that every layer can hand on",
    },
    Layer {
        folder: "tx",
        may: &["sip"],
        why: "transactions are machines: what happened and when goes in, what to do comes out",
    },
    Layer {
        folder: "module",
        may: &["sip", "diag"],
        why: "a module knows messages and declarations, not who runs them",
    },
    Layer {
        folder: "lang",
        may: &["diag", "module", "sip"],
        why: "the language sees declarations only, so that checking a script needs no server",
    },
    Layer {
        folder: "net",
        may: &["sip"],
        why: "sockets carry messages and know nothing of scripts",
    },
    Layer {
        folder: "db",
        may: &["module", "sip"],
        why: "the query interface knows values and settings, not who asks nor which server answers",
    },
    Layer {
        folder: "rpc",
        may: &["module", "db", "sip"],
        why: "commands come from the registry: no transport names a module; cfg_db reads parameters from tables",
    },
    Layer {
        folder: "drivers/*",
        may: &["db", "module", "sip"],
        why: "a driver speaks to its server and is chosen by URL, so that no module names it",
    },
    Layer {
        folder: "mods/location",
        may: &["module", "db", "sip", "diag", "mods/base"],
        why: "replies of sl answer a REGISTER",
    },
    Layer {
        folder: "mods/auth",
        may: &["module", "db", "sip", "diag", "mods/base"],
        why: "challenges are replies of sl",
    },
    Layer {
        folder: "mods/data",
        may: &["module", "db", "sip", "diag", "mods/base"],
        why: "the scripts that they serve answer through sl",
    },
    Layer {
        folder: "mods/http",
        may: &["module", "db", "sip", "diag"],
        why: "answers of HTTP are part of the module interface; xhttp_pi shows tables",
    },
    Layer {
        folder: "mods/nat-media",
        may: &[
            "module",
            "db",
            "sip",
            "diag",
            "mods/base",
            "mods/location",
            "mods/transaction",
        ],
        why: "keepalives go to the contacts of usrloc; whether a reply is an offer depends on its transaction's request",
    },
    Layer {
        folder: "mods/json",
        may: &["module", "sip"],
        why: "documents are texts of the script",
    },
    Layer {
        folder: "mods/accounting",
        may: &[
            "module",
            "db",
            "sip",
            "diag",
            "mods/base",
            "mods/routing",
            "mods/transaction",
        ],
        why: "records are made of transactions, and rr knows which way a request goes",
    },
    Layer {
        folder: "mods/subscriber",
        may: &["module", "db", "sip", "diag", "mods/base", "mods/transaction"],
        why: "stored messages are sent as requests of tm",
    },
    Layer {
        folder: "mods/transaction",
        may: &["module", "tx", "sip", "diag", "mods/base", "mods/location"],
        why: "replies of sl go through the transaction; other families only through their services, downwards",
    },
    Layer {
        folder: "mods/*",
        may: &["module", "db", "tx", "sip", "diag"],
        why: "a family of modules is written against the module interface; another module only through its service",
    },
    Layer {
        folder: "kemi-*",
        may: &["kemi", "module", "sip", "diag"],
        why: "a language is an interpreter over the one table of KSR functions",
    },
    Layer {
        folder: "engine",
        may: &["lang", "module", "net", "sip", "diag"],
        why: "the engine runs programs and names no module",
    },
    Layer {
        folder: "kemi",
        may: &["module", "diag"],
        why: "the table of KSR comes from the registry: it names no module, and no language",
    },
    Layer {
        folder: "kahea",
        may: &[
            "engine",
            "lang",
            "module",
            "net",
            "db",
            "rpc",
            "sip",
            "diag",
            "kemi",
            "kemi-*",
            "mods/*",
            "drivers/*",
        ],
        why: "the binary alone puts the parts together",
    },
    Layer {
        folder: "conform",
        may: &[],
        why: "the suite sees only wire, commands and log of a server",
    },
    Layer {
        folder: "xtask",
        may: &[],
        why: "a task must run while the rest does not build",
    },
];

/// A dependency of one crate of the workspace on another.
#[derive(Debug, PartialEq, Eq)]
struct Edge {
    from: String,
    to: String,
    dev: bool,
}

/// Checks every dependency between crates of this workspace.
pub fn run() -> Outcome {
    let metadata = output(cargo().args(["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata: Value =
        serde_json::from_str(&metadata).map_err(|error| format!("cargo metadata: {error}"))?;
    let prefix = format!("{}/", root().display());
    let (folders, edges) = graph(&metadata, &prefix);
    let mut problems: Vec<String> = folders.iter().filter_map(|folder| unknown(folder)).collect();
    problems.extend(edges.iter().filter_map(judge));
    if !problems.is_empty() {
        return Err(problems.join("\n"));
    }
    say(format!(
        "layers: {} crates, {} dependencies between them, all downwards",
        folders.len(),
        edges.len()
    ));
    Ok(())
}

/// The crates' folders and the dependencies between them.
fn graph(metadata: &Value, prefix: &str) -> (Vec<String>, Vec<Edge>) {
    let inside = |path: &Value| {
        let path = path.as_str()?.strip_prefix(prefix)?;
        Some(path.trim_end_matches("/Cargo.toml").to_owned())
    };
    let (mut folders, mut edges) = (Vec::new(), Vec::new());
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let Some(from) = inside(&package["manifest_path"]) else {
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let Some(to) = inside(&dependency["path"]) else {
                continue;
            };
            edges.push(Edge {
                from: from.clone(),
                to,
                dev: dependency["kind"] == "dev",
            });
        }
        folders.push(from);
    }
    (folders, edges)
}

fn layer(folder: &str) -> Option<&'static Layer> {
    LAYERS.iter().find(|layer| matches(layer.folder, folder))
}

fn matches(pattern: &str, folder: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => folder.starts_with(start),
        None => pattern == folder,
    }
}

fn unknown(folder: &str) -> Option<String> {
    layer(folder).is_none().then(|| {
        format!("{folder}: in no layer; add it to LAYERS in xtask/src/layers.rs and to ARCHITECTURE.md")
    })
}

/// What is wrong with an edge. Tests may reach further than the code they test: only what ships is judged.
fn judge(edge: &Edge) -> Option<String> {
    if edge.dev {
        return None;
    }
    let layer = layer(&edge.from)?;
    if layer.may.iter().any(|pattern| matches(pattern, &edge.to)) {
        return None;
    }
    let may = if layer.may.is_empty() {
        "no crate of this workspace".to_owned()
    } else {
        layer.may.join(", ")
    };
    Some(format!(
        "{} -> {}: not allowed. {} may depend on {may}: {}.",
        edge.from, edge.to, layer.folder, layer.why
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(from: &str, to: &str) -> Edge {
        Edge {
            from: from.into(),
            to: to.into(),
            dev: false,
        }
    }

    #[test]
    fn edges_go_down_only() {
        assert_eq!(judge(&edge("mods/text", "module")), None);
        assert_eq!(judge(&edge("kahea", "mods/regex")), None);
        let problem = judge(&edge("mods/text", "mods/base")).unwrap();
        assert!(problem.starts_with(
            "mods/text -> mods/base: not allowed. mods/* may depend on module, db, tx, sip, diag"
        ));
        let problem = judge(&edge("sip", "diag")).unwrap();
        assert!(
            problem.contains("sip may depend on no crate of this workspace"),
            "{problem}"
        );
        assert!(judge(&edge("lang", "net")).is_some());
    }

    #[test]
    fn tests_may_reach_further() {
        assert_eq!(
            judge(&Edge {
                dev: true,
                ..edge("engine", "mods/base")
            }),
            None
        );
    }

    #[test]
    fn a_crate_without_a_row_is_named() {
        assert!(unknown("nowhere").unwrap().starts_with("nowhere: in no layer"));
        assert_eq!(unknown("mods/dialog"), None);
    }

    #[test]
    fn metadata_becomes_edges() {
        let metadata = serde_json::json!({ "packages": [{
            "manifest_path": "/w/mods/base/Cargo.toml",
            "dependencies": [
                { "path": "/w/module", "kind": null },
                { "path": "/w/sip", "kind": "dev" },
                { "name": "bytes", "kind": null },
            ],
        }] });
        let (folders, edges) = graph(&metadata, "/w/");
        assert_eq!(folders, ["mods/base"]);
        assert_eq!(
            edges,
            [
                edge("mods/base", "module"),
                Edge {
                    dev: true,
                    ..edge("mods/base", "sip")
                }
            ]
        );
    }
}
