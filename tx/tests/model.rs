//! The machines against tables drawn from RFC 3261 section 17 and RFC 6026: every event in every state, and every
//! sequence of events up to some length.
//!
//! A cell of a table is the state that follows, then what is sent (`!`), then what the transaction is told (`>`);
//! `-` stands for nothing at all. What happens in a row is what the RFCs' figures say, but where a comment says so.
#![expect(clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use kahea_tx::{
    CancelMethod, Client, ClientEvent, ClientSend, ClientState, ClientStep, ClientTell, Outcome, Server,
    ServerEvent, ServerState, ServerStep, Time, Timing,
};

/// The client machine of an INVITE (figure 5, RFC 6026 figure 8) over UDP.
///
/// | row | the branch | its CANCEL |
/// |---|---|---|
/// | idle | is not sent | |
/// | call, want, csnt, cans | is not answered | nobody wants it, waits, was sent, is over |
/// | proc, psnt, pans | rings | nobody wants it, was sent, is over |
/// | acc | got a 2xx | |
/// | done | got another final reply | |
/// | lost, lsnt, lans, lend | was given up | may still be needed, was sent, was answered, is over |
/// | null | was given up before it was sent | |
///
/// On purpose beyond the figures: a branch that was given up still hears late replies (it is CANCELled, ACKed, its 2xx
/// passes), since timers M and D belong to the transaction as a whole (`wt_timer`); a 2xx passes and a refusal is
/// ACKed even after a final reply of the other kind, as a forking element behind the same branch may send both.
const INVITE: &str = "
      | sent | unsent    | 1xx            | 2xx      | 3xx+           | c.fake    | c.reply   | c.once    | c.ans | repeat    | over           | expire
 idle | call | null >503 | -              | -        | -              | null >487 | null >487 | null >487 | -     | -         | -              | null >408
 call | -    | lost >503 | proc >1xx      | acc >fin | done !ACK >fin | lost >487 | want      | csnt !CAN | -     | call !REQ | lost >408      | lost >408
 want | -    | lost >503 | psnt !CAN >1xx | acc >fin | done !ACK >fin | lost >487 | -         | csnt !CAN | -     | want !REQ | lost >487      | lost >487
 csnt | -    | lend >503 | psnt >1xx      | acc >fin | done !ACK >fin | -         | -         | -         | cans  | csnt !can | lend >487      | lend >487
 cans | -    | lend >503 | pans >1xx      | acc >fin | done !ACK >fin | -         | -         | -         | -     | -         | lend >487      | lend >487
 proc | -    | -         | proc >1xx      | acc >fin | done !ACK >fin | psnt !CAN | psnt !CAN | psnt !CAN | -     | -         | lsnt !CAN >408 | lsnt !CAN >408
 psnt | -    | -         | psnt >1xx      | acc >fin | done !ACK >fin | -         | -         | -         | pans  | psnt !can | lend >487      | lend >487
 pans | -    | -         | pans >1xx      | acc >fin | done !ACK >fin | -         | -         | -         | -     | -         | lend >487      | lend >487
 acc  | -    | -         | -              | acc >fin | acc !ACK       | -         | -         | -         | -     | -         | -              | -
 done | -    | -         | -              | acc >fin | done !ACK      | -         | -         | -         | -     | -         | -              | -
 lost | -    | -         | lsnt !CAN      | acc >fin | lend !ACK      | -         | -         | -         | -     | -         | -              | -
 lsnt | -    | -         | -              | acc >fin | lend !ACK      | -         | -         | -         | lans  | lsnt !can | lend           | lend
 lans | -    | -         | -              | acc >fin | lend !ACK      | -         | -         | -         | -     | -         | lend           | lend
 lend | -    | -         | -              | acc >fin | lend !ACK      | -         | -         | -         | -     | -         | -              | -
 null | -    | -         | -              | -        | -              | -         | -         | -         | -     | -         | -              | -
";

