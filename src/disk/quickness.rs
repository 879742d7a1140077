//! Whether the disk is so quick that waiting for it costs less than having somebody else wait for it.
//!
//! Solid state disks of larger machines answer a flush in a fraction of a millisecond, memory cards in many. Only
//! judges; never measures.

use std::time::Duration;

use crate::time::Instant;

/// A disk is quick when its commits take at most this long on average...
const QUICK: Duration = Duration::from_millis(1);
/// ...and none took as long as this lately...
const SLOW: Duration = Duration::from_millis(10);
/// ...which is so many times as long as it took: who commits on the spot waits for slow commits for less than a tenth of
/// its time.
const DISTRUST: u32 = 10;
/// An average over about so many commits; so many must have been seen.
const COMMITS: u32 = 16;

/// What is known of the last commits.
#[derive(Debug, Default)]
pub(super) struct Quickness {
    seen: u32,
    average: Duration,
    distrusted_until: Option<Instant>,
}

impl Quickness {
    /// A commit began now and took so long.
    pub(super) fn committed(&mut self, now: Instant, took: Duration) {
        self.seen = self.seen.saturating_add(1);
        let weight = self.seen.min(COMMITS);
        self.average = (self.average * (weight - 1) + took) / weight;
        if took >= SLOW {
            self.distrusted_until = Some(now + took + took * DISTRUST);
        }
    }

    /// Whether the next commit will be over soon, as far as one can know.
    pub(super) fn is_quick(&self, now: Instant) -> bool {
        let trusted = self.distrusted_until.is_none_or(|until| until <= now);
        self.seen >= COMMITS && self.average <= QUICK && trusted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(commits: &[(u32, Duration)]) -> (Quickness, Instant) {
        let (mut quickness, mut now) = (Quickness::default(), Instant::from_nanos(1));
        for (count, took) in commits {
            for _ in 0..*count {
                quickness.committed(now, *took);
                now = now + *took;
            }
        }
        (quickness, now)
    }

    #[test]
    fn a_disk_has_to_prove_itself() {
        let quick = Duration::from_micros(300);
        let (quickness, now) = after(&[(COMMITS - 1, quick)]);
        assert!(!quickness.is_quick(now), "not yet");
        let (quickness, now) = after(&[(COMMITS, quick)]);
        assert!(quickness.is_quick(now));
        let (quickness, now) = after(&[(100, Duration::from_millis(5))]);
        assert!(!quickness.is_quick(now), "a memory card");
    }

    /// One long commit is reason enough for ten times as long, a slow minute for as long as it lasts.
    #[test]
    fn a_disk_that_was_slow_is_not_trusted_at_once() {
        let quick = Duration::from_micros(300);
        let (mut quickness, now) = after(&[(100, quick), (1, SLOW), (50, quick)]);
        assert!(!quickness.is_quick(now));
        let later = now + SLOW * DISTRUST;
        assert!(quickness.is_quick(later));
        quickness.committed(later, 5 * SLOW);
        for _ in 0..2 * COMMITS {
            quickness.committed(later, quick);
        }
        assert!(!quickness.is_quick(later + 5 * SLOW * DISTRUST));
        assert!(quickness.is_quick(later + 5 * SLOW * (DISTRUST + 1)));
        for _ in 0..COMMITS {
            quickness.committed(now, Duration::from_millis(3));
        }
        assert!(!quickness.is_quick(later + 100 * SLOW * DISTRUST));
    }
}
