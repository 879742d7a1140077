//! What the broker's core reports: counted at once, logged by a task of its own.
//!
//! The owner of the broker never waits for a log line: when too many come, lines are left out and their number is
//! said; counts are always right.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use super::seldom::Seldom;
use crate::broker::{CloseReason, Denial, Event};
use crate::durable::DropReason;
use crate::mqtt::ReasonCode;
use crate::net::Observer;

/// Events that wait to be logged.
const LINES_WAITING: usize = 256;
/// Characters of a topic in a line.
const TOPIC_CHARACTERS: usize = 200;
/// Everything that access rules refuse; it is in the status before it happens.
const DENIALS: [Denial; 4] = [Denial::Publish, Denial::Subscribe, Denial::Will, Denial::WillSent];

/// What the broker's events count up to.
#[derive(Debug)]
pub struct BrokerCounters {
    clients_connected: AtomicU64,
    refused: AtomicU64,
    refused_by_reason: Mutex<HashMap<ReasonCode, u64>>,
    denied: Mutex<HashMap<(Denial, ReasonCode), u64>>,
    dropped: [(DropReason, AtomicU64); DropReason::ALL.len()],
}

impl Default for BrokerCounters {
    fn default() -> BrokerCounters {
        BrokerCounters {
            clients_connected: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            refused_by_reason: Mutex::default(),
            denied: Mutex::new(DENIALS.map(|what| ((what, ReasonCode::NotAuthorized), 0)).into()),
            dropped: DropReason::ALL.map(|reason| (reason, AtomicU64::new(0))),
        }
    }
}

impl BrokerCounters {
    /// Clients that are connected now.
    #[must_use]
    pub fn clients_connected(&self) -> u64 {
        self.clients_connected.load(Ordering::Relaxed)
    }

    /// Clients that were refused.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// What was refused, by what was asked for and by reason.
    #[must_use]
    pub fn refusals(&self) -> BTreeMap<String, BTreeMap<String, u64>> {
        let mut refusals: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
        for (reason, count) in &*self.refused_by_reason() {
            refusals.entry("connect".to_owned()).or_default().insert(reason_label(*reason), *count);
        }
        for ((what, reason), count) in &*self.denied() {
            let by_reason = refusals.entry(denial_label(*what).to_owned()).or_default();
            by_reason.insert(reason_label(*reason), *count);
        }
        refusals
    }

