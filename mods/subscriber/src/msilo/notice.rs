//! The notice that a sender gets when a message was stored.

use kahea_mods_transaction::tm::uac::LocalRequest;
use kahea_module::{Bind, Cx, Format, InitError, Str, error};
use kahea_sip::{
    HeaderId,
    view::{NameAddr, Uri},
};

use super::{Params, Silo};

/// How it is made.
pub struct Notice {
    from: Format,
    text: Format,
    contact: Format,
    content_type: Format,
    use_contact: bool,
    /// Under which flag none is sent, as a mask.
    skip: u32,
}

impl Notice {
    /// Of the parameters; `None` where they ask for none.
    ///
    /// # Errors
    /// A text has unknown variables, or the flag is none.
    pub fn new(params: &Params, bind: &dyn Bind) -> Result<Option<Notice>, InitError> {
        let flag = params.skip_notification_flag;
        let skip = match u32::try_from(flag) {
            Err(_) => 0,
            Ok(number) => 1u32.checked_shl(number).ok_or_else(|| {
                InitError::new(format!("skip_notification_flag is {flag}"))
                    .help("give the number of a message flag, 0 to 31, or -1 for none")
            })?,
        };
        if params.from_address.is_empty() || params.offline_message.is_empty() {
            return Ok(None);
        }
        let content_type = if params.content_type_hdr.is_empty() {
            Str::from_static("Content-Type: text/plain\r\n")
        } else {
            params.content_type_hdr.clone()
        };
        Ok(Some(Notice {
            from: bind.format(&params.from_address.text())?,
            text: bind.format(&params.offline_message.text())?,
            contact: bind.format(&params.contact_hdr.text())?,
            content_type: bind.format(&content_type.text())?,
            use_contact: params.use_contact,
            skip,
        }))
    }

    /// The notice to the sender of this message, made while the message is as it was stored; `None` where there is
    /// none.
    pub fn ready(&self, silo: &Silo, cx: &mut Cx) -> Option<LocalRequest> {
        if cx.flags & self.skip != 0 {
            return None;
        }
        let request = self.request(silo, cx);
        if request.is_none() {
            error!("msilo", "The sender has no address that a notice can go to.");
        }
        request
    }

    fn request(&self, silo: &Silo, cx: &mut Cx) -> Option<LocalRequest> {
        let sender = cx.msg.buffer().share(cx.from().ok()?.uri);
        let contact = contact(cx).filter(|_| self.use_contact);
        let headers = [&*self.contact.text(cx), &*self.content_type.text(cx)].concat();
        Some(LocalRequest {
            method: Str::from_static("MESSAGE"),
            ruri: contact.unwrap_or_else(|| sender.clone()),
            next_hop: silo.proxy.clone(),
            from: bracketed(&self.from.text(cx)),
            to: bracketed(&sender),
            headers: Str::from(headers),
            body: self.text.text(cx),
            ..LocalRequest::default()
        })
    }
}

impl Silo {
    /// Sends a notice.
    pub(super) fn tell(&self, cx: &Cx, request: LocalRequest) {
        let (requests, worker) = (self.requests.clone(), cx.worker.clone());
        cx.worker.engine.spawn(Box::pin(async move {
            if let Err(fault) = requests.send(&worker, request).await {
                error!("msilo", "The notice to a sender was not sent: {fault}.");
            }
        }));
    }
}

/// The URI of the first Contact.
fn contact(cx: &Cx) -> Option<Str> {
    let header = cx.msg.first(HeaderId::Contact)?;
    let addr = NameAddr::parse(cx.msg.value(header)).ok()?;
    Uri::parse(addr.uri).ok()?;
    Some(cx.msg.buffer().share(addr.uri))
}

/// `<uri>`.
pub fn bracketed(uri: &[u8]) -> Str {
    Str::from([b"<", uri, b">"].concat())
}