/// The client machine of any other request (figure 6) over UDP. It cannot be cancelled once it was sent.
const OTHER: &str = "
      | sent | unsent    | 1xx       | 2xx       | 3xx+      | c.fake    | c.reply   | c.once    | c.ans | repeat    | over      | expire
 idle | call | null >503 | -         | -         | -         | null >487 | null >487 | null >487 | -     | -         | -         | null >408
 call | -    | lost >503 | proc >1xx | done >fin | done >fin | -         | -         | -         | -     | call !REQ | lost >408 | lost >408
 proc | -    | -         | proc >1xx | done >fin | done >fin | -         | -         | -         | -     | proc !REQ | lost >408 | lost >408
 done | -    | -         | -         | -         | -         | -         | -         | -         | -     | -         | -         | -
 lost | -    | -         | -         | -         | -         | -         | -         | -         | -     | -         | -         | -
 null | -    | -         | -         | -         | -         | -         | -         | -         | -     | -         | -         | -
";

/// The server machine of an INVITE (figure 7, RFC 6026 figure 5) over UDP.
///
/// `accl` is a 2xx made here that waits for its ACK, which RFC 3261 section 13.3.1.4 leaves to the UAS core; `conf` is
/// the RFC's Confirmed, `late` its Terminated after timer H. Nothing ends here: that timers I and L are over, the
/// transaction says (`wt_timer`).
/// On purpose beyond the figure: a 2xx of a branch passes after any final reply (section 16.7 step 5).
const INVITE_SERVER: &str = "
      | request | ack        | 1xx        | 2xx        | local 2xx  | 3xx+       | local 3xx+ | repeat | over
 try  | -       | -          | proc !SEND | acc !SEND  | accl !SEND | comp !SEND | comp !SEND | -      | -
 proc | proc !R | -          | proc !SEND | acc !SEND  | accl !SEND | comp !SEND | comp !SEND | -      | -
 acc  | -       | -          | -          | acc !SEND  | -          | -          | -          | -      | -
 accl | -       | acc !REST  | -          | accl !SEND | -          | -          | -          | accl !R | acc !REST
 comp | comp !R | conf !REST | -          | comp !SEND | -          | -          | -          | comp !R | late !REST
 conf | -       | -          | -          | conf !SEND | -          | -          | -          | -      | -
 late | late !R | conf !REST | -          | late !SEND | -          | -          | -          | -      | -
";

/// The server machine of any other request (figure 8). `late` is Completed: timer J is the transaction's.
const OTHER_SERVER: &str = "
      | request | ack | 1xx        | 2xx        | local 2xx  | 3xx+       | local 3xx+ | repeat | over
 try  | -       | -   | proc !SEND | late !SEND | late !SEND | late !SEND | late !SEND | -      | -
 proc | proc !R | -   | proc !SEND | late !SEND | late !SEND | late !SEND | late !SEND | -      | -
 late | late !R | -   | -          | -          | -          | -          | -          | -      | -
";

/// Later than every timer, but for those that do not run.
const LONG: u32 = 1_000_000;

struct Table {
    columns: Vec<&'static str>,
    rows: Vec<(&'static str, Vec<&'static str>)>,
}

impl Table {
    fn read(text: &'static str) -> Table {
        let mut lines = text.lines().filter(|line| !line.trim().is_empty());
        let cells = |line: &'static str| line.split('|').map(str::trim);
        let columns: Vec<_> = cells(lines.next().expect("a head")).skip(1).collect();
        let rows = lines
            .map(|line| {
                let mut cells = cells(line);
                let name = cells.next().expect("a name");
                let cells: Vec<_> = cells.collect();
                assert_eq!(cells.len(), columns.len(), "a cell of row {name} is missing");
                assert!(
                    cells.iter().all(|cell| !cell.is_empty()),
                    "an empty cell in row {name}"
                );
                (name, cells)
            })
            .collect();
        Table { columns, rows }
    }

    fn cell(&self, row: &str, column: usize) -> &'static str {
        let (_, cells) = self.rows.iter().find(|(name, _)| *name == row).expect(row);
        cells[column]
    }

    /// What follows: the state's row and the words for what is sent and told.
    fn next<'a>(&self, row: &'a str, column: usize) -> (&'a str, Vec<&'static str>) {
        match self.cell(row, column) {
            "-" => (row, Vec::new()),
            cell => {
                let mut words = cell.split_whitespace();
                (words.next().expect("a state"), words.collect())
            }
        }
    }
}

