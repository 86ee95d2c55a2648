//! Messages on their way into the store.

use kahea_db::{Value, parse_time};
use kahea_module::{Cx, Ret, Str, value::parse_int};
use kahea_sip::{HeaderId, view::Uri};

use super::Msilo;
use crate::{queries, who::Account};

/// `m_store()`.
pub fn store(m: &Msilo, cx: &mut Cx, owner: Option<kahea_module::Value>) -> Ret {
    let owner = match owner {
        Some(value) => match value.str() {
            Some(uri) => Account::of_uri(&uri),
            None => return Ret::FALSE,
        },
        None => Account::of_uri(&cx.ruri())
            .filter(|account| !account.user.is_empty())
            .or_else(|| Account::of_to(cx)),
    };
    keep(m, cx, owner, None, None)
}

/// `m_store_addrs()`.
pub fn store_addrs(m: &Msilo, cx: &mut Cx, owner: Str, source: Str, destination: Str) -> Ret {
    let given = |text: Str| Some(text).filter(|text| !text.is_empty());
    let owner = match given(owner) {
        Some(uri) => Account::of_uri(&uri),
        None => Account::of_uri(&cx.ruri()),
    };
    keep(m, cx, owner, given(source), given(destination))
}

fn keep(m: &Msilo, cx: &mut Cx, owner: Option<Account>, from: Option<Str>, to: Option<Str>) -> Ret {
    let Some(owner) = owner.filter(|owner| !owner.user.is_empty()) else {
        return Ret::FALSE;
    };
    let Some(values) = row(m, cx, &owner, from, to) else {
        return Ret::FALSE;
    };
    let silo = m.silo.clone();
    let most = m.max_messages;
    let account = [owner.user, owner.host].map(|text| Value::Text(text.detach()));
    let stored = async move {
        if most > 0 {
            let known = silo.database.run(&silo.queries.count, account.into()).await?;
            if u64::try_from(known.rows.len()).unwrap_or(u64::MAX) >= most {
                return Ok(false);
            }
        }
        silo.database.run(&silo.queries.store, values).await?;
        silo.counters.stored.inc();
        Ok(true)
    };
    let silo = m.silo.clone();
    // The notice needs the message as it is now, and goes out once the row is there.
    let notice = m.notice.as_ref().and_then(|notice| notice.ready(&silo, cx));
    Ret::wait(move |cx| {
        Box::pin(async move {
            match stored.await {
                Ok(true) => {
                    if let Some(request) = notice {
                        silo.tell(cx, request);
                    }
                    Ret::TRUE
                }
                Ok(false) => Ret::FALSE,
                Err(error) => queries::failed(&silo.database, &error).into(),
            }
        })
    })
}

/// The values of a row; `None` where the message has no text, no type or no sender.
fn row(m: &Msilo, cx: &mut Cx, owner: &Account, from: Option<Str>, to: Option<Str>) -> Option<Vec<Value>> {
    let body = cx.msg.buffer().share(cx.msg.body());
    let kind = cx
        .msg
        .first(HeaderId::ContentType)
        .map(|header| cx.msg.value_text(header))?;
    if body.is_empty() {
        return None;
    }
    let kind = kind.share(kind.split(|byte| *byte == b';').next()?.trim_ascii());
    let from = match from {
        Some(uri) => uri,
        None => cx.msg.buffer().share(cx.from().ok()?.uri),
    };
    let to = match to {
        Some(uri) => uri,
        None => cx.msg.buffer().share(cx.to().ok()?.uri),
    };
    Uri::parse(&from).ok()?;
    let now = cx.worker.unix_time();
    let send = m.send_time.as_ref().and_then(|var| var.get(cx).str());
    let headers = m.headers.as_ref().and_then(|var| var.get(cx).str());
    let text = |text: &Str| Value::Text(text.detach());
    let mut values = vec![
        text(&from),
        text(&to),
        text(&owner.user),
        text(&owner.host),
        Value::Int(now),
        Value::Int(now.saturating_add(lifetime(cx, m.expire_time))),
        Value::Int(send.and_then(|time| send_time(&time.text())).unwrap_or(0)),
        text(&kind),
        Value::Blob(body.detach()),
        text(&headers.unwrap_or_default()),
        Value::Int(0),
    ];
    if m.silo.keep_call_id {
        let call_id = cx.msg.call_id().unwrap_or_default();
        values.push(Value::Text(Str::copy(call_id)));
    }
    Some(values)
}

/// Seconds that the message is kept: what Expires says, where it is less than the parameter.
fn lifetime(cx: &Cx, most: i64) -> i64 {
    let header = cx.msg.first(HeaderId::Expires);
    header
        .and_then(|header| parse_int(cx.msg.value(header).trim_ascii()))
        .filter(|seconds| (1..most).contains(seconds))
        .unwrap_or(most)
}

/// Seconds since 1970 of `YYYYMMDDHHMMSS` in local time.
fn send_time(text: &str) -> Option<i64> {
    if text.len() != 14 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    parse_time(&format!(
        "{}-{}-{} {}:{}:{}",
        part(0, 4),
        part(4, 6),
        part(6, 8),
        part(8, 10),
        part(10, 12),
        part(12, 14)
    ))
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::*;

    #[test]
    fn times_of_sending_are_fourteen_digits() {
        assert_eq!(send_time("20300101120000"), parse_time("2030-01-01 12:00:00"));
        assert!(send_time("20300101120000").is_some());
        assert_eq!(send_time("20301301120000"), None);
        assert_eq!(send_time("soon"), None);
        assert_eq!(send_time("2030010112000"), None);
    }

    #[test]
    fn expires_shortens_the_life_of_a_message() {
        let server = Server::default();
        let with = |expires: &str| {
            let text =
                kahea_module::testing::INVITE.replace("User-Agent: phone", &format!("Expires: {expires}"));
            lifetime(&server.message(&text), 1000)
        };
        assert_eq!(with("60"), 60);
        assert_eq!(with("0"), 1000);
        assert_eq!(with("99999"), 1000);
        assert_eq!(with("x"), 1000);
    }
}
