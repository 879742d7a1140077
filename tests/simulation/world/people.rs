//! The clients: what they do, and the connections that they do it on.

use std::time::Duration;

use bytes::BytesMut;
use tidegate::broker::{self, ConnectionId, Peer};
use tidegate::mqtt::{self, Packet, QoS};

use super::{Event, Weather, World};
use crate::client::Link;
use crate::plan::PlantedBug;
use crate::wire::{Item, Wire};

impl World {
    pub(super) fn acts(&mut self, client: usize) {
        let pause = if self.weather == Weather::Storm { 250 } else { 100 };
        self.in_a_while(pause, Event::Acts(client));
        for packet in self.clients[client].catch_up() {
            self.client_sends(client, packet);
        }
        match (self.clients[client].link, self.weather) {
            (Link::Offline, Weather::Storm) => {
                if self.random.chance(500) {
                    let anew = self.random.chance(20);
                    self.connects(client, anew);
                }
            }
            (Link::Offline, _) => self.connects(client, false),
            (Link::Connecting(_), Weather::Storm) if self.random.chance(20) => self.breaks_off(client),
            (Link::Connecting(_), _) => {}
            (Link::Online(_), Weather::Storm) => self.does_something(client),
            // What was not acknowledged while the journal took nothing is sent again on another connection.
            (Link::Online(_), _) if self.clients[client].has_open_publishes() && self.random.chance(10) => {
                self.breaks_off(client);
            }
            (Link::Online(_), _) => self.client_sends(client, Packet::PingReq),
        }
    }

    pub(super) fn does_something(&mut self, client: usize) {
        let rude = self.random.chance(self.plan.rudeness);
        let what = self.random.below(if rude { 4 } else { 100 });
        match what {
            0 if rude => self.breaks_off(client),
            1 if rude => self.connects(client, false),
            2 if rude => self.goes_silent(client),
            3 if rude => {
                let packet = self.clients[client].disconnect(&mut self.truth);
                self.leaves(client, packet);
            }
            0..=14 => {
                let filters = self.clients[client].character.filters.clone();
                let chosen: Vec<(String, QoS)> =
                    filters.into_iter().filter(|_| self.random.chance(600)).collect();
                if !chosen.is_empty() {
                    let packet = self.clients[client].subscribe(chosen, &mut self.truth);
                    self.client_sends(client, packet);
                }
            }
            15..=17 => {
                let filters = &self.clients[client].character.filters;
                let (filter, _) = self.random.pick(filters).clone();
                let packet = self.clients[client].unsubscribe(&filter, &mut self.truth);
                self.client_sends(client, packet);
            }
            18..=24 => self.client_sends(client, Packet::PingReq),
            _ if self.clients[client].character.publishes => {
                let many = if self.random.chance(100) { 10 } else { 1 };
                for _ in 0..many {
                    let packet = self.clients[client].publish(&mut self.random, &mut self.truth);
                    packet.into_iter().for_each(|packet| self.client_sends(client, packet));
                }
            }
            _ => {}
        }
    }

    pub(super) fn connects(&mut self, client: usize, anew: bool) {
        let before = self.clients[client].connection();
        if let Some(wire) = before.and_then(|before| self.wires.get_mut(&before)) {
            wire.dialler = false;
        }
        if self.gateway.is_none() {
            // Nobody listens; a connection that was given up is gone all the same.
            return self.clients[client].lost(&mut self.truth);
        }
        let connection = ConnectionId(self.next_connection);
        self.next_connection += 1;
        let packet = self.clients[client].connect(connection, anew, &mut self.truth);
        let character = &self.clients[client].character;
        let slowness = if character.is_slow { 5 } else { 1 };
        self.wires.insert(connection, Wire::new(character.version, self.plan.latency * slowness));
        self.owners.insert(connection, client);
        self.client_sends(client, packet);
    }

    pub(super) fn client_sends(&mut self, client: usize, packet: Packet) {
        let Some(connection) = self.clients[client].connection() else { return };
        self.sends_on(connection, Item::Packet(packet, 0));
    }

    pub(super) fn sends_on(&mut self, connection: ConnectionId, item: Item) {
        if self.shows {
            self.show(&format!("{connection:?} > {item:?}"));
        }
        let Some(wire) = self.wires.get_mut(&connection) else { return };
        let at = wire.up(self.now, item, &mut self.random);
        self.agenda.enter(at, Event::ArrivesAtGateway(connection));
    }

    pub(super) fn leaves(&mut self, client: usize, goodbye: Packet) {
        let connection = self.owners.iter().rev().find(|(_, owner)| **owner == client).map(|(id, _)| *id);
        let Some(connection) = connection else { return };
        self.sends_on(connection, Item::Packet(goodbye, 0));
        self.sends_on(connection, Item::Closed);
        if let Some(wire) = self.wires.get_mut(&connection) {
            wire.dialler = false;
        }
    }

    /// Gone without a word; the gateway's network tells it.
    pub(super) fn breaks_off(&mut self, client: usize) {
        let Some(connection) = self.clients[client].connection() else { return };
        self.clients[client].lost(&mut self.truth);
        if let Some(wire) = self.wires.get_mut(&connection) {
            wire.break_at_dialler(&mut self.random);
        }
        self.sends_on(connection, Item::Closed);
    }

