//! The pages of `xhttp_pi`, in the form of Kamailio's.

use std::{fmt::Write as _, sync::Arc};

use kahea_db::Rows;

use super::framework::{Command, Field, Framework, Group, Kind, sign};
use crate::html::{Page, TABLE, TABLE_END, encoded, escaped};

/// What a path names.
pub struct Place {
    root: String,
    framework: Arc<Framework>,
    group: Option<usize>,
    /// The command.
    pub command: Option<Arc<Command>>,
    /// The most bytes of a page.
    pub most: usize,
}

/// What stands on the page.
pub enum Outcome {
    /// There is no such page.
    BadUrl,
    /// The commands of the group.
    Menu,
    /// The form of the command.
    Form,
    /// One sentence.
    Said(String),
    /// A table.
    Rows(Rows),
}

/// Rows that a form stands beside.
const FORM_ROWS: usize = 20;

/// The name of an input: letters from `a` on.
pub fn letter(at: usize) -> String {
    let one = u8::try_from(at)
        .ok()
        .filter(|at| *at < 26)
        .map(|at| char::from(b'a'.wrapping_add(at)));
    one.map_or_else(|| format!("a{at}"), String::from)
}

impl Place {
    /// At the root.
    pub fn new(root: String, framework: Arc<Framework>, most: usize) -> Place {
        Place {
            root,
            framework,
            group: None,
            command: None,
            most,
        }
    }

    /// Goes down a path; false where it leads nowhere. What is there of it is kept.
    pub fn find(&mut self, parts: &[String]) -> bool {
        let Some(name) = parts.first() else { return true };
        self.group = self.framework.groups.iter().position(|group| group.name == *name);
        let Some(group) = self.group() else { return false };
        let Some(name) = parts.get(1) else { return true };
        let command = group
            .commands
            .iter()
            .find(|command| command.name == *name)
            .cloned();
        self.command = command;
        self.command.is_some() && parts.len() == 2
    }

    fn group(&self) -> Option<&Group> {
        self.framework.groups.get(self.group?)
    }

    /// The page.
    pub fn page(&self, outcome: &Outcome) -> String {
        const TITLE: &str = "Kamailio Provisionning Interface";
        let mut page = Page::new(TITLE, &format!("<h2 align=\"center\">{TITLE}</h2>"));
        let names = self.framework.groups.iter().map(|group| group.name.as_str());
        page.menu(&self.root, names, self.group().map(|group| group.name.as_str()));
        if let Some(group) = self.group() {
            match (&self.command, outcome) {
                (Some(command), Outcome::Said(text)) => {
                    self.result(group, command, &mut page.out);
                    let _ = writeln!(page.out, "\t<td>{}</td>\n</tr>", escaped(text));
                    page.out.push_str(TABLE_END);
                }
                (Some(command), Outcome::Rows(rows)) => self.rows(group, command, rows, &mut page.out),
                (Some(command), Outcome::Form) => self.form(group, Some(command), &mut page.out),
                _ => self.form(group, None, &mut page.out),
            }
        }
        page.end("<a href=\"http://kamailio.org\">Kamailio web site</a>")
    }

    fn link(&self, group: &Group, command: &str) -> String {
        format!(
            "\t<td width=\"10%\"><a href='/{}/{}/{}'>{}</a></td>\n",
            escaped(&self.root),
            encoded(&group.name),
            encoded(command),
            escaped(command)
        )
    }

    /// The commands of the group, and the form of one of them.
    fn form(&self, group: &Group, command: Option<&Arc<Command>>, out: &mut String) {
        out.push_str(TABLE);
        let rows = match command {
            Some(_) => group.commands.len().max(FORM_ROWS.saturating_add(1)),
            None => group.commands.len(),
        };
        for row in 0..rows {
            out.push_str("<tr>\n");
            match group.commands.get(row) {
                Some(one) => out.push_str(&self.link(group, &one.name)),
                None => out.push_str("\t<td>&nbsp;</td>\n"),
            }
            match (command, row) {
                (Some(command), 0) => {
                    let _ = writeln!(out, "\t<td align=\"left\"><b>{}</b></td>", escaped(&command.name));
                }
                (Some(command), 1) => inputs(command, out),
                _ => {}
            }
            out.push_str("</tr>\n");
        }
        out.push_str(TABLE_END);
    }

