//! Signs of life of the broker's owner and of the journal's thread.

use std::time::Duration;

use tokio::time::timeout;

use crate::disk::{Clock, JournalHandle};
use crate::net::Entrance;
use crate::time::Instant;

/// Asks whether the gateway's vital parts are alive.
#[derive(Clone)]
pub(super) struct Pulse {
    pub(super) broker: Entrance,
    pub(super) journal: JournalHandle,
    pub(super) clock: Clock,
}

impl Pulse {
    /// Those that gave no sign of life within `patience`.
    pub(super) async fn silent(&self, patience: Duration) -> Vec<&'static str> {
        let mut silent = Vec::new();
        if !matches!(timeout(patience, self.broker.ping()).await, Ok(Ok(()))) {
            silent.push("the broker");
        }
        let seen = Instant::from_nanos(self.journal.counters().alive_at_nanos());
        // It comes round at least once a second, unless the disk takes long over a commit.
        if (self.clock)().monotonic.since(seen) > patience.max(Duration::from_secs(5)) {
            silent.push("the journal");
        }
        silent
    }
}
