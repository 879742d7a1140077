//! What one sensor's source counts, for telemetry to read at any time. Never resets.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use crate::device::ProblemKind;

/// Counters of one sensor. Written by its port's task, read by anybody.
#[derive(Debug, Default)]
pub struct Counters {
    bytes: AtomicU64,
    readings: AtomicU64,
    dropped: AtomicU64,
    opened: AtomicU64,
    problems: [AtomicU64; ProblemKind::ALL.len()],
    last_reading_unix_ms: AtomicI64,
    online: AtomicBool,
    trouble: Mutex<Option<String>>,
}

/// [`Counters`] as they are at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CountersNow {
    /// Bytes heard.
    pub bytes: u64,
    /// Readings handed to the broker: `tidegate_readings_total{sensor}`.
    pub readings: u64,
    /// Readings for which the broker's inbox had no room: `tidegate_dropped_total{reason="inbox_full"}`.
    pub dropped: u64,
    /// How many times the port was opened.
    pub opened: u64,
    /// `tidegate_decode_errors_total{sensor,kind}`, of every kind.
    pub problems: Vec<(ProblemKind, u64)>,
    /// When the last reading came; `None`: never.
    pub last_reading_unix_ms: Option<i64>,
    /// Whether the sensor is there.
    pub online: bool,
    /// What is wrong with it now, in a sentence.
    pub trouble: Option<String>,
}

impl Counters {
    /// The counters as they are.
    #[must_use]
    pub fn now(&self) -> CountersNow {
        let last = self.last_reading_unix_ms.load(Relaxed);
        let problems = ProblemKind::ALL.into_iter().zip(&self.problems);
        CountersNow {
            bytes: self.bytes.load(Relaxed),
            readings: self.readings.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            opened: self.opened.load(Relaxed),
            problems: problems.map(|(kind, count)| (kind, count.load(Relaxed))).collect(),
            last_reading_unix_ms: (last != 0).then_some(last),
            online: self.online.load(Relaxed),
            trouble: self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// Whether the sensor is there.
    pub(super) fn is_online(&self) -> bool {
        self.online.load(Relaxed)
    }

    pub(super) fn heard(&self, bytes: usize) {
        self.bytes.fetch_add(u64::try_from(bytes).unwrap_or(0), Relaxed);
    }

    pub(super) fn handed_over(&self, readings: u64, last_unix_ms: i64) {
        self.readings.fetch_add(readings, Relaxed);
        self.last_reading_unix_ms.store(last_unix_ms, Relaxed);
    }

    pub(super) fn dropped(&self, readings: u64) {
        self.dropped.fetch_add(readings, Relaxed);
    }

    pub(super) fn opened(&self) {
        self.opened.fetch_add(1, Relaxed);
    }

    pub(super) fn problem(&self, kind: ProblemKind) {
        let place = ProblemKind::ALL.iter().zip(&self.problems).find(|(known, _)| **known == kind);
        if let Some((_, count)) = place {
            count.fetch_add(1, Relaxed);
        }
    }

    /// Something is wrong with the sensor, or nothing any more. Rare: not for every frame.
    pub(super) fn trouble(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    pub(super) fn online(&self, online: bool) {
        self.online.store(online, Relaxed);
    }
}
