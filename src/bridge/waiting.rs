//! What the server has to answer, and when its silence means that the link is dead.
//!
//! Two ways of being too late. Nothing at all is answered for a whole deadline; or one answer was overtaken by
//! that to a later packet, and still did not come within a deadline after that. A slow link that goes on
//! answering in order is never too late, however long its queue is.

use std::time::Duration;

use crate::flow::Open;
use crate::mqtt::PacketIdentifier;
use crate::time::Instant;

#[derive(Debug)]
pub(super) struct Waiting {
    deadline: Duration,
    /// When each was sent that is not answered, in that order.
    sent_at: Open<Instant>,
    progress_at: Instant,
    /// The oldest of them, if an answer to a later one has come; and when the first such answer came.
    overtaken: Option<(PacketIdentifier, Instant)>,
}

impl Waiting {
    pub(super) fn new(deadline: Duration) -> Waiting {
        Waiting { deadline, sent_at: Open::new(), progress_at: Instant::ZERO, overtaken: None }
    }

    /// A packet that is to be answered was sent.
    pub(super) fn sent(&mut self, now: Instant, identifier: PacketIdentifier) {
        self.remove(identifier);
        self.sent_at.push(identifier, now);
    }

    /// Its answer came.
    pub(super) fn answered(&mut self, now: Instant, identifier: PacketIdentifier) {
        let oldest = self.sent_at.first();
        if !self.remove(identifier) {
            return;
        }
        self.progress_at = now;
        if let Some(oldest) = oldest.filter(|oldest| *oldest != identifier)
            && self.overtaken.is_none_or(|(overtaken, _)| overtaken != oldest)
        {
            self.overtaken = Some((oldest, now));
        }
    }

    fn remove(&mut self, identifier: PacketIdentifier) -> bool {
        self.overtaken.take_if(|(overtaken, _)| *overtaken == identifier);
        self.sent_at.remove(identifier).is_some()
    }

    fn oldest(&self) -> Option<(PacketIdentifier, Instant)> {
        let oldest = self.sent_at.first()?;
        self.sent_at.get(oldest).map(|at| (oldest, *at))
    }

    /// A write that had been blocked went on: the other end takes bytes.
    pub(super) const fn progressed(&mut self, now: Instant) {
        self.progress_at = now;
    }

    /// The connection is gone: nothing is answered on it any more.
    pub(super) fn clear(&mut self) {
        self.sent_at = Open::new();
        self.overtaken = None;
    }

    /// When the link is to be called dead, should nothing come until then.
    pub(super) fn expires_at(&self) -> Option<Instant> {
        let (oldest, sent_at) = self.oldest()?;
        let from = match self.overtaken {
            Some((overtaken, at)) if overtaken == oldest => at,
            _ => self.progress_at.max(sent_at),
        };
        Some(from + self.deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(seconds * 1000)
    }

    fn identifier(number: u16) -> PacketIdentifier {
        PacketIdentifier::new(number).unwrap()
    }

    #[test]
    fn silence_ends_one_deadline_after_the_last_answer() {
        let mut waiting = Waiting::new(Duration::from_secs(10));
        assert_eq!(waiting.expires_at(), None);
        waiting.sent(at(0), identifier(1));
        waiting.sent(at(3), identifier(2));
        assert_eq!(waiting.expires_at(), Some(at(10)), "sending is no answer");
        waiting.answered(at(5), identifier(1));
        assert_eq!(waiting.expires_at(), Some(at(15)));
        waiting.answered(at(6), identifier(2));
        assert_eq!(waiting.expires_at(), None);
    }

    #[test]
    fn after_a_pause_the_deadline_counts_from_the_sending() {
        let mut waiting = Waiting::new(Duration::from_secs(10));
        waiting.sent(at(0), identifier(1));
        waiting.answered(at(1), identifier(1));
        waiting.sent(at(100), identifier(2));
        assert_eq!(waiting.expires_at(), Some(at(110)));
    }

    #[test]
    fn an_overtaken_packet_is_not_saved_by_answers_to_others() {
        let mut waiting = Waiting::new(Duration::from_secs(10));
        waiting.sent(at(0), identifier(1));
        for second in 1..8 {
            waiting.sent(at(second), identifier(2));
            waiting.answered(at(second), identifier(2));
        }
        assert_eq!(waiting.expires_at(), Some(at(11)), "overtaken at second 1");
        waiting.answered(at(9), identifier(1));
        assert_eq!(waiting.expires_at(), None);
    }

    #[test]
    fn a_slow_link_that_answers_in_order_lives() {
        let mut waiting = Waiting::new(Duration::from_secs(10));
        for number in 1..=100 {
            waiting.sent(at(0), identifier(number));
        }
        for number in 1..=99 {
            let now = at(u64::from(number) * 9);
            assert!(waiting.expires_at().unwrap() > now);
            waiting.answered(now, identifier(number));
        }
    }
}
