//! What waits in memory for one client: bounded by count and bytes, QoS 0 given up first.
//!
//! Serves sessions that end with their connection, and retained messages of QoS 0 for all. Never sends.

use std::collections::VecDeque;
use std::time::Duration;

use crate::mqtt::QoS;
use crate::time::Instant;

use super::publish_frame::{PublishFrame, with_message_expiry};

/// One message that waits.
#[derive(Debug, Clone)]
pub(super) struct Queued {
    pub(super) frame: PublishFrame,
    pub(super) qos: QoS,
    /// When its message expiry interval ends.
    pub(super) expires_at: Option<Instant>,
}

impl Queued {
    /// The frame to send now, with what is left of its expiry; `None` when nothing is left `[MQTT-3.3.2-5]`
    /// `[MQTT-3.3.2-6]`.
    pub(super) fn into_frame(self, now: Instant) -> Option<PublishFrame> {
        let Some(expires_at) = self.expires_at else {
            return Some(self.frame);
        };
        let left = expires_at.since(now);
        if left == Duration::ZERO {
            return None;
        }
        let seconds = u32::try_from(left.as_secs()).unwrap_or(u32::MAX);
        Some(with_message_expiry(self.frame, seconds.max(1)))
    }
}

/// The messages that wait, oldest first.
#[derive(Debug, Default)]
pub(super) struct Queue {
    messages: VecDeque<Queued>,
    bytes: usize,
    /// How many of them are QoS 0.
    at_most_once: usize,
}

/// How much may wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) messages: usize,
    pub(super) bytes: usize,
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Whether a message of this QoS has to wait behind others of its kind: order is kept among those of QoS 0,
    /// and among the rest `[MQTT-4.6.0-5]`.
    pub(super) fn holds(&self, qos: QoS) -> bool {
        match qos {
            QoS::AtMostOnce => self.at_most_once > 0,
            _ => self.messages.len() > self.at_most_once,
        }
    }

    /// Adds a message and makes room for it; says how many had to go.
    pub(super) fn push(&mut self, queued: Queued, bounds: Bounds) -> u64 {
        self.bytes += queued.frame.bytes.len();
        self.at_most_once += usize::from(queued.qos == QoS::AtMostOnce);
        self.messages.push_back(queued);
        let mut dropped = 0;
        while self.messages.len() > bounds.messages || self.bytes > bounds.bytes {
            self.give_up_one();
            dropped += 1;
        }
        dropped
    }

    /// The oldest one, without taking it.
    pub(super) fn first(&self) -> Option<&Queued> {
        self.messages.front()
    }

    pub(super) fn pop(&mut self) -> Option<Queued> {
        let queued = self.messages.pop_front()?;
        self.account_for(&queued);
        if self.messages.is_empty() && self.messages.capacity() > 64 {
            self.messages = VecDeque::new();
        }
        Some(queued)
    }

    /// Keeps only what `keep` says; says how many had to go.
    pub(super) fn retain(&mut self, keep: impl Fn(&PublishFrame) -> bool) -> u64 {
        let before = self.messages.len();
        self.messages.retain(|queued| keep(&queued.frame));
        self.bytes = self.messages.iter().map(|queued| queued.frame.bytes.len()).sum();
        self.at_most_once = self.messages.iter().filter(|queued| queued.qos == QoS::AtMostOnce).count();
        u64::try_from(before - self.messages.len()).unwrap_or(u64::MAX)
    }

    /// Empties it; says how many there were.
    pub(super) fn clear(&mut self) -> u64 {
        let count = self.messages.len();
        *self = Queue::default();
        u64::try_from(count).unwrap_or(u64::MAX)
    }

    /// The oldest of QoS 0, or else the oldest.
    fn give_up_one(&mut self) {
        let oldest = match self.at_most_once {
            0 => 0,
            _ => self.messages.iter().position(|queued| queued.qos == QoS::AtMostOnce).unwrap_or(0),
        };
        if let Some(queued) = self.messages.remove(oldest) {
            self.account_for(&queued);
        }
    }

    fn account_for(&mut self, gone: &Queued) {
        self.bytes -= gone.frame.bytes.len();
        self.at_most_once -= usize::from(gone.qos == QoS::AtMostOnce);
    }
}
