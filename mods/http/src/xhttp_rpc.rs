//! Module `xhttp_rpc`: commands on HTML pages.

use std::fmt::Write as _;

use kahea_module::{
    Cx, Decl, EVENT, Env, Fault, InitError, Module, REQUEST, Ret, Str, proxy,
    rpc::{self, RpcAnswer, RpcFault, RpcValue, RpcVia},
};

use crate::html::{Page, TABLE, TABLE_END, below, encoded, escaped, fields};

/// The module.
pub struct XhttpRpc {
    root: String,
    most: usize,
}

/// Its parameters.
pub struct Params {
    root: Str,
    buf_size: i64,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            root: Str::from_static("rpc"),
            buf_size: 0,
        }
    }
}

impl Module for XhttpRpc {
    const NAME: &'static str = "xhttp_rpc";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        let doc = "The first part of the path of all pages.";
        d.param("xhttp_rpc_root", |p| &mut p.root, doc);
        let doc = "The most bytes of a page; 0 without a limit.";
        d.param("xhttp_rpc_buf_size", |p| &mut p.buf_size, doc);
        let doc = "Answers the HTTP request with the page of its path, and ends the script.";
        d.func("dispatch_xhttp_rpc", [], dispatch, doc)
            .routes(REQUEST | EVENT)
            .kemi(0, "dispatch")
            .waits();
    }

    fn init(params: Params, _: &mut Env<'_>) -> Result<Self, InitError> {
        let root = params.root.text().trim_matches('/').to_owned();
        if root.is_empty() {
            return Err(InitError::new("xhttp_rpc_root is empty"));
        }
        Ok(XhttpRpc {
            root,
            most: usize::try_from(params.buf_size).unwrap_or(0),
        })
    }
}

/// What a path asks for.
struct Asked {
    root: String,
    /// The groups of all commands.
    groups: Vec<String>,
    group: Option<String>,
    /// The commands of the group.
    commands: Vec<&'static str>,
    command: Option<String>,
    most: usize,
}

/// `dispatch_xhttp_rpc()`.
fn dispatch(m: &XhttpRpc, cx: &mut Cx) -> Result<Ret, Fault> {
    if !cx.msg.is_http() {
        return Err(Fault::script("dispatch_xhttp_rpc(): the message is not HTTP"));
    }
    let below = below(cx.msg.uri().unwrap_or_default(), &m.root);
    let known = below.is_some();
    let (parts, query) = below.unwrap_or_default();
    let mut parts = parts.into_iter();
    let (group, command, rest) = (parts.next(), parts.next(), parts.next());
    let mut asked = asked(m, cx, group);
    let right = known && rest.is_none() && (asked.group.is_none() || !asked.commands.is_empty());
    let listed = |name: &String| asked.commands.contains(&name.as_str());
    if !right || command.as_ref().is_some_and(|name| !listed(name)) {
        return respond(cx, &asked, 500, Body::BadUrl).map(|()| Ret::EXIT);
    }
    asked.command = command;
    let argument = query.and_then(|query| {
        fields(&query)
            .find(|(name, _)| name == "arg")
            .map(|(_, value)| value)
    });
    let (Some(method), Some(argument)) = (asked.command.clone(), argument) else {
        return respond(cx, &asked, 200, Body::Form).map(|()| Ret::EXIT);
    };
    let args = argument.split_whitespace().map(RpcValue::from).collect();
    Ok(rpc::run_for(cx, (method, args, RpcVia::Html), move |cx, done| {
        let done = done.ok_or_else(|| RpcFault::new(500, "Method Not Found"));
        respond(cx, &asked, 200, Body::Answer(&done))
            .map(|()| Ret::EXIT)
            .unwrap_or_else(Ret::from)
    }))
}

fn asked(m: &XhttpRpc, cx: &Cx, group: Option<String>) -> Asked {
    let config = cx.config();
    let mut all: Vec<&'static str> = config
        .modules
        .iter()
        .filter_map(|(name, _)| config.registry.module(name))
        .flat_map(|module| module.rpcs.iter().map(|rpc| rpc.name))
        .collect();
    all.sort_unstable();
    let mut groups: Vec<String> = all
        .iter()
        .filter_map(|name| Some(name.split_once('.')?.0.to_owned()))
        .collect();
    groups.dedup();
    let commands = match &group {
        Some(group) => all
            .into_iter()
            .filter(|name| name.split_once('.').is_some_and(|(own, _)| own == group))
            .collect(),
        None => Vec::new(),
    };
    Asked {
        root: m.root.clone(),
        groups,
        group,
        commands,
        command: None,
        most: m.most,
    }
}

/// What stands under the menu.
enum Body<'a> {
    BadUrl,
    Form,
    Answer(&'a Result<RpcAnswer, RpcFault>),
}

const FOOT: &str = "<a href=\"http://sip-router.org\">SIP Router web site</a> .:. <a href=\"http://www.kamailio.org\">Kamailio web site</a>";

