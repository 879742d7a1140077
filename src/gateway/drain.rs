//! How fast an uplink sends and how long its backlog will take, from a few looks at its figures.
//!
//! Looks are taken whenever somebody asks for the status, and every few seconds anyway. Decides nothing.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::time::Instant;

/// Looks are at least so far apart.
const APART: Duration = Duration::from_secs(2);
/// What is older says nothing about now.
const SPAN: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy)]
struct Look {
    at: Instant,
    waiting: u64,
    acknowledged: u64,
}

/// The last looks at one uplink.
#[derive(Debug, Default)]
pub(super) struct Drain {
    looks: Mutex<VecDeque<Look>>,
}

/// What they say.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Pace {
    /// Messages acknowledged in a second.
    pub(super) per_second: f64,
    /// How long until nothing waits; `None` when nothing does, or when it does not become less.
    pub(super) left_seconds: Option<f64>,
}

impl Drain {
    /// One more look.
    pub(super) fn look(&self, at: Instant, waiting: u64, acknowledged: u64) -> Pace {
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        while looks.get(1).is_some_and(|second| at.since(second.at) >= SPAN) {
            looks.pop_front();
        }
        let pace = looks.front().map(|first| pace(first, at, waiting, acknowledged)).unwrap_or_default();
        if looks.back().is_none_or(|last| at.since(last.at) >= APART) {
            looks.push_back(Look { at, waiting, acknowledged });
        }
        pace
    }
}

fn pace(first: &Look, at: Instant, waiting: u64, acknowledged: u64) -> Pace {
    let seconds = at.since(first.at).as_secs_f64();
    if seconds <= 0.0 {
        return Pace::default();
    }
    let number = |count: u64| u32::try_from(count).map_or(f64::from(u32::MAX), f64::from);
    let sent = number(acknowledged.saturating_sub(first.acknowledged));
    let fewer = number(first.waiting.saturating_sub(waiting));
    let left = (waiting > 0 && fewer > 0.0).then(|| number(waiting) / fewer * seconds);
    Pace { per_second: sent / seconds, left_seconds: left }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(seconds * 1000)
    }

    #[test]
    fn the_estimate_is_that_of_the_backlog_and_not_of_what_is_sent() {
        let drain = Drain::default();
        assert_eq!(drain.look(at(1), 1000, 0), Pace::default());
        // 100 a second go, 50 a second come.
        assert_eq!(drain.look(at(11), 500, 1000), Pace { per_second: 100.0, left_seconds: Some(10.0) });
        assert_eq!(drain.look(at(21), 0, 2000), Pace { per_second: 100.0, left_seconds: None });
    }

    #[test]
    fn a_backlog_that_grows_or_stands_has_no_estimate_and_old_looks_are_forgotten() {
        let drain = Drain::default();
        drain.look(at(0), 1000, 0);
        for second in 1..100 {
            let pace = drain.look(at(second), 1000 + second, 0);
            assert_eq!(pace.left_seconds, None);
        }
        assert!(drain.looks.lock().unwrap().len() <= 17);
        let pace = drain.look(at(100), 90, 1009);
        assert!(pace.per_second > 30.0 && pace.left_seconds.is_some());
    }
}
