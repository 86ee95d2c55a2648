//! The headers `X-Siptrace-*` of copies that go from server to server: where the message came from and went to.

use kahea_module::Str;

use crate::shot::{Direction, Shot, end_text, method, read_end};

const FROM: &[u8] = b"X-Siptrace-Fromip";
const TO: &[u8] = b"X-Siptrace-Toip";
const TIME: &[u8] = b"X-Siptrace-Time";
const METHOD: &[u8] = b"X-Siptrace-Method";
const DIRECTION: &[u8] = b"X-Siptrace-Dir";

/// The bytes of a message with the headers.
pub fn write(shot: &Shot) -> Vec<u8> {
    let Some(message) = shot.message() else {
        return shot.data.to_vec();
    };
    let since = shot.at.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let lines = format!(
        "X-Siptrace-Fromip: {}\r\nX-Siptrace-Toip: {}\r\nX-Siptrace-Time: {} {}\r\nX-Siptrace-Method: {}\r\nX-Siptrace-Dir: {}\r\n",
        end_text(shot.transport, shot.from),
        end_text(shot.transport, shot.to),
        since.as_secs(),
        since.subsec_micros(),
        method(&message),
        shot.direction.name(),
    );
    let at = usize::try_from(message.headers_end()).unwrap_or(usize::MAX);
    match shot.data.split_at_checked(at) {
        Some((head, rest)) => [head, lines.as_bytes(), rest].concat(),
        None => shot.data.to_vec(),
    }
}

/// The message that the headers speak of, without them; `None` where one that is needed is missing.
pub fn read(shot: &Shot) -> Option<Shot> {
    let message = shot.message()?;
    let value = |name: &[u8]| message.named(name).next().map(|header| message.value(header));
    let (transport, from) = read_end(value(FROM)?)?;
    let (_, to) = read_end(value(TO)?)?;
    let direction = match value(DIRECTION)? {
        b"out" => Direction::Out,
        _ => Direction::In,
    };
    let names = [FROM, TO, TIME, METHOD, DIRECTION];
    let mut data = Vec::with_capacity(shot.data.len());
    let mut kept = 0;
    for header in message.headers() {
        let span = header.line;
        if names
            .iter()
            .any(|name| message.bytes(header.name).eq_ignore_ascii_case(name))
        {
            data.extend_from_slice(shot.data.get(kept..span.range().start)?);
            kept = span.range().end;
        }
    }
    data.extend_from_slice(shot.data.get(kept..)?);
    Some(Shot {
        data: Str::from(data),
        from,
        to,
        transport,
        direction,
        at: shot.at,
    })
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::*;

    #[test]
    fn what_is_written_is_read_and_taken_out() {
        let server = Server::default();
        let cx = server.invite();
        let shot = Shot::of(&cx);
        let marked = Shot {
            data: Str::from(write(&shot)),
            from: "10.0.0.9:1".parse().unwrap(),
            ..shot.clone()
        };
        assert!(
            marked
                .data
                .windows(21)
                .any(|text| text == b"X-Siptrace-Method: IN")
        );
        let back = read(&marked).unwrap();
        assert_eq!(
            (back.from, back.to, back.direction),
            (shot.from, shot.to, shot.direction)
        );
        assert_eq!(back.data, shot.data);
        assert!(read(&shot).is_none(), "one without headers is not traced");
    }
}
