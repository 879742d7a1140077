//! The wire between the uplink and the cloud, and the cloud's changing moods.

use bytes::BytesMut;
use tidegate::bridge;
use tidegate::mqtt::{self, Packet};

use super::{Event, Weather, World};
use crate::cloud::{Mood, Reaction};
use crate::wire::{Item, Wire};

impl World {
    pub(super) fn uplink_dials(&mut self) {
        self.uplink_attempt += 1;
        let mut wire = Wire::new(self.plan.uplink_version, self.plan.latency);
        let at = wire.up(self.now, Item::Closed, &mut self.random);
        wire.to_listener.arrive();
        self.uplink = Some(wire);
        self.agenda.enter(at, Event::UplinkOpens(self.uplink_attempt));
    }

    pub(super) fn uplink_opens(&mut self, attempt: u64) {
        let boot_now = self.moment().monotonic;
        if attempt != self.uplink_attempt || self.cloud.mood == Mood::Silent && self.random.chance(500) {
            return;
        }
        let Some(wire) = self.uplink.as_mut().filter(|wire| wire.dialler) else { return };
        let Some(gateway) = &mut self.gateway else { return };
        if self.cloud.mood == Mood::Away {
            wire.listener = false;
            return gateway.give_uplink(boot_now, bridge::Input::Closed("refused".to_owned()));
        }
        self.cloud.opened();
        gateway.give_uplink(boot_now, bridge::Input::Opened);
    }

    pub(super) fn sends_upstream(&mut self, packet: Packet) {
        if self.shows {
            self.show(&format!("uplink > {packet:?}"));
        }
        let Some(wire) = self.uplink.as_mut().filter(|wire| wire.dialler) else { return };
        let mut bytes = BytesMut::new();
        mqtt::encode(wire.version, &packet, &mut bytes).expect("what the uplink sends can be written");
        let at = wire.up(self.now, Item::Packet(packet, 0), &mut self.random);
        self.agenda.enter(at, Event::ArrivesAtCloud(self.uplink_attempt));
    }

    pub(super) fn arrives_at_cloud(&mut self, attempt: u64) {
        if attempt != self.uplink_attempt || self.cloud.mood == Mood::Silent {
            return;
        }
        let Some(wire) = self.uplink.as_mut().filter(|wire| wire.listener) else { return };
        let Some(item) = wire.to_listener.arrive() else { return };
        let Item::Packet(packet, _) = item else {
            wire.listener = false;
            return;
        };
        for reaction in self.cloud.take(packet, &mut self.random, &mut self.truth) {
            let Some(wire) = &mut self.uplink else { return };
            let item = match reaction {
                Reaction::Answer(packet) => Item::Packet(packet, 0),
                Reaction::Break => {
                    wire.break_at_listener(&mut self.random);
                    Item::Closed
                }
            };
            let at = wire.down(self.now, item, &mut self.random);
            self.agenda.enter(at, Event::ArrivesAtUplink(attempt));
        }
    }

    pub(super) fn arrives_at_uplink(&mut self, attempt: u64) {
        let boot_now = self.moment().monotonic;
        if attempt != self.uplink_attempt {
            return;
        }
        let Some(wire) = self.uplink.as_mut().filter(|wire| wire.dialler) else { return };
        let Some(item) = wire.to_dialler.arrive() else { return };
        let Some(gateway) = &mut self.gateway else { return };
        let input = match item {
            Item::Packet(packet, _) => bridge::Input::Packets(vec![packet]),
            Item::Closed => {
                wire.dialler = false;
                bridge::Input::Closed("reset".to_owned())
            }
        };
        gateway.give_uplink(boot_now, input);
    }

    pub(super) fn cloud_changes(&mut self) {
        if self.weather != Weather::Storm {
            return;
        }
        self.in_a_while(1_500, Event::CloudChanges);
        if self.random.chance(100) {
            self.cloud.forget(&mut self.truth);
            self.cloud_breaks();
        }
        self.cloud.mood = *self.random.pick(&[
            Mood::Well,
            Mood::Well,
            Mood::Silent,
            Mood::Away,
            Mood::LosesAcknowledgements,
        ]);
        self.show(&format!("the cloud is {:?}", self.cloud.mood));
        if self.cloud.mood == Mood::Away || self.cloud.mood == Mood::Well {
            self.cloud_breaks();
        }
    }

    pub(super) fn cloud_breaks(&mut self) {
        let Some(wire) = self.uplink.as_mut().filter(|wire| wire.listener) else { return };
        wire.break_at_listener(&mut self.random);
        let at = wire.down(self.now, Item::Closed, &mut self.random);
        self.agenda.enter(at, Event::ArrivesAtUplink(self.uplink_attempt));
    }
}
