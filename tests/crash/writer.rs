//! A process that writes a journal on real files until it is killed, and says what was committed.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use bytes::Bytes;
use bytestring::ByteString;
use tidegate::disk::FileDisk;
use tidegate::durable::{
    ConsumerId, Delivery, JournalHealth, Message, MessageBody, Record, Sequence, Ticket, Urgency,
};
use tidegate::journal::{Event, Journal, Load, Options, Recovery, Writer};
use tidegate::mqtt::{QoS, TopicName};
use tidegate::time::{Instant, Moment};

const FOLDER: &str = "TIDEGATE_TEST_CRASH_FOLDER";
const COMMITS: &str = "TIDEGATE_TEST_CRASH_COMMITS";
const UPLINK: ConsumerId = ConsumerId(1);
/// So many messages are owed; older ones are acknowledged, so that files are used again.
pub(crate) const BACKLOG: u64 = 200;
const PER_COMMIT: u64 = 3;

/// Not a test of its own: the child of others.
#[test]
fn writes_until_it_is_killed() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let commits = std::env::var(COMMITS).map_or(u64::MAX, |text| text.parse().unwrap());
    let (mut journal, recovery) = open(Path::new(&folder), u64::from(std::process::id()));
    let last = recovery.queued.get(&UPLINK).copied().unwrap_or_default();
    let mut next = recovery.state.last_sequence.max(last).0 + 1;
    let mut now = Moment::default();
    let name = ByteString::from_static("cloud");
    let opened = Record::UplinkOpened { consumer: UPLINK, name };
    journal.append(now, Writer::BROKER, Ticket(0), Urgency::Awaited, opened);
    for _ in 0..commits {
        for _ in 0..PER_COMMIT {
            journal.append(now, Writer::BROKER, Ticket(next), Urgency::Awaited, kept(next));
            if let Some(old) = next.checked_sub(BACKLOG).filter(|old| *old > 0) {
                let done = Record::Done { consumer: UPLINK, sequence: Sequence(old) };
                journal.append(now, Writer::BROKER, Ticket(next), Urgency::Lingers, done);
            }
            next += 1;
        }
        let mut events = journal.commit(now);
        events.extend(journal.tend(now));
        for event in events {
            match event {
                Event::Committed { ticket, .. } => say(&format!("committed {}", ticket.0)),
                Event::Health(JournalHealth::Dead) => say("dead"),
                Event::Alarm(alarm) => say(&format!("alarm {alarm}")),
                _ => {}
            }
        }
        now.monotonic = now.monotonic + std::time::Duration::from_secs(1);
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout();
    writeln!(out, "{line}").unwrap();
    out.flush().unwrap();
}

fn open(folder: &Path, seed: u64) -> (Journal<FileDisk>, Recovery) {
    let options = Options { segment_bytes: 64 * 1024, ..Options::new(16 * 1024 * 1024, seed) };
    let now = Moment { monotonic: Instant::ZERO, ..Moment::default() };
    Journal::open(FileDisk::open(folder).unwrap(), options, now).unwrap()
}

fn kept(sequence: u64) -> Record {
    let payload = Bytes::from(sequence.to_le_bytes().repeat(15));
    let message = Message {
        topic: TopicName::parse("a/b").unwrap(),
        qos: QoS::AtLeastOnce,
        retain: false,
        accepted_at: Moment::default(),
        body: MessageBody::Publish { payload, properties: None },
    };
    let delivery = Delivery {
        consumer: UPLINK,
        qos: QoS::AtLeastOnce,
        retain: false,
        subscription_identifiers: Default::default(),
    };
    Record::Kept { sequence: Sequence(sequence), message, deliveries: [delivery].into_iter().collect() }
}

/// Starts the writer, behind `wrapper` if there is one, for so many commits.
pub(crate) fn start(wrapper: &[&str], folder: &Path, commits: u64) -> Child {
    let own = std::env::current_exe().unwrap();
    let mut all = wrapper.to_vec();
    all.extend([own.to_str().unwrap(), "--exact", "writer::writes_until_it_is_killed", "--nocapture"]);
    Command::new(all[0])
        .args(&all[1..])
        .env(FOLDER, folder)
        .env(COMMITS, commits.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// The last sequence that a line of the writer promises.
pub(crate) fn committed(line: &str) -> Option<u64> {
    line.strip_prefix("committed ")?.parse().ok()
}

/// Everything that the writer said, until its end.
pub(crate) fn said(output: impl Read) -> Vec<String> {
    BufReader::new(output).lines().map_while(Result::ok).collect()
}

/// Opens what the writer left: nothing may be damaged, and what is owed is the last messages without a gap, up to
/// `promised` at least. Gives back the last one.
pub(crate) fn check(folder: &Path, promised: u64) -> u64 {
    let (mut journal, recovery) = open(folder, 0);
    assert!(recovery.report.is_sound(), "{:?}", recovery.report);
    let load = Load {
        consumer: UPLINK,
        after: Sequence::ZERO,
        max_messages: usize::MAX,
        max_bytes: usize::MAX,
        committed_only: false,
    };
    let held = journal.load(&load).deliveries;
    for delivery in &held {
        let Record::Kept { message, .. } = kept(delivery.sequence.0) else { unreachable!() };
        assert_eq!(delivery.message, message, "as it was written");
    }
    let sequences: Vec<u64> = held.iter().map(|delivery| delivery.sequence.0).collect();
    let (first, last) =
        (sequences.first().copied().unwrap_or(1), sequences.last().copied().unwrap_or_default());
    assert!(sequences.iter().copied().eq(first..=last), "in order and without a gap: {sequences:?}");
    assert!(last >= promised, "{promised} was promised, {last} is there");
    assert!(first <= last.saturating_sub(BACKLOG) + 1 + PER_COMMIT, "{first} of {last}: too much is gone");
    last
}
