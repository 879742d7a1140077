//! What the world outside knows to be true, and what therefore must hold.
//!
//! Written from the publishers', subscribers' and the cloud's side only: nothing here asks the gateway. Every
//! payload names its message, so that each arrival is checked against what was sent. Each topic has one
//! publisher; "order" is the order in which it sent.

use std::collections::BTreeMap;

use tidegate::durable::DropReason;
use tidegate::mqtt::QoS;

use crate::plan::Plan;
use crate::retained;
use crate::subscriber::{Arrival, Session};

/// Names a message of this history; grows in the order of first sending.
pub type MessageId = usize;

/// What became of a message, as its sender knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Not answered yet.
    Open,
    /// PUBACK or PUBREC came, or the reading was accepted.
    Acknowledged,
    /// Its sender stopped asking: it may arrive or not.
    Abandoned,
    /// Refused with a reason: the sender knows that it does not arrive.
    Refused,
}

/// A message as its sender sent it.
#[derive(Debug, Clone)]
pub struct Sent {
    pub topic: String,
    pub qos: QoS,
    pub retain: bool,
    /// An empty payload with retain: clears the topic.
    pub clears: bool,
    pub fate: Fate,
    pub sent_at: u64,
    pub acknowledged_at: Option<u64>,
    /// How often a PUBLISH with it was sent.
    pub transmissions: u32,
    /// Whether it was refused at least once, perhaps without its sender learning of it: then it may come when it is
    /// repeated, behind what was accepted meanwhile.
    pub was_refused: bool,
    /// Subscriptions that surely stood when it was sent.
    watchers: Vec<Watcher>,
}

#[derive(Debug, Clone)]
struct Watcher {
    client: usize,
    incarnation: u32,
    filter: String,
    generation: u64,
}

/// Everything that is known, and the books of what is owed.
#[derive(Debug, Default)]
pub struct Truth {
    pub sent: Vec<Sent>,
    pub sessions: Vec<Session>,
    pub upstream: Session,
    pub dropped: BTreeMap<DropReason, u64>,
    pub deliveries: u64,
    pub repetitions: u64,
    pub acknowledgements: u64,
    /// Whether the journal is so small that counted drops are part of the history.
    drops_are_expected: bool,
    /// Whether the journal may have to refuse.
    pub disk_may_fail: bool,
    padding: usize,
    /// Filters of the uplink's forward rules.
    forwarded: Vec<String>,
    steps: u64,
}

impl Truth {
    pub fn new(plan: &Plan) -> Truth {
        let sessions = plan.clients.iter().map(|_| Session::default()).collect();
        let forwarded = plan.forward.iter().map(|(filter, _)| filter.clone()).collect();
        let padding = plan.padding;
        Truth {
            sessions,
            forwarded,
            padding,
            drops_are_expected: plan.drops_are_expected(),
            disk_may_fail: plan.disk_is_bad || plan.padding > 0,
            upstream: Session::of_uplink(),
            ..Truth::default()
        }
    }

    /// A clock that only orders what is known.
    pub fn step(&mut self) -> u64 {
        self.steps += 1;
        self.steps
    }

    /// A message is sent for the first time: its identifier, and its payload.
    pub fn sending(&mut self, topic: &str, qos: QoS, retain: bool, clears: bool) -> (MessageId, String) {
        let id = self.sent.len();
        let watchers = if qos == QoS::AtMostOnce || clears { Vec::new() } else { self.watchers(topic) };
        let sent_at = self.step();
        let topic = topic.to_owned();
        let fate = Fate::Open;
        self.sent.push(Sent {
            topic,
            qos,
            retain,
            clears,
            fate,
            sent_at,
            acknowledged_at: None,
            transmissions: 1,
            was_refused: false,
            watchers,
        });
        (id, if clears { String::new() } else { payload(id, self.padding) })
    }

    /// The sender learned that the message was accepted: from now on it is owed.
    pub fn acknowledged(&mut self, id: MessageId) {
        let step = self.step();
        self.acknowledgements += 1;
        let sent = &mut self.sent[id];
        assert_eq!(sent.fate, Fate::Open, "m{id} was acknowledged twice, or after it was refused");
        sent.fate = Fate::Acknowledged;
        sent.acknowledged_at = Some(step);
        if sent.clears {
            return;
        }
        for watcher in std::mem::take(&mut sent.watchers) {
            let session = &mut self.sessions[watcher.client];
            if session.still_holds(watcher.incarnation, &watcher.filter, watcher.generation) {
                session.owe(id);
            }
        }
        if self.forwarded.iter().any(|filter| matches(filter, &self.sent[id].topic)) {
            self.upstream.owe(id);
        }
    }

    /// The gateway did not accept what was sent, and says so; whether that is heard is another matter.
    pub fn refused(&mut self, id: MessageId) {
        self.sent[id].was_refused = true;
    }

    /// The sender stopped asking, or was refused.
    pub fn ended(&mut self, id: MessageId, fate: Fate) {
        if self.sent[id].fate == Fate::Open {
            self.sent[id].fate = fate;
        }
    }

