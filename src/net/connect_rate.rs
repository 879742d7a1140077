//! How many clients may connect by a listener within a second. Takes time as an argument.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A bucket that holds a second's worth of connects and is filled anew within a second.
#[derive(Debug)]
pub(super) struct ConnectRate {
    per_second: u32,
    /// When the bucket will be full again.
    full_at: Mutex<Instant>,
}

impl ConnectRate {
    /// With a full bucket.
    pub(super) fn new(per_second: u32, now: Instant) -> ConnectRate {
        ConnectRate { per_second: per_second.max(1), full_at: Mutex::new(now) }
    }

    /// Whether one more may connect now.
    pub(super) fn admit(&self, now: Instant) -> bool {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let next = (*full_at).max(now) + Duration::from_secs(1) / self.per_second;
        let fits = next.saturating_duration_since(now) <= Duration::from_secs(1);
        if fits {
            *full_at = next;
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A second's worth comes at once; then one for each that time has made room for; and the pause does not save up
    /// more than that second.
    #[test]
    fn a_second_is_the_measure() {
        let start = Instant::now();
        let rate = ConnectRate::new(10, start);
        let admitted = |at: Duration| (0..20).filter(|_| rate.admit(start + at)).count();
        assert_eq!(admitted(Duration::ZERO), 10);
        assert_eq!(admitted(Duration::from_millis(99)), 0);
        assert_eq!(admitted(Duration::from_millis(300)), 3);
        assert_eq!(admitted(Duration::from_secs(60)), 10);
    }
}
