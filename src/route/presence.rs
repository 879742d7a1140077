//! Whether a sensor is there: it is when it was heard, and is not when its port is gone or it has been silent for
//! three times the interval that it was learned to have.

use std::time::Duration;

use crate::time::Instant;

/// How many silences between readings are remembered.
const REMEMBERED: usize = 8;
/// How many intervals a sensor may miss.
const MISSED: u32 = 3;
/// Of a sensor that was heard once the interval is not known: so many of its shortest absences.
const ONCE: u32 = 10;
/// No sensor is given up sooner: a few readings lost on a busy machine are no absence.
const SHORTEST: Duration = Duration::from_secs(10);

/// How long a sensor of unknown interval may take to say its first word.
const FIRST_WORD: Duration = Duration::from_secs(30);

/// What changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PresenceChange {
    /// It speaks.
    Online,
    /// It does not.
    Offline,
}

/// The presence of one sensor.
#[derive(Debug, Default)]
pub struct Presence {
    known: Option<PresenceChange>,
    last_heard: Option<Instant>,
    /// Since when it could have been heard, and was not yet.
    listening_since: Option<Instant>,
    /// The latest silences between two readings; the longest counts, since some speak in bursts.
    silences: [Option<Duration>; REMEMBERED],
    next: usize,
    /// It is not given up sooner.
    shortest: Option<Duration>,
}

impl Presence {
    /// A sensor of which nothing is known; one that is asked every `interval`, if it is asked.
    #[must_use]
    pub fn new(interval: Option<Duration>) -> Presence {
        let mut presence = Presence::default();
        if let (Some(interval), Some(first)) = (interval, presence.silences.first_mut()) {
            *first = Some(interval);
            presence.next = 1;
        }
        presence
    }

    /// A sensor of which nothing is known, and which may be silent for `shortest` in any case.
    #[must_use]
    pub fn at_least(shortest: Duration) -> Presence {
        Presence { shortest: Some(shortest), ..Presence::default() }
    }

    /// Its port was opened: from now on it can be heard.
    pub fn listening(&mut self, now: Instant) {
        self.listening_since = Some(now);
    }

    /// A reading came.
    pub fn heard(&mut self, now: Instant) -> Option<PresenceChange> {
        self.listening_since = None;
        if let Some(last) = self.last_heard.replace(now) {
            if let Some(place) = self.silences.get_mut(self.next % REMEMBERED) {
                *place = Some(now.since(last));
            }
            self.next = self.next.wrapping_add(1);
        }
        self.change_to(PresenceChange::Online)
    }

    /// Its port is gone, or cannot be opened. The next silence is no interval of the sensor's.
    pub fn lost(&mut self) -> Option<PresenceChange> {
        self.last_heard = None;
        self.listening_since = None;
        self.change_to(PresenceChange::Offline)
    }

    /// When it is given up if nothing comes; `None` when it is not there, or its interval is not known yet.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        let longest = self.silences.iter().flatten().max();
        let shortest = self.shortest.unwrap_or(SHORTEST);
        let patience = longest.map(|longest| longest.saturating_mul(MISSED).max(shortest));
        let first = patience.unwrap_or(self.shortest.unwrap_or(FIRST_WORD));
        // One that was heard once only, and that may be silent for so long, is not waited for for ever.
        let patience = patience.or(self.shortest.map(|shortest| shortest.saturating_mul(ONCE)));
        match (self.last_heard, self.listening_since) {
            (Some(last), _) => Some(last + patience?),
            (None, Some(since)) => Some(since + first),
            (None, None) => None,
        }
    }

    /// The time of [`Presence::next_timeout`] may have come.
    pub fn timeout(&mut self, now: Instant) -> Option<PresenceChange> {
        if self.next_timeout().is_some_and(|at| now >= at) { self.lost() } else { None }
    }

    fn change_to(&mut self, change: PresenceChange) -> Option<PresenceChange> {
        (self.known.replace(change) != Some(change)).then_some(change)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(seconds * 1000)
    }

    #[test]
    fn a_sensor_is_given_up_after_three_of_its_longest_intervals() {
        let mut presence = Presence::default();
        assert_eq!(presence.heard(at(0)), Some(PresenceChange::Online));
        assert_eq!(presence.next_timeout(), None, "one reading tells no interval");
        assert_eq!(presence.heard(at(60)), None);
        assert_eq!(presence.heard(at(61)), None);
        assert_eq!(presence.next_timeout(), Some(at(61 + 180)));
        assert_eq!(presence.timeout(at(240)), None);
        assert_eq!(presence.timeout(at(241)), Some(PresenceChange::Offline));
        assert_eq!(presence.next_timeout(), None);
        assert_eq!(presence.heard(at(1000)), Some(PresenceChange::Online));
        assert_eq!(presence.next_timeout(), Some(at(1180)), "the absence was no interval");
    }

    #[test]
    fn old_intervals_are_forgotten() {
        let mut presence = Presence::default();
        presence.heard(at(0));
        presence.heard(at(600));
        for second in 601..609 {
            presence.heard(at(second));
        }
        assert_eq!(presence.next_timeout(), Some(at(618)), "never sooner than ten seconds");
    }

    #[test]
    fn a_sensor_that_never_speaks_is_not_there() {
        let mut presence = Presence::default();
        presence.listening(at(100));
        assert_eq!(presence.next_timeout(), Some(at(130)));
        assert_eq!(presence.timeout(at(130)), Some(PresenceChange::Offline));
        assert_eq!(presence.next_timeout(), None);
        assert_eq!(presence.heard(at(500)), Some(PresenceChange::Online));
    }

    #[test]
    fn a_lost_port_is_told_once_also_before_anything_was_heard() {
        let mut presence = Presence::new(Some(Duration::from_secs(10)));
        assert_eq!(presence.lost(), Some(PresenceChange::Offline));
        assert_eq!(presence.lost(), None);
        assert_eq!(presence.heard(at(5)), Some(PresenceChange::Online));
        assert_eq!(presence.next_timeout(), Some(at(35)), "what is asked has a known interval");
    }
}
