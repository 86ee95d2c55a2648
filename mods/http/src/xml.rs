//! Small XML documents as a tree: requests of XML-RPC, and the framework file of `xhttp_pi`.

use std::{borrow::Cow, fmt};

use quick_xml::{Reader, escape::unescape, events::Event};

/// Elements within one another.
const DEEPEST: usize = 64;
/// Elements of a document.
const MOST: usize = 200_000;

/// An element.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Element {
    /// Its name.
    pub name: String,
    /// Its attributes.
    pub attributes: Vec<(String, String)>,
    /// The elements in it.
    pub children: Vec<Element>,
    /// The text in it, without that of its children.
    pub text: String,
}

/// A document is none, or beyond the bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XmlError(String);

impl fmt::Display for XmlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Element {
    /// The first child of this name.
    pub fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.name == name)
    }

    /// All children of this name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Element> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// An attribute.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        let own = self.attributes.iter().find(|(known, _)| known == name);
        own.map(|(_, value)| value.as_str())
    }

    /// The text of the first child of this name, without the space around it.
    pub fn text_of(&self, name: &str) -> Option<&str> {
        self.child(name).map(|child| child.text.trim())
    }
}

/// Reads a document of UTF-8. Documents that define entities are refused.
///
/// # Errors
/// It is not well-formed, or beyond the bounds.
pub fn parse(data: &[u8]) -> Result<Element, XmlError> {
    let wrong = |what: &dyn fmt::Display| XmlError(what.to_string());
    let text = std::str::from_utf8(data).map_err(|error| wrong(&error))?;
    let mut reader = Reader::from_str(text);
    let mut open: Vec<Element> = Vec::new();
    let mut root = None;
    let mut count = 0usize;
    loop {
        match reader.read_event().map_err(|error| wrong(&error))? {
            Event::Start(start) => {
                count = count.saturating_add(1);
                if count > MOST || open.len() >= DEEPEST || root.is_some() {
                    return Err(wrong(&"too many elements, or too deep ones"));
                }
                open.push(element(start.name().as_ref(), start.attributes())?);
            }
            Event::Empty(start) => {
                count = count.saturating_add(1);
                if count > MOST || root.is_some() {
                    return Err(wrong(&"too many elements"));
                }
                let element = element(start.name().as_ref(), start.attributes())?;
                close(element, &mut open, &mut root);
            }
            Event::End(_) => match open.pop() {
                Some(element) => close(element, &mut open, &mut root),
                None => return Err(wrong(&"an element ends that did not begin")),
            },
            Event::Text(text) => add(&mut open, &lines(&text))?,
            Event::CData(text) => add(&mut open, &lines(&text))?,
            Event::GeneralRef(name) => {
                let whole = format!("&{};", &*name);
                let text = unescape(&whole).map_err(|error| wrong(&error))?;
                add(&mut open, &text)?;
            }
            Event::DocType(_) => return Err(wrong(&"a document type")),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
            Event::Eof => break,
        }
    }
    match root {
        Some(root) if open.is_empty() => Ok(root),
        _ => Err(wrong(&"the document does not end")),
    }
}

fn element(
    name: &str,
    attributes: quick_xml::events::attributes::Attributes<'_>,
) -> Result<Element, XmlError> {
    let mut own = Vec::new();
    for attribute in attributes {
        let attribute = attribute.map_err(|error| XmlError(error.to_string()))?;
        let value = unescape(&attribute.value).map_err(|error| XmlError(error.to_string()))?;
        own.push((attribute.key.as_ref().to_owned(), value.into_owned()));
    }
    Ok(Element {
        name: name.to_owned(),
        attributes: own,
        ..Element::default()
    })
}

fn close(element: Element, open: &mut [Element], root: &mut Option<Element>) {
    match open.last_mut() {
        Some(parent) => parent.children.push(element),
        None => *root = Some(element),
    }
}

fn add(open: &mut [Element], text: &str) -> Result<(), XmlError> {
    match open.last_mut() {
        Some(element) => element.text.push_str(text),
        None if text.trim().is_empty() => {}
        None => return Err(XmlError("text outside of the document".to_owned())),
    }
    Ok(())
}

/// Line ends as XML has them (section 2.11).
fn lines(text: &str) -> Cow<'_, str> {
    match text.contains('\r') {
        true => Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n")),
        false => Cow::Borrowed(text),
    }
}

/// Text as the content of an element; a CR only where `escape_cr` asks for it.
pub fn escape(text: &str, escape_cr: bool, out: &mut String) {
    for one in text.chars() {
        match one {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '\r' if escape_cr => out.push_str("&#xD;"),
            // What XML 1.0 cannot hold (section 2.2).
            '\0'..='\x08' | '\x0b' | '\x0c' | '\x0e'..='\x1f' | '\u{fffe}' | '\u{ffff}' => {
                out.push('\u{fffd}')
            }
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_document_is_a_tree() {
        let text = "<?xml version=\"1.0\"?>\n<a x='1' y=\"&lt;2\"><b>one &amp; t&#x77;o\r\n</b><!-- c --><c/>\
                    <b><![CDATA[<raw>]]></b>tail</a>\n";
        let root = parse(text.as_bytes()).expect("a document");
        assert_eq!(
            (root.attribute("x"), root.attribute("y")),
            (Some("1"), Some("<2"))
        );
        assert_eq!(root.text_of("b"), Some("one & two"));
        assert_eq!(root.children.len(), 3);
        assert_eq!(root.all("b").last().map(|b| b.text.as_str()), Some("<raw>"));
        assert_eq!(root.text, "tail");
    }

    #[test]
    fn what_is_no_document_is_refused() {
        for text in [
            "",
            "text",
            "<a>",
            "</a>",
            "<a></b>",
            "<a/>x",
            "<a/><b/>",
            "<a>&none;</a>",
            "<a>&</a>",
            "<a x=1/>",
            "<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>",
            "<a",
        ] {
            assert!(parse(text.as_bytes()).is_err(), "{text:?}");
        }
        assert!(parse(b"<a>\xff</a>").is_err());
        assert!(parse("<a>".repeat(100_000).as_bytes()).is_err());
        assert!(parse(format!("<r>{}</r>", "<a/>".repeat(MOST)).as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_do_harm(data in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = parse(&data);
        }

        #[test]
        fn texts_come_back(text in "\\PC*") {
            let mut out = "<a>".to_owned();
            escape(&text, true, &mut out);
            out.push_str("</a>");
            prop_assert_eq!(parse(out.as_bytes()).map(|root| root.text), Ok(text));
        }
    }
}
