//! The journal beside SQLite at `synchronous=FULL`: the same random operations, and after each reopening both hold the
//! same. SQLite is Python's, so that nobody has to compile it.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use bytes::Bytes;
use bytestring::ByteString;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use tidegate::disk::{FileDisk, FileDiskError};
use tidegate::durable::{
    ConsumerId, Delivery, DropReason, Message, MessageBody, OutboundPhase, Record, Sequence, Ticket, Urgency,
};
use tidegate::journal::{Journal, Load, Options, Recovery, Writer};
use tidegate::mqtt::{PacketIdentifier, QoS, TopicName};
use tidegate::time::Moment;

use crate::skips::skip;

/// One thing that a gateway does to its journal. Sequences are those of the last few messages.
#[derive(Debug, Clone)]
enum Operation {
    Open(u32),
    Close(u32),
    Keep {
        consumers: Vec<u32>,
        bytes: usize,
    },
    Done {
        consumer: u32,
        back: u64,
    },
    Drop {
        consumer: u32,
        back: u64,
    },
    Assign {
        consumer: u32,
        identifier: u16,
        back: u64,
    },
    Release {
        consumer: u32,
        identifier: u16,
    },
    Forget(u32),
    Retain {
        topic: u8,
    },
    Clear {
        topic: u8,
    },
    Commit,
    Tend,
    /// The process ends without a word, and another one begins.
    Crash,
}

fn operation() -> impl Strategy<Value = Operation> {
    let consumer = || 1..5u32;
    let back = || 0..40u64;
    prop_oneof![
        2 => consumer().prop_map(Operation::Open),
        1 => consumer().prop_map(Operation::Close),
        20 => (proptest::collection::btree_set(consumer(), 0..4), prop_oneof![0..200usize, 2_000..9_000usize])
            .prop_map(|(consumers, bytes)| Operation::Keep { consumers: consumers.into_iter().collect(), bytes }),
        14 => (consumer(), back()).prop_map(|(consumer, back)| Operation::Done { consumer, back }),
        2 => (consumer(), back()).prop_map(|(consumer, back)| Operation::Drop { consumer, back }),
        3 => (consumer(), 1..6u16, back())
            .prop_map(|(consumer, identifier, back)| Operation::Assign { consumer, identifier, back }),
        2 => (consumer(), 1..6u16).prop_map(|(consumer, identifier)| Operation::Release { consumer, identifier }),
        1 => consumer().prop_map(Operation::Forget),
        3 => (0..4u8).prop_map(|topic| Operation::Retain { topic }),
        1 => (0..4u8).prop_map(|topic| Operation::Clear { topic }),
        8 => Just(Operation::Commit),
        2 => Just(Operation::Tend),
        1 => Just(Operation::Crash),
    ]
}

