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
    /// Since when it is silent because it was asked to be.
    paused_at: Option<Instant>,
}

impl Watchdog {
    pub(super) fn new(now: Instant) -> Watchdog {
        Watchdog { heard_at: now, has_heard: false, cured: Duration::ZERO, paused_at: None }
    }

    /// The radio is listened to anew: it was gone, or bluetoothd was. That it once heard something still counts.
    pub(super) fn begin(&mut self, now: Instant) {
        *self = Watchdog { has_heard: self.has_heard, ..Watchdog::new(now) };
    }

    /// Anything at all was heard.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard_at = now;
        self.has_heard = true;
        self.cured = Duration::ZERO;
    }

    /// The radio is asked to be silent: that time is no silence of its own.
    pub(super) fn pause(&mut self, now: Instant) {
        self.paused_at.get_or_insert(now);
    }

    /// It may hear again.
    pub(super) fn resume(&mut self, now: Instant) {
        if let Some(at) = self.paused_at.take() {
            self.heard_at = (self.heard_at + now.since(at)).min(now);
        }
    }

    /// How long nothing was heard that could have been.
    pub(super) fn silence(&self, now: Instant) -> Duration {
        self.paused_at.unwrap_or(now).since(self.heard_at)
    }

    /// It was called deaf, and has heard nothing since.
    pub(super) fn is_deaf(&self) -> bool {
        self.has_heard && self.cured >= DEAF
    }

    /// What is to be done now; each step once. A radio with connections is spared the harder ones: who is connected
    /// does not advertise.
    pub(super) fn cure(&mut self, now: Instant, has_connections: bool) -> Cure {
        let silence = self.silence(now);
        if has_connections && silence >= POWER_CYCLE {
            *self = Watchdog { has_heard: self.has_heard, paused_at: self.paused_at, ..Watchdog::new(now) };
            return Cure::Restart;
        }
        let due = |at: Duration, cured: Duration| silence >= at && cured < at;
        let next_complaint = self.cured.max(DEAF) + DEAF;
        let (at, cure) = if due(RESTART, self.cured) {
            (RESTART, Cure::Restart)
        } else if due(POWER_CYCLE, self.cured) {
            (POWER_CYCLE, Cure::PowerCycle)
        } else if due(DEAF, self.cured) {
            (DEAF, Cure::Complain)
        } else if silence >= next_complaint {
            (silence, Cure::Complain)
        } else {
            return Cure::Wait;
        };
        self.cured = at;
        if self.has_heard { cure } else { Cure::Restart }
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
            (10..200).step_by(5).map(|second| (second, watchdog.cure(at(second), false))).collect();
        let done: Vec<_> = cures.into_iter().filter(|(_, cure)| *cure != Cure::Wait).collect();
        let expected =
            [(25, Cure::Restart), (40, Cure::PowerCycle), (55, Cure::Complain), (100, Cure::Complain)];
        assert_eq!(done[..4], expected);
        watchdog.heard(at(201));
        assert_eq!(watchdog.cure(at(210), false), Cure::Wait);
        assert_eq!(watchdog.cure(at(216), false), Cure::Restart);
    }

    #[test]
    fn a_silent_place_does_not_lose_its_radio() {
        let mut watchdog = Watchdog::new(at(0));
        let cures: Vec<Cure> = (0..300).map(|second| watchdog.cure(at(second), false)).collect();
        assert!(cures.iter().all(|cure| matches!(cure, Cure::Wait | Cure::Restart)));
    }

    #[test]
    fn a_radio_that_is_back_and_deaf_is_switched_off_and_on() {
        let mut watchdog = Watchdog::new(at(0));
        watchdog.heard(at(1));
        watchdog.begin(at(100));
        assert_eq!(watchdog.cure(at(114), false), Cure::Wait);
        let cures = [115, 130, 145].map(|second| watchdog.cure(at(second), false));
        assert_eq!(cures, [Cure::Restart, Cure::PowerCycle, Cure::Complain]);
        assert!(watchdog.is_deaf());
        watchdog.heard(at(146));
        assert!(!watchdog.is_deaf());
    }

    /// Who is connected to again and again does not keep a deaf radio from being noticed.
    #[test]
    fn pauses_are_no_silence_and_end_none() {
        let mut watchdog = Watchdog::new(at(0));
        watchdog.heard(at(0));
        for start in (0..40).step_by(10) {
            // Of ten seconds it may hear in five.
            watchdog.pause(at(start));
            assert_eq!(watchdog.silence(at(start + 4)), Duration::from_secs(start / 2));
            watchdog.resume(at(start + 5));
        }
        assert_eq!(watchdog.silence(at(40)), Duration::from_secs(20));
        assert_eq!(watchdog.cure(at(40), false), Cure::Restart);
        assert_eq!(watchdog.cure(at(50), false), Cure::PowerCycle);
    }

    #[test]
    fn a_radio_with_connections_is_only_asked_to_scan_again() {
        let mut watchdog = Watchdog::new(at(0));
        watchdog.heard(at(0));
        let cures: Vec<Cure> = (0..300).map(|second| watchdog.cure(at(second), true)).collect();
        assert!(cures.iter().all(|cure| matches!(cure, Cure::Wait | Cure::Restart)));
        assert_eq!(cures.iter().filter(|cure| **cure == Cure::Restart).count(), 19);
        // The connections end, and nobody is heard: what helps comes soon.
        let after: Vec<Cure> = (300..346).map(|second| watchdog.cure(at(second), false)).collect();
        assert!(after.contains(&Cure::PowerCycle));
    }
}
