//! How long to wait before the next attempt: exponential, with full jitter, so that a thousand gateways that lost
//! their server at once do not return at once.

use std::time::Duration;

/// A small generator (SplitMix64) for jitter. Seeded by the caller; never for secrets.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    pub(super) const fn new(seed: u64) -> Random {
        Random(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Evenly between `low` and `high`, both included; `low` when they are the wrong way round.
    fn between(&mut self, low: Duration, high: Duration) -> Duration {
        let span = u64::try_from(high.saturating_sub(low).as_nanos()).unwrap_or(u64::MAX - 1);
        low + Duration::from_nanos(self.next() % (span.saturating_add(1)))
    }
}

/// The delays between attempts to connect.
#[derive(Debug, Clone)]
pub(super) struct Backoff {
    shortest: Duration,
    longest: Duration,
    failures: u32,
    random: Random,
}

/// Never less than this between two attempts, whatever the jitter says: no busy loop.
const FLOOR: Duration = Duration::from_millis(100);

/// The longest pause after the first time that a server said it is asked too much.
const RESPECT: Duration = Duration::from_secs(5);

impl Backoff {
    /// The first delay is at most `shortest`; each failure doubles that, up to `longest`.
    pub(super) const fn new(shortest: Duration, longest: Duration, random: Random) -> Backoff {
        Backoff { shortest, longest, failures: 0, random }
    }

    /// An attempt failed, or a connection ended: how long to wait now.
    pub(super) fn failed(&mut self) -> Duration {
        let factor = 2_u32.saturating_pow(self.failures);
        let ceiling = self.shortest.saturating_mul(factor).min(self.longest);
        self.failures = self.failures.saturating_add(1);
        self.random.between(FLOOR, ceiling)
    }

    /// The server said that it is asked too much: how long to leave it alone, a few seconds at least.
    pub(super) fn overloaded(&mut self) -> Duration {
        self.failed().max(self.random.between(RESPECT / 2, RESPECT))
    }

    /// A connection was of use, however short: what comes next is a second failure at most, so that a link that flaps
    /// is used while it is there.
    pub(super) fn eased(&mut self) {
        self.failures = self.failures.min(1);
    }

    /// A connection was stable: the next failure is a first one.
    pub(super) const fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backoff(seed: u64) -> Backoff {
        Backoff::new(Duration::from_secs(1), Duration::from_secs(60), Random::new(seed))
    }

    #[test]
    fn delays_stay_below_a_ceiling_that_doubles_and_above_the_floor() {
        for seed in 0..200 {
            let mut backoff = backoff(seed);
            for ceiling in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
                let delay = backoff.failed();
                assert!(
                    delay >= FLOOR && delay <= Duration::from_secs(ceiling),
                    "{delay:?} above {ceiling} s"
                );
            }
        }
    }

    #[test]
    fn gateways_with_different_seeds_spread_over_the_whole_interval() {
        let delays: Vec<Duration> = (0..1000).map(|seed| backoff(seed).failed()).collect();
        for tenth in 1..10_u32 {
            let bounds = Duration::from_millis(100) * tenth..Duration::from_millis(100) * (tenth + 1);
            let share = delays.iter().filter(|delay| bounds.contains(*delay)).count();
            assert!((60..180).contains(&share), "{share} of 1000 in {bounds:?}");
        }
    }

    #[test]
    fn what_was_of_use_keeps_the_pauses_short() {
        for seed in 0..50 {
            let mut backoff = backoff(seed);
            for _ in 0..20 {
                assert!(backoff.failed() <= Duration::from_secs(2));
                backoff.eased();
            }
        }
    }

    #[test]
    fn a_reset_starts_anew_and_very_many_failures_do_not_overflow() {
        let mut backoff = backoff(7);
        for _ in 0..10_000 {
            assert!(backoff.failed() <= Duration::from_secs(60));
        }
        backoff.reset();
        assert!(backoff.failed() <= Duration::from_secs(1));
    }
}
