//! Where what the broker sends goes: per connection what is staged in this round. Never waits for a connection.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::num::NonZeroU32;
use std::sync::Arc;

use super::buffers;
use super::outbox::{Outbox, Outgoing};
use crate::broker::{CloseReason, ConnectionId};

/// What waits for connections is handed over when it is this much, also within a round.
const HAND_OVER_AT: usize = 1024;

/// The connections' identifiers are our own counter: they need no scattering against hostile choices.
#[derive(Debug, Default)]
struct OwnNumbers(u64);

impl Hasher for OwnNumbers {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("connection identifiers are hashed as one u64");
    }

    fn write_u64(&mut self, number: u64) {
        // Spread over the upper bits, which the map compares first (Fibonacci hashing).
        self.0 = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

/// A connection as the owner sees it.
#[derive(Debug)]
struct Link {
    outbox: Arc<Outbox>,
    /// Its place among what is staged, if anything is.
    place: Option<NonZeroU32>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.outbox.abandon();
    }
}

/// Every connection that the broker knows, or was told to forget and that still stands.
#[derive(Debug, Default)]
pub(super) struct Links {
    by_id: HashMap<ConnectionId, Link, BuildHasherDefault<OwnNumbers>>,
    /// What is not handed over yet, in this round; place 1 is the first.
    staged: Vec<(ConnectionId, Vec<Outgoing>)>,
    staged_together: usize,
}

impl Links {
    pub(super) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub(super) fn open(&mut self, connection: ConnectionId, outbox: Arc<Outbox>) {
        self.by_id.insert(connection, Link { outbox, place: None });
    }

    pub(super) fn remove(&mut self, connection: ConnectionId) {
        self.by_id.remove(&connection);
    }

    /// Puts something behind what waits for a connection; nothing, if it is gone already.
    pub(super) fn stage(&mut self, connection: ConnectionId, outgoing: Outgoing) {
        let Some(link) = self.by_id.get_mut(&connection) else {
            return;
        };
        let place = *link.place.get_or_insert_with(|| {
            self.staged.push((connection, buffers::borrow_room()));
            let count = u32::try_from(self.staged.len()).unwrap_or(u32::MAX);
            NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN)
        });
        let index = usize::try_from(place.get() - 1).unwrap_or(usize::MAX);
        if let Some((_, staged)) = self.staged.get_mut(index) {
            staged.push(outgoing);
            self.staged_together += 1;
        }
        if self.staged_together >= HAND_OVER_AT {
            self.hand_over();
        }
    }

    /// Asks every connection to end because the gateway stops.
    pub(super) fn close_all(&mut self) {
        let all: Vec<ConnectionId> = self.by_id.keys().copied().collect();
        for connection in all {
            self.stage(connection, Outgoing::Close(CloseReason::ShuttingDown));
        }
    }

    /// Gives each connection what is staged for it.
    pub(super) fn hand_over(&mut self) {
        for (connection, staged) in self.staged.drain(..) {
            if let Some(link) = self.by_id.get_mut(&connection) {
                link.place = None;
                link.outbox.hand_over(staged);
            }
        }
        self.staged_together = 0;
    }
}
