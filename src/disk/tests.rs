//! The journal on real files: rights, the lock, the thread, a writer that is killed.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;

use super::client::Records;
use super::*;
use crate::durable::{
    ConsumerId, Delivery, JournalHealth, Message, MessageBody, Record, Sequence, Ticket, Urgency,
};
use crate::journal::{Disk, Journal, Load, Options, Recovery, Writer};
use crate::mqtt::{QoS, TopicName};
use crate::time::{Instant, Moment};

const UPLINK: ConsumerId = ConsumerId(1);

fn clock() -> Clock {
    let start = std::time::Instant::now();
    Arc::new(move || {
        let nanos = u64::try_from(start.elapsed().as_nanos()).unwrap();
        Moment { monotonic: Instant::from_nanos(nanos), ..Moment::default() }
    })
}

fn options(seed: u64) -> Options {
    Options { segment_bytes: 64 * 1024, ..Options::new(16 * 1024 * 1024, seed) }
}

fn open(folder: &Path, seed: u64) -> (Journal<FileDisk>, Recovery) {
    Journal::open(FileDisk::open(folder).unwrap(), options(seed), Moment::default()).unwrap()
}

fn opened() -> Record {
    Record::UplinkOpened { consumer: UPLINK, name: ByteString::from_static("cloud") }
}

fn kept(sequence: u64) -> Record {
    let message = Message {
        topic: TopicName::parse("a/b").unwrap(),
        qos: QoS::AtLeastOnce,
        retain: false,
        accepted_at: Moment::default(),
        body: MessageBody::Publish { payload: Bytes::from(vec![7; 120]), properties: None },
    };
    let delivery = Delivery {
        consumer: UPLINK,
        qos: QoS::AtLeastOnce,
        retain: false,
        subscription_identifiers: Default::default(),
    };
    Record::Kept { sequence: Sequence(sequence), message, deliveries: [delivery].into_iter().collect() }
}

fn load_all() -> Load {
    Load {
        consumer: UPLINK,
        after: Sequence::ZERO,
        max_messages: usize::MAX,
        max_bytes: usize::MAX,
        committed_only: true,
    }
}

#[test]
fn the_folder_and_its_files_are_private() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("journal");
    let (mut journal, _) = open(&folder, 1);
    journal.append(Moment::default(), Writer::BROKER, Ticket(1), Urgency::Awaited, opened());
    journal.commit(Moment::default());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    let files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() >= 2, "a lock and a segment");
    assert!(files.iter().all(|path| mode(path) == 0o600), "{files:?}");
}

#[test]
fn two_gateways_cannot_share_one_journal() {
    let folder = tempfile::tempdir().unwrap();
    let first = FileDisk::open(folder.path()).unwrap();
    let refused = FileDisk::open(folder.path()).unwrap_err();
    let message = refused.to_string();
    assert!(message.contains("is in use by another process"), "{message}");
    assert!(message.contains(&format!("({})", std::process::id())), "{message}");
    let refused = FileDisk::open_to_read(folder.path()).unwrap_err();
    assert!(matches!(refused, FileDiskError::Locked { .. }));
    drop(first);
    FileDisk::open_to_read(folder.path()).unwrap();
    FileDisk::open(folder.path()).unwrap();
}

/// Whoever only looks cannot write.
#[test]
fn a_disk_opened_to_read_does_not_write() {
    let folder = tempfile::tempdir().unwrap();
    let mut disk = FileDisk::open(folder.path()).unwrap();
    disk.create("000001.segment", 8192).unwrap();
    drop(disk);
    let mut disk = FileDisk::open_to_read(folder.path()).unwrap();
    assert!(disk.write_at("000001.segment", 0, b"x").is_err());
    assert!(disk.create("000002.segment", 4096).is_err());
    assert!(disk.rename("000001.segment", "x").is_err());
    assert!(disk.remove("000001.segment").is_err());
    assert_eq!(disk.list().unwrap().iter().filter(|entry| entry.name.ends_with("segment")).count(), 1);
}

/// What the thread said to be committed is there at the next start; answers come, and health first of all.
#[tokio::test]
async fn the_thread_commits_answers_and_stops() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = open(folder.path(), 1);
    let JournalThread { handle, thread } = start(journal, clock(), Box::new(|_| {})).unwrap();
    let broker = handle.client(Writer::BROKER).await.unwrap();
    let uplink = handle.client(Writer::uplink(UPLINK)).await.unwrap();
    assert_eq!(broker.replies().await.unwrap(), [Reply::Health(JournalHealth::Accepting)]);
    let mut records = vec![(Ticket(1), Urgency::Awaited, opened())];
    records.extend((1..=500).map(|number| (Ticket(number + 1), Urgency::Awaited, kept(number))));
    broker.append(records).await.unwrap();
    let mut committed = Ticket(0);
    while committed < Ticket(501) {
        for reply in broker.replies().await.unwrap() {
            let Reply::Committed { ticket } = reply else { panic!("{reply:?}") };
            committed = ticket;
        }
    }
    let mut available = Sequence::ZERO;
    while available < Sequence(500) {
        for reply in uplink.replies().await.unwrap() {
            if let Reply::Available { through, .. } = reply {
                available = through;
            }
        }
    }
    uplink.load(load_all()).await.unwrap();
    let replies = uplink.replies().await.unwrap();
    let [Reply::Loaded(loaded)] = replies.as_slice() else { panic!("{replies:?}") };
    assert_eq!(loaded.deliveries.len(), 500);
    let done = |number| Record::Done { consumer: UPLINK, sequence: Sequence(number) };
    uplink
        .append((1..=400).map(|number| (Ticket(number), Urgency::Lingers, done(number))).collect())
        .await
        .unwrap();
    assert_eq!(handle.status().await.unwrap().backlogs[&UPLINK].messages, 100);
    assert!(handle.counters().commits().count > 0);
    handle.shutdown().await.unwrap();
    thread.join().unwrap();
    assert_eq!(broker.replies().await, Err(JournalStopped));
    assert_eq!(handle.status().await, Err(JournalStopped));

    let (mut journal, recovery) = open(folder.path(), 2);
    journal.commit(Moment::default());
    assert!(recovery.report.is_sound());
    assert_eq!(recovery.queued[&UPLINK], Sequence(500));
    assert_eq!(journal.load(&load_all()).deliveries.len(), 100, "acknowledgements were committed at the end");
}

