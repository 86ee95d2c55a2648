//! Addresses: `[proto:]host[:port]`.

use kahea_diag::{Diagnostic, Span, codes};

use super::{Failed, Parser, Result};
use crate::{
    ast::{Address, Advertise, Host, Ident, Port},
    lexer::Tok,
};

/// The transport a word means, in lower case.
pub(super) fn transport(word: &str) -> Option<&'static str> {
    let known = ["udp", "tcp", "tls", "sctp", "ws", "wss"];
    known.into_iter().find(|name| name.eq_ignore_ascii_case(word))
}

impl Parser<'_> {
    pub(super) fn address(&mut self) -> Result<Address> {
        let start = self.span();
        let proto = self.address_proto();
        let mut hosts = Vec::new();
        if self.eat("(") {
            loop {
                hosts.push(self.host()?);
                if !self.eat(",") {
                    break;
                }
            }
            self.close(")", start)?;
        } else {
            hosts.push(self.host()?);
        }
        let port = if self.is(":") { self.port()? } else { None };
        Ok(Address {
            proto,
            hosts,
            port,
            span: start.to(self.last_span()),
        })
    }

    pub(super) fn advertise(&mut self) -> Result<Advertise> {
        let proto = self.address_proto();
        let host = self.host()?;
        let port = if self.is(":") { self.port()? } else { None };
        Ok(Advertise { proto, host, port })
    }

    /// `udp:`, or `*:` before a host.
    fn address_proto(&mut self) -> Option<Ident> {
        if !self.is_at(1, ":") {
            return None;
        }
        let name = match self.peek() {
            Tok::Ident(word) => transport(word)?,
            // `*:5060` is any host with a port, `*:host:5060` any transport.
            Tok::Punct("*") if !matches!(self.peek_at(2), Tok::Int(_)) => "*",
            _ => return None,
        };
        let ident = Ident::new(name, self.span());
        self.bump();
        self.bump();
        Some(ident)
    }

    pub(super) fn host(&mut self) -> Result<Host> {
        let span = self.span();
        let host = match self.peek() {
            Tok::Ip(address) => Host::Ip(*address, span),
            Tok::Str(text) => Host::Str((**text).clone()),
            Tok::Punct("*") => Host::Any(span),
            Tok::Punct("[") => return self.bracketed_host(),
            Tok::Ident(_) | Tok::NumWord(_) | Tok::Int(_) => return Ok(Host::Name(self.host_name())),
            _ => return Err(self.unexpected("an IP address, a host name, an interface or `*`")),
        };
        self.bump();
        Ok(host)
    }

    fn bracketed_host(&mut self) -> Result<Host> {
        let open = self.span();
        self.bump();
        let Tok::Ip(address) = *self.peek() else {
            return Err(self.unexpected("an IPv6 address"));
        };
        self.bump();
        let end = self.close("]", open)?;
        Ok(Host::Ip(address, open.to(end)))
    }

    /// A name such as `sip-1.example.com`: words with dots and dashes, without blanks.
    pub(super) fn host_name(&mut self) -> Ident {
        let start = self.span();
        let mut text = self.written();
        let is_part = |kind: &Tok| matches!(kind, Tok::Ident(_) | Tok::NumWord(_) | Tok::Int(_) | Tok::Ip(_));
        loop {
            let joined = matches!(self.peek_at(1), Tok::Punct("." | "-")) && self.is_adjacent(1);
            let is_word = joined && is_part(self.peek_at(2)) && self.is_adjacent(2);
            // Something like `1and1` follows a dash as a number and a word.
            let runs_on = is_part(self.peek_at(1)) && self.is_adjacent(1);
            self.bump();
            if is_word || runs_on {
                text += &self.written();
            } else {
                break;
            }
        }
        Ident::new(text, start.to(self.last_span()))
    }

    /// `:5060` or `:*`.
    fn port(&mut self) -> Result<Option<Port>> {
        self.bump();
        let span = self.span();
        let port = match *self.peek() {
            Tok::Int(number) => Port::Number(self.port_number(number, span)?, span),
            Tok::Punct("*") => Port::Any(span),
            _ => return Err(self.unexpected("a port")),
        };
        self.bump();
        Ok(Some(port))
    }

    fn port_number(&mut self, number: i64, span: Span) -> Result<u16> {
        u16::try_from(number).map_err(|_| {
            let message = format!("`{number}` is no port");
            self.diagnostics
                .push(Diagnostic::error(codes::BAD_ADDRESS, span, message).help("ports go from 0 to 65535"));
            Failed
        })
    }
}
