//! The gateway's life and death, and what it does to the world.

use std::time::Duration;

use bytes::BytesMut;
use tidegate::mqtt::{self, ProtocolVersion};
use tidegate::time::{BootId, Instant, Moment, TimeQuality};

use super::{Event, Weather, World};
use crate::crash_disk::Tear;
use crate::gateway::{Effect, Gateway};
use crate::truth::Fate;
use crate::wire::Item;

impl World {
    pub(super) fn starts(&mut self) {
        self.show("the gateway starts");
        let mut effects = Vec::new();
        let random = self.random.fork();
        if self.weather == Weather::Storm && self.random.chance(50) {
            self.disk.power_off_after(self.random.below(10));
        }
        let largest_commit = self.largest_commit;
        self.gateway =
            Gateway::start(&self.plan, &self.disk, self.moment(), random, largest_commit, &mut effects);
        if self.gateway.is_none() {
            return self.dies();
        }
        effects.into_iter().for_each(|effect| self.takes_effect(effect));
    }

    pub(super) fn strikes_later(&mut self) {
        if let Some(mean) = self.plan.death_every {
            let millis = u64::try_from(mean.as_millis()).expect("some seconds");
            self.in_a_while(2 * millis, Event::Strikes);
        }
    }

    pub(super) fn strikes(&mut self) {
        if self.weather != Weather::Storm || self.gateway.is_none() {
            return;
        }
        if self.random.chance(300) {
            return self.dies();
        }
        self.disk.power_off_after(self.random.below(12));
    }

    pub(super) fn disk_changes(&mut self) {
        if self.weather != Weather::Storm {
            return;
        }
        self.in_a_while(1_000, Event::DiskChanges);
        let what = self.random.below(4);
        self.show(&format!(
            "the disk {}",
            ["is well", "fails now and then", "is dead", "is full"][what as usize]
        ));
        self.disk.is_well();
        match what {
            1 => self.disk.fails_now_and_then(),
            2 => self.disk.dies(),
            3 => self.disk.fills_up(),
            _ => {}
        }
    }

    pub(super) fn dies(&mut self) {
        let power_cut = self.random.chance(self.plan.power_cuts);
        self.show(if power_cut { "POWER CUT" } else { "the gateway is KILLED" });
        self.account.deaths += 1;
        self.account.power_cuts += u64::from(power_cut);
        if let Some(gateway) = self.gateway.take() {
            self.account.spared += gateway.spared();
            self.largest_commit = self.largest_commit.max(gateway.largest_commit());
        }
        let tears = [Tear::LoseAll, Tear::KeepAll, Tear::Sectors, Tear::Pages, Tear::Prefix];
        let tear = power_cut.then(|| *self.random.pick(&tears));
        if self.truth.acknowledgements > 0 {
            self.crash_points.insert((self.disk.operations(), tear));
        }
        match tear {
            Some(tear) => self.disk.crash(tear),
            None => self.disk.kill(),
        }
        let (now, random) = (self.now, &mut self.random);
        for (connection, wire) in self.wires.iter_mut().filter(|(_, wire)| wire.listener) {
            wire.break_at_listener(random);
            let at = wire.down(now, Item::Closed, random);
            self.agenda.enter(at, Event::ArrivesAtClient(*connection));
        }
        if let Some(wire) = self.uplink.as_mut().filter(|wire| wire.dialler) {
            wire.break_at_dialler(random);
        }
        for reading in std::mem::take(&mut self.open_readings) {
            self.truth.ended(reading, Fate::Abandoned);
        }
        let longest = u64::try_from(self.plan.downtime.as_millis()).expect("some seconds");
        let down = Duration::from_millis(self.random.between(1, longest));
        if power_cut {
            self.boot = BootId(self.boot.0 + 1);
            self.boot_started = self.now + down;
            // Without a battery the clock of a new boot is anywhere, until somebody sets it.
            self.clock_is_synced &= !self.plan.clock_jumps;
        }
        self.agenda.enter(self.now + down, Event::Starts);
        self.strikes_later();
    }

    pub(super) fn moment(&self) -> Moment {
        let unix_ms = 1_800_000_000_000 + i64::try_from(self.now.as_millis()).expect("not so long");
        let unix_ms = unix_ms + self.wall_clock_ahead_ms;
        let monotonic = Instant::from_nanos(self.now.as_nanos().saturating_sub(self.boot_started.as_nanos()));
        let quality = if self.clock_is_synced { TimeQuality::Synced } else { TimeQuality::Unsynced };
        Moment { boot: self.boot, monotonic, unix_ms, quality }
    }

    pub(super) fn clock_jumps(&mut self) {
        if self.weather != Weather::Storm {
            return;
        }
        self.in_a_while(1_500, Event::ClockJumps);
        const YEAR_MS: i64 = 31_557_600_000;
        self.clock_is_synced = self.random.chance(500);
        let years = if self.clock_is_synced { 0 } else { *self.random.pick(&[-57, -1, 0, 30]) };
        self.wall_clock_ahead_ms = years * YEAR_MS;
        self.show(&format!("the clock jumps: {years} years ahead, synced: {}", self.clock_is_synced));
    }

    pub(super) fn world_time(&self, at: Instant) -> Instant {
        Instant::from_nanos(at.as_nanos().saturating_add(self.boot_started.as_nanos()))
    }

    pub(super) fn takes_effect(&mut self, effect: Effect) {
        match effect {
            Effect::Send(connection, packet) => {
                let Some(version) = self.wires.get(&connection).map(|wire| wire.version) else { return };
                let mut bytes = BytesMut::new();
                mqtt::encode(version, &packet, &mut bytes).expect("what the broker sends can be written");
                self.sends_to_client(connection, bytes, 0);
            }
            Effect::SendFrame(connection, frame) => {
                let length = frame.len();
                self.sends_to_client(connection, BytesMut::from(frame.as_ref()), length);
            }
            Effect::Close(connection) => self.gateway_closes(connection),
            Effect::OpenUplink => self.uplink_dials(),
            Effect::SendUpstream(packet) => self.sends_upstream(packet),
            Effect::CloseUplink => {
                if let Some(wire) = self.uplink.as_mut() {
                    let at = wire.up(self.now, Item::Closed, &mut self.random);
                    wire.dialler = false;
                    self.agenda.enter(at, Event::ArrivesAtCloud(self.uplink_attempt));
                }
            }
            Effect::Accepted { token, outcome } => {
                let id = usize::try_from(token).expect("a message");
                self.open_readings.retain(|open| *open != id);
                match outcome {
                    Ok(()) => self.truth.acknowledged(id),
                    Err(_) => self.truth.ended(id, Fate::Refused),
                }
            }
            Effect::Dropped { count, reason } => {
                self.show(&format!("{count} dropped: {reason:?}"));
                self.truth.dropped(reason, count);
            }
            Effect::Refused { connection, message } => {
                // A client of 3.x is not told: it repeats everything in order, over another connection.
                let version = self.wires.get(&connection).map(|wire| wire.version);
                if version == Some(ProtocolVersion::V5) {
                    self.truth.refused(message);
                }
            }
            Effect::Health(health) => self.show(&format!("the journal is {health:?}")),
        }
    }
}
