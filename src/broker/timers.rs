//! Deadlines: one ordered set for everything that has to happen at a time.
//!
//! Never fires by itself: the owner asks for the next one and says when it has passed.

use std::collections::BTreeSet;

use crate::time::Instant;

use super::ConnectionId;
use super::sessions::SessionKey;

/// What has a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// Something must have been heard on a connection.
    KeepAlive(ConnectionId),
    /// The will or the expiry of a detached session.
    Session(SessionKey),
}

/// All deadlines, the next one first; equal ones in the order of what they are about.
#[derive(Debug, Default)]
pub(super) struct Timers(BTreeSet<(Instant, Timer)>);

impl Timers {
    pub(super) fn set(&mut self, at: Instant, timer: Timer) {
        self.0.insert((at, timer));
    }

    pub(super) fn clear(&mut self, at: Instant, timer: Timer) {
        self.0.remove(&(at, timer));
    }

    /// The next deadline.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.first().map(|(at, _)| *at)
    }

    /// Takes one whose deadline has come.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Timer> {
        let (at, timer) = *self.0.first()?;
        if at > now {
            return None;
        }
        self.0.remove(&(at, timer));
        Some(timer)
    }
}