trait Machine: Clone {
    /// Lets the column's event happen; the words for what came of it.
    fn happen(&mut self, now: &mut Time, column: &str) -> Vec<&'static str>;
    /// Fails unless everything that can be seen of the machine is as the row has it.
    fn check(&self, now: Time, row: &str) -> Result<(), String>;
    /// The row and the words over a transport that loses nothing, given those over UDP.
    fn over_reliable<'a>(
        row: &'a str,
        column: &str,
        words: Vec<&'static str>,
    ) -> (&'a str, Vec<&'static str>);
}

#[derive(Clone, Debug)]
struct ClientModel {
    client: Client,
    invite: bool,
    reliable: bool,
}

impl ClientModel {
    fn new(invite: bool, reliable: bool) -> ClientModel {
        ClientModel {
            client: Client::new(invite),
            invite,
            reliable,
        }
    }

    fn words(step: ClientStep, outcome: Outcome) -> Vec<&'static str> {
        let sent = match step.send {
            ClientSend::Nothing => None,
            ClientSend::Request => Some("!REQ"),
            ClientSend::Ack => Some("!ACK"),
            ClientSend::Cancel => Some("!CAN"),
            ClientSend::CancelAgain => Some("!can"),
        };
        let told = match (step.tell, outcome) {
            (ClientTell::Nothing, _) => None,
            (ClientTell::Provisional, _) => Some(">1xx"),
            (ClientTell::Final, _) => Some(">fin"),
            (ClientTell::GaveUp, Outcome::TimedOut) => Some(">408"),
            (ClientTell::GaveUp, Outcome::Cancelled) => Some(">487"),
            (ClientTell::GaveUp, Outcome::Unsent(503)) => Some(">503"),
            (ClientTell::GaveUp, other) => panic!("given up with {other:?}"),
        };
        sent.into_iter().chain(told).collect()
    }

    /// What the first timer that is due would do.
    fn timer(&self) -> Option<Vec<&'static str>> {
        let mut client = self.client.clone();
        let at = client.deadline();
        (at != Time::NEVER).then(|| {
            let step = client.on(at, ClientEvent::Tick, &Timing::default());
            ClientModel::words(step, client.outcome())
        })
    }
}