fn respond(cx: &mut Cx, asked: &Asked, status: u16, body: Body<'_>) -> Result<(), Fault> {
    let name = "kahea";
    let head = format!(
        "<h2 align=\"center\">{name}: RPC Interface</h2><p align=\"center\">{}</p>",
        escaped(&cx.config().server_header.text())
    );
    let mut page = Page::new(&format!("{name} RPC Management Interface"), &head);
    let groups = asked.groups.iter().map(String::as_str);
    page.menu(&asked.root, groups, asked.group.as_deref());
    match body {
        Body::BadUrl => page.out.push_str("<pre>500: Bad URL</pre>"),
        Body::Form => asked.form(&mut page.out),
        Body::Answer(done) => asked.answer(done, &mut page.out),
    }
    let text = page.end(FOOT);
    if asked.most > 0 && text.len() > asked.most {
        let note = "<html><body>The page is longer than xhttp_rpc_buf_size.</body></html>";
        return proxy::http::respond(cx, 500, b"Internal Server Error", b"text/html", note);
    }
    let reason: &[u8] = if status == 200 { b"OK" } else { b"Bad URL" };
    proxy::http::respond(cx, status, reason, b"text/html", text)
}

/// Rows that the form stands beside.
const FORM_ROWS: usize = 5;

impl Asked {
    fn link(&self, name: &str) -> String {
        let group = self.group.as_deref().unwrap_or_default();
        format!(
            "   <td width=\"10%\"><a href='/{}/{}/{}'>{}</a></td>\n",
            escaped(&self.root),
            encoded(group),
            encoded(name),
            escaped(name)
        )
    }

    /// The commands of the group, and the form of one of them.
    fn form(&self, out: &mut String) {
        if self.group.is_none() {
            return;
        }
        out.push_str(TABLE);
        let rows = match self.command {
            Some(_) => self.commands.len().max(FORM_ROWS.saturating_add(1)),
            None => self.commands.len(),
        };
        for row in 0..rows {
            out.push_str("<tr>\n");
            match self.commands.get(row) {
                Some(name) => out.push_str(&self.link(name)),
                None => out.push_str("   <td>&nbsp;</td>\n"),
            }
            if let Some(command) = &self.command {
                self.form_part(row, command, out);
            }
            out.push_str("</tr>\n");
        }
        out.push_str(TABLE_END);
    }

    fn form_part(&self, row: usize, command: &str, out: &mut String) {
        match row {
            0 => {
                let _ = writeln!(out, "   <td align=\"left\"><b>{}</b></td>", escaped(command));
            }
            1 => {
                let _ = writeln!(
                    out,
                    "   <td valign=\"top\" align=\"left\" rowspan=\"{FORM_ROWS}\">\n               \
                     <form name=\"input\" method=\"get\">\n                       \
                     <input type=\"text\" name=\"arg\"/>\n                       \
                     <input type=\"submit\" value=\"Submit\"/>\n               </form>\n   </td>"
                );
            }
            _ => {}
        }
    }

    fn answer(&self, done: &Result<RpcAnswer, RpcFault>, out: &mut String) {
        out.push_str(TABLE);
        out.push_str("<tr>\n");
        out.push_str(&self.link(self.command.as_deref().unwrap_or_default()));
        match done {
            Ok(RpcAnswer {
                result: Ok(values), ..
            }) => {
                out.push_str("   <td>200: OK</td>\n</tr>\n<tr>\n   <td></td>\n   <td><pre>");
                values.iter().for_each(|value| show(value, 0, out));
                out.push_str("</pre></td>\n</tr>\n");
            }
            Ok(RpcAnswer {
                result: Err(fault), ..
            })
            | Err(fault) => {
                let text = escaped(&fault.text.text());
                let _ = write!(out, "   <td>{}: {text}</td>\n</tr>\n", fault.code);
            }
        }
        out.push_str(TABLE_END);
    }
}

/// A value, each plain one on a line.
fn show(value: &RpcValue, depth: usize, out: &mut String) {
    match value {
        RpcValue::Struct(members) | RpcValue::Named(members) => {
            for (name, value) in members {
                out.extend(std::iter::repeat_n('\t', depth));
                let _ = write!(out, "{}: ", escaped(&name.text()));
                if matches!(
                    value,
                    RpcValue::Struct(_) | RpcValue::Named(_) | RpcValue::Array(_)
                ) {
                    out.push_str("<br/>");
                    show(value, depth.saturating_add(1), out);
                } else {
                    show(value, 0, out);
                }
            }
        }
        RpcValue::Array(items) => items.iter().for_each(|item| show(item, depth, out)),
        RpcValue::Double(n) => {
            let _ = write!(out, "{n:.6}<br/>");
        }
        plain => {
            out.extend(std::iter::repeat_n('\t', depth));
            let text = plain.clone().into_text().unwrap_or(Str::EMPTY);
            out.push_str(&escaped(&text.text()));
            out.push_str("<br/>");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_line_by_line_and_inert() {
        let inner = RpcValue::members([("ADDR", "<127.0.0.1>".into())]);
        let value = RpcValue::members([("PROTO", "udp".into()), ("LIST", inner), ("N", RpcValue::Int(5))]);
        let mut out = String::new();
        show(&value, 0, &mut out);
        assert_eq!(
            out,
            "PROTO: udp<br/>LIST: <br/>\tADDR: &lt;127.0.0.1&gt;<br/>N: 5<br/>"
        );
    }
}