    /// The head of a result.
    fn result(&self, group: &Group, command: &Command, out: &mut String) {
        out.push_str("<table border=\"1\" cellpadding=\"3\" cellspacing=\"0\" width=\"90%\"><tbody>\n<tr>\n");
        out.push_str(&self.link(group, &command.name));
        let _ = write!(
            out,
            "\t<td colspan=\"99\">{}</td>\n</tr>\n<tr>\n\t<td rowspan=\"999999\">&nbsp;</td>\n",
            escaped(&command.name)
        );
    }

    fn rows(&self, group: &Group, command: &Command, rows: &Rows, out: &mut String) {
        self.result(group, command, out);
        for field in &command.query {
            let _ = writeln!(out, "\t<td>{}</td>", escaped(&field.name));
        }
        for row in &rows.rows {
            out.push_str("<tr>\n");
            for (field, value) in command.query.iter().zip(row.iter()) {
                let text = value.text().map(|text| text.text().into_owned());
                let _ = writeln!(out, "\t<td>{}</td>", self.cell(group, field, text.as_deref()));
            }
            out.push_str("</tr>\n");
        }
        out.push_str("</tr>\n");
        out.push_str(TABLE_END);
    }

    /// A value; where it leads to a command, that command's form with the value filled in.
    fn cell(&self, group: &Group, field: &Field, text: Option<&str>) -> String {
        let Some(text) = text.filter(|text| !text.is_empty()) else {
            return "&nbsp;".to_owned();
        };
        match &field.link {
            Some(link) => format!(
                "<a href='/{}/{}/{}?0={}'>{}</a>",
                escaped(&self.root),
                encoded(&group.name),
                encoded(link),
                encoded(text),
                escaped(text)
            ),
            None => escaped(text),
        }
    }
}

/// The form of a command.
fn inputs(command: &Command, out: &mut String) {
    let _ = write!(
        out,
        "\t<td valign=\"top\" align=\"left\" rowspan=\"{FORM_ROWS}\">\n\t\t<form name=\"input\" method=\"get\">\n\
         \t\t\t<input type=hidden name=cmd value=\"on\">\n"
    );
    const BEGIN: &str = "<table border=\"0\" cellpadding=\"3\" cellspacing=\"0\"><tbody>\n";
    if !command.clause.is_empty() {
        let _ = write!(out, "\t\t\t<br/>Clause:{BEGIN}");
        for (at, (field, op)) in command.clause.iter().enumerate() {
            let label = format!("{} {}", field.name, sign(*op));
            input(&label, &at.to_string(), field, out);
        }
        out.push_str("\t\t\t</tbody></table>\n");
    }
    if command.kind != Kind::Query && !command.query.is_empty() {
        let _ = write!(out, "\t\t\t<br/>Values:{BEGIN}");
        for (at, field) in command.query.iter().enumerate() {
            input(&field.name, &letter(at), field, out);
        }
        out.push_str("\t\t\t</tbody></table>\n");
    }
    out.push_str("\t\t\t<br/><input type=\"submit\" value=\"Submit\"/>\n\t\t</form>\n\t</td>\n");
}

fn input(label: &str, name: &str, field: &Field, out: &mut String) {
    let label = escaped(label);
    if field.choices.is_empty() {
        let _ = writeln!(
            out,
            "\t\t\t<tr><td><b>{label}</b></td><td><input type=\"text\" name=\"{name}\"/></td></tr>"
        );
        return;
    }
    let _ = write!(
        out,
        "\t\t\t<tr><td><b>{label}</b></td><td><select name=\"{name}\"/>"
    );
    for (id, value) in &field.choices {
        let _ = write!(
            out,
            "\n\t\t\t\t<option value=\"{}\">{}</option>",
            escaped(value),
            escaped(id)
        );
    }
    out.push_str("</td></tr>\n");
}
