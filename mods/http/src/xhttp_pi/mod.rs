//! Module `xhttp_pi`: tables of databases on HTML pages, as a framework file lays them out.

mod framework;
mod pages;

use std::sync::Arc;

use kahea_db::{Answer, Database, Error, Limits, Value};
use kahea_module::{
    Cx, Decl, EVENT, Env, Fault, InitError, Module, REQUEST, Ret, Str, proxy,
    ret::LocalFuture,
    rpc::{RpcCall, RpcFault, RpcResult},
};
use parking_lot::RwLock;
use tokio::sync::oneshot;

use self::{
    framework::{Command, Framework, Kind},
    pages::{Outcome, Place},
};
use crate::html::{below, fields};

/// The module.
pub struct XhttpPi {
    root: String,
    most: usize,
    framework: RwLock<Arc<Framework>>,
    path: String,
    opener: Opener,
}

type Opener = Box<dyn Fn(&str) -> Result<Database, String> + Send + Sync>;

/// Its parameters.
pub struct Params {
    root: Str,
    buf_size: i64,
    framework: Option<Str>,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            root: Str::from_static("pi"),
            buf_size: 0,
            framework: None,
        }
    }
}

impl Module for XhttpPi {
    const NAME: &'static str = "xhttp_pi";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        let doc = "The first part of the path of all pages.";
        d.param("xhttp_pi_root", |p| &mut p.root, doc);
        let doc = "The most bytes of a page; 0 without a limit.";
        d.param("xhttp_pi_buf_size", |p| &mut p.buf_size, doc);
        let doc = "The framework file: databases, tables and commands.";
        d.param("framework", |p| &mut p.framework, doc);
        let doc = "Answers the HTTP request with the page of its path.";
        d.func("dispatch_xhttp_pi", [], dispatch, doc)
            .routes(REQUEST | EVENT)
            .kemi(0, "dispatch")
            .waits();
        d.rpc_waits("xhttp_pi.reload", reload, "Reads the framework file again.");
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Self, InitError> {
        let file = params.framework.filter(|name| !name.is_empty()).ok_or_else(|| {
            InitError::new("the parameter framework is missing").help("name the framework file in it")
        })?;
        let path = env.bind.beside(&file.text());
        let databases = kahea_db::Databases::of(env);
        let shared = env.shared.clone();
        let opener: Opener = Box::new(move |url| {
            databases
                .open_later(url, Limits::default(), &shared.stats)
                .map_err(|error| error.message)
        });
        let text =
            (env.read_file)(&path).map_err(|error| InitError::new(format!("cannot read {path}: {error}")))?;
        let framework =
            Framework::read(&text, &*opener).map_err(|error| InitError::new(format!("{path}: {error}")))?;
        let root = params.root.text().trim_matches('/').to_owned();
        if root.is_empty() {
            return Err(InitError::new("xhttp_pi_root is empty"));
        }
        Ok(XhttpPi {
            root,
            most: usize::try_from(params.buf_size).unwrap_or(0),
            framework: RwLock::new(Arc::new(framework)),
            path,
            opener,
        })
    }
}

/// `xhttp_pi.reload`: a file that is wrong changes nothing.
fn reload<'a>(m: &'a XhttpPi, _: &'a mut RpcCall) -> LocalFuture<'a, RpcResult> {
    Box::pin(async move {
        let fault = |text: String| RpcFault::new(500, text);
        let text = read_elsewhere(m.path.clone()).await.map_err(fault)?;
        let framework =
            Framework::read(&text, &*m.opener).map_err(|error| fault(format!("{}: {error}", m.path)))?;
        *m.framework.write() = Arc::new(framework);
        Ok(vec!["Reload OK".into()])
    })
}

/// Reads a file on a thread of its own: a worker must not wait for a disk.
async fn read_elsewhere(path: String) -> Result<Vec<u8>, String> {
    let (sender, receiver) = oneshot::channel();
    std::thread::spawn(move || {
        let text = std::fs::read(&path).map_err(|error| format!("cannot read {path}: {error}"));
        // Nobody waits any more where the worker ended.
        let _ = sender.send(text);
    });
    receiver
        .await
        .unwrap_or_else(|_| Err("the thread that reads the file ended".to_owned()))
}