    fn refused_by_reason(&self) -> MutexGuard<'_, HashMap<ReasonCode, u64>> {
        self.refused_by_reason.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count_refused(&self, reason: ReasonCode) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        *self.refused_by_reason().entry(reason).or_default() += 1;
    }

    fn denied(&self) -> MutexGuard<'_, HashMap<(Denial, ReasonCode), u64>> {
        self.denied.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count_denied(&self, what: Denial, reason: ReasonCode) {
        *self.denied().entry((what, reason)).or_default() += 1;
    }

    /// Counts messages that will not be delivered.
    pub fn count_dropped(&self, reason: DropReason, count: u64) {
        if let Some((_, counter)) = self.dropped.iter().find(|(known, _)| *known == reason) {
            counter.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// Messages that will not be delivered, by the label of the reason; every reason is there.
    #[must_use]
    pub fn dropped(&self) -> BTreeMap<String, u64> {
        let dropped = self.dropped.iter();
        dropped
            .map(|(reason, counter)| (reason.label().to_owned(), counter.load(Ordering::Relaxed)))
            .collect()
    }
}

/// Counts and logs what the broker reports.
#[derive(Debug)]
pub struct BrokerObserver {
    counters: Arc<BrokerCounters>,
    lines: mpsc::Sender<Event>,
    left_out: Arc<AtomicU64>,
}

impl BrokerObserver {
    /// Starts the task that logs.
    #[must_use]
    pub fn start(counters: Arc<BrokerCounters>) -> BrokerObserver {
        let (lines, receiver) = mpsc::channel(LINES_WAITING);
        let left_out = Arc::new(AtomicU64::new(0));
        tokio::spawn(log_all(receiver, Arc::clone(&left_out)));
        BrokerObserver { counters, lines, left_out }
    }
}

impl Observer for BrokerObserver {
    fn event(&mut self, event: Event) {
        match &event {
            Event::ClientConnected { .. } => {
                self.counters.clients_connected.fetch_add(1, Ordering::Relaxed);
            }
            Event::ClientDisconnected { .. } => {
                self.counters.clients_connected.fetch_sub(1, Ordering::Relaxed);
            }
            Event::ClientRefused { reason, .. } => self.counters.count_refused(*reason),
            Event::Denied { what, reason, .. } => self.counters.count_denied(*what, *reason),
            Event::Dropped { count, reason } => self.counters.count_dropped(*reason, *count),
        }
        if self.lines.try_send(event).is_err() {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn log_all(mut events: mpsc::Receiver<Event>, left_out: Arc<AtomicU64>) {
    let mut drops: BTreeMap<DropReason, Seldom> = BTreeMap::new();
    let mut denials: HashMap<(Denial, ReasonCode), Seldom> = HashMap::new();
    let mut refusals: HashMap<ReasonCode, Seldom> = HashMap::new();
    while let Some(event) = events.recv().await {
        match event {
            Event::ClientConnected { client_id, took_over: false, .. } => {
                tracing::info!("client {client_id} connected");
            }
            Event::ClientConnected { client_id, took_over: true, .. } => {
                tracing::info!("client {client_id} connected again and took over from its old connection");
            }
            Event::ClientDisconnected { client_id, reason, .. } => {
                tracing::info!("client {client_id} is gone: {}", in_words(reason));
            }
            Event::ClientRefused { reason, .. } => {
                if let Some(count) = refusals.entry(reason).or_default().happened(1) {
                    tracing::info!("{count} clients were refused: {reason:?}");
                }
            }
            Event::Denied { client_id, what, reason, topic } => {
                if let Some(count) = denials.entry((what, reason)).or_default().happened(1) {
                    let what = in_words_denied(what);
                    let by = match reason {
                        ReasonCode::NotAuthorized => "the access rules".to_owned(),
                        bound => format!("a bound ({bound:?})"),
                    };
                    // Topics may be long, as what is refused here may be by its length.
                    let topic: String = topic.chars().take(TOPIC_CHARACTERS).collect();
                    tracing::warn!(
                        "{count} x {what} refused by {by}, the last to client {client_id}: {topic}"
                    );
                }
            }
            Event::Dropped { count, reason } => {
                if let Some(count) = drops.entry(reason).or_default().happened(count) {
                    tracing::warn!("{count} messages will not be delivered: {}", reason.label());
                }
            }
        }
        let missing = left_out.swap(0, Ordering::Relaxed);
        if missing > 0 {
            tracing::info!("{missing} more events of clients, too many to log");
        }
    }
}

/// The name of a reason code as a label: `not_authorized`.
pub(crate) fn reason_label(reason: ReasonCode) -> String {
    let mut label = String::new();
    for c in format!("{reason:?}").chars() {
        if c.is_ascii_uppercase() && !label.is_empty() {
            label.push('_');
        }
        label.push(c.to_ascii_lowercase());
    }
    label
}

const fn denial_label(what: Denial) -> &'static str {
    match what {
        Denial::Publish => "publish",
        Denial::Subscribe => "subscribe",
        Denial::Will => "will",
        Denial::WillSent => "will_sent",
    }
}

const fn in_words_denied(what: Denial) -> &'static str {
    match what {
        Denial::Publish => "publishing",
        Denial::Subscribe => "subscribing",
        Denial::Will => "connecting with a will",
        Denial::WillSent => "sending a will",
    }
}

fn in_words(reason: CloseReason) -> String {
    match reason {
        CloseReason::Disconnected => "it said goodbye".to_owned(),
        CloseReason::Lost => "the connection was lost".to_owned(),
        CloseReason::KeepAlive => "nothing was heard for 1.5 x its keep-alive".to_owned(),
        CloseReason::TakenOver => "it connected anew".to_owned(),
        CloseReason::Refused(code) => format!("refused, {code:?}"),
        CloseReason::ShuttingDown => "the gateway stops".to_owned(),
    }
}
