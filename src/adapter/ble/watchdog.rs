//! When a radio that hears nothing is to be shaken, and how hard.
//!
//! Pure: told the time and what was heard. Radios stop hearing without a word: after a restart of bluetoothd, after
//! hours of scanning, after another program's scan ended.

use std::time::Duration;

use crate::time::Instant;

/// After so long a silence the scan is started again...
const RESTART: Duration = Duration::from_secs(15);
/// ...then the radio is switched off and on...
const POWER_CYCLE: Duration = Duration::from_secs(30);
/// ...and then it is called deaf, and shaken again every so often.
const DEAF: Duration = Duration::from_secs(45);

/// What to do about a silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cure {
    /// Nothing is wrong, or nothing more can be done now.
    Wait,
    /// Stop scanning and start again.
    Restart,
    /// Switch the radio off and on, then scan.
    PowerCycle,
    /// Tell people, and restart the scan.
    Complain,
}

/// Watches one radio.
#[derive(Debug)]
pub(super) struct Watchdog {
    heard_at: Instant,
    /// A place where nothing was ever heard may be silent by nature: its radio is not switched off for that.
    has_heard: bool,
    cured: Duration,
}

impl Watchdog {
    pub(super) fn new(now: Instant) -> Watchdog {
        Watchdog { heard_at: now, has_heard: false, cured: Duration::ZERO }
    }

    /// Anything at all was heard.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard_at = now;
        self.has_heard = true;
        self.cured = Duration::ZERO;
    }

    /// The radio was silent since it was asked to be.
    pub(super) fn was_paused(&mut self, now: Instant) {
        self.heard_at = now;
        self.cured = Duration::ZERO;
    }

    /// How long nothing was.
    pub(super) fn silence(&self, now: Instant) -> Duration {
        now.since(self.heard_at)
    }

    /// What is to be done now; each step once.
    pub(super) fn cure(&mut self, now: Instant) -> Cure {
        let silence = self.silence(now);
        let due = |at: Duration, cured: Duration| silence >= at && cured < at;
        let next_complaint = self.cured.max(DEAF) + DEAF;
        let (at, cure) = if due(RESTART, self.cured) {
            (RESTART, Cure::Restart)
        } else if due(POWER_CYCLE, self.cured) {
            (POWER_CYCLE, if self.has_heard { Cure::PowerCycle } else { Cure::Restart })
        } else if due(DEAF, self.cured) {
            (DEAF, if self.has_heard { Cure::Complain } else { Cure::Restart })
        } else if silence >= next_complaint {
            (silence, if self.has_heard { Cure::Complain } else { Cure::Restart })
        } else {
            return Cure::Wait;
        };
        self.cured = at;
        cure
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(seconds * 1000)
    }

    #[test]
    fn silence_is_answered_harder_and_harder_and_within_a_minute() {
        let mut watchdog = Watchdog::new(at(0));
        watchdog.heard(at(10));
        let cures: Vec<(u64, Cure)> =
            (10..200).step_by(5).map(|second| (second, watchdog.cure(at(second)))).collect();
        let done: Vec<_> = cures.into_iter().filter(|(_, cure)| *cure != Cure::Wait).collect();
        let expected =
            [(25, Cure::Restart), (40, Cure::PowerCycle), (55, Cure::Complain), (100, Cure::Complain)];
        assert_eq!(done[..4], expected);
        watchdog.heard(at(201));
        assert_eq!(watchdog.cure(at(210)), Cure::Wait);
        assert_eq!(watchdog.cure(at(216)), Cure::Restart);
    }

    #[test]
    fn a_silent_place_does_not_lose_its_radio() {
        let mut watchdog = Watchdog::new(at(0));
        let cures: Vec<Cure> = (0..300).map(|second| watchdog.cure(at(second))).collect();
        assert!(cures.iter().all(|cure| matches!(cure, Cure::Wait | Cure::Restart)));
    }
}