/// `dispatch_xhttp_pi()`.
fn dispatch(m: &XhttpPi, cx: &mut Cx) -> Result<Ret, Fault> {
    if !cx.msg.is_http() {
        return Err(Fault::script("dispatch_xhttp_pi(): the message is not HTTP"));
    }
    let framework = m.framework.read().clone();
    let below = below(cx.msg.uri().unwrap_or_default(), &m.root);
    let known = below.is_some();
    let (parts, query) = below.unwrap_or_default();
    let mut place = Place::new(m.root.clone(), framework, m.most);
    let found = known && place.find(&parts);
    let (Some(command), true) = (place.command.clone(), found) else {
        let outcome = if found { Outcome::Menu } else { Outcome::BadUrl };
        return respond(cx, &place, &outcome).map(Ret::from);
    };
    let fields: Vec<(String, String)> = query.iter().flat_map(|query| fields(query)).collect();
    if !fields.iter().any(|(name, value)| name == "cmd" && value == "on") {
        return respond(cx, &place, &Outcome::Form).map(Ret::from);
    }
    let values = match values(&command, &fields) {
        Ok(values) => values,
        Err(text) => return respond(cx, &place, &Outcome::Said(text)).map(Ret::from),
    };
    Ok(Ret::wait(move |cx| {
        Box::pin(async move {
            let answer = command.database.run(&command.statement, values).await;
            respond(cx, &place, &outcome(&command, answer)).into()
        })
    }))
}

/// The values of a form, in the order that the statement takes them: written ones, then compared ones.
fn values(command: &Command, fields: &[(String, String)]) -> Result<Vec<Value>, String> {
    let given = |name: &str| {
        fields
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    };
    let mut values = Vec::new();
    if command.kind != Kind::Query {
        for (at, field) in command.query.iter().enumerate() {
            let text = given(&pages::letter(at)).filter(|text| !text.is_empty());
            let text = text.ok_or_else(|| format!("No argument for query field #{at}: {}.", field.name))?;
            values.push(
                field
                    .value(text)
                    .ok_or_else(|| format!("Bogus field {} [{text}].", field.name))?,
            );
        }
    }
    for (at, (field, _)) in command.clause.iter().enumerate() {
        let text = given(&at.to_string()).filter(|text| !text.is_empty());
        let text = text.ok_or_else(|| format!("No argument for clause field #{at}: {}.", field.name))?;
        values.push(
            field
                .value(text)
                .ok_or_else(|| format!("Bogus field {} [{text}].", field.name))?,
        );
    }
    Ok(values)
}

fn outcome(command: &Command, answer: Answer) -> Outcome {
    match (answer, command.kind) {
        (Ok(rows), Kind::Query) => Outcome::Rows(rows),
        (Ok(_), Kind::Insert) => Outcome::Said("Record successfully added to db.".to_owned()),
        (Ok(_), Kind::Delete) => Outcome::Said("Record successfully deleted from db.".to_owned()),
        (Ok(_), Kind::Update) => Outcome::Said("Record successfully updated in db.".to_owned()),
        (Ok(_), Kind::Replace) => Outcome::Said("Record successfully replaced in db.".to_owned()),
        (Err(error), _) => {
            kahea_module::error!("xhttp_pi", "{}: {error}", command.database.url());
            let text = match error {
                Error::Unavailable(_) | Error::Timeout(_) => "The database does not answer.",
                _ => "The database refused the statement; the log says why.",
            };
            Outcome::Said(text.to_owned())
        }
    }
}

fn respond(cx: &mut Cx, place: &Place, outcome: &Outcome) -> Result<bool, Fault> {
    let text = place.page(outcome);
    let (status, reason): (u16, &[u8]) = match outcome {
        Outcome::BadUrl => (500, b"Bad URL"),
        _ => (200, b"OK"),
    };
    if place.most > 0 && text.len() > place.most {
        let note = "<html><body>The page is longer than xhttp_pi_buf_size.</body></html>";
        return proxy::http::respond(cx, 500, b"Internal Server Error", b"text/html", note).map(|()| true);
    }
    proxy::http::respond(cx, status, reason, b"text/html", text).map(|()| true)
}
