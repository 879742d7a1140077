//! A network connection: in order, delayed, and broken at any point.
//!
//! One end dialled, the other listens; either may be gone while the other does not know it yet.

use std::collections::VecDeque;
use std::time::Duration;

use tidegate::mqtt::{Packet, ProtocolVersion};
use tidegate::time::Instant;

use crate::random::Random;

/// What travels.
#[derive(Debug)]
pub enum Item {
    /// With the bytes that a sending broker is told of once they are written.
    Packet(Packet, usize),
    /// The other end is gone.
    Closed,
}

/// One direction of a connection.
#[derive(Debug, Default)]
pub struct Lane {
    items: VecDeque<Item>,
    last_arrival: Instant,
}

/// One connection.
#[derive(Debug)]
pub struct Wire {
    pub version: ProtocolVersion,
    pub to_listener: Lane,
    pub to_dialler: Lane,
    /// Whether the dialler still has it; otherwise what arrives there is lost.
    pub dialler: bool,
    /// Whether the listener still has it.
    pub listener: bool,
    latency: Duration,
}

impl Wire {
    pub fn new(version: ProtocolVersion, latency: Duration) -> Wire {
        let (to_listener, to_dialler) = (Lane::default(), Lane::default());
        Wire { version, to_listener, to_dialler, dialler: true, listener: true, latency }
    }

    /// Sends towards the listener: when it arrives there.
    pub fn up(&mut self, now: Instant, item: Item, random: &mut Random) -> Instant {
        self.to_listener.push(item, now + delay(self.latency, random))
    }

    /// Sends towards the dialler: when it arrives there.
    pub fn down(&mut self, now: Instant, item: Item, random: &mut Random) -> Instant {
        self.to_dialler.push(item, now + delay(self.latency, random))
    }

    /// The dialler is gone: of what it sent, only some arrives.
    pub fn break_at_dialler(&mut self, random: &mut Random) {
        self.dialler = false;
        self.to_listener.lose_some(random);
    }

    /// The listener is gone: of what it sent, only some arrives.
    pub fn break_at_listener(&mut self, random: &mut Random) {
        self.listener = false;
        self.to_dialler.lose_some(random);
    }

    /// From now on the network is at its best.
    pub fn calms(&mut self) {
        self.latency = self.latency.min(Duration::from_millis(5));
    }

    pub fn is_gone(&self) -> bool {
        !self.dialler && !self.listener
    }
}

impl Lane {
    /// What arrives now, if it was not lost.
    pub fn arrive(&mut self) -> Option<Item> {
        self.items.pop_front()
    }

    fn push(&mut self, item: Item, arrival: Instant) -> Instant {
        self.items.push_back(item);
        self.last_arrival = self.last_arrival.max(arrival);
        self.last_arrival
    }

    fn lose_some(&mut self, random: &mut Random) {
        self.items.truncate(random.index(self.items.len() + 1));
    }
}

/// How long something is on its way: up to `longest`, mostly much less.
pub fn delay(longest: Duration, random: &mut Random) -> Duration {
    let nanos = u64::try_from(longest.as_nanos()).expect("a short time");
    let spread = random.below(nanos + 1);
    Duration::from_nanos(if random.chance(700) { spread / 10 } else { spread })
}
