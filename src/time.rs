//! Time as the pure floors know it: handed in by the caller, never read here.
//!
//! Durations are measured on the monotonic clock; the wall clock is only a label, and may be wrong until it is
//! synced (a Raspberry Pi has no battery-backed clock). A [`Moment`] carries both, so that a label can be
//! corrected later.

use std::ops::Add;
use std::time::Duration;

/// A point on the monotonic clock of this boot, in nanoseconds since some start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(u64);

impl Instant {
    /// The start of the monotonic clock.
    pub const ZERO: Instant = Instant(0);

    /// From nanoseconds since the clock's start.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Instant {
        Instant(nanos)
    }

    /// From milliseconds since the clock's start.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Instant {
        Instant(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds since the clock's start.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since the clock's start.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// How long ago `earlier` was; zero when it is not earlier.
    #[must_use]
    pub const fn since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;

    fn add(self, duration: Duration) -> Instant {
        Instant(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// Which boot of the machine a monotonic stamp belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct BootId(pub u64);

/// Whether the wall clock could be trusted when a [`Moment`] was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TimeQuality {
    /// The clock had been set from a trusted source.
    #[default]
    Synced,
    /// The clock was running free since boot; its label is a guess.
    Unsynced,
}

/// Now, or when something happened: the monotonic clock for durations, the wall clock as a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Moment {
    /// The boot that `monotonic` counts from.
    pub boot: BootId,
    /// The monotonic clock.
    pub monotonic: Instant,
    /// Milliseconds since 1970-01-01T00:00:00Z, as the wall clock said it.
    pub unix_ms: i64,
    /// Whether `unix_ms` could be trusted.
    pub quality: TimeQuality,
}

impl Moment {
    /// How much time passed since `earlier`: by the monotonic clock within one boot; across boots by the wall
    /// clock when both ends were synced; otherwise unknown.
    #[must_use]
    pub fn since(&self, earlier: &Moment) -> Option<Duration> {
        if self.boot == earlier.boot {
            return Some(self.monotonic.since(earlier.monotonic));
        }
        if self.quality == TimeQuality::Synced && earlier.quality == TimeQuality::Synced {
            let millis = self.unix_ms.saturating_sub(earlier.unix_ms).max(0);
            return u64::try_from(millis).ok().map(Duration::from_millis);
        }
        None
    }
}
