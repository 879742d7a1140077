//! What the connections count, each once per batch. Only ever grows.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A refusal for the same reason is not logged again before this.
const SAME_LINE_EVERY: Duration = Duration::from_secs(10);

/// Why a connection ended before the broker heard of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// There are `max_connections` already.
    TooManyConnections,
    /// There are `max_connections_per_address` already from where it came.
    TooManyFromAddress,
    /// It did not introduce itself in time.
    TooLate,
    /// It did not begin with a CONNECT that can be read.
    NoConnect,
    /// Its user name or its password is wrong.
    BadUserNameOrPassword,
    /// It has no user name, and here one is needed.
    NotAuthorized,
    /// Too many logins wait to be checked.
    ServerBusy,
    /// More than `max_connects_per_second` came.
    TooFast,
    /// What comes ahead of MQTT did not succeed: TLS, WebSocket, a proxy's header.
    Handshake,
}

impl Refusal {
    /// Every reason.
    pub const ALL: [Refusal; 9] = [
        Refusal::TooManyConnections,
        Refusal::TooManyFromAddress,
        Refusal::TooLate,
        Refusal::NoConnect,
        Refusal::BadUserNameOrPassword,
        Refusal::NotAuthorized,
        Refusal::ServerBusy,
        Refusal::TooFast,
        Refusal::Handshake,
    ];

    /// The label of its metric; never changes.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Refusal::TooManyConnections => "too_many_connections",
            Refusal::TooManyFromAddress => "too_many_connections_of_address",
            Refusal::TooLate => "connect_timeout",
            Refusal::NoConnect => "no_connect",
            Refusal::BadUserNameOrPassword => "bad_user_name_or_password",
            Refusal::NotAuthorized => "not_authorized",
            Refusal::ServerBusy => "server_busy",
            Refusal::TooFast => "connect_rate",
            Refusal::Handshake => "handshake",
        }
    }
}

/// Counters of all connections.
#[derive(Debug)]
pub struct Counters {
    received: AtomicU64,
    sent: AtomicU64,
    bytes_received: AtomicU64,
    bytes_sent: AtomicU64,
    refused: [(Refusal, AtomicU64); Refusal::ALL.len()],
    said: [(Refusal, Mutex<Said>); Refusal::ALL.len()],
}

/// Refusals for one reason since the last line in the log.
#[derive(Debug, Default)]
struct Said {
    at: Option<Instant>,
    unsaid: u64,
}

impl Default for Counters {
    fn default() -> Counters {
        Counters {
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            bytes_received: AtomicU64::new(0),
            bytes_sent: AtomicU64::new(0),
            refused: Refusal::ALL.map(|reason| (reason, AtomicU64::new(0))),
            said: Refusal::ALL.map(|reason| (reason, Mutex::default())),
        }
    }
}

impl Counters {
    /// PUBLISH packets read.
    #[must_use]
    pub fn messages_received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// PUBLISH packets handed to sockets.
    #[must_use]
    pub fn messages_sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Bytes read from sockets.
    #[must_use]
    pub fn bytes_received(&self) -> u64 {
        self.bytes_received.load(Ordering::Relaxed)
    }

    /// Bytes written to sockets.
    #[must_use]
    pub fn bytes_sent(&self) -> u64 {
        self.bytes_sent.load(Ordering::Relaxed)
    }

    pub(super) fn count_bytes_received(&self, bytes: usize) {
        self.bytes_received.fetch_add(u64::try_from(bytes).unwrap_or(0), Ordering::Relaxed);
    }

    pub(super) fn count_bytes_sent(&self, bytes: usize) {
        self.bytes_sent.fetch_add(u64::try_from(bytes).unwrap_or(0), Ordering::Relaxed);
    }

    /// Connections that ended before the broker heard of them.
    #[must_use]
    pub fn connections_refused(&self) -> u64 {
        self.refused().map(|(_, count)| count).sum()
    }

    /// The same by reason.
    pub fn refused(&self) -> impl Iterator<Item = (Refusal, u64)> + '_ {
        self.refused.iter().map(|(reason, counter)| (*reason, counter.load(Ordering::Relaxed)))
    }

    pub(super) fn count_received(&self, messages: u64) {
        if messages > 0 {
            self.received.fetch_add(messages, Ordering::Relaxed);
        }
    }

    pub(super) fn count_sent(&self, messages: u64) {
        if messages > 0 {
            self.sent.fetch_add(messages, Ordering::Relaxed);
        }
    }

    /// Counts a refusal; how many of them to say in the log now, if any.
    pub(super) fn count_refused(&self, reason: Refusal) -> Option<u64> {
        let (_, counter) = self.refused.iter().find(|(known, _)| *known == reason)?;
        counter.fetch_add(1, Ordering::Relaxed);
        let (_, said) = self.said.iter().find(|(known, _)| *known == reason)?;
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        said.unsaid += 1;
        if said.at.is_some_and(|at| at.elapsed() < SAME_LINE_EVERY) {
            return None;
        }
        said.at = Some(Instant::now());
        Some(std::mem::take(&mut said.unsaid))
    }
}