/// SQLite, in a process of its own.
struct Oracle {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Oracle {
    fn start(database: &Path) -> Oracle {
        let mut child = Command::new("python3")
            .args(["-c", include_str!("oracle.py"), database.to_str().unwrap()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Oracle { child, input, output }
    }

    fn tell(&mut self, what: Value) {
        writeln!(self.input, "{what}").unwrap();
    }

    fn dump(&mut self) -> Value {
        self.tell(json!(["dump"]));
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Pair<'a> {
    folder: &'a Path,
    oracle: Oracle,
    journal: Option<Journal<FileDisk>>,
    open: Vec<u32>,
    next: u64,
    ticket: u64,
    committed_next: u64,
    runs: u64,
}

impl Pair<'_> {
    fn append(&mut self, record: Record) {
        self.ticket += 1;
        let journal = self.journal.as_mut().unwrap();
        journal.append(Moment::default(), Writer::BROKER, Ticket(self.ticket), Urgency::Awaited, record);
    }

    fn does(&mut self, operation: Operation) {
        match operation {
            // A number is never given to another consumer.
            Operation::Open(number) => {
                let consumer = number + 10 * u32::try_from(self.runs).unwrap();
                if self.open.contains(&consumer) {
                    return;
                }
                self.open.push(consumer);
                self.oracle.tell(json!(["open", consumer]));
                let name = ByteString::from(format!("uplink-{consumer}"));
                self.append(Record::UplinkOpened { consumer: ConsumerId(consumer), name });
                self.runs += 1;
            }
            Operation::Close(number) => {
                let Some(consumer) = self.consumer(number) else { return };
                self.open.retain(|open| *open != consumer);
                self.oracle.tell(json!(["close", consumer]));
                self.append(Record::ConsumerClosed { consumer: ConsumerId(consumer) });
            }
            Operation::Keep { consumers, bytes } => self.keep(&consumers, bytes),
            Operation::Done { consumer, back } => self.settles(consumer, back, None),
            Operation::Drop { consumer, back } => self.settles(consumer, back, Some(DropReason::Expired)),
            Operation::Assign { consumer, identifier, back } => {
                let (Some(consumer), Some(sequence)) = (self.consumer(consumer), self.recent(back)) else {
                    return;
                };
                // Only what is owed is given an identifier.
                if !self.is_owed(consumer, sequence) {
                    return;
                }
                self.oracle.tell(json!(["assign", consumer, identifier, sequence]));
                self.append(Record::Assigned {
                    consumer: ConsumerId(consumer),
                    packet_identifier: PacketIdentifier::new(identifier).unwrap(),
                    sequence: Sequence(sequence),
                    qos: QoS::ExactlyOnce,
                    frozen_payload: None,
                });
            }
            Operation::Release { consumer, identifier } => {
                let Some(consumer) = self.consumer(consumer) else { return };
                self.oracle.tell(json!(["release", consumer, identifier]));
                let packet_identifier = PacketIdentifier::new(identifier).unwrap();
                self.append(Record::Released { consumer: ConsumerId(consumer), packet_identifier });
            }
            Operation::Forget(consumer) => {
                let Some(consumer) = self.consumer(consumer) else { return };
                self.oracle.tell(json!(["forget", consumer]));
                self.append(Record::WindowForgotten { consumer: ConsumerId(consumer) });
            }
            Operation::Retain { topic } => {
                let mut message = message(self.ticket, 20);
                message.retain = true;
                message.topic = TopicName::parse(format!("r/{topic}")).unwrap();
                self.oracle.tell(json!(["retain", message.topic.as_str(), payload(&message)]));
                self.append(Record::RetainedSet { message });
            }
            Operation::Clear { topic } => {
                let topic = TopicName::parse(format!("r/{topic}")).unwrap();
                self.oracle.tell(json!(["clear", topic.as_str()]));
                self.append(Record::RetainedCleared { topic });
            }
            Operation::Commit => self.commits(),
            Operation::Tend => {
                self.journal.as_mut().unwrap().tend(Moment::default());
            }
            Operation::Crash => self.crashes(),
        }
    }

    fn keep(&mut self, consumers: &[u32], bytes: usize) {
        let consumers: BTreeSet<u32> = consumers.iter().filter_map(|number| self.consumer(*number)).collect();
        let (sequence, message) = (self.next, message(self.next, bytes));
        self.next += 1;
        self.oracle.tell(json!(["keep", sequence, payload(&message), consumers]));
        let deliver = |consumer: &u32| Delivery {
            consumer: ConsumerId(*consumer),
            qos: QoS::AtLeastOnce,
            retain: false,
            subscription_identifiers: Default::default(),
        };
        let deliveries = consumers.iter().map(deliver).collect();
        self.append(Record::Kept { sequence: Sequence(sequence), message, deliveries });
    }

    fn settles(&mut self, consumer: u32, back: u64, reason: Option<DropReason>) {
        let (Some(consumer), Some(sequence)) = (self.consumer(consumer), self.recent(back)) else { return };
        self.oracle.tell(json!(["settle", consumer, sequence]));
        let (consumer, sequence) = (ConsumerId(consumer), Sequence(sequence));
        self.append(match reason {
            None => Record::Done { consumer, sequence },
            Some(reason) => Record::Dropped { consumer, sequence, reason },
        });
        // A checkpoint may know of it before its record is on disk: it is a fact. SQLite has no such thing.
        self.commits();
    }

    fn commits(&mut self) {
        let journal = self.journal.as_mut().unwrap();
        journal.commit(Moment::default());
        journal.tend(Moment::default());
        self.oracle.tell(json!(["commit"]));
        self.committed_next = self.next;
    }

    fn crashes(&mut self) {
        self.oracle.tell(json!(["crash"]));
        self.journal = None;
        let (journal, recovery) = open(&self.folder.join("journal"), self.ticket);
        self.journal = Some(journal);
        assert!(recovery.report.is_sound(), "{:?}", recovery.report);
        self.next = self.committed_next;
        let expected = self.oracle.dump();
        let open = expected["consumers"].as_array().unwrap();
        self.open = open.iter().map(|row| row[0].as_u64().unwrap() as u32).collect();
        assert_eq!(self.held(&recovery), expected);
    }

    /// Everything that the journal holds, as the oracle says it.
    fn held(&mut self, recovery: &Recovery) -> Value {
        let state = &recovery.state;
        let mut owed = Vec::new();
        let mut assigned = Vec::new();
        for (consumer, uplink) in &state.uplinks {
            for delivery in self.owed(*consumer) {
                owed.push(json!([consumer.0, delivery.0, delivery.1]));
            }
            for (identifier, entry) in &uplink.assigned {
                let released = u8::from(entry.phase == OutboundPhase::Released);
                assigned.push(json!([consumer.0, identifier.get(), entry.sequence.0, released]));
            }
        }
        let retained = state.retained.iter();
        let retained: Vec<Value> =
            retained.map(|(topic, kept)| json!([topic.as_str(), payload(&kept.message)])).collect();
        let consumers: Vec<Value> = state.uplinks.keys().map(|consumer| json!([consumer.0])).collect();
        json!({ "owed": owed, "assigned": assigned, "retained": retained, "consumers": consumers })
    }

    fn owed(&mut self, consumer: ConsumerId) -> Vec<(u64, String)> {
        let load = Load {
            consumer,
            after: Sequence::ZERO,
            max_messages: usize::MAX,
            max_bytes: usize::MAX,
            committed_only: false,
        };
        let loaded = self.journal.as_mut().unwrap().load(&load);
        loaded.deliveries.iter().map(|loaded| (loaded.sequence.0, payload(&loaded.message))).collect()
    }

    fn is_owed(&mut self, consumer: u32, sequence: u64) -> bool {
        self.owed(ConsumerId(consumer)).iter().any(|(owed, _)| *owed == sequence)
    }

    /// An open consumer; which, the number chooses.
    fn consumer(&self, number: u32) -> Option<u32> {
        self.open.get(number as usize % self.open.len().max(1)).copied()
    }

    fn recent(&self, back: u64) -> Option<u64> {
        self.next.checked_sub(1 + back).filter(|sequence| *sequence > 0)
    }
}

fn open(folder: &Path, seed: u64) -> (Journal<FileDisk>, Recovery) {
    let options = Options { segment_bytes: 64 * 1024, ..Options::new(8 * 1024 * 1024, seed) };
    let disk = loop {
        match FileDisk::open(folder) {
            // A child that another test is just starting holds our files until it is somebody else.
            Err(FileDiskError::Locked { .. }) => std::thread::yield_now(),
            opened => break opened.unwrap(),
        }
    };
    Journal::open(disk, options, Moment::default()).unwrap()
}

fn message(number: u64, bytes: usize) -> Message {
    let text = format!("{number}:{:x<bytes$}", "");
    Message {
        topic: TopicName::parse("t/1").unwrap(),
        qos: QoS::AtLeastOnce,
        retain: false,
        accepted_at: Moment::default(),
        body: MessageBody::Publish { payload: Bytes::from(text), properties: None },
    }
}

fn payload(message: &Message) -> String {
    let MessageBody::Publish { payload, .. } = &message.body else { unreachable!("only publications") };
    String::from_utf8(payload.to_vec()).unwrap()
}

#[test]
fn the_journal_holds_what_sqlite_holds() {
    let python = Command::new("python3").args(["-c", "import sqlite3"]).status();
    if !python.is_ok_and(|status| status.success()) {
        return skip("needs python3 with sqlite3");
    }
    let cases = std::env::var("TIDEGATE_CASES").map_or(24, |text| text.parse().unwrap());
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
    let histories = proptest::collection::vec(operation(), 50..400);
    let result = TestRunner::new(config).run(&histories, |operations| {
        let folder = tempfile::tempdir().unwrap();
        let (journal, _) = open(&folder.path().join("journal"), 1);
        let oracle = Oracle::start(&folder.path().join("oracle.sqlite"));
        let (journal, open) = (Some(journal), Vec::new());
        let mut pair = Pair {
            folder: folder.path(),
            oracle,
            journal,
            open,
            next: 1,
            ticket: 1,
            committed_next: 1,
            runs: 0,
        };
        for number in 1..4 {
            pair.does(Operation::Open(number));
        }
        for operation in operations {
            pair.does(operation);
        }
        pair.does(Operation::Commit);
        pair.does(Operation::Crash);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}
