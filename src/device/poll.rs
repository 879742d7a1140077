//! When a polled device is asked, and when its answer is overdue: a machine over time alone. A device that must be
//! selected among others is selected first, acknowledges that, and is asked then.
//!
//! Never sends anything itself.

use std::time::Duration;

use bytes::Bytes;

use super::profile::Poll;
use crate::time::Instant;

/// How a meter acknowledges (EN 13757-2, 5.3): a frame of one byte.
const ACKNOWLEDGED: u8 = 0xE5;

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
    waiting: Option<Waiting>,
}

/// Something was sent, and is to be answered.
#[derive(Debug)]
struct Waiting {
    until: Instant,
    /// The device was selected: once it has acknowledged that, it is sent this and may take so long again.
    then: Option<(Bytes, Duration)>,
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
        PollPlan { requests, waiting: None }
    }

    /// When [`PollPlan::timeout`] is due next; `None` when nothing is polled.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        let waits = self.waiting.as_ref().map(|waiting| waiting.until);
        waits.or_else(|| self.requests.iter().map(|request| request.due).min())
    }

    /// A frame came: it is taken as the answer.
    pub fn answered(&mut self) {
        self.waiting = None;
    }

    /// Whether an answer is waited for: nobody else of the line may be asked.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Bytes came: when they acknowledge that the device is selected, what it is to be sent.
    pub fn selected(&mut self, bytes: &[u8], now: Instant) -> Option<Bytes> {
        let waiting = self.waiting.as_mut().filter(|_| bytes.contains(&ACKNOWLEDGED))?;
        let (send, timeout) = waiting.then.take()?;
        waiting.until = now + timeout;
        Some(send)
    }

    /// The time of [`PollPlan::next_timeout`] came; `None` when it did not.
    pub fn timeout(&mut self, now: Instant) -> Option<PollAction> {
        if let Some(waiting) = &self.waiting {
            if now < waiting.until {
                return None;
            }
            self.waiting = None;
            return Some(PollAction::NoAnswer);
        }
        let request = self.requests.iter_mut().min_by_key(|request| request.due)?;
        if now < request.due {
            return None;
        }
        // From the due time, so that the rhythm holds; from now when it was missed by more than a beat.
        let next = request.due + request.poll.interval;
        request.due = if next > now { next } else { now + request.poll.interval };
        let Poll { send, select, timeout, .. } = &request.poll;
        let then = select.as_ref().map(|_| (send.clone(), *timeout));
        self.waiting = Some(Waiting { until: now + *timeout, then });
        Some(PollAction::Send(select.as_ref().unwrap_or(send).clone()))
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
            select: None,
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
    fn a_device_that_is_selected_is_asked_once_it_has_acknowledged() {
        let one = Poll { select: Some(Bytes::from_static(&[9])), ..poll(1, 100) };
        let mut plan = PollPlan::new(&[one], at(0));
        assert_eq!(plan.timeout(at(0)), Some(PollAction::Send(Bytes::from_static(&[9]))));
        assert_eq!(plan.selected(&[0x68, 0x16], at(10)), None);
        assert_eq!(plan.selected(&[0xE5], at(40)), Some(Bytes::from_static(&[1])));
        assert_eq!((plan.selected(&[0xE5], at(41)), plan.next_timeout()), (None, Some(at(90))));
        plan.answered();
        assert!(!plan.is_waiting());
        assert!(plan.timeout(at(100)).is_some() && plan.is_waiting());
        assert_eq!(plan.timeout(at(150)), Some(PollAction::NoAnswer), "it is not there");
    }

    #[test]
    fn nothing_to_ask_is_never_due() {
        let mut plan = PollPlan::new(&[], at(0));
        assert_eq!((plan.next_timeout(), plan.timeout(at(9))), (None, None));
    }
}
