//! Lines of the log that would be written too often.

use std::time::{Duration, Instant};

/// A line of the same kind is not written again before this.
const SAME_LINE_EVERY: Duration = Duration::from_secs(60);

/// Things of one kind that happen often and are said seldom.
#[derive(Debug, Default)]
pub(crate) struct Seldom {
    said_at: Option<Instant>,
    unsaid: u64,
}

impl Seldom {
    /// It happened so many times more; how many times to say now, if anything.
    pub(crate) fn happened(&mut self, times: u64) -> Option<u64> {
        self.unsaid += times;
        if self.said_at.is_some_and(|at| at.elapsed() < SAME_LINE_EVERY) {
            return None;
        }
        self.said_at = Some(Instant::now());
        Some(std::mem::take(&mut self.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A backlog of a hundred thousand that is given up is no hundred thousand lines.
    #[test]
    fn what_happens_a_hundred_thousand_times_at_once_is_said_once() {
        let mut seldom = Seldom::default();
        let said: Vec<u64> = (0..100_000).filter_map(|_| seldom.happened(1)).collect();
        assert_eq!(said, [1]);
        assert_eq!(seldom.unsaid, 99_999, "to be said the next time");
    }
}