impl Machine for ClientModel {
    fn happen(&mut self, now: &mut Time, column: &str) -> Vec<&'static str> {
        let timing = Timing::default();
        let event = match column {
            "sent" => ClientEvent::Sent {
                reliable: self.reliable,
            },
            "unsent" => ClientEvent::Unsent(503),
            "1xx" => ClientEvent::Reply(180),
            "2xx" => ClientEvent::Reply(200),
            "3xx+" => ClientEvent::Reply(486),
            "c.fake" => ClientEvent::Cancel(CancelMethod::Fake),
            "c.reply" => ClientEvent::Cancel(CancelMethod::OnReply),
            "c.once" => ClientEvent::Cancel(CancelMethod::AtOnce),
            "c.ans" => ClientEvent::CancelAnswered,
            "repeat" => {
                // Where nothing is repeated, the longest interval passes all the same.
                let longest = now.after(timing.retr_timer2);
                *now = self.client.deadline().min(longest);
                ClientEvent::Tick
            }
            "over" => {
                *now = now.after(LONG);
                ClientEvent::Tick
            }
            "expire" => {
                let step = self.client.expire(*now, &timing);
                return ClientModel::words(step, self.client.outcome());
            }
            other => panic!("{other}"),
        };
        let step = self.client.on(*now, event, &timing);
        ClientModel::words(step, self.client.outcome())
    }

    fn check(&self, now: Time, row: &str) -> Result<(), String> {
        use ClientState::{Accepted, Calling, Completed, Idle, Proceeding};
        let timer = self.timer();
        // State, whether the CANCEL is wanted or out where that can be told, and what the next timer does.
        let (state, cancelled, next): (_, _, Option<&[&str]>) = match row {
            "idle" => (Idle, Some(false), None),
            "call" if self.reliable => (Calling, Some(false), Some(&[">408"])),
            "call" => (Calling, Some(false), Some(&["!REQ"])),
            "want" if self.reliable => (Calling, Some(true), Some(&[">487"])),
            "want" => (Calling, Some(true), Some(&["!REQ"])),
            "csnt" => (Calling, Some(true), Some(&["!can"])),
            "cans" => (Calling, Some(true), Some(&[">487"])),
            "proc" if !self.invite && self.reliable => (Proceeding, Some(false), Some(&[">408"])),
            "proc" if !self.invite => (Proceeding, Some(false), Some(&["!REQ"])),
            "proc" => (Proceeding, Some(false), Some(&["!CAN", ">408"])),
            "psnt" => (Proceeding, Some(true), Some(&["!can"])),
            "pans" => (Proceeding, Some(true), Some(&[">487"])),
            "acc" => (Accepted, None, None),
            "done" | "lost" | "null" => (Completed, None, None),
            "lsnt" => (Completed, Some(true), Some(&["!can"])),
            "lans" => (Completed, Some(true), Some(&[])),
            "lend" => (Completed, Some(true), None),
            other => panic!("{other}"),
        };
        let pending = matches!(state, Idle | Calling | Proceeding);
        let faked = row.starts_with('l') || row == "null";
        let as_expected = self.client.state() == state
            && cancelled.is_none_or(|cancelled| self.client.is_cancelled() == cancelled)
            && self.client.is_pending() == pending
            && self.client.outcome().is_faked() == faked
            && timer.as_deref() == next
            && self.client.deadline() > now;
        if as_expected {
            Ok(())
        } else {
            Err(format!(
                "not as {row} at {now:?}: {:?}, next {timer:?}",
                self.client
            ))
        }
    }

    fn over_reliable<'a>(
        row: &'a str,
        column: &str,
        words: Vec<&'static str>,
    ) -> (&'a str, Vec<&'static str>) {
        let row = match row {
            "csnt" => "cans",
            "psnt" => "pans",
            "lsnt" => "lans",
            other => other,
        };
        match column {
            "repeat" => (row, Vec::new()),
            _ => (row, words),
        }
    }
}

#[derive(Clone, Debug)]
struct ServerModel {
    server: Server,
    reliable: bool,
}

impl ServerModel {
    fn words(step: ServerStep) -> Vec<&'static str> {
        match step {
            ServerStep::Nothing => Vec::new(),
            ServerStep::Send => vec!["!SEND"],
            ServerStep::Resend => vec!["!R"],
            ServerStep::Rest => vec!["!REST"],
        }
    }
}

impl Machine for ServerModel {
    fn happen(&mut self, now: &mut Time, column: &str) -> Vec<&'static str> {
        let timing = Timing::default();
        let reliable = self.reliable;
        let reply = |status, local| ServerEvent::Reply {
            status,
            local,
            reliable,
        };
        let event = match column {
            "request" => ServerEvent::Request,
            "ack" => ServerEvent::Ack,
            "1xx" => reply(180, false),
            "2xx" => reply(200, false),
            "local 2xx" => reply(200, true),
            "3xx+" => reply(486, false),
            "local 3xx+" => reply(404, true),
            "repeat" => {
                *now = self.server.deadline().min(now.after(timing.retr_timer2));
                ServerEvent::Tick
            }
            "over" => {
                *now = now.after(LONG);
                ServerEvent::Tick
            }
            other => panic!("{other}"),
        };
        ServerModel::words(self.server.on(*now, event, &timing))
    }

    fn check(&self, now: Time, row: &str) -> Result<(), String> {
        use ServerState::{Accepted, Completed, Confirmed, Proceeding, Trying};
        let mut next = self.server.clone();
        let at = next.deadline();
        let timer = (at != Time::NEVER).then(|| next.on(at, ServerEvent::Tick, &Timing::default()));
        let (state, expected) = match row {
            "try" => (Trying, None),
            "proc" => (Proceeding, None),
            "acc" => (Accepted, None),
            "accl" => (Accepted, Some(ServerStep::Resend)),
            "comp" if self.reliable => (Completed, Some(ServerStep::Rest)),
            "comp" => (Completed, Some(ServerStep::Resend)),
            "conf" => (Confirmed, None),
            "late" => (Completed, None),
            other => panic!("{other}"),
        };
        let as_expected = self.server.state() == state
            && self.server.is_final() == !matches!(state, Trying | Proceeding)
            && self.server.awaits_ack() == matches!(row, "accl" | "comp")
            && timer == expected
            && at > now;
        if as_expected {
            Ok(())
        } else {
            Err(format!(
                "not as {row} at {now:?}: {:?}, next {timer:?}",
                self.server
            ))
        }
    }

    fn over_reliable<'a>(
        row: &'a str,
        column: &str,
        words: Vec<&'static str>,
    ) -> (&'a str, Vec<&'static str>) {
        match (row, column) {
            ("comp", "repeat") => (row, Vec::new()),
            _ => (row, words),
        }
    }
}

