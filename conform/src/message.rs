//! A received SIP message, as far as a scenario has to see it, and the texts that a peer sends.

use crate::text;

/// A received message: first line, headers in their order, body.
#[derive(Debug, Clone)]
pub struct Message {
    /// The first line.
    pub first: String,
    /// Name and value of each header; folded lines are joined by one space.
    pub headers: Vec<(String, String)>,
    /// All that followed the empty line.
    pub body: String,
}

impl Message {
    /// Splits what arrived; anything at all gives a message, however odd.
    pub fn parse(data: &[u8]) -> Self {
        let all = text::decode(data);
        let (head, body) = all.split_once("\r\n\r\n").unwrap_or((&all, ""));
        let head = unfold(head);
        let mut lines = head.split("\r\n");
        let first = lines.next().unwrap_or_default().to_owned();
        let headers = lines.map(|line| {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            (name.trim().to_owned(), value.trim().to_owned())
        });
        Self {
            first,
            headers: headers.collect(),
            body: body.to_owned(),
        }
    }

    /// All values of a header, compact form included, in their order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let hit = move |n: &str| n.eq_ignore_ascii_case(name) || long_name(n).eq_ignore_ascii_case(name);
        self.headers
            .iter()
            .filter(move |(n, _)| hit(n))
            .map(|(_, v)| v.as_str())
    }

    /// The first value of a header, or the empty text.
    pub fn get(&self, name: &str) -> &str {
        self.headers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name) || long_name(n).eq_ignore_ascii_case(name))
            .map_or("", |(_, v)| v.as_str())
    }

    /// Whether this is the reply with that code or the request with that method.
    pub fn is(&self, what: &str) -> bool {
        let mut words = self.first.split_whitespace();
        match words.next() {
            Some("SIP/2.0") => words.next() == Some(what),
            word => word == Some(what),
        }
    }
}

/// The full name of a compact header, any other name as it is.
pub fn long_name(name: &str) -> &str {
    match name {
        "v" => "Via",
        "f" => "From",
        "t" => "To",
        "i" => "Call-ID",
        "m" => "Contact",
        "l" => "Content-Length",
        "c" => "Content-Type",
        "k" => "Supported",
        "s" => "Subject",
        "e" => "Content-Encoding",
        "o" => "Event",
        "r" => "Refer-To",
        other => other,
    }
}

fn unfold(head: &str) -> String {
    let mut out = String::with_capacity(head.len());
    for (index, line) in head.split("\r\n").enumerate() {
        match line.strip_prefix([' ', '\t']) {
            Some(more) if index > 0 => {
                out.push(' ');
                out.push_str(more.trim_start_matches([' ', '\t']));
            }
            _ => {
                if index > 0 {
                    out.push_str("\r\n");
                }
                out.push_str(line);
            }
        }
    }
    out
}

/// Bytes of a message written with plain line ends: CRLF everywhere, `LEN` in the head replaced by the length of the body.
pub fn wire(message: &str) -> Vec<u8> {
    let message = message.trim_start_matches('\n');
    let (head, body) = message.split_once("\n\n").unwrap_or((message, ""));
    let body = body.replace("\r\n", "\n").replace('\n', "\r\n");
    let length = text::encode(&body).len().to_string();
    let lines: Vec<&str> = head.split('\n').map(|line| line.trim_end_matches('\r')).collect();
    text::encode(&format!(
        "{}\r\n\r\n{body}",
        lines.join("\r\n").replace("LEN", &length)
    ))
}

/// The fields of a well-formed request; what a scenario does not give has the defaults of [`Template::new`].
#[derive(Debug, Clone)]
pub struct Template {
    /// The method.
    pub method: String,
    /// The request URI, also that of To; `sip:` is added where no scheme stands.
    pub uri: String,
    /// User part and display name of From, user part of Contact.
    pub name: String,
    /// The Call-ID before `@case`.
    pub callid: String,
    /// The CSeq number.
    pub cseq: String,
    /// The Via branch after the magic cookie.
    pub branch: String,
    /// The To tag; none when empty.
    pub to_tag: String,
    /// The From tag.
    pub from_tag: String,
    /// Further header lines.
    pub extra: String,
    /// The body.
    pub body: String,
    /// The transport named in the Via.
    pub proto: String,
    /// Address and port in Via and Contact.
    pub hostport: String,
    /// The host in From.
    pub domain: String,
}

impl Template {
    /// A request from the endpoint of that name and address.
    pub fn new(method: &str, uri: &str, name: &str, proto: &str, hostport: &str) -> Self {
        Self {
            method: method.into(),
            uri: uri.into(),
            name: name.into(),
            callid: "c1".into(),
            cseq: "1".into(),
            branch: "b1".into(),
            to_tag: String::new(),
            from_tag: "ft1".into(),
            extra: String::new(),
            body: String::new(),
            proto: proto.into(),
            hostport: hostport.into(),
            domain: "example.com".into(),
        }
    }

