//! What the broker's core reports: counted at once, logged by a task of its own.
//!
//! The owner of the broker never waits for a log line: when too many come, lines are left out and their number is
//! said; counts are always right.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::bridge;
use crate::broker::{CloseReason, Event};
use crate::durable::DropReason;
use crate::net::Observer;

/// Events that wait to be logged.
const LINES_WAITING: usize = 256;
/// A drop for the same reason is not logged again before this.
const DROP_LINE_EVERY: Duration = Duration::from_secs(60);

/// What the broker's events count up to.
#[derive(Debug)]
pub struct BrokerCounters {
    clients_connected: AtomicU64,
    refused: AtomicU64,
    dropped: [(DropReason, AtomicU64); DropReason::ALL.len()],
}

impl Default for BrokerCounters {
    fn default() -> BrokerCounters {
        BrokerCounters {
            clients_connected: AtomicU64::new(0),
            refused: AtomicU64::new(0),
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
            Event::ClientRefused { .. } => {
                self.counters.refused.fetch_add(1, Ordering::Relaxed);
            }
            Event::Dropped { count, reason } => self.counters.count_dropped(*reason, *count),
        }
        if self.lines.try_send(event).is_err() {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn log_all(mut events: mpsc::Receiver<Event>, left_out: Arc<AtomicU64>) {
    let mut drops: BTreeMap<DropReason, Drops> = BTreeMap::new();
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
                tracing::info!("a client was refused: {reason:?}");
            }
            Event::Dropped { count, reason } => drops.entry(reason).or_default().happened(reason, count),
        }
        let missing = left_out.swap(0, Ordering::Relaxed);
        if missing > 0 {
            tracing::info!("{missing} more events of clients, too many to log");
        }
    }
}

/// Drops for one reason since the last line.
#[derive(Debug, Default)]
struct Drops {
    said_at: Option<Instant>,
    unsaid: u64,
}

impl Drops {
    fn happened(&mut self, reason: DropReason, count: u64) {
        self.unsaid += count;
        if self.said_at.is_some_and(|at| at.elapsed() < DROP_LINE_EVERY) {
            return;
        }
        tracing::warn!("{} messages will not be delivered: {}", self.unsaid, reason.label());
        self.unsaid = 0;
        self.said_at = Some(Instant::now());
    }
}

/// Logs what happened to an uplink, and counts what it dropped.
pub fn tell_of_uplink(name: &str, event: &bridge::Event, counters: &BrokerCounters) {
    match event {
        bridge::Event::Connected { session_present: true } => {
            tracing::info!("uplink {name}: connected, the server has kept the session");
        }
        bridge::Event::Connected { session_present: false } => tracing::info!("uplink {name}: connected"),
        bridge::Event::Disconnected { fault } => tracing::warn!("uplink {name}: {fault}"),
        bridge::Event::Dropped { count, reason } => {
            counters.count_dropped(*reason, *count);
            tracing::warn!("uplink {name}: {count} messages will not be delivered: {}", reason.label());
        }
        bridge::Event::SubscriptionRefused { filter, reason } => {
            tracing::warn!("uplink {name}: the server refuses the subscription to {filter}: {reason:?}");
        }
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
