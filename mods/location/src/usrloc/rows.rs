//! Contacts as rows of `location` and `location_attrs`, and back.

use std::sync::Arc;

use kahea_db::{Row, Value, parse_time, time_text};
use kahea_module::{
    Str,
    xavp::{XValue, Xavps},
};
use kahea_sip::ConnectionId;

use super::contact::{ALL_METHODS, Contact, Draft, Part, State, TooLong};

/// How columns hold what they hold.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Form {
    /// `use_domain`: the address of record is in two columns.
    pub use_domain: bool,
    /// `expires_type`: times are numbers, not dates.
    pub numeric_times: bool,
    /// `UTC_timestamps`: dates are in UTC, not in local time.
    pub utc: bool,
}

impl Form {
    /// User and domain of an address of record.
    pub fn address(self, aor: &[u8]) -> (Value, Value) {
        let parts = aor
            .iter()
            .rposition(|byte| *byte == b'@')
            .filter(|_| self.use_domain);
        match parts.and_then(|at| Some((aor.get(..at)?, aor.get(at.saturating_add(1)..)?))) {
            Some((user, domain)) => (text(user), text(domain)),
            // An address without a user is its domain alone.
            None if self.use_domain => (text(b""), text(aor)),
            None => (text(aor), Value::Null),
        }
    }

    /// The conditions that an address of record is found by, after the columns of [`Form::address`].
    pub fn keys(self, aor: &[u8]) -> Vec<Value> {
        let (user, domain) = self.address(aor);
        match self.use_domain {
            true => vec![user, domain],
            false => vec![user],
        }
    }

    /// A time.
    pub fn time(self, seconds: u32) -> Value {
        match (self.numeric_times, self.utc) {
            (true, _) => Value::Int(seconds.into()),
            (false, false) => Value::Time(seconds.into()),
            // Drivers write local time: that of the moment which reads there as this one does in UTC.
            (false, true) => {
                let text = utc_text(seconds.into());
                Value::Time(parse_time(&text).unwrap_or(seconds.into()))
            }
        }
    }

    /// A row, in the order of [`Columns::all`] and with the time of the last change behind.
    ///
    /// [`Columns::all`]: super::columns::Columns::all
    pub fn row(self, contact: &Contact) -> Row {
        let (user, domain) = self.address(contact.aor());
        let connection = contact.connection().and_then(|id| i64::try_from(id.0).ok());
        vec![
            text(contact.ruid()),
            user,
            domain,
            text(contact.address()),
            self.time(contact.expires()),
            Value::Real(contact.q().map_or(-1.0, |q| f64::from(q) / 1000.0)),
            text(contact.call_id()),
            Value::Int(contact.cseq().into()),
            Value::Int(contact.flags().into()),
            Value::Int(contact.cflags().into()),
            text(contact.user_agent()),
            contact.received().map_or(Value::Null, text),
            contact.path().map_or(Value::Null, text),
            contact.socket().map_or(Value::Null, text),
            match contact.methods() {
                ALL_METHODS => Value::Null,
                methods => Value::Int(methods.into()),
            },
            contact.instance().map_or(Value::Null, text),
            Value::Int(contact.reg_id().into()),
            Value::Int(contact.server_id().into()),
            Value::Int(connection.unwrap_or(-1)),
            Value::Int(0),
            Value::Int(0),
            self.time(contact.modified()),
        ]
    }

    /// A time that was read.
    fn moment(self, seconds: u32) -> u32 {
        if !self.utc || self.numeric_times || seconds == 0 {
            return seconds;
        }
        let text = time_text(seconds.into()).replace(' ', "T");
        let moment = parse_time(&format!("{text}Z"));
        moment
            .and_then(|moment| u32::try_from(moment).ok())
            .unwrap_or(seconds)
    }

    /// A contact of such a row.
    ///
    /// # Errors
    /// Its strings are too long.
    pub fn contact(self, row: &[Value]) -> Result<Contact, TooLong> {
        let column = Columns(row);
        let (user, domain) = (column.text(1), column.text(2));
        let aor = match self.use_domain && !domain.is_empty() {
            true if user.is_empty() => domain,
            true => Str::from([&*user, b"@", &domain].concat()),
            false => user,
        };
        let texts = [3, 6, 10, 11, 12, 13, 15].map(|at| column.text(at));
        let [address, call_id, agent, received, path, socket, instance] = &texts;
        let ruid = column.text(0);
        let draft = Draft {
            expires: self.moment(column.number(4)),
            q: column.q(5),
            cseq: column.number(7),
            flags: column.number(8),
            cflags: column.number(9),
            methods: column.methods(14),
            reg_id: column.number(16),
            server_id: column.int(17).and_then(|n| i32::try_from(n).ok()).unwrap_or(0),
            connection: column.connection(18),
            modified: self.moment(column.number(21)),
            ..Draft::default()
        };
        let draft = draft
            .with(Part::Aor, &aor)
            .with(Part::Address, address)
            .with(Part::Received, received)
            .with(Part::Path, path)
            .with(Part::UserAgent, agent)
            .with(Part::CallId, call_id)
            .with(Part::Ruid, &ruid)
            .with(Part::Instance, instance)
            .with(Part::Socket, socket);
        let mut contact = Contact::new(&draft)?;
        contact.state = State::Synced;
        Ok(contact)
    }
}

/// `2026-11-21 17:05:00` in UTC, of seconds since 1970.
fn utc_text(seconds: i64) -> String {
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // The civil calendar from days, with years that begin in March.
    let shifted = days.saturating_add(719_468);
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

fn text(bytes: &[u8]) -> Value {
    Value::Text(Str::copy(bytes))
}

/// The values of a row; what is missing or does not fit is nothing.
struct Columns<'a>(&'a [Value]);