    /// The request as text for [`wire`].
    pub fn text(&self) -> String {
        let scheme = ["sip:", "sips:", "tel:", "urn:"]
            .iter()
            .any(|s| self.uri.starts_with(s));
        let uri = if scheme {
            self.uri.clone()
        } else {
            format!("sip:{}", self.uri)
        };
        let to_tag = if self.to_tag.is_empty() {
            String::new()
        } else {
            format!(";tag={}", self.to_tag)
        };
        let Self {
            method,
            name,
            callid,
            cseq,
            branch,
            from_tag,
            body,
            proto,
            hostport,
            domain,
            ..
        } = self;
        let title = title(name);
        let extra = header_lines(&self.extra);
        format!(
            "{method} {uri} SIP/2.0\nVia: SIP/2.0/{proto} {hostport};branch=z9hG4bK{branch};rport\n\
             Max-Forwards: 70\nFrom: \"{title}\" <sip:{name}@{domain}>;tag={from_tag}\nTo: <{uri}>{to_tag}\n\
             Call-ID: {callid}@case\nCSeq: {cseq} {method}\nContact: <sip:{name}@{hostport}>\nUser-Agent: case\n\
             {extra}Content-Length: LEN\n\n{body}"
        )
    }
}

/// A reply of a peer to a request that it received.
#[derive(Debug, Clone)]
pub struct Answer<'a> {
    /// Status code.
    pub code: u16,
    /// Reason phrase.
    pub reason: &'a str,
    /// Further header lines.
    pub extra: &'a str,
    /// The body.
    pub body: &'a str,
    /// The tag added to To where it has none.
    pub tag: &'a str,
    /// The Contact URI, for replies that carry one.
    pub contact: Option<String>,
}

impl Answer<'_> {
    /// The reply as text for [`wire`]: Vias, Record-Routes, From, To with a tag, Call-ID and CSeq as in the request.
    pub fn text(&self, request: &Message) -> String {
        let mut lines = vec![format!("SIP/2.0 {} {}", self.code, self.reason)];
        lines.extend(request.all("Via").map(|v| format!("Via: {v}")));
        if self.code > 100 {
            lines.extend(request.all("Record-Route").map(|v| format!("Record-Route: {v}")));
        }
        lines.push(format!("From: {}", request.get("From")));
        let to = request.get("To");
        let tagged = self.code <= 100 || to.contains(";tag=");
        lines.push(if tagged {
            format!("To: {to}")
        } else {
            format!("To: {to};tag={}", self.tag)
        });
        lines.push(format!("Call-ID: {}", request.get("Call-ID")));
        lines.push(format!("CSeq: {}", request.get("CSeq")));
        if let Some(contact) = self.contact.as_ref().filter(|_| (180..400).contains(&self.code)) {
            lines.push(format!("Contact: <{contact}>"));
        }
        format!(
            "{}\n{}Content-Length: LEN\n\n{}",
            lines.join("\n"),
            header_lines(self.extra),
            self.body
        )
    }
}

fn header_lines(extra: &str) -> String {
    extra
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(|line| format!("{line}\n"))
        .collect()
}

fn title(name: &str) -> String {
    let mut chars = name.chars();
    chars
        .next()
        .map_or_else(String::new, |c| c.to_uppercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_folding_and_compact_names() {
        let m = Message::parse(
            b"INVITE sip:a SIP/2.0\r\nv: one\r\nVia: two\r\n\tfolded\r\nSubject:\r\n\r\nbody\r\n",
        );
        assert_eq!(m.all("Via").collect::<Vec<_>>(), ["one", "two folded"]);
        assert_eq!((m.get("subject"), m.body.as_str()), ("", "body\r\n"));
        assert!(m.is("INVITE") && !m.is("200"));
    }

    #[test]
    fn wire_counts_the_body_in_bytes() {
        assert_eq!(wire("A\nL: LEN\n\nž\n"), "A\r\nL: 4\r\n\r\nž\r\n".as_bytes());
    }

    #[test]
    fn answers_echo_the_dialog() {
        let request = Message::parse(b"INVITE sip:a SIP/2.0\r\nVia: v1\r\nVia: v2\r\nRecord-Route: <r>\r\nFrom: f\r\nTo: t\r\nCall-ID: i\r\nCSeq: 1 INVITE\r\n\r\n");
        let answer = Answer {
            code: 180,
            reason: "Ringing",
            extra: "",
            body: "",
            tag: "uas",
            contact: Some("sip:bob@h".into()),
        };
        let text = answer.text(&request);
        assert_eq!(
            text,
            "SIP/2.0 180 Ringing\nVia: v1\nVia: v2\nRecord-Route: <r>\nFrom: f\nTo: t;tag=uas\nCall-ID: i\nCSeq: 1 INVITE\nContact: <sip:bob@h>\nContent-Length: LEN\n\n"
        );
    }
}