/// One event beside the table; the row that follows.
fn step<'a, M: Machine>(
    table: &Table,
    machine: &mut M,
    now: &mut Time,
    row: &'a str,
    column: usize,
    reliable: bool,
) -> &'a str
where
    'static: 'a,
{
    let name = table.columns[column];
    let (mut next, mut words) = table.next(row, column);
    if reliable {
        (next, words) = M::over_reliable(next, name, words);
    }
    let found = machine.happen(now, name);
    assert_eq!(found, words, "event {name} in {row}, reliable: {reliable}");
    if let Err(why) = machine.check(*now, next) {
        panic!("event {name} in {row}, reliable: {reliable}: {why}");
    }
    next
}

/// Every cell once, each row reached by the shortest way.
fn every_cell<M: Machine>(table: &Table, fresh: &M, reliable: bool) {
    let first = table.rows[0].0;
    let mut reached = vec![(first, fresh.clone(), Time(0))];
    let mut at = 0;
    while let Some((row, machine, now)) = reached.get(at).cloned() {
        for column in 0..table.columns.len() {
            let (mut machine, mut now) = (machine.clone(), now);
            let next = step(table, &mut machine, &mut now, row, column, reliable);
            if !reached.iter().any(|(known, ..)| *known == next) {
                reached.push((next, machine, now));
            }
        }
        at += 1;
    }
    let mut missing = table
        .rows
        .iter()
        .filter(|(row, _)| !reached.iter().any(|(known, ..)| known == row));
    assert!(
        reliable || missing.next().is_none(),
        "a row that no event leads to"
    );
}

/// Every sequence of `length` events beside the table.
fn every_sequence<M: Machine>(table: &Table, machine: &M, now: Time, row: &str, length: u32, reliable: bool) {
    if length == 0 {
        return;
    }
    for column in 0..table.columns.len() {
        let (mut machine, mut now) = (machine.clone(), now);
        let next = step(table, &mut machine, &mut now, row, column, reliable);
        every_sequence(table, &machine, now, next, length - 1, reliable);
    }
}

#[test]
fn every_cell_of_the_client_machines() {
    for (text, invite) in [(INVITE, true), (OTHER, false)] {
        let table = Table::read(text);
        for reliable in [false, true] {
            every_cell(&table, &ClientModel::new(invite, reliable), reliable);
        }
    }
}

#[test]
fn every_cell_of_the_server_machines() {
    for (text, invite) in [(INVITE_SERVER, true), (OTHER_SERVER, false)] {
        let table = Table::read(text);
        for reliable in [false, true] {
            let server = Server::new(invite);
            every_cell(&table, &ServerModel { server, reliable }, reliable);
        }
    }
}

#[test]
fn every_sequence_of_five_events() {
    for reliable in [false, true] {
        for (text, invite) in [(INVITE, true), (OTHER, false)] {
            let table = Table::read(text);
            every_sequence(
                &table,
                &ClientModel::new(invite, reliable),
                Time(0),
                "idle",
                5,
                reliable,
            );
        }
        for (text, invite) in [(INVITE_SERVER, true), (OTHER_SERVER, false)] {
            let table = Table::read(text);
            let server = Server::new(invite);
            every_sequence(
                &table,
                &ServerModel { server, reliable },
                Time(0),
                "try",
                5,
                reliable,
            );
        }
    }
}
