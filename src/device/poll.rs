//! When a polled device is asked, and when its answer is overdue: a machine over time alone.
//!
//! Never sends anything itself.

use std::time::Duration;

use bytes::Bytes;

use super::profile::Poll;
use crate::time::Instant;

/// What is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PollAction {
    /// Send this request.
    Send(Bytes),
    /// The last request was not answered in time.
    NoAnswer,
}

/// The requests of one port, asked in turn: never two at once.
#[derive(Debug)]
pub struct PollPlan {
    requests: Vec<Request>,
    /// The request that waits for its answer, until when.
    waiting_until: Option<Instant>,
}

#[derive(Debug)]
struct Request {
    poll: Poll,
    due: Instant,
}

impl PollPlan {
    /// A plan whose requests are all due at `now`.
    #[must_use]
    pub fn new(polls: &[Poll], now: Instant) -> PollPlan {
        let requests = polls.iter().map(|poll| Request { poll: poll.clone(), due: now }).collect();
        PollPlan { requests, waiting_until: None }
    }

    /// When [`PollPlan::timeout`] is due next; `None` when nothing is polled.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        self.waiting_until.or_else(|| self.requests.iter().map(|request| request.due).min())
    }

    /// A frame came: it is taken as the answer.
    pub fn answered(&mut self) {
        self.waiting_until = None;
    }

    /// The time of [`PollPlan::next_timeout`] came; `None` when it did not.
    pub fn timeout(&mut self, now: Instant) -> Option<PollAction> {
        if let Some(until) = self.waiting_until {
            if now < until {
                return None;
            }
            self.waiting_until = None;
            return Some(PollAction::NoAnswer);
        }
        let request = self.requests.iter_mut().min_by_key(|request| request.due)?;
        if now < request.due {
            return None;
        }
        // From the due time, so that the rhythm holds; from now when it was missed by more than a beat.
        let next = request.due + request.poll.interval;
        request.due = if next > now { next } else { now + request.poll.interval };
        self.waiting_until = Some(now + request.poll.timeout);
        Some(PollAction::Send(request.poll.send.clone()))
    }

    /// The longest time between two requests of the same kind, if any is polled.
    #[must_use]
    pub fn longest_interval(&self) -> Option<Duration> {
        self.requests.iter().map(|request| request.poll.interval).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll(byte: u8, interval_ms: u64) -> Poll {
        Poll {
            send: Bytes::copy_from_slice(&[byte]),
            interval: Duration::from_millis(interval_ms),
            timeout: Duration::from_millis(50),
        }
    }

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn a_request_is_sent_on_its_beat_and_answered_or_missed() {
        let mut plan = PollPlan::new(&[poll(1, 100)], at(1000));
        assert_eq!(plan.timeout(at(1000)), Some(PollAction::Send(Bytes::from_static(&[1]))));
        assert_eq!(plan.next_timeout(), Some(at(1050)));
        plan.answered();
        assert_eq!(plan.next_timeout(), Some(at(1100)), "the beat counts from the last beat");
        assert_eq!(plan.timeout(at(1099)), None);
        assert!(matches!(plan.timeout(at(1101)), Some(PollAction::Send(_))));
        assert_eq!(plan.timeout(at(1151)), Some(PollAction::NoAnswer));
        assert_eq!(plan.next_timeout(), Some(at(1200)));
        assert!(plan.timeout(at(5000)).is_some());
        plan.answered();
        assert_eq!(plan.next_timeout(), Some(at(5100)), "missed beats are not caught up");
    }

    #[test]
    fn two_requests_take_turns_and_never_overlap() {
        let mut plan = PollPlan::new(&[poll(1, 100), poll(2, 100)], at(0));
        assert_eq!(plan.timeout(at(0)), Some(PollAction::Send(Bytes::from_static(&[1]))));
        assert_eq!(plan.timeout(at(10)), None, "the first waits for its answer");
        plan.answered();
        assert_eq!(plan.timeout(at(10)), Some(PollAction::Send(Bytes::from_static(&[2]))));
    }

    #[test]
    fn nothing_to_ask_is_never_due() {
        let mut plan = PollPlan::new(&[], at(0));
        assert_eq!((plan.next_timeout(), plan.timeout(at(9))), (None, None));
    }
}