impl Columns<'_> {
    fn text(&self, at: usize) -> Str {
        self.0.get(at).and_then(Value::text).unwrap_or_default()
    }

    fn int(&self, at: usize) -> Option<i64> {
        self.0.get(at).and_then(Value::time)
    }

    fn number(&self, at: usize) -> u32 {
        let number = self.int(at).unwrap_or(0).max(0);
        u32::try_from(number).unwrap_or(u32::MAX)
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a number from 0 to 1,000"
    )]
    fn q(&self, at: usize) -> Option<u16> {
        let q = self.0.get(at).and_then(Value::real)?;
        (0.0..=1.0).contains(&q).then(|| (q * 1000.0).round() as u16)
    }

    fn methods(&self, at: usize) -> u32 {
        match self.int(at) {
            None | Some(..0) => ALL_METHODS,
            Some(methods) => u32::try_from(methods).unwrap_or(ALL_METHODS),
        }
    }

    /// Connections do not outlive the server, but the number says that there was one.
    fn connection(&self, at: usize) -> Option<ConnectionId> {
        let number = self.int(at).filter(|number| *number > 0)?;
        u64::try_from(number).ok().map(ConnectionId)
    }
}

/// The fields of a contact as rows of `location_attrs`: name, type (0 text, 1 number), value.
pub(crate) fn attributes(contact: &Contact) -> Vec<(Str, i64, Str)> {
    let Some(fields) = contact.attributes() else {
        return Vec::new();
    };
    let rows = fields.iter().filter_map(|field| match &field.value {
        XValue::Str(value) => Some((field.name.clone(), 0, value.clone())),
        XValue::Int(value) => Some((field.name.clone(), 1, kahea_module::value::int_text(*value))),
        XValue::Null | XValue::List(_) => None,
    });
    rows.collect()
}

/// Adds a row of `location_attrs` to a contact's fields.
pub(crate) fn add_attribute(contact: &mut Option<Arc<Xavps>>, name: Str, kind: i64, value: &Value) {
    let value = match kind {
        1 => value.int().map(XValue::Int),
        _ => value.text().map(XValue::Str),
    };
    if let Some(value) = value {
        let fields = contact.get_or_insert_with(|| Arc::new(Xavps::new()));
        Arc::make_mut(fields).add_last(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: Form = Form {
        use_domain: true,
        numeric_times: false,
        utc: false,
    };

    #[test]
    fn dates_are_written_in_utc_where_the_table_has_them_so() {
        assert_eq!(utc_text(0), "1970-01-01 00:00:00");
        assert_eq!(utc_text(951_782_399), "2000-02-28 23:59:59");
        assert_eq!(utc_text(1_795_280_700), "2026-11-21 17:05:00");
        let form = Form { utc: true, ..FORM };
        let stored = form.time(1_795_280_700).int().unwrap();
        assert_eq!(form.moment(u32::try_from(stored).unwrap()), 1_795_280_700);
    }

    #[test]
    fn a_contact_comes_back_as_it_was() {
        let draft = Draft {
            expires: 2_000_000_000,
            modified: 1_900_000_000,
            cseq: 7,
            q: Some(250),
            cflags: 64,
            methods: 13,
            reg_id: 2,
            server_id: -3,
            connection: Some(ConnectionId(9)),
            ..Draft::default()
        };
        let draft = draft
            .with(Part::Aor, b"o'brien@example.com")
            .with(Part::Address, b"sip:a@192.0.2.1")
            .with(Part::Path, b"<sip:10.0.0.1;lr>")
            .with(Part::Ruid, b"uloc-1");
        let contact = Contact::new(&draft).unwrap();
        let again = FORM.contact(&FORM.row(&contact)).unwrap();
        let (one, other) = (contact.draft(), again.draft());
        assert_eq!(one.texts, other.texts);
        assert_eq!(format!("{one:?}"), format!("{other:?}"));
        assert_eq!(again.state(), State::Synced);
    }

    #[test]
    fn rows_of_kamailio_are_read_whatever_their_types() {
        let nulls = FORM.contact(&vec![Value::Null; 22]).unwrap();
        assert_eq!(
            (nulls.aor(), nulls.q(), nulls.methods()),
            (&b""[..], None, ALL_METHODS)
        );
        assert!(FORM.contact(&[]).is_ok());
        let mut row = FORM.row(&nulls);
        row[4] = Value::from("2035-05-28 21:32:15");
        row[5] = Value::Real(f64::NAN);
        row[14] = Value::Int(-1);
        let contact = FORM.contact(&row).unwrap();
        assert!(contact.expires() > 2_000_000_000);
        assert_eq!((contact.q(), contact.methods()), (None, ALL_METHODS));
    }

    #[test]
    fn addresses_are_split_where_tables_have_domains() {
        let of = |aor: &str| FORM.address(aor.as_bytes());
        assert_eq!(of("a@b"), (Value::from("a"), Value::from("b")));
        assert_eq!(of("b"), (Value::from(""), Value::from("b")));
        let plain = Form::default();
        assert_eq!(plain.address(b"a@b"), (Value::from("a@b"), Value::Null));
    }

    #[test]
    fn fields_keep_order_and_type() {
        let mut fields = None;
        add_attribute(&mut fields, Str::from("n"), 1, &Value::from("12"));
        add_attribute(&mut fields, Str::from("color"), 0, &Value::from("red"));
        add_attribute(&mut fields, Str::from("none"), 1, &Value::from("x"));
        let draft = Draft {
            attributes: fields,
            ..Draft::default()
        };
        let rows = attributes(&Contact::new(&draft).unwrap());
        assert_eq!(
            rows,
            [
                (Str::from("n"), 1, Str::from("12")),
                (Str::from("color"), 0, Str::from("red"))
            ]
        );
    }
}
