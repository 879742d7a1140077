//! The connection to the server: its stages, its timers, and what the server said of itself.

use std::time::Duration;

use super::fault::Fault;
use super::options::Options;
use crate::mqtt::{ConnAck, QoS};
use crate::time::Instant;

/// How far the connection is.
#[derive(Debug)]
pub(super) enum Link {
    /// Waiting for the next attempt.
    Resting { until: Instant },
    /// The driver opens a connection.
    Opening { until: Instant },
    /// CONNECT was sent.
    Greeting { until: Instant },
    /// CONNACK came.
    Up(Box<Up>),
    /// A person said so; nothing is tried before another word.
    Paused,
    /// For good.
    Stopped,
}

/// A connection that the server accepted.
#[derive(Debug)]
pub(super) struct Up {
    pub(super) since: Instant,
    pub(super) server: Server,
    /// Pings have their own timer: a link with traffic in one direction only is watched too.
    keep_alive: Option<Duration>,
    patience: Duration,
    sent_at: Instant,
    heard_at: Instant,
    ping_expires_at: Option<Instant>,
    blocked_until: Option<Instant>,
    write_deadline: Duration,
    /// When the login is to be renewed.
    pub(super) renew_at: Option<Instant>,
    /// Whether anything was acknowledged.
    pub(super) of_use: bool,
    /// Why it is renewed.
    pub(super) renewal: Fault,
    /// Whether it is being renewed: from then on only what is open is waited for.
    pub(super) renewing: bool,
}

/// What the server takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) receive_maximum: u16,
    pub(super) maximum_qos: QoS,
    pub(super) retain_available: bool,
    pub(super) max_packet_bytes: usize,
}

impl Server {
    pub(super) fn new(options: &Options, connack: &ConnAck) -> Server {
        let properties = &connack.properties;
        let said = properties.maximum_packet_size.and_then(|size| usize::try_from(size.get()).ok());
        Server {
            receive_maximum: properties.receive_maximum.map_or(u16::MAX, std::num::NonZero::get),
            maximum_qos: properties.maximum_qos.unwrap_or(QoS::ExactlyOnce).min(options.takes.maximum_qos),
            retain_available: properties.retain_available.unwrap_or(true) && options.takes.retain,
            max_packet_bytes: said.unwrap_or(usize::MAX).min(options.max_packet_bytes),
        }
    }
}

/// The longest wait for an answer to a ping; half the keep-alive when that is less.
const PING_DEADLINE: Duration = Duration::from_secs(10);

impl Up {
    pub(super) fn new(now: Instant, options: &Options, connack: &ConnAck) -> Up {
        // [MQTT-3.2.2-21]
        let seconds = connack.properties.server_keep_alive_seconds.unwrap_or(options.keep_alive_seconds);
        let keep_alive = (seconds > 0).then(|| Duration::from_secs(u64::from(seconds)));
        Up {
            since: now,
            server: Server::new(options, connack),
            keep_alive,
            patience: keep_alive.map_or(PING_DEADLINE, |keep_alive| PING_DEADLINE.min(keep_alive / 2)),
            sent_at: now,
            heard_at: now,
            ping_expires_at: None,
            blocked_until: None,
            write_deadline: options.acknowledgement_deadline,
            renew_at: options.renew_after.map(|after| now + after),
            of_use: false,
            renewal: Fault::Renewal,
            renewing: false,
        }
    }

    /// Packets were sent.
    pub(super) const fn sent(&mut self, now: Instant) {
        self.sent_at = now;
    }

    /// Something was heard: the link lives.
    pub(super) const fn heard(&mut self, now: Instant) {
        self.heard_at = now;
        self.ping_expires_at = None;
    }

    /// The socket takes no more bytes.
    pub(super) fn write_blocked(&mut self, now: Instant) {
        if self.blocked_until.is_none() {
            self.blocked_until = Some(now + self.write_deadline);
        }
    }

    /// The socket took bytes again: the other end has acknowledged some.
    pub(super) fn write_advanced(&mut self, now: Instant) {
        self.blocked_until = None;
        self.ping_expires_at = self.ping_expires_at.map(|_| now + self.patience);
    }

    /// When a ping is due: one keep-alive after the last packet sent, or heard, whichever is longer ago
    /// `[MQTT-3.1.2-20]`.
    fn ping_at(&self) -> Option<Instant> {
        if self.ping_expires_at.is_some() {
            return None;
        }
        self.keep_alive.map(|keep_alive| self.sent_at.min(self.heard_at) + keep_alive)
    }

    /// PINGREQ is sent, although none is due.
    pub(super) fn asked(&mut self, now: Instant) {
        self.ping_expires_at = Some(now + self.patience);
    }

    /// Whether to send PINGREQ now; its answer is waited for from here.
    pub(super) fn ping(&mut self, now: Instant) -> bool {
        let due = self.ping_at().is_some_and(|at| at <= now);
        if due {
            self.ping_expires_at = Some(now + self.patience);
        }
        due
    }

    /// Why the link is dead, if it is.
    pub(super) fn fault(&self, now: Instant) -> Option<Fault> {
        if self.ping_expires_at.is_some_and(|at| at <= now) {
            return Some(Fault::PingTimeout(self.patience));
        }
        let blocked = self.blocked_until.is_some_and(|at| at <= now);
        blocked.then_some(Fault::WriteTimeout(self.write_deadline))
    }

    fn next_timeout(&self) -> Option<Instant> {
        [self.ping_at(), self.ping_expires_at, self.blocked_until, self.renew_at].into_iter().flatten().min()
    }
}

impl Link {
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        match self {
            Link::Resting { until } | Link::Opening { until } | Link::Greeting { until } => Some(*until),
            Link::Up(up) => up.next_timeout(),
            Link::Paused | Link::Stopped => None,
        }
    }
}