    /// Gone without a word, and nobody tells the gateway: only its keep-alive can find out.
    pub(super) fn goes_silent(&mut self, client: usize) {
        let keep_alive = Duration::from_secs(self.clients[client].character.keep_alive_seconds.into());
        let Some(connection) = self.clients[client].connection().filter(|_| !keep_alive.is_zero()) else {
            return;
        };
        self.show(&format!("client {client} goes silent"));
        self.clients[client].lost(&mut self.truth);
        if let Some(wire) = self.wires.get_mut(&connection) {
            wire.break_at_dialler(&mut self.random);
        }
        // What it sent last may wait in the broker's inbox behind the answer of a commit.
        let late = self.plan.latency * 10 + self.plan.slowest_commit + Duration::from_millis(100);
        let at = self.now + keep_alive * 3 / 2 + late;
        self.silent_connections += 1;
        self.agenda.enter(at, Event::MustBeClosed(connection));
    }

    pub(super) fn arrives_at_gateway(&mut self, connection: ConnectionId) {
        let boot_now = self.moment().monotonic;
        let Some(wire) = self.wires.get_mut(&connection) else { return };
        let Some(item) = wire.to_listener.arrive() else { return };
        let Some(gateway) = self.gateway.as_mut().filter(|_| wire.listener) else { return };
        let mut completed = None;
        let input = match item {
            Item::Packet(Packet::Connect(connect), _) => {
                broker::Input::Connect { connection, connect, peer: Peer::default() }
            }
            Item::Packet(packet, _) => {
                if let (Packet::PubRel(ack), Some(PlantedBug::CompletesBeforeCommit)) =
                    (&packet, self.plan.bug)
                {
                    completed = Some(Packet::PubComp(ack.clone()));
                }
                broker::Input::Packet { connection, packet }
            }
            Item::Closed => {
                wire.listener = false;
                broker::Input::Closed { connection }
            }
        };
        gateway.give_broker(boot_now, input);
        if let Some(packet) = completed {
            let at = wire.down(self.now, Item::Packet(packet, 0), &mut self.random);
            self.agenda.enter(at, Event::ArrivesAtClient(connection));
        }
        self.sweep(connection);
    }

    pub(super) fn sends_to_client(&mut self, connection: ConnectionId, mut bytes: BytesMut, counted: usize) {
        let Some(wire) = self.wires.get_mut(&connection).filter(|wire| wire.listener) else { return };
        let mut decoder = mqtt::Decoder::of_server(wire.version, 1 << 20);
        let (packet, _) = decoder.decode(&mut bytes).expect("well-formed").expect("a whole packet");
        assert!(bytes.is_empty(), "one packet at a time");
        if matches!(packet, Packet::PubComp(_)) && self.plan.bug == Some(PlantedBug::CompletesBeforeCommit) {
            // It has been sent long ago.
            return;
        }
        let at = wire.down(self.now, Item::Packet(packet, counted), &mut self.random);
        self.agenda.enter(at, Event::ArrivesAtClient(connection));
    }

    pub(super) fn gateway_closes(&mut self, connection: ConnectionId) {
        let boot_now = self.moment().monotonic;
        let Some(wire) = self.wires.get_mut(&connection).filter(|wire| wire.listener) else { return };
        wire.listener = false;
        let at = wire.down(self.now, Item::Closed, &mut self.random);
        self.agenda.enter(at, Event::ArrivesAtClient(connection));
        if let Some(gateway) = &mut self.gateway {
            gateway.give_broker(boot_now, broker::Input::Closed { connection });
        }
    }

    pub(super) fn arrives_at_client(&mut self, connection: ConnectionId) {
        let boot_now = self.moment().monotonic;
        let Some(wire) = self.wires.get_mut(&connection) else { return };
        let Some(item) = wire.to_dialler.arrive() else { return };
        if !wire.dialler {
            return self.sweep(connection);
        }
        let owner = self.owners[&connection];
        match item {
            Item::Packet(packet, bytes) => {
                if let Some(gateway) = self.gateway.as_mut().filter(|_| wire.listener && bytes > 0) {
                    gateway.give_broker(boot_now, broker::Input::Written { connection, bytes });
                }
                if self.shows {
                    self.show(&format!("{connection:?} < {packet:?}"));
                }
                for answer in self.clients[owner].take(packet, &mut self.truth) {
                    self.client_sends(owner, answer);
                }
                // Refused: the client has done with this connection.
                if self.clients[owner].connection() != Some(connection)
                    && let Some(wire) = self.wires.get_mut(&connection)
                {
                    wire.dialler = false;
                    self.sends_on(connection, Item::Closed);
                }
            }
            Item::Closed => {
                wire.dialler = false;
                self.clients[owner].lost(&mut self.truth);
                self.sweep(connection);
            }
        }
    }

    pub(super) fn sweep(&mut self, connection: ConnectionId) {
        if self.wires.get(&connection).is_some_and(Wire::is_gone) {
            self.wires.remove(&connection);
            self.owners.remove(&connection);
        }
    }
}