    /// A subscriber was given a PUBLISH.
    pub fn received(&mut self, client: usize, arrival: &Arrival) {
        self.deliveries += 1;
        let session = &mut self.sessions[client];
        let allowed = session.maximum_qos(&arrival.topic);
        let Some(allowed) = allowed else {
            panic!("client {client} never subscribed to {}", arrival.topic);
        };
        let Some(id) = identified(&self.sent, arrival) else { return };
        let sent = &self.sent[id];
        assert!(arrival.qos <= sent.qos.min(allowed), "m{id} came with {:?} to client {client}", arrival.qos);
        if arrival.from_retained {
            assert!(sent.retain, "m{id} came as retained and was not sent so");
            let subscribed_at = session.only_subscribe_at(&arrival.topic);
            retained::assert_not_stale(&self.sent, id, subscribed_at);
        }
        if session.take(id, sent, arrival, given_up(&self.dropped)) {
            self.repetitions += 1;
        }
    }

    /// The cloud took a PUBLISH.
    pub fn arrived_upstream(&mut self, arrival: &Arrival) {
        assert!(
            self.forwarded.iter().any(|filter| matches(filter, &arrival.topic)),
            "{} was never to be forwarded",
            arrival.topic
        );
        let Some(id) = identified(&self.sent, arrival) else { return };
        if self.upstream.take(id, &self.sent[id], arrival, given_up(&self.dropped)) {
            self.repetitions += 1;
        }
    }

    pub fn dropped(&mut self, reason: DropReason, count: u64) {
        *self.dropped.entry(reason).or_default() += count;
    }

    /// How much is owed and has not arrived.
    pub fn owed_count(&self) -> u64 {
        let sessions = self.sessions.iter().chain([&self.upstream]);
        sessions.map(|session| session.owed().len() as u64).sum()
    }

    /// What is owed and has not arrived, as lines for a person.
    pub fn owed(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let everybody =
            self.sessions.iter().enumerate().map(|(client, session)| (format!("client {client}"), session));
        for (name, session) in everybody.chain([("the cloud".to_owned(), &self.upstream)]) {
            for id in session.owed() {
                let sent = &self.sent[*id];
                lines.push(format!("m{id} ({:?} on {}) is owed to {name}", sent.qos, sent.topic));
            }
        }
        lines
    }

    /// What may be missing at the end, because it was counted as dropped.
    pub fn excused(&self) -> u64 {
        // What was refused was never owed.
        let refused = [DropReason::JournalFullNewest, DropReason::JournalDead, DropReason::InboxFull];
        let given_up = self.dropped.iter().filter(|(reason, _)| !refused.contains(reason));
        if self.drops_are_expected { given_up.map(|(_, count)| count).sum() } else { 0 }
    }

    fn watchers(&self, topic: &str) -> Vec<Watcher> {
        let mut watchers = Vec::new();
        for (client, session) in self.sessions.iter().enumerate() {
            for (filter, generation) in session.standing(topic) {
                let incarnation = session.incarnation;
                watchers.push(Watcher { client, incarnation, filter: filter.to_owned(), generation });
            }
        }
        watchers
    }
}

/// The payload of a message: its name, and what makes it as long as it is to be.
pub fn payload(id: MessageId, padding: usize) -> String {
    if padding == 0 { format!("m{id}") } else { format!("m{id} {:<padding$}", "") }
}

/// The message that a payload names.
pub fn named(payload: &[u8]) -> Option<MessageId> {
    let text = std::str::from_utf8(payload).unwrap_or_default();
    text.split(' ').next().and_then(|name| name.strip_prefix('m')?.parse().ok())
}

/// Which message arrived; `None` for an empty payload, which names none.
fn identified(sent: &[Sent], arrival: &Arrival) -> Option<MessageId> {
    if arrival.payload.is_empty() {
        let clears = sent.iter().any(|sent| sent.clears && sent.topic == arrival.topic);
        assert!(clears, "an empty payload on {} that nobody sent", arrival.topic);
        return None;
    }
    let id = named(&arrival.payload).unwrap_or_else(|| panic!("{:?} was sent by nobody", arrival.payload));
    let sent = sent.get(id).unwrap_or_else(|| panic!("m{id} was not sent yet"));
    assert_eq!(sent.topic, arrival.topic, "m{id} came on another topic");
    Some(id)
}

/// Whether a filter matches a topic: the harness's own reading of section 4.7.
pub fn matches(filter: &str, topic: &str) -> bool {
    let (mut filter, mut topic) = (filter.split('/'), topic.split('/'));
    loop {
        match (filter.next(), topic.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(wanted), Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
}

/// Messages that the journal gave up although they were accepted, at one bound or another.
fn given_up(dropped: &BTreeMap<DropReason, u64>) -> u64 {
    let reasons = [DropReason::JournalFull, DropReason::QueueFull, DropReason::TooOld];
    reasons.iter().filter_map(|reason| dropped.get(reason)).sum()
}