/// Commits where we are, as soon as the thread has left the desk: it may still stand there when its answer has come.
fn here_or_nearly(client: &JournalClient, mut records: Records) -> Result<(), Records> {
    for _ in 0..10_000 {
        match client.commit_here(records) {
            Ok(()) => return Ok(()),
            Err(back) => records = back,
        }
        std::thread::yield_now();
    }
    Err(records)
}

/// Who asks commits where it is, once the disk has been quick, and not after the end; what was handed over before is
/// committed first. Here every commit takes a microsecond, by a clock that no disk can slow down.
#[tokio::test]
async fn a_client_may_commit_where_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = open(folder.path(), 1);
    let ticks = std::sync::atomic::AtomicU64::new(1);
    let clock: Clock = Arc::new(move || {
        let nanos = ticks.fetch_add(1000, std::sync::atomic::Ordering::Relaxed);
        Moment { monotonic: Instant::from_nanos(nanos), ..Moment::default() }
    });
    let JournalThread { handle, thread } = start(journal, clock, Box::new(|_| {})).unwrap();
    let broker = handle.client(Writer::BROKER).await.unwrap();
    assert_eq!(broker.replies().await.unwrap(), [Reply::Health(JournalHealth::Accepting)]);
    let one =
        |number| vec![(Ticket(number), Urgency::Awaited, if number == 1 { opened() } else { kept(number) })];
    assert!(broker.commit_here(one(1)).is_err(), "nothing is known of the disk");
    for number in 1..=16 {
        broker.append(one(number)).await.unwrap();
        assert_eq!(broker.replies().await.unwrap(), [Reply::Committed { ticket: Ticket(number) }]);
    }
    let mut here = 0;
    for number in 17..=200 {
        match here_or_nearly(&broker, one(number)) {
            Ok(()) => here += 1,
            // It is the thread's turn: there is something to be tended to.
            Err(records) => broker.append(records).await.unwrap(),
        }
        assert_eq!(broker.replies().await.unwrap(), [Reply::Committed { ticket: Ticket(number) }]);
    }
    assert!(here > 100, "{here}");
    for number in 101..=200 {
        broker.append(one(2 * number)).await.unwrap();
        if let Err(records) = broker.commit_here(one(2 * number + 1)) {
            broker.append(records).await.unwrap();
        }
    }
    handle.shutdown().await.unwrap();
    thread.join().unwrap();
    assert!(broker.commit_here(one(9000)).is_err(), "it has ended");
    let (_, recovery) = open(folder.path(), 2);
    assert!(recovery.report.is_sound());
    assert_eq!(recovery.queued[&UPLINK], Sequence(401), "in order, all of them");
}

const WRITER_FOLDER: &str = "TIDEGATE_TEST_WRITER_FOLDER";

/// Not a test of its own: the child of the next one. Appends for ever and prints what is committed.
#[test]
fn writer_that_is_to_be_killed() {
    let Ok(folder) = std::env::var(WRITER_FOLDER) else { return };
    let (mut journal, recovery) = open(Path::new(&folder), u64::from(std::process::id()));
    let mut next = recovery.state.last_sequence.0 + 1;
    let append = |journal: &mut Journal<FileDisk>, number, record| {
        journal.append(Moment::default(), Writer::BROKER, Ticket(number), Urgency::Awaited, record);
    };
    append(&mut journal, 0, opened());
    loop {
        for _ in 0..3 {
            append(&mut journal, next, kept(next));
            next += 1;
        }
        journal.commit(Moment::default());
        println!("committed {}", next - 1);
        journal.tend(Moment::default());
    }
}

/// A process that is killed at any moment has lost nothing that it was told is committed, time after time.
#[test]
fn what_a_killed_process_committed_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let mut before = 0;
    for round in 0..8 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "disk::tests::writer_that_is_to_be_killed", "--nocapture"])
            .env(WRITER_FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let committed = |line: String| line.strip_prefix("committed ")?.parse::<u64>().ok();
        let mut last = lines.by_ref().filter_map(committed).nth(20 + 37 * round).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        last = lines.filter_map(committed).last().unwrap_or(last);
        let (mut journal, recovery) = open(folder.path(), 0);
        journal.commit(Moment::default());
        assert!(recovery.report.is_sound(), "{:?}", recovery.report);
        let held = journal.load(&load_all()).deliveries;
        let sequences: Vec<u64> = held.iter().map(|delivery| delivery.sequence.0).collect();
        let count = u64::try_from(sequences.len()).unwrap();
        assert!(sequences.into_iter().eq(1..=count), "in order and none missing");
        assert!(count >= last && last > before, "{count} of {last}");
        before = last;
    }
}
