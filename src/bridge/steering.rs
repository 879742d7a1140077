//! What a person or the server says about sending at all: pause, resume, discard; back off; renew the login.

use std::time::Duration;

use super::fault::Fault;
use super::forwarder::Forwarder;
use super::link::Link;
use super::{Input, Output};
use crate::durable::DropReason;
use crate::mqtt::{Disconnect, Packet, PacketIdentifier, ReasonCode};
use crate::time::{Instant, Moment};

/// How long open deliveries may take to be acknowledged before the login is renewed all the same.
const RENEWAL_PATIENCE: Duration = Duration::from_secs(10);

impl Forwarder {
    /// Whether nothing is sent because of a word from outside.
    pub(super) fn steer(&mut self, now: Moment, input: &Input, out: &mut Vec<Output>) {
        match input {
            Input::Pause => self.pause(now, out),
            Input::Resume => {
                self.status.paused = false;
                if matches!(self.link, Link::Paused) {
                    self.backoff.reset();
                    self.link = Link::Resting { until: now.monotonic };
                }
            }
            Input::Prefer => {
                if let Link::Up(up) = &mut self.link {
                    up.renew_at = Some(now.monotonic);
                    up.renewal = Fault::Preferred;
                }
            }
            Input::Discard => {
                for lane in &mut self.lanes {
                    lane.discarded = Some(lane.backlog.known());
                }
            }
            _ => {}
        }
    }

    fn pause(&mut self, now: Moment, out: &mut Vec<Output>) {
        self.status.paused = true;
        if matches!(self.link, Link::Paused | Link::Stopped) {
            return;
        }
        if self.is_up() {
            let goodbye = Disconnect::new(ReasonCode::Success);
            self.send(now, Packet::Disconnect(Box::new(goodbye)), out);
        }
        self.close(out);
        self.lost(now, Fault::Paused, out);
        self.link = Link::Paused;
    }

    /// Drops what was given up, as far as it is in memory.
    pub(super) fn discard(&mut self, out: &mut Vec<Output>) {
        for at in 0..self.lanes.len() {
            let Some(lane) = self.lanes.get_mut(at) else { return };
            let Some(through) = lane.discarded else { continue };
            let consumer = lane.consumer;
            let given_up = lane.backlog.give_up(through);
            if lane.backlog.read() >= through {
                lane.discarded = None;
            }
            for owed in given_up {
                self.drop_delivery((consumer, owed.loaded.sequence), DropReason::Discarded, out);
            }
        }
    }

    /// The server does not want this message now: it is sent again after a pause, and nothing overtakes it.
    pub(super) fn postpone(&mut self, now: Moment, identifier: PacketIdentifier) {
        if !self.window.postponed(identifier) {
            self.status.unexpected_acknowledgements += 1;
            return;
        }
        self.waiting.answered(now.monotonic, identifier);
        self.status.postponed += 1;
        self.poison.refused_for_now(identifier);
        // Several refusals of one flood are one.
        if self.hold_until.is_none_or(|until| until <= now.monotonic) {
            self.hold_until = Some(now.monotonic + self.hold.overloaded());
        }
    }

    /// Whether the server asked for a pause that is not over.
    pub(super) fn is_held(&mut self, now: Instant) -> bool {
        self.hold_until.take_if(|until| *until <= now);
        self.hold_until.is_some()
    }

    /// Whether no new delivery is opened, because the connection is to be replaced; replaces it when nothing is
    /// open any more.
    pub(super) fn renews(&mut self, now: Moment, out: &mut Vec<Output>) -> bool {
        let Link::Up(up) = &mut self.link else { return false };
        let due = up.renew_at.is_some_and(|at| at <= now.monotonic);
        let patience_ends = due && up.renewing;
        if due && !up.renewing {
            up.renewing = true;
            up.renew_at = Some(now.monotonic + RENEWAL_PATIENCE);
        }
        if !up.renewing {
            return false;
        }
        if patience_ends || self.window.len() == 0 {
            let why = up.renewal.clone();
            self.reconnect(now, why, out);
        }
        true
    }
}
