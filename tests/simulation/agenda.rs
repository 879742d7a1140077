//! What is going to happen, by virtual time; what was entered first happens first.

use std::collections::BTreeMap;

use tidegate::time::Instant;

/// Future events in the order of their times, and of their entry where the times are equal.
#[derive(Debug)]
pub struct Agenda<E> {
    events: BTreeMap<(Instant, u64), E>,
    entries: u64,
}

impl<E> Default for Agenda<E> {
    fn default() -> Agenda<E> {
        Agenda { events: BTreeMap::new(), entries: 0 }
    }
}

impl<E> Agenda<E> {
    pub fn enter(&mut self, at: Instant, event: E) {
        self.entries += 1;
        self.events.insert((at, self.entries), event);
    }

    pub fn next_at(&self) -> Option<Instant> {
        self.events.first_key_value().map(|((at, _), _)| *at)
    }

    /// The first event that is due.
    pub fn due(&mut self, now: Instant) -> Option<E> {
        let entry = self.events.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }
}

/// The earlier of two times, where `None` is never.
pub fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    a.into_iter().chain(b).min()
}
