//! What the connections count, each once per batch. Only ever grows.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of all connections.
#[derive(Debug, Default)]
pub struct Counters {
    received: AtomicU64,
    sent: AtomicU64,
    refused: AtomicU64,
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

    /// Connections that ended before the broker heard of them.
    #[must_use]
    pub fn connections_refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
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

    pub(super) fn count_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }
}
