//! A token bucket: so many messages in so much time, evenly, with a little in reserve.

use std::time::Duration;

use super::mapping::Rate;
use crate::time::Instant;

/// How much of the rate may be used at once after a silence.
const RESERVE: Duration = Duration::from_millis(250);

/// Counts in time instead of tokens (the "generic cell rate algorithm"): one instant is all there is to keep.
#[derive(Debug, Clone)]
pub(super) struct Bucket {
    /// One message each.
    interval: Duration,
    reserve: Duration,
    /// When the bucket would be full again.
    full_at: Instant,
}

impl Bucket {
    pub(super) fn new(rate: Rate) -> Bucket {
        let interval = rate.per / rate.messages.max(1);
        Bucket { interval, reserve: RESERVE.saturating_sub(interval), full_at: Instant::ZERO }
    }

    /// When the next message may go.
    pub(super) fn ready_at(&self, now: Instant) -> Instant {
        let owed = self.full_at.since(now);
        now + owed.saturating_sub(self.reserve)
    }

    /// A message goes.
    pub(super) fn take(&mut self, now: Instant) {
        self.full_at = self.full_at.max(now) + self.interval;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(messages: u32, per: Duration) -> Bucket {
        Bucket::new(Rate { messages, per })
    }

    fn sent_within(bucket: &mut Bucket, time: Duration) -> u32 {
        let mut now = Instant::from_millis(5_000);
        let end = now + time;
        let mut sent = 0;
        while now < end {
            now = now.max(bucket.ready_at(now));
            if now < end {
                bucket.take(now);
                sent += 1;
            }
        }
        sent
    }

    #[test]
    fn no_more_goes_than_the_rate_and_a_quarter_second_in_reserve() {
        let sent = sent_within(&mut bucket(100, Duration::from_secs(1)), Duration::from_secs(10));
        assert!((1000..=1026).contains(&sent), "{sent}");
        let sent = sent_within(&mut bucket(30, Duration::from_secs(60)), Duration::from_secs(600));
        assert!((300..=301).contains(&sent), "{sent}");
    }

    #[test]
    fn a_message_that_must_wait_waits_for_a_time_that_is_not_now() {
        let mut bucket = bucket(1, Duration::from_secs(10));
        let now = Instant::from_millis(1);
        assert_eq!(bucket.ready_at(now), now);
        bucket.take(now);
        assert_eq!(bucket.ready_at(now), now + Duration::from_secs(10));
    }
}
